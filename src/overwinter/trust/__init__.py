"""
Trust: who signed a segment, and whether this machine lets its artifacts run.

Populating a compile cache runs what is in it, so every segment is signed when it
is written, and populating asks whether this machine trusts the signer. A key
pair is made on first use; a machine trusts its own key, and those that it names.

Layout: ``schema/FORMAT.md``, "Signatures".
"""

# cryptography is imported where it is used: some 10 ms that inspecting does not need.
from .configuration import Rules, Trusted
from .policy import Permission, Policy, Refusal
from .public import key_id, key_id_text, named_text, public_text
from .signatures import STATEMENT_TYPE, Signature, valid_signers
from .signing import SigningKey, existing_key, own_key

__all__ = [
    "STATEMENT_TYPE",
    "Permission",
    "Policy",
    "Refusal",
    "Rules",
    "Signature",
    "SigningKey",
    "Trusted",
    "existing_key",
    "key_id",
    "key_id_text",
    "named_text",
    "own_key",
    "public_text",
    "valid_signers",
]

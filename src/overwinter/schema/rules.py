"""
Rules: what the contract of a kind keeps, by stable ids.

``overwinter schema check`` prints them, so that what is found can be looked up.
"""

from collections.abc import Mapping

import attrs

__all__ = ["RULES", "Violation"]

# Rule to what it protects.
RULES: Mapping[str, str] = {
    "SCHEMA_VALID": "every schema file can be read, and none is missing",
    "FIELD_ID_NO_REUSE": "an id means one field for ever",
    "FIELD_NAME_NO_REUSE": "a name means one field for ever",
    "FIELD_NO_DELETE_UNLESS_RESERVED": "what is gone stays reserved",
    "RESERVED_NO_DELETE": "a reservation is for ever",
    "FIELD_SAME_TYPE_OR_CONVERT": "values of a field that changes type are converted",
    "FIELD_ADDED_HAS_DEFAULT": "old records have a value for a new field",
    "FIELD_DEFAULT_FROZEN": "a record without the field means what it meant",
    "ENUM_VALUE_NO_DELETE_UNLESS_MAPPED": "old values still mean something",
    "ENUM_NO_CLOSE": "values that somebody may have written stay readable",
    "UNION_TAG_NO_CHANGE": "a record is read as the case that wrote it",
    "RELEASED_FILE_IMMUTABLE": "what a release wrote is described as it was",
    "MIGRATION_EXISTS": "there is a way from every version to the next",
    "MIGRATION_EFFECT_MATCHES": "a step leads to the schema that it claims",
    "MIGRATION_PURE": "the same old bundle always gives the same values",
    "LOSS_DECLARED": "what a step loses is said",
    "SINGLE_HEAD": "two branches cannot both make the next version",
    "CORPUS_HAS_VERSION": "a bundle of every version is kept and read",
    "CLASS_MATCHES_SCHEMA": "the class says what the newest file says",
}


@attrs.frozen
class Violation:
    """One broken rule: where, what was, what is, and what to write instead."""

    rule: str
    path: str
    was: str
    now: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"{self.rule}: {self.path}: was {self.was}, now {self.now}; {self.remedy}"
        )

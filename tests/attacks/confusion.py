"""Kind and environment confusion: sound artifacts, said to be something else."""

from typing import Any

import attrs
import msgpack
from bundles import built
from forging import Forgery

from attacks.attack import (
    KEYS_REFUSED,
    MISNAMED,
    OPAQUE,
    QUARANTINED,
    SEGMENT_REFUSED,
    SKIPPED,
    SOUND,
    Attack,
)
from attacks.graphs import CANARIES, GRAPHS, INDUCTOR, MACHINE, graphs
from attacks.nesting import statement_of
from overwinter import CacheArtifactFactory
from overwinter.encode import encode
from overwinter.kinds import NativeArtifact

AUTOTUNE = CacheArtifactFactory.kind("autotune").stamp
NATIVE = CacheArtifactFactory.kind("native").stamp
LIBRARIES = ("torchinductor/aa/a.so", "torchinductor/aa/b.so")


def _as(stamp: Any, **lies: Any) -> Forgery:
    """Return graphs whose statement says that they are of another kind."""
    return graphs(kind=attrs.asdict(stamp, recurse=False), **lies)


def _for(**fields: Any) -> Forgery:
    """Return graphs for a machine that differs; ``None`` leaves a field out."""
    changed = {**MACHINE, **fields}
    return graphs(
        environment={name: each for name, each in changed.items() if each is not None}
    )


def _native(**fields: Any) -> bytes:
    changed = {**MACHINE, **fields}
    environment = {name: each for name, each in changed.items() if each is not None}
    return built(*encode([NativeArtifact(LIBRARIES[0], CANARIES[0])], environment))


def _later(**lies: Any) -> Forgery:
    return graphs(kind={"version": 99, "fingerprint": bytes(32), **lies})


def _schema_saying(**types: str) -> Forgery:
    """Return graphs whose schema in the bundle is not that of its fingerprint."""
    fields = [
        {**field, "type": types.get(field["name"], field["type"])}
        for field in INDUCTOR.schema["fields"]
    ]
    return graphs(kind={"schema": {**INDUCTOR.schema, "fields": fields}})


def _environment_twice() -> Forgery:
    plain = msgpack.unpackb(statement_of(graphs().segment()))
    body = b"".join(
        msgpack.packb(name) + msgpack.packb(value)
        for name, value in [*MACHINE.items(), ("os", "linux")]
    )
    inner = b"\x91" + msgpack.Packer().pack_map_header(len(MACHINE) + 1) + body
    plain.pop("environments")
    rest = b"".join(msgpack.packb(k) + msgpack.packb(v) for k, v in plain.items())
    head = msgpack.Packer().pack_map_header(len(plain) + 1)
    return graphs(
        whole={"statement": head + rest + msgpack.packb("environments") + inner}
    )


ATTACKS = [
    Attack("schema_of_other", "The fingerprint of inductor beside autotune's schema.",
           lambda: graphs(kind={"schema": AUTOTUNE.schema}), MISNAMED),
    Attack("schema_payload_as_bytes", "Its schema, with the payload as plain bytes.",
           lambda: _schema_saying(content="bytes"), MISNAMED),
    Attack("fingerprint_of_other", "The name of inductor, autotune's fingerprint.",
           lambda: graphs(kind={"fingerprint": AUTOTUNE.fingerprint}), OPAQUE),
    Attack("fingerprint_zero", "A fingerprint of zeros.",
           lambda: graphs(kind={"fingerprint": bytes(32)}), OPAQUE),
    Attack("inductor_as_native", "Graphs that say they are libraries.",
           lambda: _as(NATIVE), KEYS_REFUSED),
    Attack("native_as_inductor", "Libraries that say they are graphs.",
           lambda: graphs(keys=LIBRARIES), KEYS_REFUSED),
    Attack("inductor_as_autotune", "Graphs that say they are launch configurations.",
           lambda: _as(AUTOTUNE), attrs.evolve(QUARANTINED, populates=False)),
    Attack("inductor_as_pgo", "Graphs that say they are a job's code states.",
           lambda: _as(CacheArtifactFactory.kind("pgo").stamp), SOUND),
    Attack("kind_of_nobody", "A kind that no pack brings.",
           lambda: graphs(kind={"kind": "acme/plan"}), OPAQUE),
    Attack("plain_name_foreign", "A plain name, as only ours have, of no kind of ours.",
           lambda: graphs(kind={"kind": "kernels"}), OPAQUE),
    Attack("kind_is_a_path", "A kind that is called as a path is.",
           lambda: graphs(kind={"kind": "../inductor"}), OPAQUE),
    Attack("kind_is_a_module", "A kind that is called as a module is.",
           lambda: graphs(kind={"kind": "os:system"}), OPAQUE),
    Attack("kind_is_dotted", "A kind that is called as a name in a module is.",
           lambda: graphs(kind={"kind": "os.path/join"}), OPAQUE),
    Attack("draft_as_released", "A draft under the version of a released schema.",
           lambda: graphs(kind={"draft": True, "fingerprint": bytes(32)}), OPAQUE),
    Attack("later_version", "Version 99, which readers of 99 know.",
           lambda: _later(oldest_reader=99), OPAQUE),
    Attack("environment_index", "An environment that the statement has not.",
           lambda: graphs(stamp={"environment": 1}), SEGMENT_REFUSED),
    Attack("environment_negative", "The environment before the first.",
           lambda: graphs(stamp={"environment": -1}), SEGMENT_REFUSED),
    Attack("kind_index", "A kind that the statement has not.",
           lambda: graphs(stamp={"kind": 1}), SEGMENT_REFUSED),
    Attack("environment_field_twice", "An environment with one field twice.",
           _environment_twice, SEGMENT_REFUSED),
    Attack("environment_of_numbers", "A field of an environment that is a number.",
           lambda: graphs(statement={"environments": [{"os": 1}]}), SEGMENT_REFUSED),
    Attack("no_environment", "Graphs of which nobody says what they are for.",
           lambda: graphs(environment=None), SKIPPED),
    Attack("no_torch_key", "Graphs of which nobody says for which torch.",
           lambda: _for(torch_key=None), SKIPPED),
    Attack("no_python_tag", "Graphs of which nobody says for which interpreter.",
           lambda: _for(python_tag=None), SKIPPED),
    Attack("other_torch_key", "Graphs of another torch.",
           lambda: _for(torch_key="00"), SKIPPED),
    Attack("list_for_text", "A version that is a list of itself.",
           lambda: _for(torch_version=["2.13.0"]), SKIPPED),
    Attack("native_no_environment", "A library of which nobody says what it is for.",
           lambda: built(*encode([NativeArtifact(LIBRARIES[0], CANARIES[0])], {})),
           SKIPPED),
    Attack("native_empty_flags", "A library that needs instructions of no name.",
           lambda: _native(cpu_flags=""), SKIPPED),
    Attack("native_no_flags", "A library that needs no instructions at all.",
           lambda: _native(cpu_flags=[]), SKIPPED),
    Attack("native_blank_flags", "A library whose instructions are a blank.",
           lambda: _native(cpu_flags=" "), SKIPPED),
    Attack("native_more_flags", "A library that needs more than this machine has.",
           lambda: _native(cpu_flags="avx avx99 sse"), SKIPPED),
    Attack("native_other_arch", "A library for another processor.",
           lambda: _native(cpu_arch="aarch64"), SKIPPED),
    Attack("native_case", "A library for this processor in capital letters.",
           lambda: _native(cpu_arch="X86_64"), SKIPPED),
    Attack("keys_of_two_kinds", "Graphs and libraries in one block.",
           lambda: graphs(keys=(GRAPHS[0], LIBRARIES[0])),
           attrs.evolve(KEYS_REFUSED, populates=None)),
]  # fmt: skip

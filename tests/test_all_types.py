"""A kind with every type of the schema language, through a whole bundle."""

import io
from typing import Annotated, Any

import attrs
import pytest
from acme.graphs import Compile, Graph, Link, Mode, Source
from acme.plans import registered

from overwinter import Bundle, CacheArtifactManager
from overwinter.bundle import write_bundle
from overwinter.codec import columns_of, objects_of
from overwinter.codec.objects import _hooks
from overwinter.encode import encode
from overwinter.errors import WrongShapeError
from overwinter.kind import Kind
from overwinter.schema import U64, OpenEnum, Payload, Tagged, TimeNs
from overwinter.trust import Policy, SigningKey

OWN = SigningKey(bytes(32))
SOURCE = Source("a.py", (1, 2))
COMPILE, LINK = Compile(SOURCE, ["-O2"]), Link([])
GRAPH = Graph(
    "a",
    b"program",
    Mode.BEST,
    "tpu",
    SOURCE,
    (SOURCE, Source("b.py")),
    {"x": SOURCE},
    None,
    COMPILE,
    (LINK, COMPILE),
    {"now": Mode.FAST},
    -1,
    2**64 - 1,
    None,
    None,
    True,
    b"\xff",
    {"any": [1, None]},
    {"x": [1]},
)
OTHER = attrs.evolve(
    GRAPH, key="b", spare=SOURCE, action=LINK, actions=(), sources=(), score=0.5
)


@pytest.fixture(autouse=True)
def _acme():
    with registered(Graph):
        yield


def test_every_type_survives_a_bundle():
    """What was saved is what is loaded: values, classes and all."""
    file = io.BytesIO()
    write_bundle(file, encode([GRAPH, OTHER], {}), writer="tests 1", key=OWN, level=0)
    loaded = CacheArtifactManager.deserialize(
        file.getvalue(), policy=Policy([OWN.public]), environment={}, strict=True
    )
    assert loaded["acme/graph"] == [GRAPH, OTHER]
    found = loaded["acme/graph"][0]
    assert type(found.sources) is tuple
    assert [type(each) for each in found.actions] == [Link, Compile]
    assert found.mode is Mode.BEST


def test_a_union_is_its_case_among_the_fields_of_the_record():
    """A literal, so that the form cannot change unnoticed."""
    columns = columns_of(Graph, [GRAPH])
    source = {"name": "a.py", "lines": [1, 2]}
    assert columns["action"] == [
        {"does": "compile", "source": source, "flags": ["-O2"]}
    ]
    assert columns["actions"][0][0] == {"does": "link", "flags": []}
    assert columns["mode"] == ["best"]
    assert columns["modes"] == [{"now": "fast"}]
    assert columns["target"] == ["tpu"]


def test_an_unknown_tag_never_becomes_another_class():
    """The record of a case that is not known might fit a class by chance."""
    columns = columns_of(Graph, [GRAPH])
    columns["action"] = [{"does": "unlink", "flags": []}]
    with pytest.raises(ValueError, match="no case 'unlink' of 'does'"):
        objects_of(Graph, columns)


def test_an_extra_field_of_a_record_is_refused():
    """Where validation was passed by, structuring is strict by itself."""
    columns = columns_of(Graph, [GRAPH])
    columns["source"] = [{"name": "a", "lines": [], "more": 1}]
    with pytest.raises(Exception, match="Extra fields in constructor for Source: more"):
        objects_of(Graph, columns)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("source", 5, r"source: expected record{.*}, got int 5"),
        ("source", Source(7), r"source.name: expected str, got int 7"),  # type: ignore[arg-type]
        ("sources", (SOURCE, Source(7)), r"sources\[1\].name: expected str, got int 7"),  # type: ignore[arg-type]
        ("mode", 3, r"mode: expected enum<fast \| best>, got int 3"),
        ("action", SOURCE, r"action: expected union<does: compile \| link>, got Sou"),
        (
            "action",
            Compile(SOURCE, [1]),  # type: ignore[list-item]
            r"action.flags\[0\]: expected str, got int 1",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_not_coerced(field, value, words):
    """Nothing is written, and the path leads to the value."""
    wrong = attrs.evolve(GRAPH, **{field: value})
    with pytest.raises(WrongShapeError, match=rf"acme/graph\[1\]\.{words}"):
        Kind(Graph).columns([GRAPH, wrong])


def test_a_bundle_holds_the_schema_of_every_type():
    """A reader in ten years finds the words beside the values."""
    file = io.BytesIO()
    write_bundle(file, encode([GRAPH], {}), writer="tests 1", key=OWN, level=0)
    bundle = Bundle(file.getvalue())
    (block,) = [block for part in bundle.segments for block in part.blocks]
    assert block.kind.fingerprint == Kind(Graph).schema.fingerprint


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        None,
        Any,
        U64,
        TimeNs,
        Payload,
        Payload | None,
        Annotated[str, OpenEnum("a")],
        list[U64 | None],
        dict[str, list[float]],
    ],
    ids=str,
)
def test_plain_values_have_no_hook(annotation):
    """A call for each value would cost more than all the rest of reading."""
    assert _hooks(annotation) == (None, None)


@pytest.mark.parametrize(
    "annotation",
    [
        Mode,
        Source,
        Source | None,
        tuple[int, ...],
        dict[str, Source],
        Annotated[Compile | Link, Tagged("does", compile=Compile, link=Link)],
    ],
    ids=str,
)
def test_other_values_have_one(annotation):
    """They are built, and taken apart."""
    assert None not in _hooks(annotation)

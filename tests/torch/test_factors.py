"""Factors of keys: what torch says of a graph, taken apart, and two compared."""

import pytest

from overwinter.kinds import FactorsArtifact
from overwinter.torch.factors import CODE, code_lines, differences, factors_of, likeness

KEY = "f" + "a" * 51
HASH = "abcdefghijklmnop" + "q" * 35


def of(*lines):
    """Return the factors of a graph of which torch says these."""
    return factors_of("inductor", KEY, [f"[{HASH}] {line}" for line in lines])


def test_a_line_is_a_name_a_hash_and_a_text():
    """Of the hash so much is kept as two will never share."""
    found = of("grad_enabled: True", "inductor_config[a.b]: x: y", "cache_key_tag: ")
    assert found.key == f"inductor/{KEY}"
    assert found.texts == {
        "grad_enabled": "True",
        "inductor_config[a.b]": "x: y",
        "cache_key_tag": "",
    }
    assert set(found.digests) == set(found.texts)
    assert set(found.digests.values()) == {"abcdefghijklmnop"}


def test_a_text_of_many_lines_is_one_text():
    """A graph's code is."""
    assert of("gm: GraphModule()\n\n\tdef f(): pass").texts == {
        "gm": "GraphModule()\n\n\tdef f(): pass"
    }


def test_addresses_are_left_out():
    """They would make two bundles of one graph differ."""
    found = of("fx_kwargs[f]: <function f at 0x7f0cdcbce020>")
    assert found.texts == {"fx_kwargs[f]": "<function f>"}


@pytest.mark.parametrize("text", ["M\ufffd", "\x1b[31m", "q\x00"])
def test_bytes_are_no_text(text):
    """The hash tells that they differ; nobody could read in what."""
    found = of(f"torch_version: {text}")
    assert (found.digests, found.texts) == ({"torch_version": HASH[:16]}, {})


def test_a_long_text_is_cut():
    """The hash is of all of it."""
    assert of(f"gm: {'x' * 10_000}").texts == {"gm": "x" * 8192}


def test_what_is_no_line_is_passed_over():
    """Of a torch that says it otherwise."""
    lines = ["", "gm: x", f"[{HASH}]", f"[{HASH}] \udc80: x"]
    assert factors_of("inductor", KEY, lines).digests == {}


# --- two graphs ---------------------------------------------------------------


def graph(**texts):
    """Return the factors of a graph, whose digests are its texts."""
    return FactorsArtifact(f"inductor/{KEY}", dict(texts), dict(texts))


def told(here, there):
    """Return what is said of the factors that differ."""
    return dict(differences(graph(**here), graph(**there)))


def test_only_what_differs_is_told():
    """By its hash, not by its text."""
    a = FactorsArtifact(f"inductor/{KEY}", {"x": "1", "y": "1"}, {"x": "a", "y": "a"})
    b = FactorsArtifact(f"inductor/{KEY}", {"x": "2", "y": "1"}, {"x": "a", "y": "b"})
    assert dict(differences(a, b)) == {"x": "x: another"}


def test_of_a_tensor_only_what_differs_is_told():
    """Shapes hold commas themselves."""
    here = (
        "TensorMetadata(dtype=torch.float32, shape=torch.Size([3, 8]), stride=(8, 1))"
    )
    there = here.replace("[3, 8]", "[5, 8]")
    name = "example_inputs[2]"
    assert told({name: here}, {name: there}) == {
        name: "input 2: shape torch.Size([3, 8]) here, torch.Size([5, 8]) in the bundle"
    }


def test_a_long_text_is_told_where_it_begins_to_differ():
    """In the line that does, and on both sides."""
    here = "def forward(x):\n    y = x.relu()\n    return y"
    there = here.replace("relu()", "gelu()")
    (words,) = told({CODE: here}, {CODE: there}).values()
    assert words == (
        "the graph's code: …y = x.relu() here, …y = x.gelu() in the bundle"
    )


def test_what_one_side_alone_has_is_told():
    """Another torch has other settings."""
    found = told({"inductor_config[new]": "1"}, {"inductor_config[old]": "1"})
    assert found == {
        "inductor_config[new]": "torch._inductor.config.new: only here",
        "inductor_config[old]": "torch._inductor.config.old: only in the bundle",
    }


def test_inputs_come_before_settings_and_these_before_the_rest():
    """What its user can do something about."""
    names = ["zeta", "cpp_runtime_thread_count", "inductor_config[a]"]
    names.append("example_inputs[0]")
    found = told(dict.fromkeys(names, "1"), dict.fromkeys(names, "2"))
    assert list(found) == names[::-1]


def test_likeness_is_the_share_of_lines():
    """Nothing in common is 0, the same is 1."""
    a, b, c = (code_lines(graph(gm=code)) for code in ("1\n2\n3", "1\n2\n4", "5"))
    assert (likeness(a, a), likeness(a, b), likeness(a, c)) == (1, 0.5, 0)

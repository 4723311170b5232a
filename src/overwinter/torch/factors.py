"""
Factors: what torch made a graph's key of, out of the lines that it prints of it.

A line is ``[<hash>] <name>: <text>``. The hashes decide; the texts are for people.
"""

import re
from collections.abc import Iterable, Iterator

from ..kinds import FactorsArtifact

__all__ = ["CODE", "code_lines", "differences", "factors_of", "likeness"]

CODE = "gm"  # as torch calls the graph

_LINE = re.compile(r"\[([a-z2-7]{16})[a-z2-7]*\] (.+?): (.*)", re.S)
_ADDRESS = re.compile(r"(?: at)? 0x[0-9a-fA-F]{6,}")
_LONGEST = 8192  # characters; a graph's code may have more


def factors_of(kind: str, key: str, lines: Iterable[str]) -> FactorsArtifact:
    """
    Return the factors of the graph *key* of *kind*.

    Args:
        kind: ``inductor`` or ``aot_autograd``.
        key: The graph's key.
        lines: What torch's pickler says of it.

    Source:
        ``FxGraphCachePickler.debug_lines`` of torch 2.13.
    """
    digests, texts = {}, {}
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        digest, name, text = found.groups()
        if not _is_text(name):
            continue
        digests[name] = digest
        text = _ADDRESS.sub("", text)
        if _is_text(text):
            texts[name] = text[:_LONGEST]
    return FactorsArtifact(f"{kind}/{key}", digests, texts)


def _is_text(text: str) -> bool:
    """Return whether torch printed something else than bytes."""
    return "\N{REPLACEMENT CHARACTER}" not in text and all(
        each.isprintable() or each in "\n\t" for each in text
    )


def code_lines(graph: FactorsArtifact) -> frozenset[str]:
    """Return the lines of a graph's code."""
    return frozenset(graph.texts.get(CODE, "").split("\n"))


def likeness(a: frozenset[str], b: frozenset[str]) -> float:
    """Return which share of the lines of two graphs' code both have, from 0 to 1."""
    return len(a & b) / len(a | b)


def differences(
    here: FactorsArtifact, there: FactorsArtifact
) -> Iterator[tuple[str, str]]:
    """
    Give the factors in which two graphs differ, and how, as words.

    Args:
        here: The graph that was looked for.
        there: One in a bundle.
    """
    names = sorted({*here.digests, *there.digests}, key=_rank)
    for name in names:
        if here.digests.get(name) != there.digests.get(name):
            yield name, f"{_called(name)}: {_compared(name, here, there)}"


# What most people can do something about comes first.
_WORDS = {
    "example_inputs": "input",
    "inductor_config": "torch._inductor.config.",
    "autograd_config": "torch._functorch.config",
    "torch_version": "torch's version and sources (torch_key)",
    "system_info": "device and its toolkit",
    "cpp_runtime_thread_count": "number of threads (OMP_NUM_THREADS)",
    "default_dtype": "torch.get_default_dtype()",
    "grad_enabled": "torch.is_grad_enabled()",
    "autocast_state": "autocast",
    "deterministic_algorithms": "torch.are_deterministic_algorithms_enabled()",
    CODE: "the graph's code",
    "fx_kwargs": "way of compiling",
    "aot_config": "way of tracing",
}
_NAME = re.compile(r"([^\[]+)(?:\[(.*)\])?", re.S)


def _parts(name: str) -> tuple[str, str]:
    found = _NAME.fullmatch(name)
    return (found[1], found[2] or "") if found else (name, "")


def _rank(name: str) -> tuple[int, str]:
    known = list(_WORDS)
    group = _parts(name)[0]
    return (known.index(group) if group in known else len(known), name)


def _called(name: str) -> str:
    group, member = _parts(name)
    words = _WORDS.get(group, group)
    joint = "" if not member or words.endswith(".") else " "
    return f"{words}{joint}{member}"


_METADATA = re.compile(r"(\w+)=(.*?)(?=, \w+=|\)$)", re.S)
_AROUND, _WIDTH = 20, 80  # characters before a difference, and shown in all


def _compared(name: str, here: FactorsArtifact, there: FactorsArtifact) -> str:
    for side, other in ((here, "in the bundle"), (there, "here")):
        if name not in side.digests:
            return f"only {other}"
    mine, others = here.texts.get(name), there.texts.get(name)
    if mine is None or others is None or mine == others:
        return "another"
    if mine.startswith("TensorMetadata(") and others.startswith("TensorMetadata("):
        fields, theirs = dict(_METADATA.findall(mine)), dict(_METADATA.findall(others))
        return ", ".join(
            f"{field} {value} here, {theirs.get(field)} in the bundle"
            for field, value in fields.items()
            if theirs.get(field) != value
        )
    start = next(
        (n for n, (a, b) in enumerate(zip(mine, others, strict=False)) if a != b),
        min(len(mine), len(others)),
    )
    start = max(0, mine.rfind("\n", 0, start) + 1, start - _AROUND)
    return f"{_cut(mine, start)} here, {_cut(others, start)} in the bundle"


def _cut(text: str, start: int) -> str:
    line = text[start : start + _WIDTH].split("\n")[0].strip()
    return f"{'…' if start else ''}{line}" or "nothing"

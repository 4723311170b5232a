"""
``overwinter inspect FILE``: what a bundle holds, read from its statements.
"""

from typing import Any

import click

from ..bundle import Bundle, Segment
from ..environment import Environment
from ..errors import FormatError
from ..trust import public_text
from .codes import DAMAGED
from .options import json_option
from .output import print_json, print_line, print_table, print_words, printable

__all__ = ["inspect", "summary"]

_JSON_VERSION = 1


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@json_option
@click.option(
    "--keys", is_flag=True, help="List every artifact, not only their number."
)
def inspect(file: str, as_json: bool, keys: bool) -> int:
    """
    Show what the bundle FILE holds. Nothing of it is run.

    Exits with 4 where a segment is refused, or its end is damaged.
    """
    with Bundle(file) as bundle:
        report = _report(bundle, keys)
    if as_json:
        print_json(report)
    else:
        _print(report)
    for problem in report["problems"]:
        print_words(problem)
    return DAMAGED if report["problems"] else 0


def _report(bundle: Bundle, keys: bool) -> dict[str, Any]:
    problems = [str(error) for _, error in bundle.refused]
    if bundle.recovery:
        problems.append(f"{bundle.name}: {bundle.recovery}")
    segments = []
    for segment in bundle.segments:
        described = _segment(segment)
        if keys:
            described["artifacts"] = _artifacts(segment, problems)
        segments.append(described)
    return {
        "version": _JSON_VERSION,
        "file": bundle.name,
        "size": bundle.source.size,
        "writer": bundle.header.writer,
        "segments": segments,
        "problems": problems,
    }


def _segment(segment: Segment) -> dict[str, Any]:
    statement = segment.statement
    totals: dict[tuple[int, int | None], list[int]] = {}
    for block in statement.blocks:
        total = totals.setdefault((block.kind, block.environment), [0, 0])
        total[0] += block.rows
        total[1] += block.payload_size
    return {
        "name": segment.name,
        "size": segment.entry.size,
        "signers": [public_text(key) for key in segment.signers],
        "environments": [dict(each) for each in statement.environments],
        "kinds": [
            {
                "kind": statement.kinds[kind].kind,
                "version": statement.kinds[kind].version,
                "draft": statement.kinds[kind].draft,
                "environment": environment,
                "artifacts": rows,
                "payload_bytes": payload_bytes,
            }
            for (kind, environment), (rows, payload_bytes) in totals.items()
        ],
    }


def _artifacts(segment: Segment, problems: list[str]) -> list[dict[str, Any]]:
    artifacts = []
    for block in segment.blocks:
        try:
            keys = block.read_columns()[0]["key"]
        except FormatError as error:
            problems.append(str(error))
            continue
        artifacts += [{"kind": block.kind.kind, "key": str(key)} for key in keys]
    return artifacts


def _print(report: dict[str, Any]) -> None:
    print_line(
        f"{printable(report['file'])}: {report['size']:,} bytes, "
        f"{len(report['segments'])} segments, by {printable(report['writer'])}"
    )
    for segment in report["segments"]:
        signers = ", ".join(segment["signers"]) or "nobody"
        print_line()
        print_line(f"segment {segment['name'][:16]}: {segment['size']:,} bytes")
        print_line(f"signed by {signers}")
        print_table(
            ["kind", "version", "artifacts", "payload bytes", "environment"],
            [
                (
                    each["kind"],
                    f"{each['version']} (draft)" if each["draft"] else each["version"],
                    each["artifacts"],
                    each["payload_bytes"],
                    "any" if each["environment"] is None else f"#{each['environment']}",
                )
                for each in segment["kinds"]
            ],
        )
        for number, environment in enumerate(segment["environments"]):
            print_line(f"#{number}: {summary(environment)}")
        if artifacts := segment.get("artifacts"):
            print_line()
            print_table(
                ["kind", "key"], [(each["kind"], each["key"]) for each in artifacts]
            )


def summary(environment: Environment) -> str:
    """Return the fields of an environment that tell machines apart, in a line."""
    words = [
        f"{field} {value}"
        for field in ("os", "cpu_arch", "python_tag", "torch_version", "device_name")
        if isinstance(value := environment.get(field), str)
    ]
    flags = environment.get("cpu_flags")
    if isinstance(flags, list):
        words.append(f"{len(flags)} instruction sets")
    return printable(", ".join(words))

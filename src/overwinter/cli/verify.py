"""
``overwinter verify FILE``: every byte read and held against what was signed.
"""

import click

from ..bundle import Bundle
from ..bundle import verify as verify_bundle
from .codes import DAMAGED
from .options import json_option
from .output import print_json, print_line, print_table, print_words, printable
from .progress import shown

__all__ = ["verify"]

_JSON_VERSION = 1


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@json_option
def verify(file: str, as_json: bool) -> int:
    """
    Read every byte of the bundle FILE. Nothing of it is run.

    Exits with 4 where anything is damaged, and says what is lost by it.
    """
    with Bundle(file) as bundle:
        with shown("verifying") as progress:
            findings = list(verify_bundle(bundle, progress=progress))
        artifacts = sum(
            block.rows
            for segment in bundle.segments
            for block in segment.statement.blocks
        )
        signed = sum(bool(segment.signers) for segment in bundle.segments)
        segments = len(bundle.segments)
    lost = sum(len(each.keys) for each in findings)
    if as_json:
        print_json(
            {
                "version": _JSON_VERSION,
                "file": file,
                "artifacts": artifacts,
                "segments": segments,
                "signed_segments": signed,
                "findings": [
                    {
                        "outcome": each.outcome,
                        "part": each.part,
                        "reason": each.reason,
                        "kind": each.kind,
                        "keys": list(each.keys),
                    }
                    for each in findings
                ],
            }
        )
    elif findings:
        print_table(
            ["outcome", "part", "kind", "keys"],
            [(f.outcome, f.part, f.kind, " ".join(f.keys)) for f in findings],
        )
    else:
        print_line(
            f"{printable(file)}: sound: {artifacts:,} artifacts in "
            f"{segments} segments, {signed} of them signed"
        )
    for finding in findings:
        print_words(finding.reason)
    if findings:
        print_words(
            f"{file} is damaged: {len(findings)} findings, {lost} artifacts named; "
            "what is sound can still be loaded"
        )
    return DAMAGED if findings else 0

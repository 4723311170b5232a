"""
The group of commands.
"""

import click

from ..version import VERSION
from .certify import certify
from .diff import diff
from .export import export
from .forecast import forecast
from .inspect import inspect
from .key import key
from .migrate import migrate
from .repack import repack
from .rescue import rescue
from .run import run
from .schema import schema
from .trust import trust
from .union import union
from .upgrade import upgrade
from .verify import verify

__all__ = ["overwinter"]


_CODES = """Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 damaged or not
trusted, 5 version out of reach, 6 something is there already, 130 interrupted."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_CODES)
@click.version_option(VERSION, prog_name="overwinter")
def overwinter() -> None:
    """Compile caches that survive the winter between versions."""


overwinter.add_command(certify)
overwinter.add_command(diff)
overwinter.add_command(export)
overwinter.add_command(forecast)
overwinter.add_command(inspect)
overwinter.add_command(key)
overwinter.add_command(migrate)
overwinter.add_command(repack)
overwinter.add_command(rescue)
overwinter.add_command(run)
overwinter.add_command(schema)
overwinter.add_command(trust)
overwinter.add_command(union)
overwinter.add_command(upgrade)
overwinter.add_command(verify)

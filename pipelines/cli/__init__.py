"""The command line. Its modules import what they need when a command runs, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from pipelines.cli import building, evaluating, searching, snapshots, status
from pipelines.cli.console import ExitCode, fail

app = typer.Typer(
    name="memlake",
    help="A memory lakehouse for retrieval-augmented generation.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 done in part (see: memlake status).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
building.register(app)
status.register(app)
searching.register(app)
app.add_typer(snapshots.app, name="snapshots")
app.add_typer(evaluating.app, name="eval")


def main() -> NoReturn:
    """Entry point: our errors become one line and an exit code."""
    from errors import InvalidQuery, MemlakeError, SettingsError, UnknownName

    try:
        app()
    except (SettingsError, UnknownName, InvalidQuery) as error:
        fail(str(error), ExitCode.USAGE)
    except MemlakeError as error:
        fail(str(error), ExitCode.FAILED)
    sys.exit(ExitCode.DONE)

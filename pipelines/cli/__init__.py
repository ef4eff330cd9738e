"""The command line. Its modules import what they need when a command runs, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from pipelines.cli import building, evaluating, events, graph, memories, searching, snapshots, status, upkeep
from pipelines.cli.console import ExitCode, report

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
upkeep.register(app)
searching.register(app)
events.register(app)
app.add_typer(snapshots.app, name="snapshots")
app.add_typer(graph.app, name="graph")
app.add_typer(memories.app, name="memories")
app.add_typer(evaluating.app, name="eval")


def main() -> NoReturn:
    """Entry point: our errors become one line and an exit code."""
    from errors import InvalidQuery, MemlakeError, SettingsError, UnknownName

    try:
        app(prog_name="memlake")
        code = int(ExitCode.DONE)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ExitCode.FAILED)
    except (SettingsError, UnknownName, InvalidQuery) as error:
        code = report(str(error), ExitCode.USAGE)
    except MemlakeError as error:
        code = report(str(error), ExitCode.FAILED)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End without tearing the interpreter down.

    torch keeps the stack that imported it, and with it whatever a run has opened; DuckDB's bindings then print a screen
    full of false leaks after the command's own output.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = int(ExitCode.FAILED)
    os._exit(code)

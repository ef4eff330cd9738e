"""What the commands have in common: where they find the lake, how they print, how they end."""

from __future__ import annotations

import json
import os
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from warehouse.settings import Settings


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    """Wrong usage or settings; nothing was touched."""
    PARTIAL = 3
    """Done, but for some documents or sources; ``memlake status`` lists them."""


_PIPED_WIDTH = 160
"""Columns of a table that goes to a file or another program."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The settings file; by default memlake.toml here or in a folder above."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object in place of tables.")]


def settings_of(config: Path | None) -> Settings:
    """The settings of a command."""
    from warehouse.settings import load_settings

    return load_settings(config)


def out() -> Console:
    """Where results go."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def notes() -> Console:
    """Where progress goes: a terminal's own descriptor, since Dagster redirects standard error while a step runs."""
    from rich.console import Console

    if not sys.stderr.isatty():
        return Console(stderr=True, highlight=False)
    return Console(file=os.fdopen(os.dup(sys.stderr.fileno()), "w"), force_terminal=True, highlight=False)


def print_json(record: Any) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(json.dumps(record, ensure_ascii=False, indent=2, default=str) + "\n")


def report(message: str, code: ExitCode) -> int:
    """Print an error on standard error; returns the exit code."""
    sys.stderr.write(f"memlake: {message}\n")
    return int(code)


def fail(message: str, code: ExitCode) -> NoReturn:
    """End with a message on standard error."""
    sys.exit(report(message, code))


def counted(number: int, noun: str) -> str:
    """A number with its noun in the singular or plural."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size_text(count: int) -> str:
    """Bytes for a person."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")

"""``events``: what clients noted about the memories that they use, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import (
    ConfigOption,
    ExitCode,
    JsonOption,
    counted,
    fail,
    notes,
    out,
    print_json,
    settings_of,
    size_text,
)

if TYPE_CHECKING:
    from derivation.event_status import EventStatus


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(events)


def events(
    read: Annotated[
        bool, typer.Option("--read", help="First read what is new and sum it up, as the job does.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what clients returned, cited, confirmed and rejected, what is unread, and what could not be used."""
    from derivation.event_status import read_event_status
    from derivation.lake import Lake
    from pipelines.build import reinforce
    from pipelines.cli.progress import TerminalProgress

    with TerminalProgress(notes()) as progress:
        lake = Lake(settings_of(config), progress=progress)
        errors = reinforce(lake) if read else []
    if errors:
        fail(" ".join(errors), ExitCode.FAILED)
    status = read_event_status(lake)
    if as_json:
        print_json(asdict(status))
    else:
        _print(status)


def _print(status: EventStatus) -> None:
    console = out()
    console.print(f"Files      {status.files:,}, unread: {size_text(status.unread_bytes)}")
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in status.kinds.items())
    console.print(f"Events     {kinds or 'none'}")
    if status.last:
        console.print(f"Last       {status.last:%Y-%m-%d %H:%M} UTC")
    for standing in status.spaces:
        until = f"events until {standing.until:%Y-%m-%d %H:%M} UTC" if standing.until else "never summed up"
        console.print(
            f"Space      {standing.space}: {standing.reinforced:,} with events, {standing.cold:,} cold; {until}"
        )
    future = sum(standing.future for standing in status.spaces)
    problems = (
        (status.unreadable, "line", "that is no event"),
        (status.unknown, "event", "on a document that the lake does not hold"),
        (status.elsewhere, "event", "whose document is in another space"),
        (status.repeated, "event", "whose id is there already; an id counts once"),
        (future, "event", "of a time to come; it waits"),
    )
    for count, noun, what in problems:
        if count:
            console.print(f"Left out   {counted(count, noun)} {what}", soft_wrap=True)

"""``status``: what the lake holds, what was set aside, what the last runs cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import typer

from pipelines.cli.console import ConfigOption, JsonOption, counted, out, print_json, settings_of, size_text


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(status)


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show sources, the published snapshot, quarantined documents and what the last build cost."""
    from derivation.lake import Lake
    from derivation.status import read_status

    found = read_status(Lake(settings_of(config)))
    if as_json:
        print_json(asdict(found))
        return

    from rich.markup import escape
    from rich.table import Table

    console = out()
    console.print(f"Lake       {found.root} ({', '.join(f'{n} {size_text(b)}' for n, b in found.bytes.items())})")
    if found.snapshot:
        console.print(f"Published  {found.snapshot} (as of {found.as_of:%Y-%m-%d %H:%M} UTC)")
    else:
        console.print("Published  nothing yet; build with: memlake build")
    console.print(f"Kept       {counted(found.snapshots, 'snapshot')}")
    if found.corrections:
        console.print(f"Corrected  {counted(found.corrections, 'pair')} of entities, by memlake graph merge and split")
    for text in found.unfinished_erasures:
        console.print(f"[red]Unfinished erasure of a {text}: run memlake erase again[/red]")
    if found.held_back:
        console.print(f"[red]Held back  {found.held_back}: checks failed: {', '.join(found.failed_checks)}[/red]")
    table = Table(
        "source", "space", "documents", "passages", "memories", "mentions", "set aside", box=None, pad_edge=False
    )
    for row in found.sources:
        aside = f"[red]{row.quarantined}[/red]" if row.quarantined else "-"
        held = (row.documents, row.passages, sum(row.memories.values()), row.mentions)
        table.add_row(row.source, row.space, *(f"{count:,}" for count in held), aside)
    console.print(table)
    remembered: Counter[str] = Counter()
    for row in found.sources:
        remembered.update(row.memories)
    if remembered:
        console.print(f"Memories   {', '.join(f'{name} {count:,}' for name, count in remembered.items())}")
    for item in found.quarantine:
        console.print(f"[red]{escape(item.source)}: {escape(item.error)}[/red] {escape(item.remedy)}", soft_wrap=True)
    if found.last_run:
        console.print("Last run that did something:")
        runs = Table("step", "source", "processed", "removed", "failed", "seconds", box=None, pad_edge=False)
        for step in found.last_run:
            counts = (step.processed, step.removed, step.failed)
            runs.add_row(step.step, step.source or "all", *(str(n or "-") for n in counts), f"{step.seconds:.2f}")
        console.print(runs)

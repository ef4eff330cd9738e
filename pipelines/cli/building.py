"""``init``, ``plan``, ``build`` and ``ui``."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.console import ConfigOption, ExitCode, JsonOption, fail, notes, out, print_json, settings_of

if TYPE_CHECKING:
    from derivation.costs import CostEstimate
    from derivation.model_costs import ModelCost
    from derivation.planning import BuildPlan
    from pipelines.build import BuildResult

SourceOption = Annotated[
    list[str] | None, typer.Option("--source", "-s", help="Only this source; may be given several times.")
]
RetryOption = Annotated[bool, typer.Option("--retry", help="Also try quarantined documents again.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(init)
    app.command()(plan)
    app.command()(build)
    app.command()(ui)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write memlake.toml.")] = Path(),
    documents: Annotated[str, typer.Option(help="The first source: a folder or URL.")] = "documents",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing memlake.toml.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a commented memlake.toml."""
    from warehouse.settings import DEFAULT_FILE
    from warehouse.settings_template import render_template

    file = folder / DEFAULT_FILE
    if file.exists() and not force:
        fail(f"{file} exists already. Change it, or replace it with --force.", ExitCode.USAGE)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(render_template(source_url=documents), encoding="utf-8")
    if as_json:
        print_json({"written": str(file)})
    else:
        out().print(f"Wrote {file}. Point its source at your documents, then run: memlake build")


def plan(
    source: SourceOption = None,
    retry: RetryOption = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Read, cut and remember what has changed, to tell the cost of all of it.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a build would do and cost, without doing it."""
    from derivation.costs import estimate_cost, rehearsed_cost
    from derivation.lake import Lake
    from derivation.planning import plan_build

    lake = Lake(settings_of(config))
    lake.retry_quarantined = retry
    planned = plan_build(lake, source or ())
    chosen = [lake.settings.source(item.source) for item in planned.sources]
    estimate = rehearsed_cost if cost else estimate_cost
    estimated = None if planned.empty else estimate(lake, chosen)
    if as_json:
        print_json({**asdict(planned), "empty": planned.empty, "cost": asdict(estimated) if estimated else None})
    else:
        _print_plan(planned, estimated)
    if any(item.error for item in planned.sources):
        raise typer.Exit(ExitCode.PARTIAL)


def build(
    source: SourceOption = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Count what the sources hold now as seen at this date or time (UTC)."),
    ] = None,
    retry: RetryOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the lake up to date with its sources and publish a snapshot."""
    from derivation.lake import Lake
    from pipelines.build import build as run_build
    from pipelines.cli.progress import TerminalProgress
    from warehouse.snapshots import parse_moment

    settings = settings_of(config)
    with TerminalProgress(notes()) as progress:
        lake = Lake(settings, as_of=parse_moment(as_of) if as_of else None, progress=progress)
        lake.retry_quarantined = retry
        result = run_build(lake, source or ())
    if as_json:
        print_json(_build_record(result))
    else:
        _print_build(result)
    if result.stopped:
        raise typer.Exit(ExitCode.FAILED)
    if result.errors or result.failed_inputs:
        raise typer.Exit(ExitCode.PARTIAL)


def ui(
    port: Annotated[int, typer.Option(help="Where the UI listens on this machine.")] = 3000,
    config: ConfigOption = None,
) -> None:
    """Open the Dagster UI of this lake: lineage, runs, backfills, schedules."""
    import sys
    from importlib.util import find_spec

    from errors import MissingExtra
    from pipelines.runs import prepare_home

    if find_spec("dagster_webserver") is None:
        raise MissingExtra("The UI", "server")
    settings = settings_of(config)
    home = prepare_home(settings.dagster.home)
    environment = {**os.environ, "DAGSTER_HOME": str(home), "MEMLAKE_CONFIG": str(settings.file)}
    environment.setdefault("PYTHONWARNINGS", "ignore")
    out().print(f"Opening http://127.0.0.1:{port} (stop with Ctrl+C)")
    dagster = str(Path(sys.executable).with_name("dagster"))
    workspace = settings.file.with_name("workspace.yaml") if settings.file else None
    if workspace and workspace.exists():
        os.chdir(workspace.parent)
        target = ["-w", workspace.name]
    else:
        target = ["-m", "pipelines.definitions"]
    os.execve(dagster, [dagster, "dev", *target, "-p", str(port)], environment)


def _print_plan(planned: BuildPlan, cost: CostEstimate | None) -> None:
    from rich.table import Table

    table = Table(
        "source", "step", "new", "changed", "stale", "retry", "removed", "untouched", box=None, pad_edge=False
    )
    for item in planned.sources:
        if item.error:
            table.add_row(item.source, f"[red]{item.error}[/red]")
        for step in item.steps:
            verdicts = ("new", "changed", "stale", "failed", "removed")
            counts = [str(step.counts.get(name) or "-") for name in verdicts]
            table.add_row(item.source, step.step, *counts, str(step.untouched or "-"))
    console = out()
    console.print(table)
    for name in planned.retired:
        console.print(f"The source '{name}' is no longer configured: everything that only it supports would go.")
    if planned.empty or cost is None:
        console.print("Nothing to do.")
        return
    console.print(
        "A build would publish a snapshot. Passages and memories of documents yet to be read are not in the table."
    )
    parts = [f"{cost.texts:,} known texts of {cost.tokens:,} tokens"]
    if cost.memory_texts:
        parts[0] += f" ({cost.memory_texts:,} of memories, of {cost.memory_tokens:,} tokens)"
    if cost.unread_files:
        parts.append(f"about {cost.unread_tokens:,} tokens, by size, in {cost.unread_files:,} files yet to be read")
    console.print(f"To embed: {'; '.join(parts)}.", highlight=False)
    if cost.seconds is not None:
        console.print(f"At the rate of earlier runs that takes about {cost.seconds:,.0f} s.", highlight=False)
    if cost.price is not None:
        console.print(f"At the set price it costs about {cost.price:,.4f}.", highlight=False)
    for layer in cost.models:
        _print_model_cost(layer)
    if cost.models and cost.unread_files:
        console.print("Files yet to be read are not in this; memlake plan --cost reads them.")


def _print_model_cost(cost: ModelCost) -> None:
    price = "" if cost.price is None else f", about {cost.price:,.4f}"
    basis = "by earlier calls" if cost.measured else "by what such replies come to; there were no earlier calls"
    out().print(
        f"To ask for {cost.layer}: {cost.inputs:,} inputs in {cost.calls:,} calls of about {cost.prompt_tokens:,} "
        f"prompt and {cost.completion_tokens:,} reply tokens{price} ({basis}).",
        highlight=False,
        soft_wrap=True,
    )


def _print_build(result: BuildResult) -> None:
    from rich.table import Table

    console = out()
    if result.did_nothing:
        console.print(f"Nothing to do; published: {result.snapshot or 'nothing yet'} ({result.seconds:.1f} s)")
        return
    table = Table("step", "source", "processed", "untouched", "removed", "failed", "seconds", box=None, pad_edge=False)
    for report in result.reports:
        counts = [report.processed, report.untouched, report.removed, report.failed]
        table.add_row(report.step, report.source or "all", *(str(n or "-") for n in counts), f"{report.seconds:.2f}")
    if result.reports:
        console.print(table)
    for message in result.errors:
        console.print(f"[red]{message}[/red]", soft_wrap=True)
    if result.failed_inputs:
        console.print(f"{result.failed_inputs} documents were set aside; see: memlake status")
    verb = "Published" if result.published else "Still published:"
    console.print(f"{verb} {result.snapshot or 'nothing'} ({result.seconds:.1f} s)")


def _build_record(result: BuildResult) -> dict[str, Any]:
    return {
        "snapshot": result.snapshot,
        "published": result.published,
        "seconds": round(result.seconds, 3),
        "failed_inputs": result.failed_inputs,
        "errors": list(result.errors),
        "steps": [asdict(report) for report in result.reports],
    }

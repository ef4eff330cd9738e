"""``verify``, ``maintain``, ``erase`` and ``repair``: keeping a lake exact, small and whole."""

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
    from derivation.erasure import ErasurePlan, ErasureReport

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_SHOWN_DOCUMENTS = 20


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(verify)
    app.command()(maintain)
    app.command()(erase)
    app.command()(repair)


def verify(
    embed: Annotated[int, typer.Option("--embed", min=0, help="Also embed this many texts again.")] = 0,
    dump: Annotated[str | None, typer.Option("--dump", help="Write the canonical dump, a JSON line a row.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the lake again, compare, and print what differs."""
    from pathlib import Path

    from derivation.digest import canonical_rows, dump_line
    from derivation.lake import Lake
    from derivation.verification import AREAS
    from derivation.verification import verify as verify_lake
    from pipelines.cli.progress import TerminalProgress

    with TerminalProgress(notes()) as progress:
        lake = Lake(settings_of(config), progress=progress)
        if not lake.warehouse.exists:
            fail("There is nothing to verify yet. Build with: memlake build", ExitCode.FAILED)
        found = verify_lake(lake, embed)
    if dump:
        with Path(dump).open("w", encoding="utf-8") as handle:
            handle.writelines(dump_line(table, row) for table, row in canonical_rows(lake))
    if as_json:
        print_json({**asdict(found), "whole": found.whole})
    else:
        from rich.markup import escape

        console = out()
        for area, what in AREAS.items():
            if area not in found.compared:
                continue
            problems = found.problems.get(area, ())
            state = "[red]differs[/red]" if problems else "[green]equal[/green]"
            console.print(f"{area:<11} {state:<7} {found.compared[area]:>8,} compared: {what}", highlight=False)
            for problem in problems:
                console.print(f"            [red]{escape(problem)}[/red]", soft_wrap=True)
        console.print(f"digest      {found.digest or 'none: the stores disagree'}")
        if not found.whole:
            console.print("Build the derived stores anew with: memlake repair")
    if not found.whole:
        raise typer.Exit(ExitCode.FAILED)


def maintain(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Compact what has grown, expire snapshots by the retention settings, remove what nothing needs."""
    from derivation.lake import Lake
    from pipelines.build import maintain as run_maintenance
    from pipelines.cli.progress import TerminalProgress

    with TerminalProgress(notes()) as progress:
        result = run_maintenance(Lake(settings_of(config), progress=progress))
    if as_json:
        print_json(asdict(result))
    else:
        from rich.table import Table

        console = out()
        table = Table("store", "before", "after", "why", box=None, pad_edge=False)
        for step in result.steps:
            table.add_row(step.store, size_text(step.bytes_before), size_text(step.bytes_after), step.why)
        console.print(table)
        for message in result.errors:
            console.print(f"[red]{message}[/red]", soft_wrap=True)
        console.print(f"Lake: {size_text(result.bytes_before)} before, {size_text(result.bytes_after)} after.")
    if result.errors:
        raise typer.Exit(ExitCode.FAILED)


def erase(
    document: Annotated[str | None, typer.Argument(help="Path of a document, or of a file that holds several.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", "-s", help="The document's source; without a document, the whole source.")
    ] = None,
    space: Annotated[str | None, typer.Option("--space", help="A whole space.")] = None,
    readmit: Annotated[
        bool, typer.Option("--readmit", help="Let an erased document of --source be read again; restores nothing.")
    ] = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a document, source or space out of every snapshot and file of the lake, and prove it."""
    from derivation.erasure import DOCUMENT, SOURCE, SPACE, plan_erasure
    from derivation.erasure import erase as erase_from
    from derivation.erasure import readmit as readmit_document
    from derivation.lake import Lake
    from pipelines.cli.progress import TerminalProgress

    if (space and (document or source)) or not (document or source or space):
        fail("Name a document, or a source with --source, or a space with --space.", ExitCode.USAGE)
    with TerminalProgress(notes()) as progress:
        lake = Lake(settings_of(config), progress=progress)
        if readmit:
            if not document or not source:
                fail("--readmit needs a document and its --source.", ExitCode.USAGE)
            was = readmit_document(lake, source, document)
        else:
            target, name = (DOCUMENT, document) if document else (SPACE, space) if space else (SOURCE, source)
            plan = plan_erasure(lake, target, str(name), (source or "") if document else "")
    if readmit:
        answer = "will be read again by the next build" if was else "was not kept out"
        print_json({"readmitted": was}) if as_json else out().print(f"{document} of {source} {answer}.")
        return
    if not yes:
        _print_erasure_plan(plan)
        typer.confirm("Erase it for good?", abort=True, err=True)
    with TerminalProgress(notes()) as progress:
        lake.progress = progress
        report = erase_from(lake, plan)
    if as_json:
        print_json({**asdict(report), "clean": report.clean})
    else:
        _print_erasure(report)
    if not report.clean:
        raise typer.Exit(ExitCode.FAILED)


def repair(yes: YesOption = False, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Build the derived stores anew from the warehouse; a damaged warehouse from sources, vectors kept."""
    from derivation.lake import Lake
    from derivation.repair import diagnose
    from derivation.repair import repair as repair_lake
    from pipelines.build import build
    from pipelines.cli.progress import TerminalProgress

    settings = settings_of(config)
    with TerminalProgress(notes()) as progress:
        damage = diagnose(Lake(settings, progress=progress))
    if not yes:
        console = out()
        for item in damage:
            console.print(f"{item.store} {item.name}: {item.problem}", soft_wrap=True, markup=False)
        if not damage:
            console.print("Nothing is damaged as far as can be seen by opening it.")
        typer.confirm("Build the derived stores anew?", abort=True, err=True)
    with TerminalProgress(notes()) as progress:
        report = repair_lake(Lake(settings, progress=progress))
        built = build(Lake(settings, progress=progress)) if report.reads_sources else None
    published = built.snapshot if built else report.published
    if as_json:
        print_json({**asdict(report), "published": published, "errors": list(built.errors) if built else []})
    else:
        console = out()
        for line in report.done:
            console.print(f"- {line}", markup=False, soft_wrap=True)
        for name in report.expired:
            console.print(f"- {name} is no longer kept: its own files are gone")
        for message in built.errors if built else ():
            console.print(f"[red]{message}[/red]", soft_wrap=True)
        console.print(f"Published: {published or 'nothing'}")
    if built and built.errors:
        raise typer.Exit(ExitCode.FAILED)


def _print_erasure_plan(plan: ErasurePlan) -> None:
    console = out()
    documents, passages = counted(len(plan.documents), "document"), counted(plan.passages, "passage")
    console.print(f"This takes {documents} with {passages} of the present state:")
    for item in plan.documents[:_SHOWN_DOCUMENTS]:
        console.print(f"  {item.source}: {item.path}", markup=False, soft_wrap=True)
    if len(plan.documents) > _SHOWN_DOCUMENTS:
        console.print(f"  and {len(plan.documents) - _SHOWN_DOCUMENTS} more")
    console.print(
        f"and {counted(len(plan.snapshots), 'kept snapshot')} that show them (the published one is replaced):"
    )
    for name in plan.snapshots:
        console.print(f"  {name}")
    console.print("Neither a rollback nor a read as of a past date brings them back.")
    if plan.target == "document":
        console.print("A document that is still in its source is not read again (see: memlake erase --readmit).")


def _print_erasure(report: ErasureReport) -> None:
    console = out()
    console.print(f"Erased {counted(report.documents, 'document')}; published {report.published}.")
    if report.snapshots:
        console.print(f"Expired snapshots: {', '.join(report.snapshots)}")
    files, lines = counted(report.files_scanned, "file"), counted(report.needles, "line")
    console.print(
        f"Searched {files} ({size_text(report.bytes_scanned)}) and every text column of the warehouse for {lines} of"
        " the erased text: " + ("nothing found." if report.clean else "[red]found in the following.[/red]")
    )
    for hit in report.hits:
        console.print(f"  [red]{hit}[/red]")
    if report.shared_lines:
        console.print(f"In other documents, too, and left there: {counted(report.shared_lines, 'line')}.")
    console.print(
        f"Lake: {size_text(report.bytes_before)} before, {size_text(report.bytes_after)} after. "
        f"Noted as erasure {report.erasure_id}, without content."
    )

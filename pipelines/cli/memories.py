"""``memories``: what is remembered of a document besides its passages, how it was chosen, and pairs to train on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import ConfigOption, ExitCode, JsonOption, counted, fail, out, print_json, settings_of

if TYPE_CHECKING:
    from derivation.remembered import KnownDocument, KnownMemory, RememberedOf

app = typer.Typer(name="memories", help="Show and export what is remembered of documents.", no_args_is_help=True)

DocumentArgument = Annotated[str, typer.Argument(help="A document's path in its source, or its id.")]
SourceOption = Annotated[str, typer.Option("--source", "-s", help="The source, where several have the document.")]


@app.command()
def show(
    document: DocumentArgument,
    source: SourceOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """A text's outline with the core of each part; a session's summary, episodes, facts and times."""
    from derivation.lake import Lake
    from derivation.remembered import read_memories

    found = read_memories(Lake(settings_of(config)), document, source)
    if as_json:
        print_json(asdict(found))
        return
    _print_document(found.document)
    if not found.memories:
        out().print("Nothing is remembered of it; memlake status tells whether it was set aside.")
        return
    _print_outline(found)
    _print_session(found)
    if found.times:
        _print_times(found)


@app.command()
def candidates(
    document: DocumentArgument,
    source: SourceOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The outlines that were considered for a text, with their scores; an asterisk marks the one that was kept."""
    from derivation.lake import Lake
    from derivation.remembered import read_candidates

    known, judged = read_candidates(Lake(settings_of(config)), document, source)
    if as_json:
        print_json({"document": asdict(known), "candidates": [asdict(item) for item in judged]})
        return
    _print_document(known)
    if not judged:
        out().print("No outline was considered: it is a conversation, or nothing is remembered of it.")
        return
    from rich.table import Table

    table = Table("", "outline", "chunks", "clarity", "completeness", "fused", box=None, pad_edge=False)
    for item in judged:
        scores = (f"{item.clarity:.3f}", f"{item.completeness:.3f}", f"{item.fused:.4f}")
        table.add_row("*" if item.kept else "", item.name, f"{item.chunks:,}", *scores)
    out().print(table)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The JSON lines file to write.")],
    source: Annotated[str, typer.Option("--source", "-s", help="Only documents of this source.")] = "",
    clarity: Annotated[
        float | None, typer.Option("--clarity", help="Least clarity of an outline whose document is taken.")
    ] = None,
    completeness: Annotated[
        float | None, typer.Option("--completeness", help="Least completeness of an outline whose document is taken.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write pairs of a text and its outline with cores as chats, to fine-tune a model that outlines."""
    from derivation.lake import Lake
    from derivation.remembered import export_finetuning
    from memory.documents.finetuning import LEAST_CLARITY, LEAST_COMPLETENESS

    if file.exists() and not force:
        fail(f"{file} exists already. Name another file, or replace it with --force.", ExitCode.USAGE)
    if not file.absolute().parent.is_dir():
        fail(f"There is no folder {file.absolute().parent} to write {file.name} in.", ExitCode.USAGE)
    done = export_finetuning(
        Lake(settings_of(config)),
        file,
        source,
        LEAST_CLARITY if clarity is None else clarity,
        LEAST_COMPLETENESS if completeness is None else completeness,
    )
    if as_json:
        print_json({"file": str(file), **asdict(done)})
        return
    out().print(
        f"Wrote {counted(done.records, 'record')} of {done.used:,} of {counted(done.documents, 'outlined document')}"
        f" to {file}."
    )


def _print_document(document: KnownDocument) -> None:
    from rich.markup import escape

    day = f", {document.document_date}" if document.document_date else ""
    where = escape(f"({document.source}, space {document.space}{day})")
    out().print(f"[cyan]{escape(document.path)}[/cyan] {escape(document.title)} {where}", soft_wrap=True)


def _print_outline(found: RememberedOf) -> None:
    from rich.markup import escape
    from rich.table import Table

    from memory.granularity import Granularity

    cores = {core.parent_id: core for core in found.of(Granularity.CORE)}
    items = found.of(Granularity.OUTLINE)
    if not items:
        return
    table = Table("", "characters", "outline", "core", box=None, pad_edge=False)
    for item in items:
        core = cores.get(item.memory_id)
        table.add_row(str(item.ordinal + 1), _spans(item), escape(item.text), escape(core.text) if core else "")
    out().print(table)


def _print_session(found: RememberedOf) -> None:
    from rich.markup import escape
    from rich.table import Table

    from memory.granularity import Granularity

    console = out()
    for granularity in (Granularity.SUMMARY, Granularity.KEYWORDS):
        for memory in found.of(granularity):
            console.print(f"[bold]{granularity.capitalize()}[/bold]  {escape(memory.text)}", soft_wrap=True)
    episodes = found.of(Granularity.EPISODE)
    if episodes:
        table = Table("", "characters", "episode begins", "tokens", box=None, pad_edge=False)
        for item in episodes:
            table.add_row(str(item.ordinal + 1), _spans(item), escape(_opening(item.text)), f"{item.tokens:,}")
        console.print(table)
    facts = found.of(Granularity.FACT)
    if facts:
        texts = {fact.memory_id: fact.text for fact in facts}
        table = Table("speaker", "fact", "attribute", "speaks of", "holds", box=None, pad_edge=False)
        for item in facts:
            table.add_row(
                escape(item.speaker), escape(item.text), escape(item.attribute), _days(item.since, item.until),
                _holds(item, texts),
            )  # fmt: skip
        console.print(table)
    counts = [(len(found.of(each)), each) for each in (Granularity.ROUND, Granularity.TURN)]
    told = ", ".join(counted(number, each) for number, each in counts if number)
    if told:
        console.print(f"Also       {told}")


def _print_times(found: RememberedOf) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("characters", "words", "days", box=None, pad_edge=False)
    for item in found.times:
        table.add_row(f"{item.char_start}-{item.char_end}", escape(item.words), _days(item.since, item.until))
    out().print(table)


def _holds(fact: KnownMemory, texts: dict[str, str]) -> str:
    """From when to when a fact holds, and what superseded it, where that is of the same session in words."""
    from rich.markup import escape

    if fact.valid_from is None:
        return ""
    until = f" until {fact.valid_until}" if fact.valid_until else ""
    by = texts.get(fact.superseded_by or "", "another document" if fact.superseded_by else "")
    return f"from {fact.valid_from}{until}" + (f", then: {escape(by)}" if by else "")


def _days(since: object, until: object) -> str:
    if since is None and until is None:
        return ""
    return str(since) if since == until else f"{since or '…'} to {until or '…'}"


def _spans(memory: KnownMemory) -> str:
    return f"{memory.spans[0][0]}-{memory.spans[-1][1]}"


_OPENING_CHARS = 80


def _opening(text: str) -> str:
    """The first line of a text, cut."""
    line = text.split("\n", 1)[0]
    return line if len(line) <= _OPENING_CHARS else f"{line[: _OPENING_CHARS - 1]}…"

"""``graph``: show, export and correct the knowledge graph."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.cli.console import ConfigOption, ExitCode, JsonOption, counted, fail, out, print_json, settings_of
from pipelines.cli.searching import AsOfOption, SnapshotOption, SpaceOption, client_of

if TYPE_CHECKING:
    from graph.knowledge import Fact, Neighbourhood

app = typer.Typer(
    name="graph", help="Show, export and correct the knowledge graph.", no_args_is_help=True, add_completion=False
)

_QUOTED = 200
"""Characters of a fact's evidence that are shown."""

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]


@app.command()
def show(
    entity: Annotated[str, typer.Argument(help="A name, or an id where several things bear it.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of each kind to show.")] = 10,
    html: Annotated[Path | None, typer.Option("--html", help="Also write an interactive page.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also write a picture.")] = None,
    as_of: AsOfOption = None,
    snapshot: SnapshotOption = None,
    space: SpaceOption = "default",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what the graph knows of an entity, each fact with its evidence."""
    client = client_of(config, space, snapshot)
    known = client.knowledge(as_of)
    ids = [entity] if entity in known.entities["entity_id"].to_list() else known.find(entity)
    found = known.neighbourhood(ids[0], limit)
    written = []
    for path, kind in ((html, "html"), (svg, "svg")):
        if path is not None:
            _draw(found, path, kind)
            written.append(str(path))
    if as_json:
        print_json({**asdict(found), "also": ids[1:], "written": written})
        return
    cited = sorted({item.passage_id for fact in found.facts for item in fact.evidence})
    _print_neighbourhood(found, ids[1:], client.texts(cited, as_of))
    for name in written:
        out().print(f"Wrote {name}")


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="The file, or for Parquet the folder, to write.")],
    format_: Annotated[
        Literal["graphml", "parquet"], typer.Option("--format", help="graphml, or parquet: a file a table.")
    ] = "graphml",
    as_of: AsOfOption = None,
    snapshot: SnapshotOption = None,
    space: SpaceOption = "default",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the graph for other tools; NetworkX and igraph read GraphML."""
    from graph.export import write_graphml, write_parquet

    known = client_of(config, space, snapshot).knowledge(as_of)
    if format_ == "graphml":
        write_graphml(known, path)
        written = [path]
    else:
        written = write_parquet(known, path)
    if as_json:
        print_json({"written": [str(item) for item in written]})
        return
    counts = f"{counted(known.entities.height, 'entity').replace('entitys', 'entities')}, "
    out().print(f"Wrote {', '.join(str(item) for item in written)}: {counts}{counted(known.facts.height, 'fact')}.")


@app.command()
def merge(
    one: Annotated[str, typer.Argument(help="A name, or an id.")],
    other: Annotated[str, typer.Argument(help="Another name of the same thing.")],
    reason: ReasonOption = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take the decision back.")] = False,
    space: SpaceOption = "default",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that two entities are one, and publish a snapshot in which they are; it holds for every later build."""
    _override("undone" if undo else "merge", one, other, reason, space, config, as_json)


@app.command()
def split(
    one: Annotated[str, typer.Argument(help="A name, or an id.")],
    other: Annotated[str, typer.Argument(help="A name that was merged with it wrongly.")],
    reason: ReasonOption = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take the decision back.")] = False,
    space: SpaceOption = "default",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that two entities are not one, and publish a snapshot in which they are apart."""
    _override("undone" if undo else "split", one, other, reason, space, config, as_json)


@app.command()
def decisions(
    verdict: Annotated[
        Literal["same", "similar", "different", "all"], typer.Option("--verdict", help="Which of them.")
    ] = "same",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show.")] = 50,
    space: SpaceOption = "default",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List which names were found to be of one thing, by what, and how surely."""
    from derivation.lake import Lake
    from derivation.resolution import list_decisions

    rows = list_decisions(Lake(settings_of(config)), space, None if verdict == "all" else verdict, limit)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", "other name", "verdict", "by", "score", "why", box=None, pad_edge=False)
    for row in rows:
        table.add_row(escape(row.left), escape(row.right), row.verdict, row.method, f"{row.score:.2f}", row.reason)
    out().print(table if rows else "Nothing was decided.")


def _override(verdict: str, one: str, other: str, reason: str, space: str, config: Path | None, as_json: bool) -> None:
    from derivation.correcting import correct
    from derivation.lake import Lake

    lake = Lake(settings_of(config))
    if space not in lake.settings.spaces:
        fail(f"There is no space named '{space}'.", ExitCode.USAGE)
    done = correct(lake, space, one, other, verdict, reason)
    if as_json:
        print_json({"verdict": verdict, "left": done.left, "right": done.right, "published": done.snapshot})
        return
    word = {"merge": "are one", "split": "are two"}.get(verdict, "are decided by the rules again")
    out().print(f"'{done.left}' and '{done.right}' {word}. Published {done.snapshot}.")


def _draw(found: Neighbourhood, path: Path, kind: str) -> None:
    from graph.drawing import draw_html, draw_svg

    path.write_text(draw_html(found) if kind == "html" else draw_svg(found), encoding="utf-8")


def _print_neighbourhood(found: Neighbourhood, others: list[str], texts: Mapping[str, tuple[int, str]]) -> None:
    from rich.markup import escape

    console = out()
    entity = found.entity
    kind = entity.type or entity.kind
    console.print(f"[bold]{escape(entity.name)}[/bold]  [dim]{kind}, {entity.entity_id}[/dim]")
    if entity.aliases:
        console.print(f"Also named: {escape(', '.join(entity.aliases))}")
    if others:
        console.print(f"[dim]Other things of this name: {', '.join(others)}[/dim]")
    _heading("Facts", len(found.facts), found.totals["facts"])
    for fact in found.facts:
        _print_fact(entity.name, fact, texts)
    _heading("Synonyms", len(found.synonyms), found.totals["synonyms"])
    for synonym in found.synonyms:
        console.print(f"  {escape(synonym.other.name)}  [dim]{synonym.method}, {synonym.score:.2f}[/dim]")
    _heading("Mentioned in", len(found.passages), found.totals["passages"])
    for passage in found.passages:
        titled = "  [dim]about it[/dim]" if passage.titled else ""
        console.print(f"  [cyan]{escape(passage.path)}[/cyan]  {escape(passage.title)}{titled}")
    _heading("Together with", len(found.companions), found.totals["companions"])
    for companion in found.companions:
        console.print(f"  {escape(companion.other.name)}  [dim]{counted(companion.shared, 'passage')}[/dim]")


def _heading(name: str, shown: int, total: int) -> None:
    if total:
        more = f" [dim]({shown} of {total})[/dim]" if total > shown else ""
        out().print(f"\n[bold]{name}[/bold]{more}")


def _print_fact(name: str, fact: Fact, texts: Mapping[str, tuple[int, str]]) -> None:
    from rich.markup import escape

    ends = (name, fact.other.name) if fact.outgoing else (fact.other.name, name)
    when = ""
    if fact.valid_from and (fact.valid_until or fact.superseded_by):
        when = f"  [dim]valid {fact.valid_from} to {fact.valid_until}[/dim]"
    ended = " [yellow]superseded[/yellow]" if fact.superseded_by else ""
    out().print(f"  {escape(ends[0])} — {escape(fact.predicate)} — {escape(ends[1])}{when}{ended}")
    for item in fact.evidence:
        begin, text = texts[item.passage_id]
        quote = " ".join(text[item.char_start - begin : item.char_end - begin].split())
        place = f"[cyan]{escape(item.path)}[/cyan], characters {item.char_start}-{item.char_end}"
        short = escape(textwrap.shorten(quote, _QUOTED, placeholder=" …"))
        out().print(f"    {place}: [dim]{short}[/dim]", soft_wrap=True)

"""``search`` and ``ask``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import ConfigOption, JsonOption, out, print_json, settings_of

if TYPE_CHECKING:
    from retrieval import Filters, Hit, MemoryClient

SpaceOption = Annotated[str, typer.Option("--space", help="The tenant to search.")]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", help="Read what was published as of this date or time (UTC).")
]
SnapshotOption = Annotated[str | None, typer.Option("--snapshot", help="Read this snapshot, by id.")]
SourceFilter = Annotated[list[str] | None, typer.Option("--source", "-s", help="Only passages of this source.")]
SinceOption = Annotated[
    datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Only documents dated on or after this day.")
]
UntilOption = Annotated[
    datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Only documents dated on or before this day.")
]

_SHOWN_LINES = 6


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(search)
    app.command()(ask)


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int | None, typer.Option("-k", help="How many passages.")] = None,
    channel: Annotated[
        list[str] | None, typer.Option("--channel", help="dense, lexical or graph; by default all.")
    ] = None,
    granularity: Annotated[
        str, typer.Option("--granularity", "-g", help="passage, turn, fact, episode, summary, outline, core, ...")
    ] = "passage",
    source: SourceFilter = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_of: AsOfOption = None,
    snapshot: SnapshotOption = None,
    space: SpaceOption = "default",
    config: ConfigOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Also tell why each passage came.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find passages, each with the exact span that it cites."""
    client = client_of(config, space, snapshot)
    if explain:
        from pipelines.cli.explaining import print_explained

        reasons = client.explain(query, k, _filters(source, since, until), channel, as_of)
        if as_json:
            print_json({"query": query, **reasons.as_record()})
        else:
            print_explained(reasons, client, as_of)
        return
    with client:
        filters = _filters(source, since, until)
        hits = client.search(query, k, filters, channel, as_of, granularity=granularity)
    if as_json:
        print_json({"query": query, "hits": [hit.as_record() for hit in hits]})
        return
    if not hits:
        out().print(f"No {granularity} matches.")
    for hit in hits:
        print_hit(hit)


def ask(
    question: Annotated[str, typer.Argument(help="What to answer.")],
    source: SourceFilter = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_of: AsOfOption = None,
    snapshot: SnapshotOption = None,
    space: SpaceOption = "default",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question with citations, or say that the memory holds no answer."""
    from rich.markup import escape

    with client_of(config, space, snapshot) as client:
        answer = client.ask(question, filters=_filters(source, since, until), as_of=as_of)
    if as_json:
        print_json(answer.as_record())
        return
    console = out()
    console.print(escape(answer.text))
    for citation in answer.citations:
        place = citation.hit.location
        page = f", page {place.page}" if place.page else ""
        span = f"{citation.span.start}-{citation.span.end}"
        console.print(
            f"[cyan]{escape(f'[{citation.number}]')} {escape(place.path)}[/cyan]{page}, characters {span}: "
            f"{escape(citation.hit.title)}"
        )
    console.print(f"[dim]{answer.answered_by}; snapshot {answer.snapshot_id}[/dim]")


def client_of(config: Path | None, space: str, snapshot: str | None) -> MemoryClient:
    """The client of a command."""
    from retrieval import MemoryClient
    from warehouse.layout import LakeLayout

    settings = settings_of(config)
    return MemoryClient(LakeLayout(settings.lake.root), settings, space, snapshot)


def _filters(source: list[str] | None, since: datetime | None, until: datetime | None) -> Filters:
    from retrieval import Filters

    return Filters(
        sources=tuple(source or ()), since=since.date() if since else None, until=until.date() if until else None
    )


def print_hit(hit: Hit) -> None:
    """One passage for a person."""
    from rich.markup import escape

    console = out()
    place = hit.location
    where = " > ".join(part for part in (place.title, place.heading) if part)
    page = f", page {place.page}" if place.page else ""
    ranks = ", ".join(f"{name} {rank}" for name, rank in hit.channel_ranks.items())
    console.print(f"[bold]{hit.rank}. {escape(where)}[/bold]  [dim]score {hit.score:.3f} ({ranks})[/dim]")
    console.print(f"   [cyan]{escape(place.path)}[/cyan]{page}, characters {hit.span.start}-{hit.span.end}")
    for other in hit.further:
        console.print(
            f"   [dim]also in {escape(other.location.path)}, characters {other.span.start}-{other.span.end}[/dim]"
        )
    lines = [line for line in hit.text.splitlines() if line.strip()]
    for line in lines[:_SHOWN_LINES]:
        console.print(f"   {escape(line)}")
    if len(lines) > _SHOWN_LINES:
        console.print(f"   [dim]… {len(lines) - _SHOWN_LINES} more lines[/dim]")
    console.print()

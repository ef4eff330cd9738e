"""``search --explain``: why each passage came, for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.cli.console import out
from pipelines.cli.searching import print_hit

if TYPE_CHECKING:
    from retrieval import MemoryClient
    from retrieval.explanation import Explained, Explanation, LinkedFact, Path, Stop


def print_explained(reasons: Explained, client: MemoryClient, as_of: str | None) -> None:
    """The hits with their reasons."""
    from rich.markup import escape

    console = out()
    if not reasons.hits:
        console.print("No passage matches.")
        return
    console.print(f"The question names: {escape(', '.join(reasons.entities)) or 'nothing that the graph has'}.")
    for fact in reasons.facts:
        console.print(f"  near it: {_fact(fact)} [dim]{fact.score:.2f}[/dim]")
    console.print()
    known = {item.hit.passage_id: item.hit.location.path for item in reasons.hits}
    stops = {
        stop.name
        for item in reasons.hits
        for path in item.paths
        for stop in (path.start, *(step.to for step in path.steps))
        if stop.is_passage
    }
    known |= client.paths(sorted(stops - set(known)), as_of)
    for item in reasons.hits:
        print_hit(item.hit)
        _print_reasons(item, known)


def _print_reasons(item: Explanation, known: Mapping[str, str]) -> None:
    from rich.markup import escape

    console = out()
    for fact in item.facts:
        console.print(f"   states: {_fact(fact)}")
    if item.with_best:
        console.print(f"   with the first: {escape(item.with_best[0])}; {escape(item.with_best[1])}")
    for path in item.paths:
        console.print(f"   walk: {_path(path, known)} [dim]{path.share:.0%}[/dim]")
    if item.facts or item.with_best or item.paths:
        console.print()


def _fact(fact: LinkedFact) -> str:
    from rich.markup import escape

    ended = " [yellow]superseded[/yellow]" if fact.superseded else ""
    return f"{escape(fact.subject)} — {escape(fact.predicate)} — {escape(fact.object)}{ended}"


def _path(path: Path, known: Mapping[str, str]) -> str:
    """Names joined by their edges; a passage is shown by its document's path."""
    from rich.markup import escape

    def name(stop: Stop) -> str:
        return f"[cyan]{escape(known.get(stop.name, stop.name))}[/cyan]" if stop.is_passage else escape(stop.name)

    if not path.steps:
        return "it started here, found by dense or lexical search"
    return name(path.start) + "".join(f" [dim]–{escape(step.kind)}→[/dim] {name(step.to)}" for step in path.steps)

"""``search --explain``: why each passage came, for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.cli.console import out
from pipelines.cli.searching import print_hit

if TYPE_CHECKING:
    from retrieval import MemoryClient
    from retrieval.explanation import Explained, Explanation, LinkedFact, Path, Stop, Understood

_LONGEST = 160
"""Characters of a memory that are shown."""


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
    _print_understood(reasons.understood)
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


def _print_understood(understood: Understood) -> None:
    """What the question was taken to say, a line each."""
    from rich.markup import escape

    console = out()
    for part in understood.parts:
        console.print(f"  a part of it: {escape(part)}")
    time = understood.time
    if time.ranged:
        console.print(
            f"  its time: {time.since or 'any'} to {time.until or 'any'} [dim]{escape(', '.join(time.words))}[/dim]"
        )
    if time.order:
        console.print(f"  its order: the {time.order} first [dim]{escape(', '.join(time.words))}[/dim]")
    if time.event:
        console.print(f"  its event: {time.relation} {escape(time.event)}")
    if time.asks_when:
        console.print("  it asks when")
    weights = sorted(understood.weights.items(), key=lambda item: (-item[1], item[0]))
    if weights:
        console.print("  granularities: " + ", ".join(f"{name} {weight:.0%}" for name, weight in weights))


def _print_reasons(item: Explanation, known: Mapping[str, str]) -> None:
    from rich.markup import escape

    console = out()
    for fact in item.facts:
        console.print(f"   states: {_fact(fact)}")
    if item.with_best:
        console.print(f"   with the first: {escape(item.with_best[0])}; {escape(item.with_best[1])}")
    for path in item.paths:
        console.print(f"   walk: {_path(path, known)} [dim]{path.share:.0%}[/dim]")
    for memory in item.memories:
        ended = " [yellow]superseded[/yellow]" if memory.superseded else ""
        text = memory.text if len(memory.text) <= _LONGEST else f"{memory.text[: _LONGEST - 1]}…"
        said = escape(" ".join(text.split()))
        console.print(f"   {memory.granularity}: {said}{ended} [dim]{memory.score:.2f}[/dim]")
    if item.facts or item.with_best or item.paths or item.memories:
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

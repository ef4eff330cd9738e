"""Sources that the settings no longer name: everything that only they supported goes."""

from __future__ import annotations

from derivation.lake import Lake, exclusive
from warehouse.database import Connection, bump_generation
from warehouse.delta import Scope

_TABLES = (
    "documents",
    "revisions",
    "passages",
    "memories",
    "memory_spans",
    "outline_candidates",
    "time_expressions",
    "mentions",
    "titles",
    "acronyms",
    "supports",
    "families",
    "events",
    "reinforcement",
    "cold",
    "ledger",
)
_OF_SPACES = (
    "embeddings",
    "piece_vectors",
    "codes",
    "banks",
    "memory_validity",
    "association_neighbours",
    "entities",
    "facts",
    "validity",
    "phrases",
    "neighbours",
    "compared",
    "decisions",
    "resolutions",
    "model_replies",
    "signatures",
    "duplicate_pairs",
    "events",
    "reinforcement",
    "cold",
    "reinforced",
    "layers",
)


def retired_scopes(connection: Connection, lake: Lake) -> list[Scope]:
    """Sources (or their former spaces) that have rows and are not configured any more."""
    known = {(source.space, source.name) for source in lake.settings.sources}
    rows = connection.execute("SELECT DISTINCT space, source FROM ledger ORDER BY ALL").fetchall()
    return [Scope(space, source) for space, source in rows if source and (space, source) not in known]


@exclusive("retiring sources")
def retire_sources(lake: Lake) -> list[Scope]:
    """Remove the rows of retired sources; the derived stores follow when they are next brought up to date."""
    with lake.warehouse.session("retiring sources") as connection:
        gone = retired_scopes(connection, lake)
        for scope in gone:
            for table in _TABLES:
                connection.execute(
                    f"DELETE FROM {table} WHERE space = $space AND source = $source",
                    {"space": scope.space, "source": scope.source},
                )
        left = len(gone)
        for table in _OF_SPACES:
            left += len(
                connection.execute(
                    f"DELETE FROM {table} WHERE space NOT IN (SELECT unnest($spaces)) RETURNING 1",
                    {"spaces": lake.settings.spaces},
                ).fetchall()
            )
        connection.execute(  # what a step over a whole space has taken
            "DELETE FROM ledger WHERE source = '' AND space NOT IN (SELECT unnest($spaces))",
            {"spaces": lake.settings.spaces},
        )
        if left:
            bump_generation(connection)
    return gone

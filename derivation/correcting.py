"""``memlake graph merge`` and ``split``: note the user's word, resolve anew, and publish what comes of it."""

from __future__ import annotations

import getpass
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from derivation.lake import Lake, exclusive
from derivation.settling import refresh_served
from derivation.snapshot import publish_present
from errors import InvalidQuery, UnknownName
from graph.normalise import normalise, normalise_identifier
from warehouse.database import Connection, bump_generation
from warehouse.files import append_line


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a correction did."""

    left: str
    right: str
    """The names as the lake has them."""
    snapshot: str
    """That was published."""


@exclusive("correcting the graph")
def correct(lake: Lake, space: str, one: str, other: str, verdict: str, reason: str = "") -> Corrected:
    """Say that two entities are one (``merge``), are two (``split``), or are for the rules to decide (``undone``).

    Args:
        one, other: names, or ids where several things bear a name.

    Raises:
        UnknownName: the lake has no entity of that name.
        InvalidQuery: a name is of several entities, or both are of the same.
        CheckFailed: the corrected state does not pass the blocking checks; what was published stays.
    """
    with lake.warehouse.session("looking for entities") as connection:
        named = [_entity(connection, space, name) for name in (one, other)]
    if named[0][0] == named[1][0]:
        raise InvalidQuery("Both names are of one entity.", "memlake graph show tells what an entity is called.")
    left, right = sorted(named)
    line = {
        "space": space,
        "left_id": left[0],
        "right_id": right[0],
        "verdict": verdict,
        "reason": reason,
        "by": getpass.getuser(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with lake.warehouse.session("noting a correction") as connection:
        bump_generation(connection)  # before the line, so that a build sees to it if this process ends in between
    append_line(lake.layout.overrides, json.dumps(line))
    refresh_served(lake)
    return Corrected(named[0][1], named[1][1], publish_present(lake).snapshot_id)


def _entity(connection: Connection, space: str, name: str) -> tuple[str, str]:
    """Id and name of the one entity that is meant."""
    rows = connection.execute(
        "SELECT entity_id, name, kind FROM entities WHERE space = $space"
        " AND (entity_id = $name OR list_contains($keys, entity_key)) ORDER BY entity_id",
        {"space": space, "name": name, "keys": [normalise(name), normalise_identifier(name)]},
    ).fetchall()
    if not rows:
        near = connection.execute(
            "SELECT name FROM entities WHERE space = $space"
            " ORDER BY jaro_winkler_similarity(entity_key, $key) DESC, name LIMIT 1",
            {"space": space, "key": normalise(name)},
        ).fetchone()
        raise UnknownName(f"No entity is called '{name}'.", f"Did you mean '{near[0]}'?" if near else "There is none.")
    if len(rows) > 1:
        listed = ", ".join(f"{entity} ({kind})" for entity, _, kind in rows)
        raise InvalidQuery(f"Several things are called '{name}': {listed}.", "Name one by its id.")
    return rows[0][0], rows[0][1]

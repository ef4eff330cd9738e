"""The time tree of a source's sessions: days of summaries, weeks and months of days, quarters of months.

Each level is a step whose inputs are its nodes, and whose input hash names a node's children, what they tell and where
that stands. So the ledger sees to it that a new session touches one path: one day, one week, one month and one quarter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from derivation.lake import Lake
from derivation.memories import SCHEMAS
from derivation.progress import StepReport
from derivation.runner import Computed, Inputs, run
from memory.conversations.periods import (
    CHILDREN,
    CODE_VERSION,
    DAY,
    LEVELS,
    PARENT,
    Period,
    period_of,
    period_text,
)
from memory.granularity import Granularity
from warehouse.database import Changes, Connection, replace_rows
from warehouse.delta import Outcome, Scope, Status, Step, Task
from warehouse.ids import memory_id, text_id

_CHILDREN_OF_DAYS = """
SELECT m.memory_id AS child_id, m.text, d.document_date AS day
FROM memories m JOIN documents d USING (document_id)
WHERE m.space = $of_space AND m.source = $of_source AND m.granularity = 'summary' AND d.document_date IS NOT NULL
ORDER BY d.document_date, d.path
"""
_CHILDREN_OF_PERIODS = """
SELECT memory_id AS child_id, text, since AS day FROM memories
WHERE space = $of_space AND source = $of_source AND granularity = 'period' AND attribute = $level ORDER BY since
"""
_SPANS_OF_CHILD = """
SELECT memory_id AS child_id, string_agg(concat_ws(':', revision_id, char_start, char_end), ';'
    ORDER BY revision_id, char_start) AS spans
FROM memory_spans WHERE space = $of_space AND source = $of_source GROUP BY memory_id
"""
_SPANS = """
SELECT DISTINCT document_id, revision_id, char_start, char_end FROM memory_spans
WHERE memory_id IN (SELECT unnest($children)) ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class _Node:
    period: Period
    texts: tuple[str, ...]
    spans: tuple[tuple[str, str, int, int], ...]


class Periods:
    """One level of the tree of one source."""

    def __init__(self, lake: Lake, level: str) -> None:
        self._lake = lake
        self._level = level
        wanted = {space: _wanted(lake, space) for space in lake.settings.spaces}
        self.step = Step(f"periods-{level}", CODE_VERSION, {"wanted": wanted})

    def inputs(self, scope: Scope) -> Inputs:
        children, asked = self._children(scope)
        start = f"date_trunc('{self._level}', day)"
        key = f"CAST(CAST({start} AS DATE) AS VARCHAR)"
        return Inputs(
            f"SELECT $of_source || '/' || {key} AS input_id, md5(string_agg(child_id || md5(text) || spans, ','"
            f" ORDER BY day, child_id)) AS input_hash, '{self._level} of ' || {key} AS label"
            f" FROM ({children}) JOIN ({_SPANS_OF_CHILD}) USING (child_id)"
            f" WHERE {'true' if _wanted(self._lake, scope.space) else 'false'} GROUP BY {start}",
            asked,
        )

    def load(self, connection: Connection, tasks: Sequence[Task]) -> tuple[Scope, list[tuple[Task, _Node]]]:
        if not tasks:
            return Scope("", ""), []
        source = tasks[0].input_id.rpartition("/")[0]
        scope = next(Scope(item.space, item.name) for item in self._lake.settings.sources if item.name == source)
        sql, asked = self._children(scope)
        children: dict[date, list[tuple[str, str]]] = {}
        for key, text, day in connection.execute(sql, asked).fetchall():
            children.setdefault(period_of(self._level, day).since, []).append((key, text))
        nodes = []
        for task in tasks:
            period = period_of(self._level, date.fromisoformat(task.input_id.rpartition("/")[2]))
            found = children.get(period.since, [])
            if found:  # else they went since it was planned; the next plan sees it
                spans = connection.execute(_SPANS, {"children": [key for key, _ in found]}).fetchall()
                nodes.append((task, _Node(period, tuple(text for _, text in found), tuple(spans))))
        return scope, nodes

    def compute(self, tasks: Sequence[Task], loaded: tuple[Scope, list[tuple[Task, _Node]]]) -> Computed:
        scope, nodes = loaded
        owner = (scope.space, scope.source)
        memories, spans, outcomes = [], [], []
        for task, node in nodes:
            period = node.period
            key = period_id(scope, period)
            text = period_text(period, node.texts, self._lake.token_counter)
            above = PARENT.get(self._level)
            parent = period_id(scope, period_of(above, period.since)) if above else None
            tokens = self._lake.token_counter([text])[0]
            told = (text, text_id("", "", text), False, tokens, "", period.key, self._level, period.since, period.until)
            memories.append((key, *owner, "", str(Granularity.PERIOD), period.since.toordinal(), parent, *told))
            spans += [(key, *owner, "", *span) for span in node.spans]
            outcomes.append(Outcome(task, Status.DONE, outputs=1))
        outputs = {
            "memories": pl.DataFrame(memories, schema=SCHEMAS["memories"], orient="row"),
            "memory_spans": pl.DataFrame(spans, schema=SCHEMAS["memory_spans"], orient="row"),
        }
        return Computed(outputs, outcomes)

    def tables(self, outputs: Mapping[str, pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
        return outputs

    def write(self, connection: Connection, owners: Sequence[str], outputs: Mapping[str, pl.DataFrame]) -> Changes:
        ids = self._ids(owners)
        changes = replace_rows(connection, "memories", ["memory_id"], outputs["memories"], "memory_id", ids)
        keys = ["memory_id", "document_id", "char_start"]
        return changes + replace_rows(connection, "memory_spans", keys, outputs["memory_spans"], "memory_id", ids)

    def owned(self, table: str, owners: Sequence[str]) -> tuple[str, Sequence[str]]:
        return "memory_id", self._ids(owners)

    def remove(self, connection: Connection, input_ids: Sequence[str]) -> Changes:
        removed = 0
        for table in ("memories", "memory_spans"):
            gone = connection.execute(
                f"DELETE FROM {table} WHERE memory_id IN (SELECT unnest($ids)) RETURNING 1",
                {"ids": self._ids(input_ids)},
            ).fetchall()
            removed += len(gone)
        return Changes(removed=removed)

    def _children(self, scope: Scope) -> tuple[str, dict[str, str]]:
        asked = {"of_space": scope.space, "of_source": scope.source}
        if self._level == DAY:
            return _CHILDREN_OF_DAYS, asked
        return _CHILDREN_OF_PERIODS, {**asked, "level": CHILDREN[self._level]}

    def _ids(self, input_ids: Sequence[str]) -> list[str]:
        found = []
        for key in input_ids:
            source, _, day = key.rpartition("/")
            found.append(_id(source, period_of(self._level, date.fromisoformat(day))))
        return found


def refresh_periods(lake: Lake, scope: Scope) -> list[StepReport]:
    """Bring the time tree of a source up to date, level by level."""
    return [run(lake, Periods(lake, level), scope) for level in LEVELS]


def period_id(scope: Scope, period: Period) -> str:
    """A period is its place in the tree of its source, whatever it tells."""
    return _id(scope.source, period)


def _id(source: str, period: Period) -> str:
    return memory_id(f"periods of {source}", str(Granularity.PERIOD), f"{period.level} {period.key}", 0)


def _wanted(lake: Lake, space: str) -> bool:
    """Whether a space has periods: they tell what summaries tell."""
    names = lake.settings.memory.of_space(space)
    return "period" in names and "summary" in names

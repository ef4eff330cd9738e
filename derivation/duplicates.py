"""Passages that say the same: families with a representative, within a space and across its sources.

Three tables, each a function of the passages alone, so that it is the same however they came in:

1. ``signatures``: the MinHash bands of each distinct text (Broder 1997; banding after Leskovec et al., *Mining of
   Massive Datasets*, ch. 3).
2. ``duplicate_pairs``: in each band, every text is measured against the longest one, the band's leader. A template that
   ten thousand passages share costs ten thousand measurements, not fifty million. A pair is measured once.
3. ``families``: texts in falling order of length; each joins the representative that it resembles most, or becomes one.
   So every member was measured against its representative, and there are no chains.

Advisory: nothing is removed. Retrieval shows the representative and names the others; a source with ``suppress`` keeps
its repetitions out of the indexes.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import log_run
from memory.duplicates import CODE_VERSION, NO_WORDS, bands, compare, prepare
from warehouse.database import Connection, bump_generation, frame, registered, replace_rows
from warehouse.delta import Step
from warehouse.faults import reach

_BATCH_PAIRS = 8192
"""Pairs measured between two commits."""


_QUICK = 64
"""So many are computed before the warehouse could be opened again."""


def duplicates_step(lake: Lake) -> Step:
    """The step; which sources suppress their repetitions shapes the families."""
    suppressing = sorted(source.name for source in lake.settings.sources if source.suppress)
    return Step("duplicates", CODE_VERSION, {"suppress": suppressing})


@exclusive("finding duplicates")
def refresh_duplicates(lake: Lake, space: str) -> StepReport:
    """Bring signatures, measured pairs and families of a space up to date with its passages."""
    started = time.perf_counter()
    step = duplicates_step(lake)
    signed = _sign(lake, space)
    measured = _measure(lake, space)
    with lake.warehouse.session("writing families") as connection:
        rows = clustered(connection, lake, space)
        changes = replace_rows(connection, "families", ["passage_id"], rows, "space", [space])
        if changes.any:
            bump_generation(connection)
    reach("duplicates.committed")
    lake.progress.finish()
    report = StepReport(
        step=step.name,
        source="",
        fingerprint=step.fingerprint,
        processed=signed + measured,
        untouched=rows.height - changes.added - changes.updated,
        removed=changes.removed,
        changes=changes,
        seconds=time.perf_counter() - started,
    )
    log_run(lake, report)
    return report


_STALE = """
DELETE FROM signatures s WHERE space = $space AND (fingerprint <> $code OR text_key NOT IN (
    SELECT md5(text) FROM passages WHERE space = $space))
"""
_UNSIGNED = """
SELECT md5(text) AS text_key, any_value(text) AS text FROM passages
WHERE space = $space AND md5(text) NOT IN (SELECT text_key FROM signatures WHERE space = $space)
GROUP BY text_key ORDER BY text_key LIMIT $rows
"""


def _sign(lake: Lake, space: str) -> int:
    """Sign the texts that have no signature; returns how many."""
    total = 0
    with lake.warehouse.session("planning signatures") as connection:
        connection.execute(_STALE, {"space": space, "code": CODE_VERSION})
        texts = _unsigned(connection, lake, space)
    while texts.height:
        signatures = texts.select("text_key").with_columns(
            pl.lit(space).alias("space"),
            pl.lit(CODE_VERSION).alias("fingerprint"),
            pl.Series("bands", _banded(lake, texts["text"].to_list())).cast(pl.List(pl.UInt64)),
        )
        total += texts.height
        with lake.warehouse.session("writing signatures") as connection:
            with registered(connection, "signatures_frame", signatures):
                connection.execute("INSERT INTO signatures BY NAME SELECT * FROM signatures_frame")
            texts = _unsigned(connection, lake, space)
    return total


def _banded(lake: Lake, texts: list[str]) -> NDArray[np.uint64]:
    with lake.warehouse.released() if len(texts) > _QUICK else nullcontext():
        return bands(texts)


def _unsigned(connection: Connection, lake: Lake, space: str) -> pl.DataFrame:
    return frame(connection, _UNSIGNED, {"space": space, "rows": lake.settings.lake.batch_rows})


_WANTED_PAIRS = """
CREATE OR REPLACE TEMP TABLE wanted_pairs AS
WITH sizes AS (SELECT md5(text) AS text_key, any_value(length(text)) AS size FROM passages WHERE space = $space
    GROUP BY ALL),
banded AS (
    SELECT text_key, size, unnest(bands) AS band FROM signatures JOIN sizes USING (text_key) WHERE space = $space
),
shared AS (SELECT * FROM banded WHERE band <> $no_words QUALIFY count(*) OVER (PARTITION BY band) > 1),
led AS (
    SELECT text_key, first_value(text_key) OVER (PARTITION BY band ORDER BY size DESC, text_key) AS leader FROM shared
)
SELECT DISTINCT leader AS leader_key, text_key AS member_key FROM led WHERE leader <> text_key
"""
_UNWANTED = """
DELETE FROM duplicate_pairs p WHERE space = $space AND (fingerprint <> $code OR NOT EXISTS (
    SELECT 1 FROM wanted_pairs w WHERE w.leader_key = p.leader_key AND w.member_key = p.member_key))
"""
_UNMEASURED = """
SELECT leader_key, member_key FROM wanted_pairs w WHERE NOT EXISTS (
    SELECT 1 FROM duplicate_pairs p
    WHERE p.space = $space AND p.leader_key = w.leader_key AND p.member_key = w.member_key)
ORDER BY leader_key, member_key
"""
_TEXTS = """
SELECT md5(text) AS text_key, any_value(text) AS text FROM passages WHERE space = $space AND md5(text) IN (
    SELECT leader_key FROM pairs_frame UNION SELECT member_key FROM pairs_frame)
GROUP BY text_key
"""


def _measure(lake: Lake, space: str) -> int:
    """Measure the pairs that share a band and were not measured before; returns how many."""
    with lake.warehouse.session("planning pairs") as connection:
        connection.execute(_WANTED_PAIRS, {"space": space, "no_words": int(NO_WORDS)})
        connection.execute(_UNWANTED, {"space": space, "code": CODE_VERSION})
        pairs = frame(connection, _UNMEASURED, {"space": space})
    lake.progress.start("duplicates", space, pairs.height)
    for batch in pairs.iter_slices(_BATCH_PAIRS):
        with lake.warehouse.session("reading pairs") as connection, registered(connection, "pairs_frame", batch):
            texts = dict(connection.execute(_TEXTS, {"space": space}).fetchall())
        with lake.warehouse.released() if batch.height > _QUICK else nullcontext():
            prepared = {key: prepare(text) for key, text in texts.items()}
            found = [compare(prepared[leader], prepared[member]) for leader, member in batch.iter_rows()]
        rows = batch.with_columns(
            pl.lit(space).alias("space"),
            pl.lit(CODE_VERSION).alias("fingerprint"),
            pl.Series("score", [item.containment for item in found], dtype=pl.Float64),
            pl.Series("jaccard", [item.jaccard for item in found], dtype=pl.Float64),
            pl.Series("duplicate", [item.is_duplicate for item in found], dtype=pl.Boolean),
        )
        reach("duplicates.measured")
        with lake.warehouse.session("writing pairs") as connection, registered(connection, "measured_frame", rows):
            connection.execute("INSERT INTO duplicate_pairs BY NAME SELECT * FROM measured_frame")
        lake.progress.advance(batch.height)
    return pairs.height


_PAIRS = (
    "SELECT leader_key, member_key, jaccard, score FROM duplicate_pairs WHERE space = $space AND duplicate ORDER BY ALL"
)
_MEMBERS = """
SELECT md5(p.text) AS text_key, length(p.text) AS size, p.passage_id, p.source, d.path, p.ordinal
FROM passages p JOIN documents d USING (document_id)
WHERE p.space = $space
QUALIFY count(*) OVER (PARTITION BY md5(p.text)) > 1 OR md5(p.text) IN (
    SELECT leader_key FROM duplicate_pairs WHERE space = $space AND duplicate
    UNION SELECT member_key FROM duplicate_pairs WHERE space = $space AND duplicate)
ORDER BY p.source, d.path, p.ordinal, p.passage_id
"""
_SCHEMA = {
    "passage_id": pl.String,
    "space": pl.String,
    "source": pl.String,
    "representative": pl.String,
    "kind": pl.String,
    "score": pl.Float64,
    "suppressed": pl.Boolean,
}


@dataclass(slots=True)
class _Text:
    """A text that may have company, and the passages that consist of it."""

    key: str
    size: int
    members: list[tuple[str, str]]
    """Passage and source, those of sources that do not suppress first."""
    retiring: bool
    """Whether every passage of it is in a source that suppresses its repetitions."""


def clustered(connection: Connection, lake: Lake, space: str) -> pl.DataFrame:
    """The rows of ``families`` as the passages and measured pairs of a space give them now."""
    suppressing = {source.name for source in lake.settings.sources if source.suppress}
    texts = _texts(connection, space, suppressing)
    neighbours: dict[str, list[tuple[float, float, str]]] = {}
    for leader, member, jaccard, score in connection.execute(_PAIRS, {"space": space}).fetchall():
        neighbours.setdefault(leader, []).append((-jaccard, score, member))
        neighbours.setdefault(member, []).append((-jaccard, score, leader))
    joined: dict[str, list[tuple[float, _Text]]] = {}
    for text in sorted(texts.values(), key=lambda item: (item.retiring, -item.size, item.key)):
        chosen = [item for item in neighbours.get(text.key, ()) if item[2] in joined]
        if chosen:
            _, score, best = min(chosen, key=lambda item: (item[0], item[2]))
            joined[best].append((score, text))
        else:
            joined[text.key] = [(1.0, text)]
    rows: list[tuple[object, ...]] = []
    for family in joined.values():
        if sum(len(text.members) for _, text in family) < 2:
            continue
        representative = family[0][1].members[0][0]
        for score, text in family:
            for passage, source in text.members:
                shown = passage == representative
                kind = "representative" if shown else "exact" if text is family[0][1] else "near"
                hidden = source in suppressing and not shown
                rows.append((passage, space, source, representative, kind, score, hidden))
    return pl.DataFrame(sorted(rows), schema=_SCHEMA, orient="row")


def _texts(connection: Connection, space: str, suppressing: set[str]) -> dict[str, _Text]:
    texts: dict[str, _Text] = {}
    for key, size, passage, source, _, _ in connection.execute(_MEMBERS, {"space": space}).fetchall():
        text = texts.setdefault(key, _Text(key, size, [], True))
        text.members.append((passage, source))
        text.retiring = text.retiring and source in suppressing
    for text in texts.values():
        text.members.sort(key=lambda member: member[1] in suppressing)
    return texts

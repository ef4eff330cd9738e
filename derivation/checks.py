"""The blocking checks: what must hold of a candidate before a reader may see it.

Each looks at what is stored, not at what a step believes to have written, and returns every problem as a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from derivation.graphs import open_graph
from derivation.lake import Lake
from warehouse.database import Connection
from warehouse.searched import KINDS, PASSAGES
from warehouse.snapshots import Manifest
from warehouse.vectors import open_version, vector_problems, wanted_rows


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's verdict."""

    name: str
    problems: tuple[str, ...]
    note: str = ""
    """What the check saw, where that is worth telling of a pass, too."""

    @property
    def passed(self) -> bool:
        return not self.problems


_SPAN_PROBLEMS = """
SELECT 'passage ' || p.passage_id || ' of ' || d.path || ' is not the text at ' || p.char_start || '-' || p.char_end
FROM passages p JOIN documents d USING (document_id) JOIN revisions r ON r.revision_id = p.revision_id
WHERE substring(r.text, p.char_start + 1, p.char_end - p.char_start) <> p.text
UNION ALL
SELECT 'mention ''' || m.surface || ''' in ' || d.path || ' is not the text at ' || m.char_start || '-' || m.char_end
    || ' of its passage'
FROM mentions m JOIN passages p USING (passage_id) JOIN documents d USING (document_id)
WHERE substring(p.text, m.char_start + 1, m.char_end - m.char_start) <> m.surface
UNION ALL
SELECT 'a memory (' || m.granularity || ') of ' || d.path || ' has a span ' || s.char_start || '-' || s.char_end
    || ' that does not hold it'
FROM memories m JOIN memory_spans s USING (memory_id) JOIN revisions r ON r.revision_id = s.revision_id
JOIN documents d ON d.document_id = s.document_id
WHERE NOT (0 <= s.char_start AND s.char_start < s.char_end AND s.char_end <= len(r.text))
    OR (m.granularity IN ('turn', 'round', 'episode')
        AND substring(r.text, s.char_start + 1, s.char_end - s.char_start) <> m.text)
UNION ALL
SELECT 'a fact in ' || d.path || ' has its evidence at ' || s.char_start || '-' || s.char_end || ', outside its passage'
FROM supports s JOIN passages p USING (passage_id) JOIN documents d USING (document_id)
WHERE NOT (0 <= s.char_start AND s.char_start < s.char_end AND s.char_end <= len(p.text))
UNION ALL
SELECT 'a fact in ' || d.path || ' names nothing that is mentioned at ' || e.char_start || '-' || e.char_end
FROM (
    SELECT passage_id, subject_id AS entity_id, subject_start AS char_start, subject_end AS char_end FROM supports
    WHERE NOT subject_titled
    UNION ALL
    SELECT passage_id, object_id, object_start, object_end FROM supports WHERE NOT object_titled
) e ANTI JOIN mentions USING (passage_id, entity_id, char_start, char_end)
JOIN passages p USING (passage_id) JOIN documents d USING (document_id)
ORDER BY 1
"""

_ORPHANS = {
    "revision without a document": "SELECT revision_id FROM revisions ANTI JOIN documents USING (revision_id)",
    "document without its revision": "SELECT path FROM documents ANTI JOIN revisions USING (revision_id)",
    "passage without a document": "SELECT passage_id FROM passages ANTI JOIN documents USING (document_id)",
    "passage without its revision": "SELECT passage_id FROM passages ANTI JOIN revisions USING (revision_id)",
    "mention without a passage": "SELECT DISTINCT passage_id FROM mentions ANTI JOIN passages USING (passage_id)",
    "title without a passage": "SELECT DISTINCT passage_id FROM titles ANTI JOIN passages USING (passage_id)",
    "acronym without a passage": "SELECT DISTINCT passage_id FROM acronyms ANTI JOIN passages USING (passage_id)",
    "support without a passage": "SELECT DISTINCT passage_id FROM supports ANTI JOIN passages USING (passage_id)",
    "support without a fact": "SELECT DISTINCT fact_id FROM supports ANTI JOIN facts USING (fact_id)",
    "fact without a support": "SELECT fact_id FROM facts ANTI JOIN supports USING (fact_id)",
    "fact without its subject": "SELECT fact_id FROM facts ANTI JOIN entities ON subject_id = entity_id",
    "fact without its object": "SELECT fact_id FROM facts ANTI JOIN entities ON object_id = entity_id",
    "interval without a fact": "SELECT fact_id FROM validity ANTI JOIN facts USING (fact_id)",
    "resolution of no entity": "SELECT entity_id FROM resolutions ANTI JOIN entities USING (entity_id)",
    "resolution to no entity": "SELECT canonical_id FROM resolutions r ANTI JOIN entities e"
    " ON r.canonical_id = e.entity_id",
    "decision on no entity": (
        "SELECT left_id FROM decisions ANTI JOIN entities ON left_id = entity_id"
        " UNION SELECT right_id FROM decisions ANTI JOIN entities ON right_id = entity_id"
    ),
    "mention without an entity": "SELECT DISTINCT entity_id FROM mentions ANTI JOIN entities USING (entity_id)",
    "title without an entity": "SELECT DISTINCT entity_id FROM titles ANTI JOIN entities USING (entity_id)",
    "entity without a mention": (
        "SELECT name FROM entities ANTI JOIN (SELECT entity_id FROM mentions UNION SELECT entity_id FROM titles)"
        " USING (entity_id)"
    ),
    "vector that nothing needs": (
        "SELECT text_hash FROM embeddings ANTI JOIN passages USING (space, text_hash)"
        " ANTI JOIN phrases USING (space, text_hash) ANTI JOIN memories USING (space, text_hash)"
    ),
    "pieces that no passage has": "SELECT text_hash FROM piece_vectors ANTI JOIN passages USING (space, text_hash)",
    "memory without its document": (
        "SELECT memory_id FROM memories ANTI JOIN documents USING (document_id) WHERE document_id <> ''"
    ),
    "memory without a span": "SELECT memory_id FROM memories ANTI JOIN memory_spans USING (memory_id)",
    "span without a memory": "SELECT DISTINCT memory_id FROM memory_spans ANTI JOIN memories USING (memory_id)",
    "span without its revision": "SELECT DISTINCT memory_id FROM memory_spans ANTI JOIN revisions USING (revision_id)",
    "memory without its parent": (
        "SELECT m.memory_id FROM memories m ANTI JOIN memories p ON p.memory_id = m.parent_id"
        " WHERE m.parent_id IS NOT NULL"
    ),
    "interval without a memory": "SELECT memory_id FROM memory_validity ANTI JOIN memories USING (memory_id)",
    "code without its memory": (
        "SELECT row_id FROM codes ANTI JOIN memories ON row_id = memory_id AND codes.space = memories.space"
    ),
    "code of another codec": "SELECT row_id FROM codes ANTI JOIN banks USING (space, embedder, version)",
    "link of no memory": "SELECT DISTINCT memory_id FROM association_neighbours ANTI JOIN memories USING (memory_id)",
    "link to no memory": (
        "SELECT DISTINCT neighbour_id FROM association_neighbours n ANTI JOIN memories m"
        " ON n.neighbour_id = m.memory_id"
    ),
    "outline of no document": "SELECT document_id FROM outline_candidates ANTI JOIN documents USING (document_id)",
    "time of no document": "SELECT document_id FROM time_expressions ANTI JOIN documents USING (document_id)",
    "reply on nothing": (
        "SELECT text_hash FROM model_replies m ANTI JOIN passages USING (space, text_hash)"
        " ANTI JOIN revisions r ON r.space = m.space AND r.content_hash = m.text_hash"
    ),
    "event on no document": "SELECT DISTINCT document_id FROM events ANTI JOIN documents USING (document_id)"
    " WHERE document_id <> ''",
    "strength in no document": "SELECT target_id FROM reinforcement ANTI JOIN documents USING (document_id)"
    " WHERE document_id <> ''",
    "cold memory of no document": "SELECT target_id FROM cold ANTI JOIN documents USING (document_id)"
    " WHERE document_id <> ''",
}

_SILENT_SOURCES = """
SELECT 'source ''' || d.source || ''' has ' || count(DISTINCT d.document_id) || ' documents and no passage'
FROM documents d ANTI JOIN passages p ON p.source = d.source AND p.space = d.space GROUP BY d.source
UNION ALL
SELECT 'source ''' || p.source || ''' has ' || count(DISTINCT p.passage_id) || ' passages and no entity'
FROM passages p
ANTI JOIN (SELECT space, source FROM mentions UNION SELECT space, source FROM titles) m
    ON m.source = p.source AND m.space = p.space
GROUP BY p.source HAVING count(DISTINCT p.passage_id) >= $many
UNION ALL
SELECT 'source ''' || p.source || ''' has ' || count(DISTINCT p.passage_id) || ' passages and no fact'
FROM passages p ANTI JOIN supports s ON s.source = p.source AND s.space = p.space
WHERE $model GROUP BY p.source HAVING count(DISTINCT p.passage_id) >= $many
ORDER BY 1
"""

_MANY = 20
"""Passages of a source that cannot all be without an entity, unless the extraction is broken."""


def check_spans(lake: Lake, candidate: Manifest) -> CheckResult:
    """Every span, sliced from its revision, gives its text back."""
    with lake.warehouse.session("checking spans") as connection:
        return CheckResult("spans", tuple(_column(connection, _SPAN_PROBLEMS)))


def check_vectors(lake: Lake, candidate: Manifest) -> CheckResult:
    """No passage and no phrase lacks a vector, and every vector is finite and of unit length."""
    problems: list[str] = []
    with lake.warehouse.session("checking vectors") as connection:
        missing = _column(
            connection,
            "SELECT d.path || ' has ' || count(*) || ' passages without a vector' FROM passages p"
            " JOIN documents d USING (document_id) ANTI JOIN embeddings e ON e.space = p.space"
            " AND e.text_hash = p.text_hash AND e.embedder = $embedder GROUP BY d.path ORDER BY d.path",
            {"embedder": lake.embedder_spec.identity},
        )
        missing += _column(
            connection,
            "SELECT 'space ' || m.space || ' has ' || count(*) || ' memories without a vector' FROM memories m"
            " ANTI JOIN embeddings e ON e.space = m.space AND e.text_hash = m.text_hash AND e.embedder = $embedder"
            " GROUP BY m.space ORDER BY m.space",
            {"embedder": lake.embedder_spec.identity},
        )
        missing += _column(
            connection,
            "SELECT 'space ' || p.space || ' has ' || count(*) || ' phrases without a vector' FROM phrases p"
            " ANTI JOIN embeddings e ON e.space = p.space AND e.text_hash = p.text_hash AND e.embedder = $embedder"
            " GROUP BY p.space ORDER BY p.space",
            {"embedder": lake.embedder_spec.identity},
        )
    problems.extend(missing)
    for space, state in candidate.spaces.items():
        for kind, (table, version) in zip(KINDS, state.tables, strict=False):
            if not kind.is_searched:
                continue
            problems.extend(vector_problems(lake.layout, kind, space, table, version))
    return CheckResult("vectors", tuple(problems))


def check_orphans(lake: Lake, candidate: Manifest) -> CheckResult:
    """Nothing is left, in any store, of what is gone, and nothing is missing from one that another has."""
    problems: list[str] = []
    with lake.warehouse.session("checking for orphans") as connection:
        for what, sql in _ORPHANS.items():
            problems.extend(f"{what}: {value}" for value in _column(connection, sql))
        wanted = {
            space: set(_column(connection, "SELECT passage_id FROM searched WHERE space = $space", {"space": space}))
            for space in candidate.spaces
        }
        others = {
            (space, kind): set(wanted_rows(connection, kind, space, lake.embedder_spec.identity)[kind.key])
            for space in candidate.spaces
            for kind in KINDS
            if kind is not PASSAGES
        }
    for space, state in candidate.spaces.items():
        stores: list[tuple[str, str, set[str], set[str]]] = []
        for kind, (name, version) in zip(KINDS, state.tables, strict=False):
            table = open_version(lake.layout, space, name, version)
            rows = table.search().select([kind.key]).to_arrow()[kind.key].to_pylist()
            held = set(rows)
            if len(rows) > len(held):
                problems.append(f"{len(rows) - len(held)} {kind.name} are there twice in the vectors of {space}")
            stores.append((kind.row, "vectors", wanted[space] if kind is PASSAGES else others[space, kind], held))
        stores.append((PASSAGES.row, "graph", wanted[space], set(open_graph(lake, state.graph).passage_ids())))
        for row, store, expected, held in stores:
            problems.extend(f"{row} missing in the {store} of {space}: {key}" for key in sorted(expected - held))
            problems.extend(f"{row} left in the {store} of {space}: {key}" for key in sorted(held - expected))
    return CheckResult("orphans", tuple(problems))


def check_extraction(lake: Lake, candidate: Manifest) -> CheckResult:
    """Something came out of every source that has documents: silence is a failure, not a success."""
    asked: dict[str, object] = {"many": _MANY, "model": lake.settings.extraction.provider != "rules"}
    with lake.warehouse.session("checking the extraction") as connection:
        return CheckResult("extraction", tuple(_column(connection, _SILENT_SOURCES, asked)))


CHECKS: dict[str, Callable[[Lake, Manifest], CheckResult]] = {
    "spans": check_spans,
    "vectors": check_vectors,
    "orphans": check_orphans,
    "extraction": check_extraction,
}
"""By name, what must hold of every lake at any time; ``memlake verify`` runs them, too."""


def _column(connection: Connection, sql: str, parameters: dict[str, object] | None = None) -> list[str]:
    return [str(value) for (value,) in connection.execute(sql, parameters or {}).fetchall()]

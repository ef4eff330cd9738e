"""The compiled graph of a space, brought up to date as a whole from the rows that it is a function of."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derivation.lake import Lake, exclusive
from derivation.layers import note_layer
from derivation.phrases import embeds_phrases
from derivation.progress import StepReport
from graph.compiled import CODE_VERSION, LIST_SEPARATOR, CompiledGraph, GraphParameters, GraphRows, compile_graph
from warehouse.database import Changes, Connection, frame, generation
from warehouse.delta import Step
from warehouse.faults import reach

GRAPH_STEP_NAME = "graph"


def graph_step(lake: Lake) -> Step:
    """Mentions, entities, facts and synonyms to CSR arrays."""
    parameters: dict[str, Any] = {"max_share": lake.settings.graph.max_share}
    if embeds_phrases(lake):
        parameters["embedder"] = lake.embedder_spec.identity
    return Step(GRAPH_STEP_NAME, CODE_VERSION, parameters)


@exclusive("compiling the graph")
def refresh_graph(lake: Lake, space: str) -> StepReport:
    """Compile the graph of a space; the same graph is the same folder."""
    started = time.perf_counter()
    step = graph_step(lake)
    lake.progress.start(step.name, space, 1)
    with lake.warehouse.session("reading the graph") as connection:
        rows = _read(connection, lake, space)
        of = generation(connection)
    with lake.warehouse.released():
        compiled = compile_graph(rows, _parameters(lake))
        digest = compiled.digest()
        written = compiled.save(lake.layout.graph(digest), lambda: reach("graph.written"))
    reach("graph.renamed")
    lake.progress.finish()
    state = {
        "digest": digest,
        "entities": compiled.entities,
        "facts": compiled.facts,
        "edges": compiled.edges,
        "generation": of,
        "fingerprint": step.fingerprint,
    }
    changes = Changes(added=compiled.passages if written else 0)
    return note_layer(lake, space, step, state, compiled.passages, changes, started)


def compiled_graph(connection: Connection, lake: Lake, space: str) -> CompiledGraph:
    """The graph of a space as its rows give it now."""
    return compile_graph(_read(connection, lake, space), _parameters(lake))


def open_graph(lake: Lake, digest: str) -> CompiledGraph:
    """A compiled graph, memory-mapped."""
    return CompiledGraph.load(lake.layout.graph(digest))


def _parameters(lake: Lake) -> GraphParameters:
    return GraphParameters(lake.settings.graph.max_share)


_NUMBERED = """
CREATE OR REPLACE TEMP TABLE graph_passages AS
    SELECT passage_id, row_number() OVER (ORDER BY passage_id) - 1 AS i FROM searched WHERE space = $space;
CREATE OR REPLACE TEMP TABLE graph_entities AS
    WITH standing AS (
        SELECT entity_id, row_number() OVER (ORDER BY entity_id) - 1 AS j
        FROM entities ANTI JOIN resolutions USING (entity_id) WHERE space = $space
    )
    SELECT e.entity_id, s.j FROM entities e LEFT JOIN resolutions r USING (entity_id)
    JOIN standing s ON s.entity_id = coalesce(r.canonical_id, e.entity_id) WHERE e.space = $space;
CREATE OR REPLACE TEMP TABLE graph_facts AS
    SELECT fact_id, subject_id, predicate, object_id, passages, row_number() OVER (ORDER BY fact_id) - 1 AS f FROM facts
    WHERE space = $space AND fact_id IN (SELECT fact_id FROM supports JOIN graph_passages USING (passage_id))
"""
"""Numbers of the nodes; an entity that stands under another one's name has that one's number."""

_PASSAGES = "SELECT passage_id FROM graph_passages ORDER BY i"
_ENTITIES = """
WITH aliases AS (
    SELECT g.j, string_agg(e.name, $separator ORDER BY e.name) AS aliases
    FROM resolutions r JOIN entities e USING (entity_id) JOIN graph_entities g USING (entity_id)
    WHERE r.space = $space GROUP BY g.j
)
SELECT e.entity_id, e.entity_key, e.name, e.kind, coalesce(a.aliases, '') AS aliases
FROM entities e JOIN graph_entities g USING (entity_id) LEFT JOIN aliases a USING (j)
WHERE e.entity_id NOT IN (SELECT entity_id FROM resolutions) AND e.space = $space ORDER BY g.j
"""
_NAMES = """
SELECT DISTINCT e.entity_key AS key, g.j AS entity
FROM resolutions r JOIN entities e USING (entity_id) JOIN graph_entities g USING (entity_id)
JOIN entities c ON c.entity_id = r.canonical_id WHERE r.space = $space AND e.entity_key <> c.entity_key ORDER BY ALL
"""
_INCIDENCE = """
WITH pairs AS (
    SELECT passage_id, entity_id, false AS titled FROM mentions WHERE space = $space AND kind <> 'phrase'
    UNION ALL
    SELECT passage_id, entity_id, kind = 'title' FROM titles WHERE space = $space
)
SELECT p.i AS passage, e.j AS entity, bool_or(titled) AS titled
FROM pairs JOIN graph_passages p USING (passage_id) JOIN graph_entities e USING (entity_id)
GROUP BY p.i, e.j
"""
_SYNONYMS = """
SELECT least(l.j, r.j) AS low, greatest(l.j, r.j) AS high,
    max_by(d.method, (d.score, d.method)) FILTER (d.verdict <> 'different') AS method,
    max(d.score) FILTER (d.verdict <> 'different') AS score
FROM decisions d
JOIN graph_entities l ON l.entity_id = d.left_id JOIN graph_entities r ON r.entity_id = d.right_id
WHERE d.space = $space AND l.j <> r.j GROUP BY low, high
HAVING bool_or(d.verdict <> 'different') AND NOT bool_or(d.verdict = 'different' AND d.method = 'override')
ORDER BY low, high
"""
_FACTS = """
SELECT g.fact_id, s.j AS subject, g.predicate, o.j AS object, g.passages, v.valid_from, v.valid_until, v.superseded_by
FROM graph_facts g LEFT JOIN validity v USING (fact_id)
JOIN graph_entities s ON s.entity_id = g.subject_id JOIN graph_entities o ON o.entity_id = g.object_id ORDER BY g.f
"""
_SUPPORTS = """
SELECT f.f AS fact, p.i AS passage, s.char_start, s.char_end FROM supports s
JOIN graph_facts f USING (fact_id) JOIN graph_passages p USING (passage_id) ORDER BY f.f, p.i
"""
_VECTORS = """
SELECT g.f, e.vector FROM graph_facts g
JOIN phrases p ON p.space = $space AND p.kind = 'fact' AND p.owner_id = g.fact_id
JOIN embeddings e ON e.space = $space AND e.embedder = $embedder AND e.text_hash = p.text_hash ORDER BY g.f
"""


def _read(connection: Connection, lake: Lake, space: str) -> GraphRows:
    """What the graph of a space is compiled from, in orders that depend on ids alone."""
    of_space = {"space": space}
    for statement in _NUMBERED.split(";"):
        connection.execute(statement, of_space)
    facts = frame(connection, _FACTS)
    vectors = _fact_vectors(connection, lake, space, facts.height) if embeds_phrases(lake) and facts.height else None
    return GraphRows(
        passage_ids=frame(connection, _PASSAGES)["passage_id"],
        entities=frame(connection, _ENTITIES, {**of_space, "separator": LIST_SEPARATOR}),
        names=frame(connection, _NAMES, of_space),
        incidence=frame(connection, _INCIDENCE, of_space),
        synonyms=frame(connection, _SYNONYMS, of_space),
        facts=facts,
        supports=frame(connection, _SUPPORTS),
        embedder=lake.embedder_spec.identity if vectors is not None else "",
        fact_vectors=vectors,
    )


def _fact_vectors(connection: Connection, lake: Lake, space: str, facts: int) -> NDArray[np.float32] | None:
    """``(facts, dimensions)``; a fact that another process has stated and not embedded yet is near to nothing."""
    rows = connection.sql(_VECTORS, params={"space": space, "embedder": lake.embedder_spec.identity}).to_arrow_table()
    if not rows.num_rows:
        return None
    values = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1)
    vectors = np.zeros((facts, values.shape[1]), np.float32)
    vectors[rows["f"].to_numpy()] = values
    return vectors

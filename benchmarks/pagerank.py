"""Personalized PageRank against igraph's prpack and networkx, on one graph in one run.

    python benchmarks/pagerank.py [--edges N] [--json]
    python benchmarks/pagerank.py --sweep [--chart FILE.svg] [--json]

The graph has the shape of a real passage graph: two fifths of the nodes are passages, a passage names ten entities or
so, entities' degrees follow a power law, weights are inverse document frequencies. It has no communities, so a walk
spreads as fast as it can, which is what costs a push most. Resets are like the retriever's: 20 passages by squared
score and a few entities, some of the passages naming one of them. The measured take turns, so that whatever else the
machine does falls on all of them; figures are medians. The reference graph is built beforehand.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

sys.path.insert(0, str(Path(__file__).parent))
from chart import Line, draw_lines

from graph.pagerank import DAMPING, personalized_pagerank, personalized_pagerank_batch
from graph.walk import Walk
from retrieval.fusion import STABLE_PASSAGES

BATCH = 32
NAMED = 10
SEED = 20_260
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
_NETWORKX_LIMIT = 100_000
_REPOSITORY = Path(__file__).parents[1]
_LOAD = "import time; begun = time.perf_counter(); import graph.kernels; print(time.perf_counter() - begun)"

Reset = tuple[NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Synthetic:
    """A graph whose first nodes are passages."""

    walk: Walk
    passages: int


def synthetic(edges: int, chance: np.random.Generator) -> Synthetic:
    """About so many edges between passages and entities."""
    passages = max(edges // NAMED, 2 * STABLE_PASSAGES)
    popularity = np.minimum(np.arange(1, 2 * passages + 1) ** -0.9, 1.0)
    share = np.minimum(popularity / popularity.sum(), 0.05 / NAMED)
    edge_of = np.repeat(np.arange(passages), np.maximum(chance.poisson(NAMED, passages), 1))
    named = np.searchsorted(np.cumsum(share / share.sum()), chance.random(len(edge_of)))
    pairs = np.unique(edge_of.astype(np.int64) * len(share) + np.minimum(named, len(share) - 1))
    rows, columns = np.divmod(pairs, len(share))
    _, columns, frequency = np.unique(columns, return_inverse=True, return_counts=True)
    columns = chance.permutation(len(frequency))[columns]
    weights = np.log((passages + 1) / np.bincount(columns)) / np.log(passages + 1)
    n = passages + len(frequency)
    heads, tails = np.concatenate([rows, columns + passages]), np.concatenate([columns + passages, rows])
    adjacency = sparse.coo_array((np.tile(weights[columns], 2), (heads, tails)), shape=(n, n))
    return Synthetic(Walk.of(sparse.csr_array(adjacency)), passages)


def some_reset(graph: Synthetic, chance: np.random.Generator) -> Reset:
    """20 passages, half of them naming one of up to three entities, and these entities with a quarter of the mass."""
    walk = graph.walk
    asked = chance.integers(graph.passages)
    entities = _neighbours(walk, asked)
    entities = chance.choice(entities, min(3, len(entities)), replace=False)
    naming = chance.choice(np.concatenate([_neighbours(walk, entity) for entity in entities]), 9)
    seeds = np.unique(np.concatenate([[asked], naming, chance.integers(0, graph.passages, 40)]))
    others = chance.permutation(np.setdiff1d(seeds, naming))
    seeds = np.concatenate([np.unique(naming), others])[:20]
    squares = chance.beta(2, 3, len(seeds)) ** 2
    rare = 1 / np.log2(2 + np.diff(walk.indptr)[entities])
    weights = np.concatenate([0.75 * squares / squares.sum(), 0.25 * rare / rare.sum()])
    return np.concatenate([seeds, entities]).astype(np.int64), weights


def _neighbours(walk: Walk, node: int) -> NDArray[np.int32]:
    return walk.indices[walk.indptr[node] : walk.indptr[node + 1]]


def prpack(graph: Synthetic) -> Callable[[list[float]], list[float]]:
    """igraph's solver on the graph, which is built here; it takes the reset as a list."""
    import igraph

    walk = graph.walk
    heads = np.repeat(np.arange(walk.nodes, dtype=np.int32), np.diff(walk.indptr))
    once = heads < walk.indices
    other = igraph.Graph(walk.nodes, np.column_stack([heads[once], walk.indices[once]]))
    other.es["weight"] = walk.weights[once].astype(float).tolist()
    return lambda reset: other.personalized_pagerank(
        directed=False, damping=DAMPING, reset=reset, weights="weight", implementation="prpack"
    )


def networkx_ms(graph: Synthetic, reset: Reset) -> float:
    """One query with networkx; the graph is built beforehand."""
    import networkx as nx

    walk = graph.walk
    adjacency = sparse.csr_array((walk.weights, walk.indices, walk.indptr), shape=(walk.nodes, walk.nodes))
    other = nx.from_scipy_sparse_array(adjacency)
    start = dict(zip(reset[0].tolist(), reset[1].tolist(), strict=True))
    return _timed(lambda: nx.pagerank(other, DAMPING, personalization=start, weight="weight"))[1]


def measure(edges: int, queries: int, batches: int) -> dict[str, Any]:
    """Milliseconds and overlaps at one size."""
    chance = np.random.default_rng(SEED)
    graph = synthetic(edges, chance)
    walk, passages = graph.walk, graph.passages
    resets = [some_reset(graph, chance) for _ in range(BATCH)]
    reference = prpack(graph)
    timed: dict[str, list[float]] = {"prpack": [], "query": [], "exact": [], "batch": []}
    overlaps, distances, methods, tops = [], [], [], []
    personalized_pagerank(walk, resets[-1], top=STABLE_PASSAGES, among=passages)
    for number, reset in enumerate(resets[:queries]):
        start = np.zeros(walk.nodes)
        start[reset[0]] = reset[1]
        listed = start.tolist()
        expected, spent = _timed(lambda listed=listed: np.array(reference(listed)))
        timed["prpack"].append(spent)
        found, spent = _timed(
            lambda reset=reset: personalized_pagerank(walk, reset, top=STABLE_PASSAGES, among=passages)
        )
        timed["query"].append(spent)
        exact, spent = _timed(lambda reset=reset: personalized_pagerank(walk, reset))
        timed["exact"].append(spent)
        if number * batches // queries != (number + 1) * batches // queries:
            (scores, _), spent = _timed(lambda: personalized_pagerank_batch(walk, resets))
            timed["batch"].append(spent / BATCH)
        tops.append(_top(expected[:passages]))
        overlaps.append(len(tops[-1] & _top(found.dense(passages))) / STABLE_PASSAGES)
        distances.append((np.abs(found.dense(walk.nodes) - expected).sum(), found.bound))
        methods.append(found.method)
        assert np.abs(exact.dense(walk.nodes) - expected).sum() <= exact.bound
    in_batch = [len(top & _top(scores[:passages, at])) / STABLE_PASSAGES for at, top in enumerate(tops)]
    median = {name: float(np.median(times)) for name, times in timed.items()}
    figures = {
        "edges": walk.entries // 2,
        "nodes": walk.nodes,
        "passages": passages,
        "queries": queries,
        "prpack_ms": median["prpack"],
        "query_ms": median["query"],
        "speedup": median["prpack"] / median["query"],
        "exact_ms": median["exact"],
        "exact_speedup": median["prpack"] / median["exact"],
        "batch_ms_per_query": median["batch"],
        "batch_speedup": median["prpack"] / median["batch"],
        "overlap_at_50": float(np.mean(overlaps)),
        "least_overlap_at_50": min(overlaps),
        "batch_overlap_at_50": float(np.mean(in_batch)),
        "l1_error": float(np.mean([true for true, _ in distances])),
        "l1_bound": float(np.mean([bound for _, bound in distances])),
        "engine": max(set(methods), key=methods.count),
    }
    if edges <= _NETWORKX_LIMIT:
        figures["networkx_ms"] = networkx_ms(graph, resets[0])
    return figures


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - begun) * 1000


def _top(scores: NDArray[np.floating]) -> set[int]:
    return set(np.argpartition(-scores, STABLE_PASSAGES)[:STABLE_PASSAGES].tolist())


def loading() -> dict[str, float]:
    """Seconds to import numba and compile the loops, and to import it and find them compiled."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-c", _LOAD]
        seconds = [
            float(subprocess.run(command, cwd=_REPOSITORY, env=environment, check=True, capture_output=True).stdout)
            for _ in range(2)
        ]
    return {"compile_s": seconds[0], "load_s": seconds[1]}


def show(figures: dict[str, Any]) -> None:
    """One size as a table."""
    print(f"{figures['edges']:,} edges, {figures['nodes']:,} nodes, {figures['queries']} queries")
    if "networkx_ms" in figures:
        print(f"  networkx                {figures['networkx_ms']:10.2f} ms")
    print(f"  prpack                  {figures['prpack_ms']:10.2f} ms")
    for name, time_key, ratio_key, overlap in (
        (f"query ({figures['engine']})", "query_ms", "speedup", figures["overlap_at_50"]),
        ("exact", "exact_ms", "exact_speedup", None),
        (f"exact, of a batch of {BATCH}", "batch_ms_per_query", "batch_speedup", figures["batch_overlap_at_50"]),
    ):
        shared = "" if overlap is None else f"   the same top 50: {overlap:.3f}"
        print(f"  {name:23} {figures[time_key]:10.2f} ms  {figures[ratio_key]:7.1f} times as fast{shared}")
    print(f"  of the query: L1 error {figures['l1_error']:.3f}, stated bound {figures['l1_bound']:.3f}")


def chart(rows: list[dict[str, Any]]) -> str:
    """Cost against size."""
    kinds = {
        "igraph prpack": "prpack_ms",
        "exact, one query": "exact_ms",
        f"exact, of a batch of {BATCH}": "batch_ms_per_query",
        "query": "query_ms",
    }
    lines = [Line(name, [(row["edges"], row[key]) for row in rows]) for name, key in kinds.items()]
    return draw_lines("Personalized PageRank: milliseconds a query, by edges of the graph", lines)


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--sweep", action="store_true", help="ten thousand to ten million edges")
    parser.add_argument("--chart", type=Path, help="with --sweep: write a chart as SVG")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.sweep:
        figures = {**measure(arguments.edges, queries=16, batches=5), **loading()}
        if arguments.json:
            print(json.dumps(figures, indent=2))
        else:
            show(figures)
            print(f"numba, once: {figures['compile_s']:.1f} s to compile, {figures['load_s']:.1f} s to load afterwards")
        return
    rows = [measure(edges, queries=16 if edges <= 1_000_000 else 4, batches=2) for edges in SIZES]
    if arguments.chart:
        arguments.chart.write_text(chart(rows), encoding="utf-8")
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        show(row)


if __name__ == "__main__":
    main()

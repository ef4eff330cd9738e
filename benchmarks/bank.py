"""The compressed bank: what is kept of exact search at so many bytes a memory, how fast, and as it grows and drifts.

    python benchmarks/bank.py [--part table|million|growth] [--rows N] [--chart FOLDER] [--json]

The vectors of the first table are real: MuSiQue's passages and recorded triples as all-MiniLM-L6-v2 embeds them
(384 dimensions), the queries its questions; without the evaluation data, sentences of made-up names. They are embedded
once and kept in the user's cache. Half of each kind is learnt from, all are stored.

**The million is made up**: each vector is a real one, mixed with up to 30 % of another real one, and noise of length
0.3, made of unit length. It has more near neighbours to a query than a real corpus, since a few thousand originals
have a hundred copies each: what a hard million would be. The stream *with drift* comes topic after topic (256 topics
by nearest code), the one without in no order. Codebooks begin on the first ten thousand and learn on from every fourth
vector; at each size everything is encoded again with the codebooks of that time, and searched.

*Codes only* is recall@10 of exact search by codes alone, *reranked* after the best candidates (one in a thousand, 200
at least) are scored again on the originals. Milliseconds are medians of single queries.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from chart import Line, draw_lines
from corpora import MUSIQUE, TRIPLES, NamedRecords

from memory.bank.codec import Codec, Vectors
from memory.bank.index import BankIndex, VectorIndex, candidates_of
from memory.bank.report import kept, report
from memory.bank.residual import ResidualCodec
from memory.bank.scalar import ExactCodec, PcaInt8Codec
from memory.embedding import BUNDLED_MODEL, EmbedderSpec, open_embedder
from retrieval.quantised import LanceIndex, LanceKind, build_lance_index

SEED = 7
FACTS = 12_000
QUERIES = 100
BEGUN_ON = 10_000
BATCH = 2_000
LEARNT = 4
"""One in so many of a batch is learnt from."""
GROWTH = (10_000, 100_000, 1_000_000)
_QUESTIONS = MUSIQUE.with_name("musique_train.json")


class Way(StrEnum):
    """How codebooks follow a stream that they have begun on."""

    RESETS = "resets"
    """They learn on, dead codes are reset."""
    NO_RESETS = "no resets"
    """They learn on."""
    FROZEN = "frozen"
    """They stay as they began."""
    ANEW = "anew"
    """They are learnt anew, rotation and all, from twenty thousand of what is stored."""


def texts() -> tuple[list[str], list[str]]:
    """What is stored, and what is asked."""
    if MUSIQUE.exists() and TRIPLES.exists() and _QUESTIONS.exists():
        passages = [f"{record['title']}\n{record['text']}" for record in json.loads(MUSIQUE.read_text("utf-8"))]
        recorded = json.loads(TRIPLES.read_text("utf-8"))["docs"]
        facts = [" ".join(map(str, triple)) for document in recorded for triple in document["extracted_triples"]]
        asked = [record["question"] for record in json.loads(_QUESTIONS.read_text("utf-8"))]
        return list(dict.fromkeys([*passages, *dict.fromkeys(facts[:FACTS])])), asked[:QUERIES]
    with tempfile.TemporaryDirectory() as folder:
        NamedRecords(2_000).write(Path(folder), FACTS // 4)
        lines = [line for file in sorted(Path(folder).iterdir()) for line in file.read_text("utf-8").splitlines()]
    sentences = [f"{part}." for line in lines for part in json.loads(line)["text"].split(". ")]
    distinct = list(dict.fromkeys(sentences))
    return distinct[QUERIES:], distinct[:QUERIES]


def embedded(stored: list[str], asked: list[str]) -> tuple[Vectors, Vectors]:
    """Their vectors, from the cache or put there; the stored ones in no order."""
    name = blake2b("\0".join([*stored, *asked]).encode(), digest_size=8).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memlake" / "benchmarks"
    file = cache / f"bank-{name}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        vectors = open_embedder(EmbedderSpec("sentence-transformers", BUNDLED_MODEL)).encode([*stored, *asked])
        np.save(file, vectors)
    vectors = np.load(file)
    order = np.random.default_rng(SEED).permutation(len(stored))
    return vectors[: len(stored)][order], vectors[len(stored) :]


def codecs(dimensions: int) -> list[Codec]:
    """What is compared."""
    residual = [ResidualCodec.of_size(dimensions, size) for size in (16, 32, 64)]
    others = [ResidualCodec(dimensions, blocks, stages) for blocks, stages in ((4, 4), (8, 4), (64, 1))]
    return [*residual, *others, *(PcaInt8Codec(dimensions, size) for size in (64, 192)), ExactCodec(dimensions)]


def searched(index: VectorIndex, queries: Vectors, truth: Any) -> tuple[float, float]:
    """Recall, and milliseconds a query."""
    index.search(queries[:2], 10)
    rows, spent = [], []
    for query in queries:
        begun = time.perf_counter()
        rows.append(index.search(query[None], 10).rows[0])
        spent.append(1_000 * (time.perf_counter() - begun))
    return kept(np.stack(rows), truth), float(np.median(spent))


def exact_rows(vectors: Vectors, queries: Vectors) -> Any:
    """The ten nearest."""
    exact = ExactCodec(vectors.shape[1])
    return exact.search(exact.encode(vectors), queries, 10).rows


def measure(codec: Codec, vectors: Vectors, queries: Vectors, truth: Any) -> dict[str, Any]:
    """One codec that has learnt."""
    begun = time.perf_counter()
    codes = codec.encode(vectors)
    encoding = time.perf_counter() - begun
    plain, plain_ms = searched(BankIndex(codec, codes), queries, truth)
    index = BankIndex(codec, codes, lambda rows: vectors[rows])
    reranked, reranked_ms = searched(index, queries, truth)
    return {
        "codec": codec.identity,
        "bytes": codec.bytes,
        "codes_only": plain,
        "reranked": reranked,
        "candidates": candidates_of(len(vectors)),
        "codes_only_ms": plain_ms,
        "reranked_ms": reranked_ms,
        "resident_mb": index.resident_bytes / 1e6,
        "encoded_per_s": len(vectors) / encoding,
    }


def table(vectors: Vectors, queries: Vectors) -> list[dict[str, Any]]:
    """Every codec and Lance's indexes on the real vectors."""
    truth, rows = exact_rows(vectors, queries), []
    for codec in codecs(vectors.shape[1]):
        codec = codec.learn(vectors[: len(vectors) // 2])
        figures = asdict(report(codec, vectors, queries))
        row = measure(codec, vectors, queries, truth)
        rows.append(row | {name: figures[name] for name in ("error", "perplexity", "dead")})
    for kind, size in ((LanceKind.IVF_PQ, 16), (LanceKind.IVF_PQ, 64), *((kind, 0) for kind in list(LanceKind)[1:])):
        rows.append(_lance(vectors, queries, truth, kind, size))
    return rows


def _lance(vectors: Vectors, queries: Vectors, truth: Any, kind: LanceKind, size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        index = build_lance_index(Path(folder), vectors, kind, partitions=4, probes=4, size=size, reranked=False)
        plain, plain_ms = searched(index, queries, truth)
        reranked = LanceIndex(index.table, index.folder, index.dimensions, index.probes)
        recall, reranked_ms = searched(reranked, queries, truth)
        return {
            "codec": f"Lance {kind}{f' {size}' if size else ''}, all partitions",
            "bytes": round(index.resident_bytes / len(vectors)),
            "codes_only": plain,
            "reranked": recall,
            "candidates": candidates_of(len(vectors)),
            "codes_only_ms": plain_ms,
            "reranked_ms": reranked_ms,
            "resident_mb": index.resident_bytes / 1e6,
        }


def grown(real: Vectors, rows: int, drift: bool) -> Vectors:
    """So many vectors like the real ones, topic after topic or in no order."""
    chance = np.random.default_rng(SEED)
    first, second = chance.integers(0, len(real), rows), chance.integers(0, len(real), rows)
    if drift:
        topics = ResidualCodec(real.shape[1], blocks=1, stages=1).learn(real).encode(real).array[:, 0]
        first = first[np.argsort(topics[first], kind="stable")]
    vectors = np.empty((rows, real.shape[1]), np.float32)
    length = np.float32(0.3 / np.sqrt(real.shape[1]))
    for start in range(0, rows, 50_000):
        part = slice(start, min(start + 50_000, rows))
        share = chance.uniform(0.7, 1.0, (part.stop - start, 1)).astype(np.float32)
        mixed = share * real[first[part]] + (1 - share) * real[second[part]]
        mixed += length * chance.standard_normal(mixed.shape, dtype=np.float32)
        vectors[part] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return vectors


def million(real: Vectors, queries: Vectors, rows: int) -> list[dict[str, Any]]:
    """The two sizes that are asked for, and the plain way, over a million vectors."""
    vectors = grown(real, rows, drift=False)
    truth = exact_rows(vectors, queries)
    dimensions = real.shape[1]
    residual = [ResidualCodec.of_size(dimensions, size) for size in (16, 64)]
    compared = [*residual, ResidualCodec(dimensions, blocks=4, stages=4), PcaInt8Codec(dimensions, 64)]
    return [measure(codec.learn(vectors[: 2 * BEGUN_ON]), vectors, queries, truth) for codec in compared]


def growth(real: Vectors, queries: Vectors, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Recall at each size, with and without drift, for codebooks that follow the stream in different ways."""
    rows = []
    for drift in (False, True):
        stream = grown(real, sizes[-1], drift)
        truths = {size: exact_rows(stream[:size], queries) for size in sizes}
        for way in Way if drift else (Way.RESETS, Way.NO_RESETS):
            blank = replace(ResidualCodec.of_size(real.shape[1], 16), resets=way is not Way.NO_RESETS)
            codec = blank.learn(stream[:BEGUN_ON])
            at = BEGUN_ON
            for size in sizes:
                for start in range(at, size, BATCH) if way in (Way.RESETS, Way.NO_RESETS) else ():
                    codec = codec.learn(stream[start : min(start + BATCH, size) : LEARNT])
                if way is Way.ANEW:
                    codec = blank.learn(stream[:size][:: max(size // (2 * BEGUN_ON), 1)])
                at = max(at, size)
                row = measure(codec, stream[:size], queries, truths[size])
                figures = report(codec, stream[:size][:: max(size // BEGUN_ON, 1)], queries[:10])
                about = {"stream": "drift" if drift else "no drift", "codebooks": str(way), "vectors": size}
                rows.append(about | row | {"error": figures.error, "perplexity": figures.perplexity})
    return rows


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """A table."""
    print(title)
    print(f"  {'':38}  bytes  codes only   reranked  (of)      ms  reranked ms       MB   error  perplexity")
    for row in rows:
        name = f"{row['vectors']:>9,} {row['stream']}, {row['codebooks']}" if "stream" in row else row["codec"]
        fit = f"{row['error']:7.4f}  {row['perplexity']:10.0f}" if "error" in row else ""
        print(
            f"  {name:38}  {row['bytes']:5}  {row['codes_only']:10.3f}  {row['reranked']:9.3f}  {row['candidates']:4}"
            f"  {row['codes_only_ms']:6.1f}  {row['reranked_ms']:11.1f}  {row['resident_mb']:7.1f}  {fit}"
        )


def charts(rows: list[dict[str, Any]], folder: Path) -> None:
    """Recall, and memory, against the number of memories."""
    names = list(dict.fromkeys((row["stream"], row["codebooks"]) for row in rows))
    lines = [
        Line(
            f"{stream}, {books}",
            [(row["vectors"], row["reranked"]) for row in rows if (row["stream"], row["codebooks"]) == (stream, books)],
        )
        for stream, books in names
    ]
    title = "Recall@10 of exact search kept at 16 bytes a memory after reranking, by memories"
    (folder / "bank-recall.svg").write_text(draw_lines(title, lines, shares=True), encoding="utf-8")
    sizes = sorted({row["vectors"] for row in rows})
    memory = [Line(f"{size:,} bytes", [(n, n * size / 1e6) for n in sizes]) for size in (1_536, 64, 16)]
    title = "Resident megabytes, by memories and bytes a memory"
    (folder / "bank-memory.svg").write_text(draw_lines(title, memory), encoding="utf-8")


def main() -> None:
    """Print the tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("table", "million", "growth"))
    parser.add_argument("--rows", type=int, default=GROWTH[-1], help="of the million")
    parser.add_argument("--chart", type=Path, help="a folder for the charts of the growth")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    real, queries = embedded(*texts())
    figures: dict[str, Any] = {"vectors": len(real), "queries": len(queries)}
    if arguments.part in (None, "table"):
        figures["table"] = table(real, queries)
    if arguments.part in (None, "million"):
        figures["million"] = million(real, queries, arguments.rows)
    if arguments.part in (None, "growth"):
        sizes = [size for size in GROWTH if size <= arguments.rows] or [arguments.rows]
        figures["growth"] = growth(real, queries, sizes)
        if arguments.chart:
            charts(figures["growth"], arguments.chart)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    titles = {
        "table": f"{len(real):,} real vectors of {real.shape[1]} dimensions, {len(queries)} queries",
        "million": f"{arguments.rows:,} made-up vectors",
        "growth": "As the bank grows, at 16 bytes a memory, every fourth vector learnt",
    }
    for part, title in titles.items():
        if part in figures:
            show(title, figures[part])


if __name__ == "__main__":
    main()

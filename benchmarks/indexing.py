"""Embedding everything that an index with facts embeds: HippoRAG 2's encoder calls against memlake's.

    python benchmarks/indexing.py [--sample SHARE] [--rounds N] [--hipporag-batch N] [--threads N] [--json]

MuSiQue's passages with their recorded triples, and the same model (all-MiniLM-L6-v2) for all:

- *HippoRAG*: what its `index` passes to its encoder, as it does (Gutiérrez et al., arXiv 2502.14802; its code at
  github.com/OSU-NLP-Group/HippoRAG): passages, then distinct phrases in alphabetical order, then distinct facts, each
  the `str` of a tuple, in the order of a set; in batches of 16, padded to the longest of each, float32.
- *sorted*: the same texts with sentence-transformers' `encode`, which sorts them by length, in batches of 32.
- *memlake*: passages as a lake embeds them, distinct keys of the phrases, distinct facts as one line of three keys.

The four take turns, a part of their texts at a time, so that all see the same machine. Loading is not counted. With
`--threads 1` the processor's seconds can be compared even where other work shares the machine.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from corpora import TRIPLES

from graph.normalise import normalise
from memory.embedding import (
    BUNDLED_MODEL,
    Embedder,
    EmbedderSpec,
    bundled_model_path,
    open_embedder,
    token_counter,
    unit_rows,
)
from memory.segmentation import contextual_text, segment
from warehouse.sections import SegmentationSettings

KINDS = ("passages", "phrases", "facts")
SPECIAL_TOKENS = 2
COMPARED = 100
"""Texts of each kind whose vectors are compared with sentence-transformers' own."""

Texts = dict[str, list[str]]


def hipporag_texts(documents: list[dict[str, Any]]) -> Texts:
    """What HippoRAG 2 encodes for these, in its order; that of a set is taken by chance."""
    triples = [tuple(map(_hipporag_phrase, triple)) for triple in _triples(documents)]
    facts = [str(triple) for triple in dict.fromkeys(triples)]
    random.Random(0).shuffle(facts)
    return {
        "passages": list(dict.fromkeys(f"{document['title']}\n{document['text']}" for document in documents)),
        "phrases": sorted({phrase for subject, _, object_ in triples for phrase in (subject, object_)}),
        "facts": facts,
    }


def _hipporag_phrase(value: object) -> str:
    return re.sub("[^A-Za-z0-9 ]", " ", str(value).lower()).strip()


def memlake_texts(documents: list[dict[str, Any]]) -> Texts:
    """What a lake embeds for these."""
    count = token_counter(EmbedderSpec("sentence-transformers", BUNDLED_MODEL))
    sizes = SegmentationSettings()
    passages = [
        contextual_text(document["title"], " > ".join(span.headings), document["text"][span.start : span.end])
        for document in documents
        for span in segment(document["text"], "text/plain", count, sizes.target_tokens, sizes.max_tokens)
    ]
    keys = [tuple(normalise(str(value)) for value in triple) for triple in _triples(documents)]
    return {
        "passages": list(dict.fromkeys(passages)),
        "phrases": list(dict.fromkeys(key for subject, _, object_ in keys for key in (subject, object_) if key)),
        "facts": list(dict.fromkeys(" ".join(key) for key in keys)),
    }


def _triples(documents: list[dict[str, Any]]) -> Iterator[list[Any]]:
    return (triple for document in documents for triple in document["extracted_triples"] if len(triple) == 3)


def measure(documents: list[dict[str, Any]], rounds: int, hipporag_batch: int) -> dict[str, Any]:
    """Seconds, texts and tokens of each system, by kind."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(bundled_model_path()), device="cpu")
    ours = {
        precision: open_embedder(EmbedderSpec("sentence-transformers", BUNDLED_MODEL, precision))
        for precision in ("float32", "bfloat16")
    }
    theirs, lake = hipporag_texts(documents), memlake_texts(documents)

    def in_arrival_order(texts: list[str]) -> None:
        with torch.no_grad():
            for start in range(0, len(texts), hipporag_batch):
                model(model.preprocess(texts[start : start + hipporag_batch]))

    def sorted_by_length(texts: list[str]) -> None:
        model.encode(texts, batch_size=32, show_progress_bar=False)

    systems: dict[str, tuple[Texts, Callable[[list[str]], object]]] = {
        "HippoRAG": (theirs, in_arrival_order),
        "sorted": (theirs, sorted_by_length),
        "memlake float32": (lake, ours["float32"].encode),
        "memlake bfloat16": (lake, ours["bfloat16"].encode),
    }
    for texts, encode in systems.values():
        encode(texts["facts"][:64])
    wall = {name: dict.fromkeys(KINDS, 0.0) for name in systems}
    processor = dict.fromkeys(systems, 0.0)
    for turn in range(rounds):
        for kind in KINDS:
            for name, (texts, encode) in list(systems.items())[:: -1 if turn % 2 else 1]:
                part = _part(texts[kind], turn, rounds, in_order=name == "HippoRAG")
                begun, used = time.perf_counter(), time.process_time()
                encode(part)
                wall[name][kind] += time.perf_counter() - begun
                processor[name] += time.process_time() - used
    rows = [_row(name, texts, wall[name]) for name, (texts, _) in systems.items()]
    for row in rows:
        row["processor_seconds"] = processor[row["system"]]
        row["ratio"] = rows[0]["seconds"] / row["seconds"]
        row["processor_ratio"] = rows[0]["processor_seconds"] / row["processor_seconds"]
    sample = [text for kind in KINDS for text in lake[kind][:COMPARED]]
    own = unit_rows(model.encode(sample, batch_size=1, show_progress_bar=False))
    return {
        "documents": len(documents),
        "processors": torch.get_num_threads(),
        "hipporag_batch": hipporag_batch,
        "systems": rows,
        "cosine": {precision: _cosines(embedder, sample, own) for precision, embedder in ours.items()},
    }


def _part(texts: list[str], turn: int, rounds: int, *, in_order: bool) -> list[str]:
    """A turn's texts: consecutive ones where their order matters, else every ``rounds``-th."""
    if not in_order:
        return texts[turn::rounds]
    return texts[len(texts) * turn // rounds : len(texts) * (turn + 1) // rounds]


def _row(name: str, texts: Texts, seconds: dict[str, float]) -> dict[str, Any]:
    count = token_counter(EmbedderSpec("sentence-transformers", BUNDLED_MODEL))
    tokens = sum(sum(count(texts[kind])) + SPECIAL_TOKENS * len(texts[kind]) for kind in KINDS)
    number = sum(len(texts[kind]) for kind in KINDS)
    total = sum(seconds.values())
    return {
        "system": name,
        "texts": number,
        "tokens": tokens,
        "seconds": total,
        "texts_per_second": number / total,
        "kinds": {kind: {"texts": len(texts[kind]), "seconds": seconds[kind]} for kind in KINDS},
    }


def _cosines(embedder: Embedder, texts: list[str], own: np.ndarray) -> dict[str, float]:
    cosines = (embedder.encode(texts) * own).sum(axis=1)
    return {"lowest": float(cosines.min()), "mean": float(cosines.mean())}


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sample", type=float, default=1.0, metavar="SHARE", help="share of the documents; default 1")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns that each system takes; default 5")
    parser.add_argument("--hipporag-batch", type=int, default=16, metavar="N", help="default 16, as its settings have")
    parser.add_argument("--threads", type=int, metavar="N", help="processors to use; default all")
    arguments = parser.parse_args()
    if not TRIPLES.exists():
        sys.exit(f"There is no file {TRIPLES}: put the evaluation data beside the checkout.")
    if not 0 < arguments.sample <= 1 or arguments.rounds < 1 or arguments.hipporag_batch < 1:
        parser.error("--sample is above 0 and at most 1, --rounds and --hipporag-batch are at least 1")
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    documents = json.loads(TRIPLES.read_text(encoding="utf-8"))["docs"]
    if arguments.sample < 1:
        documents = random.Random(0).sample(documents, max(round(len(documents) * arguments.sample), 1))
    figures = measure(documents, arguments.rounds, arguments.hipporag_batch)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    _print(figures)


def _print(figures: dict[str, Any]) -> None:
    print(
        f"{figures['documents']:,} documents, {figures['processors']} processors; "
        f"HippoRAG's batches of {figures['hipporag_batch']}"
    )
    print(f"{'':18}{'texts':>8}{'tokens':>10}{'passages':>10}{'phrases':>10}{'facts':>10}", end="")
    print(f"{'together':>11}{'texts/s':>9}{'ratio':>7}{'processor':>12}{'ratio':>7}")
    for row in figures["systems"]:
        kinds = "".join(f"{row['kinds'][kind]['seconds']:8.1f} s" for kind in KINDS)
        print(
            f"{row['system']:18}{row['texts']:8,}{row['tokens']:10,}{kinds}{row['seconds']:9.1f} s"
            f"{row['texts_per_second']:9.0f}{row['ratio']:7.2f}{row['processor_seconds']:10.1f} s"
            f"{row['processor_ratio']:7.2f}"
        )
    for precision, cosine in figures["cosine"].items():
        print(
            f"cosine to sentence-transformers' float32, {precision}: "
            f"mean {cosine['mean']:.6f}, lowest {cosine['lowest']:.6f}"
        )


if __name__ == "__main__":
    main()

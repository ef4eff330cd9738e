"""Corpora for the benchmarks: the evaluation data where it is there, else text made from a seed."""

from __future__ import annotations

import json
import random
from pathlib import Path

MUSIQUE = Path(__file__).parents[2] / "shared" / "data" / "musique-train" / "musique_train_corpus.json"

_SYLLABLES = "ba do ka li mo na pe ra si to vu we xi yo za dren fol gar hest iln jor kul mard nost quel".split()


def synthetic(file: Path, documents: int, words: int) -> Path:
    """A JSON array of ``documents`` titled paragraphs of about ``words`` words; the same for the same numbers."""
    chance = random.Random(documents * 1_000 + words)
    vocabulary = ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))) for _ in range(5_000)]
    names = [word.capitalize() for word in vocabulary[:1_500]]
    records = []
    for number in range(documents):
        body = [chance.choice(names) if chance.random() < 0.08 else chance.choice(vocabulary) for _ in range(words)]
        sentences = [" ".join(body[start : start + 12]).capitalize() + "." for start in range(0, words, 12)]
        records.append({"title": f"{chance.choice(names)} {number}", "text": " ".join(sentences)})
    file.write_text(json.dumps(records), encoding="utf-8")
    return file


def settings_file(folder: Path, corpus: Path, embedding: str = "") -> Path:
    """A ``memlake.toml`` for a lake in ``folder`` whose only source is ``corpus``."""
    file = folder / "memlake.toml"
    file.write_text(
        f'[lake]\nroot = "lake"\n\n{embedding}\n[[sources]]\nname = "corpus"\nkind = "jsonl"\nurl = "{corpus}"\n',
        encoding="utf-8",
    )
    return file

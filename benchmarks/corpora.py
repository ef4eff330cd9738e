"""Corpora for the benchmarks: the evaluation data where it is there, else text made from a seed."""

from __future__ import annotations

import json
import random
from pathlib import Path

_DATA = Path(__file__).parents[2] / "shared" / "data"
MUSIQUE = _DATA / "musique-train" / "musique_train_corpus.json"
TRIPLES = _DATA / "musique-train" / "openie_results_ner_gpt-3.5-turbo-1106.json"
OPENIE = _DATA / "musique-train" / "openie_results_ner_gpt-3.5-turbo-1106.json"
REVISIONS = _DATA / "docs-revisions" / "mem0_docs_quarterly.jsonl.gz"

_SYLLABLES = "ba do ka li mo na pe ra si to vu we xi yo za dren fol gar hest iln jor kul mard nost quel".split()


def synthetic(file: Path, documents: int, words: int) -> Path:
    """A JSON array of ``documents`` titled paragraphs of about ``words`` words; the same for the same numbers."""
    chance = random.Random(documents * 1_000 + words)
    vocabulary, names = _words(chance)
    records = []
    for number in range(documents):
        text = _paragraph(chance, vocabulary, names, words)
        records.append({"title": f"{chance.choice(names)} {number}", "text": text})
    file.write_text(json.dumps(records), encoding="utf-8")
    return file


def synthetic_folder(folder: Path, documents: int, sections: int, words: int) -> list[Path]:
    """Markdown files of ``sections`` sections of about ``words`` words each; the same for the same numbers."""
    chance = random.Random(documents * 1_000_000 + sections * 1_000 + words)
    vocabulary, names = _words(chance)
    folder.mkdir(parents=True)
    files = []
    for number in range(documents):
        parts = [f"# {chance.choice(names)} {number}"]
        parts += [
            f"## {chance.choice(names)} {section}\n\n{_paragraph(chance, vocabulary, names, words)}"
            for section in range(sections)
        ]
        files.append(folder / f"{number:04}.md")
        files[-1].write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return files


def _words(chance: random.Random) -> tuple[list[str], list[str]]:
    """A vocabulary of made-up words, and names."""
    vocabulary = ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))) for _ in range(5_000)]
    return vocabulary, [word.capitalize() for word in vocabulary[:1_500]]


def _paragraph(chance: random.Random, vocabulary: list[str], names: list[str], words: int) -> str:
    body = [chance.choice(names) if chance.random() < 0.08 else chance.choice(vocabulary) for _ in range(words)]
    return " ".join(" ".join(body[start : start + 12]).capitalize() + "." for start in range(0, words, 12))


def settings_file(folder: Path, corpus: Path, embedding: str = "") -> Path:
    """A ``memlake.toml`` for a lake in ``folder`` whose only source is ``corpus``."""
    file = folder / "memlake.toml"
    file.write_text(
        f'[lake]\nroot = "lake"\n\n{embedding}\n[[sources]]\nname = "corpus"\nkind = "jsonl"\nurl = "{corpus}"\n',
        encoding="utf-8",
    )
    return file

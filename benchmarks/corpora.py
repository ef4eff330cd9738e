"""Corpora for the benchmarks: the evaluation data where it is there, else text made from a seed."""

from __future__ import annotations

import json
import random
from bisect import bisect
from itertools import accumulate
from pathlib import Path

_DATA = Path(__file__).parents[2] / "shared" / "data"
MUSIQUE = _DATA / "musique-train" / "musique_train_corpus.json"
TRIPLES = _DATA / "musique-train" / "openie_results_ner_gpt-3.5-turbo-1106.json"
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


_STATEMENTS = (
    "{0} works for {1}.",
    "{0} was born in {1}.",
    "{0} was founded by {1} in 1974.",
    "In the spring, {0} met {1} at the {filler}.",
    "{0} is a {filler} in {1}.",
    "The {filler} of {0} was visited by {1}.",
    "The CEO of {0} is {1}.",
)
_STATEMENTS_A_RECORD = 4
_VARIED = 0.02
"""Share of the records that state an acronym, and of the names that are written otherwise."""


class NamedRecords:
    """JSON records of two names a sentence, a passage each; names are as frequent as in a text, by Zipf's law."""

    def __init__(self, names: int) -> None:
        """``names`` is how many there are to choose from."""
        self._chance = random.Random(names)
        self._vocabulary, words = _words(self._chance)
        once = sorted(set(words))
        numbers = self._chance.sample(range(len(once) ** 2), names)
        self._names = [f"{once[number // len(once)]} {once[number % len(once)]}" for number in numbers]
        self._reach = list(accumulate((place + 10) ** -0.9 for place in range(names)))

    def write(self, folder: Path, records: int, a_file: int = 1_000) -> None:
        """Add ``records`` more to ``folder``, as JSON Lines with fields title, text and date."""
        folder.mkdir(parents=True, exist_ok=True)
        first = len(list(folder.iterdir()))
        for number, start in enumerate(range(0, records, a_file), first):
            lines = [json.dumps(self._record(f"{number}.{line}")) for line in range(min(a_file, records - start))]
            (folder / f"{number:05}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _record(self, number: str) -> dict[str, str]:
        chance = self._chance
        sentences = [
            statement.format(self._name(), self._name(), filler=chance.choice(self._vocabulary))
            for statement in chance.choices(_STATEMENTS, k=_STATEMENTS_A_RECORD)
        ]
        if chance.random() < _VARIED:
            words = [word.capitalize() for word in chance.choices(self._vocabulary, k=3)]
            sentences.append(f"The {' '.join(words)} ({''.join(word[0] for word in words)}) agreed.")
        date = f"{chance.randint(2000, 2025)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        return {"title": f"{self._name()} {number}", "text": " ".join(sentences), "date": date}

    def _name(self) -> str:
        name = self._names[bisect(self._reach, self._chance.random() * self._reach[-1])]
        return name.replace(" ", "").capitalize() if self._chance.random() < _VARIED else name


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

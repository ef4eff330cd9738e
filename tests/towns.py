"""A small dataset: harbour towns, a question about each, and one that no document answers."""

from __future__ import annotations

from conftest import REPOSITORY

from evaluation.dataset import CorpusDocument, Dataset, Evidence, GoldUnit, Question, document_path

TOWNS = ("Hallin", "Grimmelund", "Gull Point", "Birch", "Sable", "Tern", "Ocker", "Wend")


def corpus() -> tuple[CorpusDocument, ...]:
    """Harbour towns, each with a master, a year a document."""
    return tuple(
        CorpusDocument(
            f"t{number}",
            f"The harbour of {town} is kept by master Reyes-{number}. Its lamp was lit in {1900 + number}. "
            f"The {town} ferry carries wool and lamps.",
            title=town,
            date=f"2024-0{number + 1}-01",
        )
        for number, town in enumerate(TOWNS)
    )


def questions() -> tuple[Question, ...]:
    asked = [
        Question(
            f"q{number}",
            f"Who keeps the harbour of {town}?",
            answers=(f"Reyes-{number}",),
            gold=(Evidence(document_path("default", f"t{number}")),),
            facts=(Evidence(document_path("default", f"t{number}"), f"Its lamp was lit in {1900 + number}."),),
            kind="even" if number % 2 == 0 else "odd",
        )
        for number, town in enumerate(TOWNS)
    ]
    return (*asked, Question("q-none", "What does the moon weigh?", kind="null", answerable=False))


def towns() -> Dataset:
    return Dataset("towns", "questions", GoldUnit.DOCUMENT, (REPOSITORY / "pyproject.toml",), corpus(), questions())

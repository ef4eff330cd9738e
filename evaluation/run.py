"""One evaluation: every system ranks passages for every question, and what it ranks is scored against the gold.

Questions are taken in chunks, each embedded and searched once for all systems; a chunk's results are handed over when
it is done, so that an evaluation that is interrupted goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from errors import DocumentRejected, SnapshotError
from evaluation.dataset import Dataset, Evidence, Problem, Question
from evaluation.judge import Judge
from evaluation.matching import GoldFinder, Located, Shown, fact_ranks, gold_ranks, shown_passages
from evaluation.metrics import answer_metrics, fact_metrics, freshness_metrics, retrieval_metrics
from evaluation.systems import BM25, Ranker, System
from memory.embedding import EmbedderSpec
from retrieval import Answer, Hit, MemoryClient
from retrieval.search import Search
from warehouse.settings import Settings

DEPTH = 50
"""Passages that a system ranks for a question."""

KEPT = 20
"""Passages of them that are noted."""

_CHUNK = 64
"""Questions between two hand-overs."""

_TIMED = 50

_TIMED_K = 10

_OPEN_SPACES = 16
"""Spaces that are kept open; questions are asked space by space, and a benchmark may have hundreds."""

AS_OF = "as-of:"
"""Before a date, in place of a snapshot's id."""

OpenClient = Callable[[str, str], MemoryClient]
"""Space and snapshot to a client; the snapshot is an id, ``as-of:`` with a date, or empty for the run's own."""

CountTokens = Callable[[Sequence[str]], list[int]]


class Progress(Protocol):
    """Told how far the evaluation is."""

    def start(self, step: str, source: str, total: int) -> None: ...

    def advance(self, units: int) -> None: ...

    def finish(self) -> None: ...


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What a system answered."""

    text: str
    refused: bool
    answered_by: str
    calls: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """How one system did on one question."""

    system: str
    question_id: str
    kind: str
    answerable: bool
    metrics: dict[str, float]
    passages: tuple[str, ...]
    """The first passages, best first."""
    documents: tuple[str, ...]
    """Ids of their documents, and of those that the answer was given from, each once."""
    gold_ranks: tuple[int, ...]
    """Where each piece of gold was found, from 1; 0 where it was not."""
    answer: GivenAnswer | None = None
    latency_ms: float | None = None


@dataclass
class _Space:
    """One space of one snapshot, with what is needed to score it."""

    client: MemoryClient
    ranker: Ranker
    finder: GoldFinder


@dataclass
class Evaluation:
    """A dataset, the lake that is asked, and the systems that are compared."""

    dataset: Dataset
    open_client: OpenClient
    systems: tuple[System, ...]
    settings: Settings
    count_tokens: CountTokens
    answered: Collection[str] = ()
    """Systems that also answer."""
    judge: Judge | None = None
    chunk: int = _CHUNK
    timed: int = _TIMED
    """Questions that are also asked one at a time, for the latency."""
    _spaces: dict[tuple[str, str], _Space] = field(default_factory=dict, init=False)
    _vectors: dict[str, dict[str, NDArray[np.float32]]] = field(default_factory=dict, init=False)
    _tokens: dict[str, int] = field(default_factory=dict, init=False)

    def resolve(self, tolerated: float) -> tuple[tuple[Question, ...], tuple[Problem, ...]]:
        """The questions whose evidence is in the lake, and what is wrong with the others.

        Raises:
            DocumentRejected: more than the tolerated share of the evidence is nowhere.
            UnknownName: the lake has no such space.
        """
        kept, problems = [], []
        for question in self.dataset.questions:
            try:
                finder = self._space(question.space, _snapshot_of(question)).finder
            except SnapshotError as error:
                if not question.as_of:
                    raise
                problems.append(Problem(f"question {question.question_id}", error.message.rstrip(".")))
                continue
            missing = [
                item for item in (*question.gold, *question.outdated, *question.facts) if not finder.locate(item)
            ]
            if missing:
                what = f"its evidence in {missing[0].path} is not in the lake"
                problems.append(Problem(f"question {question.question_id}", what))
            else:
                kept.append(question)
        if not kept or len(problems) > tolerated * len(self.dataset.questions):
            raise DocumentRejected(
                f"{self.dataset.name}: the evidence of {len(problems)} of {len(self.dataset.questions)} questions is "
                f"not in the lake. {' '.join(f'{problem}.' for problem in problems[:3])}",
                "Check that the questions belong to this corpus, or let more go with --tolerate.",
            )
        return tuple(kept), tuple(problems)

    def results(
        self, questions: Sequence[Question], done: Collection[tuple[str, str]], progress: Progress
    ) -> Iterator[list[QuestionResult]]:
        """The results, a chunk of questions at a time.

        Args:
            done: system and question of results that are there already.
        """
        names = [system.name for system in self.systems]
        left = [item for item in questions if any((name, item.question_id) not in done for name in names)]
        timed = {item.question_id for item in questions[:: max(1, len(questions) // max(1, self.timed))][: self.timed]}
        progress.start("evaluating", self.dataset.name, len(left))
        by_view: dict[tuple[str, str], list[Question]] = {}
        for question in left:
            by_view.setdefault((question.space, _snapshot_of(question)), []).append(question)
        for space, snapshot in sorted(by_view):
            mine = by_view[space, snapshot]
            for start in range(0, len(mine), self.chunk):
                chunk = mine[start : start + self.chunk]
                rows = self._chunk_results(space, snapshot, chunk, timed)
                progress.advance(len(chunk))
                yield [row for row in rows if (row.system, row.question_id) not in done]
        progress.finish()

    def _chunk_results(
        self, space: str, snapshot: str, questions: Sequence[Question], timed: Collection[str]
    ) -> list[QuestionResult]:
        searches: dict[str, Search] = {}
        rows = []
        for system in self.systems:
            asked = system.snapshot or snapshot
            opened = self._space(space, asked)
            if asked not in searches:
                searches[asked] = opened.client.batch([question.text for question in questions], DEPTH)
            search = searches[asked]
            found = opened.ranker.hits(system, search, [question.text for question in questions], DEPTH)
            for question, hits in zip(questions, found, strict=True):
                latency = self._latency(opened, system, question) if question.question_id in timed else None
                rows.append(self._scored(opened, system, question, hits, latency))
        return rows

    def _scored(
        self, opened: _Space, system: System, question: Question, hits: Sequence[Hit], latency: float | None
    ) -> QuestionResult:
        shown = list(shown_passages(hits))
        metrics: dict[str, float] = {}
        ranks: list[int] = []
        if question.gold:
            ranks = self._ranks(opened, question.gold, shown)
            metrics |= retrieval_metrics(ranks)
        if question.facts:
            metrics |= fact_metrics(fact_ranks([self._located(opened, item) for item in question.facts], shown))
        if question.outdated:
            current = [item for item in question.gold if item not in question.outdated]
            metrics |= freshness_metrics(
                self._ranks(opened, current, shown), self._ranks(opened, question.outdated, shown)
            )
        read = hits[: self.settings.answer.passages]
        metrics["context_tokens"] = float(sum(self._counted(read)))
        answer = None
        if system.name in self.answered:
            given = opened.client.answer(question.text, read, partial(self._encode, opened))
            answer = GivenAnswer(
                text=given.text,
                refused=given.refused,
                answered_by=given.answered_by,
                calls=given.usage.calls,
                prompt_tokens=given.usage.prompt_tokens,
                completion_tokens=given.usage.completion_tokens,
            )
            metrics |= self._answer_metrics(question, given)
        documents = {hit.passage_id: hit.span.document_id for hit in hits} | {
            other.passage_id: other.span.document_id for hit in hits for other in hit.further
        }
        first = [item.passage_id for item in shown[:KEPT]]
        told = [*first, *(hit.passage_id for hit in read)]
        return QuestionResult(
            system=system.name,
            question_id=question.question_id,
            kind=question.kind,
            answerable=question.answerable,
            metrics=metrics,
            passages=tuple(first),
            documents=tuple(dict.fromkeys(documents[key] for key in told)),
            gold_ranks=tuple(ranks),
            answer=answer,
            latency_ms=latency,
        )

    def _answer_metrics(self, question: Question, given: Answer) -> dict[str, float]:
        metrics = {"refused": float(given.refused)}
        if question.answerable and question.answers:
            said = "" if given.refused else given.text
            metrics |= answer_metrics(said, question.answers)
            if self.judge:
                metrics["judged"] = float(self.judge.accepts(question.text, question.answers, said))
        return metrics

    def _latency(self, opened: _Space, system: System, question: Question) -> float | None:
        """Milliseconds of one query by itself, its embedding included; a baseline's index is not the lake's to time."""
        if system.name == BM25:
            return None
        started = time.perf_counter()
        search = opened.client.batch([question.text], _TIMED_K, channels=system.channels)
        opened.ranker.hits(system, search, [question.text], _TIMED_K)
        return (time.perf_counter() - started) * 1000

    def _space(self, space: str, snapshot: str) -> _Space:
        if (space, snapshot) not in self._spaces:
            while len(self._spaces) >= _OPEN_SPACES:
                self._spaces.pop(next(iter(self._spaces))).client.close()
            client = self.open_client(space, snapshot)
            passages = client.passages()
            self._spaces[space, snapshot] = _Space(
                client, Ranker(lambda: passages, self.settings.retrieval.fusion), GoldFinder(passages)
            )
        return self._spaces[space, snapshot]

    def _ranks(self, opened: _Space, gold: Sequence[Evidence], shown: Sequence[Shown]) -> list[int]:
        return gold_ranks([self._located(opened, item) for item in gold], shown, self.dataset.unit)

    @staticmethod
    def _located(opened: _Space, evidence: Evidence) -> Located:
        """Where the evidence is; what this snapshot does not have is never found."""
        return opened.finder.locate(evidence) or Located(frozenset())

    def _encode(self, opened: _Space, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of texts, each embedded once by the snapshot's embedder: passages come up for many questions."""
        known = self._vectors.setdefault(EmbedderSpec(**opened.client.snapshot.embedder).identity, {})
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, opened.client.embed(new), strict=True))
        return np.stack([known[text] for text in texts])

    def _counted(self, hits: Sequence[Hit]) -> list[int]:
        new = {hit.passage_id: hit.text for hit in hits if hit.passage_id not in self._tokens}
        if new:
            self._tokens.update(zip(new, self.count_tokens(list(new.values())), strict=True))
        return [self._tokens[hit.passage_id] for hit in hits]


def _snapshot_of(question: Question) -> str:
    return f"{AS_OF}{question.as_of}" if question.as_of else ""

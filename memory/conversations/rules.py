"""The memories of a session by rules: one call of the encoder, and no other document.

Turns, rounds and episodes together repeat the session; the summary, the keywords and the facts stay within shares of
its tokens that are stated here, so that what they cost to embed is known beforehand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memory.conversations.episodes import episodes
from memory.conversations.session import Session, rounds
from memory.conversations.statements import Statement, sentence_spans, statements
from memory.conversations.summaries import keywords, summary
from memory.conversations.times import TimeExpression, days_of, time_expressions
from memory.embedding import TokenCounter
from memory.granularity import Granularity, Memory

CODE_VERSION = "1"
"""Of all that memories by rules depend on here: statements, attributes, summaries, keywords, rounds and episodes."""

FACT_SHARE = 0.2
"""Of a session's tokens, for its most telling facts; a fact that a later one can update is never left out."""

_NAME_TOKENS, _DAY_TOKENS = 2, 5
_FIXED_TOKENS = 8
"""What a memory costs whatever its length, so that very short facts are not the best ones."""
_LONG_TOKEN = 8
"""Characters of a token at most, on average: a tokenizer may take a run of a thousand letters for one unknown word."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Vectors of texts, shape ``(len(texts), dimensions)``, rows of unit length; a cheap encoder will do."""


def session_memories(
    session: Session, encode: Encode, count_tokens: TokenCounter, times: Sequence[TimeExpression] | None = None
) -> list[Memory]:
    """The summary, the keywords, the episodes, rounds, turns and facts of a session; nothing of one without words.

    Every ``parent`` lies before its children: turn, round, episode, summary; a fact lies in its turn.

    Args:
        times: the time expressions of the text, where they are known already.
    """
    if not session.turns:
        return []
    if times is None:
        times = time_expressions(session.text, session.day)
    spans = sentence_spans(session)
    flat = [span for inside in spans for span in inside]
    texts = [session.text[start:end] for start, end in flat]
    vectors = encode(texts)
    sizes = [max(size, len(text) // _LONG_TOKEN) for size, text in zip(count_tokens(texts), texts, strict=True)]
    found = statements(session, spans, times)
    memories = [summary(session, spans, vectors, found, sizes)]
    if (terms := keywords(session)) is not None:
        memories.append(replace(terms, parent=0))
    turns = add_structure(session, memories, _topics(session, spans, vectors), times)
    kept = _affordable(found, dict(zip(flat, sizes, strict=True)), FACT_SHARE * sum(sizes))
    memories.extend(replace(fact.memory, parent=turns[fact.turn]) for fact in kept)
    return memories


def add_structure(
    session: Session,
    memories: list[Memory],
    topics: Sequence[tuple[int, int]],
    times: Sequence[TimeExpression],
) -> list[int]:
    """Add the episodes, the rounds and the turns of a session below its summary, the first of ``memories``.

    Args:
        topics: places ``[first, last)`` of the rounds of each episode; they cover all rounds in order.

    Returns:
        The place of each turn in ``memories``.
    """
    exchanges = rounds(session.turns)
    episode_of: list[int] = []
    for first, last in topics:
        episode_of += [len(memories)] * (last - first)
        ends = exchanges[first][0], exchanges[last - 1][1]
        memories.append(_run(session, Granularity.EPISODE, ends, 0, times))
    round_of: list[int] = []
    for exchange, episode in zip(exchanges, episode_of, strict=True):
        round_of += [len(memories)] * (exchange[1] - exchange[0])
        memories.append(_run(session, Granularity.ROUND, exchange, episode, times))
    first_turn = len(memories)
    for place, turn in enumerate(session.turns):
        memory = _run(session, Granularity.TURN, (place, place + 1), round_of[place], times)
        memories.append(replace(memory, speaker=turn.speaker))
    return list(range(first_turn, len(memories)))


def _run(
    session: Session,
    granularity: Granularity,
    places: tuple[int, int],
    parent: int,
    times: Sequence[TimeExpression],
) -> Memory:
    start, end = session.turns[places[0]].start, session.turns[places[1] - 1].end
    since, until = days_of(times, start, end)
    return Memory(granularity, session.text[start:end], ((start, end),), parent, since=since, until=until)


def _topics(
    session: Session, spans: Sequence[Sequence[tuple[int, int]]], vectors: NDArray[np.float32]
) -> list[tuple[int, int]]:
    """Episodes over the sums of the rounds' sentence vectors, each sentence by the root of its length."""
    lengths = np.array([end - start for inside in spans for start, end in inside], dtype=np.float32)
    weighted = vectors * np.sqrt(lengths)[:, None]
    ends = np.concatenate([[0], np.cumsum([len(inside) for inside in spans])])
    sums = [weighted[ends[first] : ends[last]].sum(axis=0) for first, last in rounds(session.turns)]
    return episodes(np.stack(sums))


def _affordable(found: Sequence[Statement], sizes: Mapping[tuple[int, int], int], limit: float) -> list[Statement]:
    """The most telling facts for their length that ``limit`` tokens hold, and all that a later one can update.

    In the order of the text. A further fact of a turn counts half of the one before it: its turn is known already.

    Args:
        sizes: tokens of each sentence; a fact has a few more, for its speaker and its days.
    """
    costs = [sizes[fact.memory.spans[0]] + _NAME_TOKENS + (_DAY_TOKENS if fact.memory.since else 0) for fact in found]
    worth = [fact.score / (_FIXED_TOKENS + cost) for fact, cost in zip(found, costs, strict=True)]
    heard: Counter[int] = Counter()
    for at in sorted(range(len(found)), key=lambda at: (-worth[at], at)):
        worth[at] *= 0.5 ** heard[found[at].turn]
        heard[found[at].turn] += 1
    kept: list[int] = []
    used = 0
    for at in sorted(range(len(found)), key=lambda at: (not found[at].memory.attribute, -worth[at], at)):
        if found[at].memory.attribute or used + costs[at] <= limit:
            kept.append(at)
            used += costs[at]
    return [found[at] for at in sorted(kept)]

"""Sentences in which a speaker states something of themselves or of others, as facts that stand alone.

The words stay the speaker's: a fact is `Speaker: sentence`, or in the third person where one exchange of words makes it
so, with the days that its time expressions mean behind them. Questions, greetings, praise, wishes and commands are no
facts. The rules are for English; of other languages they find answers to questions at most.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from memory.conversations.attributes import stated_attribute
from memory.conversations.background import telling
from memory.conversations.session import Session, Turn
from memory.conversations.times import TimeExpression, days_in_words, days_of
from memory.granularity import Granularity, Memory
from memory.segmentation import sentences

CODE_VERSION = "1"

MACHINES = frozenset("assistant system bot chatbot ai model tool function developer".split())
"""Speakers that state nothing of themselves; what they say is found by its turns."""
LONGEST = 400
"""Characters of a fact; a longer sentence is no single statement."""
_FEWEST_WORDS = 4

_SELF = re.compile(
    r"\b(?:I|me|my|mine|myself|we|us|our|ours|ourselves)\b|\bI'(?:m|ve|d|ll)\b|\b[Ww]e'(?:re|ve|d|ll)\b|^(?:My|Our|We)\b"
)
_OTHERS = re.compile(r"\b(?:he|she|they|him|them|his|their)\b", re.IGNORECASE)
_PAST = (
    r"(?:been|got|had|went|made|took|bought|met|saw|found|lost|won|ran|came|spent|gave|wrote|read|began|built|sold|taught"
    r"|learnt|told|felt|grew|left|kept|led|broke|chose|did|drove|ate|fell|flew|forgot|heard|held|hit|hurt|knew|paid|put"
    r"|quit|rode|sang|sat|sent|set|slept|spoke|stood|swam|threw|thought|woke|wore|brought|became|caught|[a-z]{2,20}ed)"
)
_JUST = r"(?:just|also|actually|recently|lately|finally|already|really|once|even|then|still|so|and|but)"
_EVENT = re.compile(rf"\b(?:I|we)(?:'ve|\shave|'d|\shad)?(?:\s{_JUST})?\s{_PAST}\b", re.IGNORECASE)
"""What somebody did or what befell them."""
_ELIDED = re.compile(
    rf"^(?:{_JUST},?\s){{0,2}}(?:{_PAST}|thinking|planning|working|looking|trying)\b(?!\s(?:by|you)\b)", re.IGNORECASE
)
"""A statement without its `I`."""
_OPENING = re.compile(
    r"^(?:(?:hey|hi|hello|wow|whoa|woah|oh|yeah|yep|yes|no|nope|aww?|haha|ok|okay|well|thanks?(?:\s(?:so\smuch|a\slot|a\sbunch"
    r"|you))?|thank\syou|totally|absolutely|exactly|definitely|sure|cool|nice|great|awesome|sorry|sounds\sgood|you're\sright"
    r"|of\scourse|by\sthe\sway|congrats|glad)\b(?:[,\s]+[A-Z]\w+)?[,!.:;\s-]+)+",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"^(?:you|your|please|let's|let\sme|let\sus|keep|take|check|look|tell|have\s(?:a|fun)|don't|do\s|go\s|give\s(?!me)|never|remember|"
    r"good\s(?:luck|job|on)|see\syou|talk\s|enjoy|stay|believe|hang|feel\sfree|here's|congrats|can't\swait\sto\s(?:see|hear))",
    re.IGNORECASE,
)
_PRAISE = re.compile(
    r"\b(?:I|we)(?:'m|\sam|'re|\sare|\sfeel)?\s(?:(?:really|so|super|very|just|totally|truly|always|all)\s){0,2}"
    r"(?:(?:glad|happy|proud|sorry|excited|stoked|pumped|thrilled|psyched)\s(?:for|of|to\s(?:hear|see|help)|you|that\syou|about\syour|i\scould)"
    r"|(?:grateful|thankful|blessed)\s(?:for\syou|to\shave\syou|you)|hope\syou|wish\syou|hear\syou|agree|bet|appreciate|"
    r"get\sit|see\swhat|understand|can\simagine|know\s(?:you|what\syou|right|that|it)|totally|believe\sin\syou|"
    r"here\sfor\syou|rooting|cheering|admire|sure\syou|think\s(?:you|that's|it's\sgreat)|love\s(?:that|it|this|your|how\syou)"
    r"|like\s(?:that|it|your)|couldn't\sagree|can't\swait\sto\s(?:see|hear)|mean|guess|owe|got\sthis"
    r"|(?:'d|would|will|'ll)\s(?:love|like)\sto\s(?:see|hear|know)|wonder)\b|"
    r"^glad\b|\b(?:let\sme\sknow|means?\s(?:a\slot|so\smuch|the\sworld)|you\sgot\sthis|I'll\skeep\syou|tell\sme|I\swon't\squit)\b",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"^(?:that's|that is|this is|it's|its|what|how|such|so)\b", re.IGNORECASE)
_KIN = re.compile(
    r"^(?P<my>my|our)\s(?P<whom>(?:(?:older|younger|little|big|best|twin|new|oldest|youngest|late|former)\s)?[a-z]{2,20})\s"
    r"(?=(?:is|was|has|had|lives|lived|works|worked|likes|loves|got|moved|started|turned|plays|studies|went|wants|bought"
    r"|gave|told|died|passed|and\s)\b)",
    re.IGNORECASE,
)
_NAMED_KIN = re.compile(r"^(?:my|our)\s(?P<whom>[a-z]+)'s\s(?P<what>name|birthday|phone|favou?rite)\b", re.IGNORECASE)
_FIRST = re.compile(r"\b(?:I|me|my|mine|we|us|our|I'\w+|we'\w+)\b", re.IGNORECASE)
_OWNER = re.compile(
    r"^(?:\W*|.*\b(?:I|we|my|our))(?:\s?\b(?:just|have|recently|also|new|now|both|still|only|all))*\s?$", re.IGNORECASE
)
"""What stands before the words that state an attribute where it is the speaker's own: `I`, `we just`, `my`, nothing."""

_OWN = re.compile(r"(?:my|our)\b", re.IGNORECASE)

_LOOSE = 0.6
"""What a statement counts that names no one: an answer, or one about `them`."""
_UPDATING, _DATED, _HAPPENED = 2.0, 1.3, 1.5
"""How many times more a statement counts that a later one can update, that names a time, that tells what happened."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A fact, and how much it tells."""

    memory: Memory
    turn: int
    """Place of its turn."""
    score: float


def sentence_spans(session: Session) -> list[list[tuple[int, int]]]:
    """The sentences of each turn's words, as spans of the text."""
    return [list(sentences(session.text, turn.words, turn.end)) for turn in session.turns]


def statements(
    session: Session, spans: Sequence[Sequence[tuple[int, int]]], times: Sequence[TimeExpression]
) -> list[Statement]:
    """The facts of a session in the order of its text; ``parent`` is not set yet.

    Args:
        spans: :func:`sentence_spans` of it.
        times: the time expressions of its text.
    """
    found: list[Statement] = []
    asked = False
    for place, (turn, inside) in enumerate(zip(session.turns, spans, strict=True)):
        answers = asked and session.turns[place - 1].speaker != turn.speaker
        for start, end in inside if turn.speaker.casefold() not in MACHINES else ():
            score = _score(session.text[start:end], answers)
            if score > 0:
                fact = _fact(session, turn, (start, end), times)
                score *= (_UPDATING if fact.attribute else 1.0) * (_DATED if fact.since else 1.0)
                found.append(Statement(fact, place, score))
        asked = "?" in session.text[turn.words : turn.end]
    return found


def fact_text(session: Session, turn: Turn, span: tuple[int, int], times: Sequence[TimeExpression]) -> str:
    """A sentence that stands alone: who said it, and behind relative times the days that they mean."""
    start, end = span
    pieces, at = [], start
    for time in times:
        if time.relative and start <= time.start and time.end <= end:
            pieces += [session.text[at : time.end], f" ({days_in_words(time.since, time.until)})"]
            at = time.end
    sentence = "".join([*pieces, session.text[at:end]])
    kin = _KIN.match(sentence)
    if kin and not _FIRST.search(sentence, kin.end()):
        return f"{turn.speaker}'s {sentence[kin.start('whom') :]}"
    return f"{turn.speaker}: {sentence}"


def _fact(
    session: Session,
    turn: Turn,
    span: tuple[int, int],
    times: Sequence[TimeExpression],
) -> Memory:
    subject, attribute = _about(_OPENING.sub("", session.text[slice(*span)]).replace("’", "'"), turn.speaker.casefold())
    since, until = days_of(times, *span)
    text = fact_text(session, turn, span, times)
    return Memory(Granularity.FACT, text, (span,), None, turn.speaker, subject, attribute, since, until)


def _about(sentence: str, speaker: str) -> tuple[str, str]:
    """Whom a sentence is about, as far as that is sure, and what it tells of them that a later one can update."""
    stated = stated_attribute(sentence)
    kin = _NAMED_KIN.match(sentence) or _KIN.match(sentence)
    if kin and stated and (stated.start <= kin.start("whom") or _FIRST.search(sentence, kin.end(), stated.start)):
        kin = None  # `my birthday is`, `my mother cried when I moved`: it is the speaker's own
    if kin:
        return f"{speaker}'s {kin['whom'].casefold()}", stated.attribute if stated else ""
    if not (_SELF.search(sentence) or _ELIDED.match(sentence)):
        return "", ""
    theirs = stated and (_OWNER.search(sentence[: stated.start]) or _OWN.match(sentence, stated.start))
    return speaker, stated.attribute if stated and theirs else ""


def _score(raw: str, answers: bool) -> float:
    """How good a fact a sentence makes, 0 for none: what it tells, more where it is about the speaker."""
    plain = raw.replace("’", "'").rstrip()
    if len(raw) > LONGEST or plain.endswith(("?", "?!", "？", "؟")):
        return 0.0
    sentence = _OPENING.sub("", plain)
    if len(sentence.split()) < _FEWEST_WORDS or _COMMAND.match(sentence) or _PRAISE.search(sentence):
        return 0.0
    if _ADDRESS.match(sentence) and not (answers or _SELF.search(sentence)):
        return 0.0
    if _EVENT.search(sentence) or _ELIDED.match(sentence):
        weight = _HAPPENED
    elif _SELF.search(sentence):
        weight = 1.0
    elif answers or _OTHERS.search(sentence):
        weight = _LOOSE
    else:
        return 0.0
    return weight * telling(sentence)

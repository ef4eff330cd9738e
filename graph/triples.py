"""Triples in a passage by rules alone: who is linked to what, and by which words of the text.

The triples are a function of the passage's text, its title and its mentions, which are a function of the same, so that
an incremental lake equals a rebuilt one. They stand where HippoRAG (arXiv 2405.14831) calls a language model for open
information extraction. Sentences of English are read by `graph.clauses`; headings, lists, tables and labelled lines
say the same in every language that writes them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from graph.chunks import chunks
from graph.clauses import Clauses, Node, Topic
from graph.mentions import Mention
from graph.normalise import normalise
from graph.units import CODE, HEADING, ITEM, LABEL, LABELLED, ROW, Unit, sentences, units

CODE_VERSION = "1"

PHRASE = "phrase"
"""The kind of a subject or object that is no name but a short noun phrase, a cell or a value."""

_MAX_VALUE_WORDS = 8
_MAX_VALUE = 80
_MAX_TITLE_WORDS = 12
_QUALIFIER = re.compile(r"\s*[(（][^()（）]*[)）]\s*$")
_SENTENCE_LIKE = re.compile(r"[.!?…。！？]['\"”’)]*$")
_PERSONAL = re.compile(
    r"\b(?:i|i'm|me|my|we|us|our|you|your|hi|hello|hey|ok|okay|thanks|haha|lol|yeah)\b", re.IGNORECASE
)
_NO_LABEL = frozenset("note warning tip example hint todo important caution info http https q a".split())
_RULE = re.compile(r"[\s|:=-]+")
_TAIL = re.compile(r",|[ ](?:at|de|for|from|in|of|on)[ ]")
_MARKUP = " \t*_`"
_ATTRIBUTE_HEADS = frozenset({"", "attribute", "field", "key", "property"})


@dataclass(frozen=True, slots=True, order=True)
class Triple:
    """A link from a subject to an object, with the words that state it.

    `text[start:end]` is the evidence: the sentence, list item, row or line. A subject or object `in_title` has its
    offsets in the title, otherwise in the text.
    """

    subject: Mention
    predicate: str
    object: Mention
    start: int
    end: int
    subject_in_title: bool = False
    object_in_title: bool = False


def extract_triples(text: str, title: str, mentions: Sequence[Mention]) -> list[Triple]:
    """All triples of a passage, in order of their evidence, each once; `mentions` are those of `extract_mentions`."""
    return _Reader(text, title, mentions).read()


class _Reader:
    """Reads the units of one passage."""

    def __init__(self, text: str, title: str, mentions: Sequence[Mention]) -> None:
        self.text = text
        self.names = _outermost(mentions)
        self.starts = sorted(self.names)
        self.title = _title_node(title)
        self.topic = Topic(self.title if self.title is not None and _is_name(self.title.mention, mentions) else None)
        if self.topic.title is not None:
            self.topic.nouns.add(_head_noun(self.topic.title.mention.surface))
        self.heading: Unit | None = None
        self.intro: Unit | None = None  # a line just before a list, which ends with a colon
        self.labels: set[int] = set()
        self.found: dict[Triple, None] = {}

    def read(self) -> list[Triple]:
        """Go through the units once."""
        found = units(self.text)
        self.labels = self._labels(found)
        for kind, group in groupby(found, key=lambda unit: unit.kind):
            if kind == ROW:
                self._table(list(group))
                continue
            for unit in group:
                if kind != ITEM:
                    self.intro = unit if self.text[unit.end - 1] == ":" else None
                if kind == HEADING:
                    self.heading = unit
                    self.topic.last = None
                elif kind == ITEM:
                    self._item(unit)
                elif kind == LABELLED and unit.start in self.labels:
                    self._labelled(unit)
                elif kind != CODE:
                    self._sentence(unit.start, unit.end)
        return list(self.found)

    def _add(self, subject: Node, predicate: str, object_: Node, start: int, end: int) -> None:
        """Keep a triple, unless nothing is said or both ends are one."""
        one, other = subject.mention, object_.mention
        if not predicate or one.key == other.key:
            return
        if subject.in_title == object_.in_title and one.start < other.end and other.start < one.end:
            return
        triple = Triple(one, " ".join(predicate.split()), other, start, end, subject.in_title, object_.in_title)
        self.found.setdefault(triple)

    # --- sentences ------------------------------------------------------------------------------------------------

    def _sentence(self, start: int, end: int) -> None:
        if self.text[end - 1] in "?？":
            return

        def link(subject: Node, predicate: str, object_: Node) -> None:
            self._add(subject, predicate, object_, start, end)

        Clauses(self.text, self.topic, link).read(chunks(self.text, start, end, self.names))

    # --- structure ------------------------------------------------------------------------------------------------

    def _labels(self, found: Sequence[Unit]) -> set[int]:
        """Starts of the lines that are an attribute and its value; a dialogue's lines are not.

        Where a label stands twice there are speakers or several records; neither says anything of the title.
        """
        lines = [(unit, LABEL.match(self.text, unit.body, unit.end)) for unit in found if unit.kind in (LABELLED, ITEM)]
        labelled = [(unit, mark[1], self.text[mark.end() : unit.end]) for unit, mark in lines if mark is not None]
        if len({label.casefold() for _, label, _ in labelled}) < len(labelled):
            return set()
        plain = [(unit, label, value) for unit, label, value in labelled if _is_value(value)]
        spoken = len(plain) * 2 <= len(labelled)
        return {
            unit.start
            for unit, label, _ in plain
            if label.count(" ") < 4 and label.casefold() not in _NO_LABEL and not (spoken and label[0].isupper())
        }

    def _labelled(self, unit: Unit) -> None:
        """Of `Owner: Ana`: the title's owner is Ana."""
        mark = LABEL.match(self.text, unit.body, unit.end)
        if mark is None or self.title is None:
            return
        for value in self._values(mark.end(), unit.end):
            self._add(self.title, mark[1], value, unit.start, unit.end)

    def _item(self, unit: Unit) -> None:
        """Of a heading or an introduction and a short item below it: the title (else the heading) has that item. A long
        item is read as sentences."""
        if unit.start in self.labels:
            self._labelled(unit)
            return
        intro = self.intro
        above = intro if intro is not None and intro.end - intro.body <= _MAX_VALUE else self.heading
        if _is_value(self.text[unit.body : unit.end]) and above is not None:
            heading = self.text[above.body : above.end].strip(_MARKUP + "#:")
            owner, predicate = self.title, heading
            if owner is None or owner.mention.key == normalise(heading):
                owner, predicate = self._cell(above.body, above.end), "lists"
            for value in self._values(unit.body, unit.end):
                if owner is not None:
                    self._add(owner, predicate, value, unit.start, unit.end)
            return
        for start, end in sentences(self.text, unit.body, unit.end):
            self._sentence(start, end)

    def _table(self, rows: Sequence[Unit]) -> None:
        """Of a row: its first cell has, under each column's head, that cell. Two columns without heads tell of the
        title."""
        head: list[Node | None] | None = None
        for number, row in enumerate(rows):
            if _RULE.fullmatch(self.text, row.start, row.end):
                continue
            cells = self._cells(row)
            following = rows[number + 1] if number + 1 < len(rows) else None
            if following is not None and _RULE.fullmatch(self.text, following.start, following.end):
                head = cells
                continue
            first, owner = cells[0] if cells else None, self.title
            attributes = len(cells) == 2 and (head is None or _key(head[:1]) in _ATTRIBUTE_HEADS)
            if attributes and first is not None and owner is not None and cells[1] is not None:
                for value in self._values(cells[1].mention.start, cells[1].mention.end):
                    self._add(owner, first.mention.surface, value, row.start, row.end)
            elif head is not None and first is not None and not attributes:
                for column, cell in zip(head[1:], cells[1:], strict=False):
                    if column is not None and cell is not None:
                        self._add(first, column.mention.surface, cell, row.start, row.end)

    def _cells(self, row: Unit) -> list[Node | None]:
        """The cells of a row as nodes; none where a cell is empty or too long to be one."""
        bars = [at for at in range(row.start, row.end) if self.text[at] == "|"]
        return [self._cell(left + 1, right) for left, right in pairwise(bars)]

    def _cell(self, start: int, end: int) -> Node | None:
        """A cell, value or heading as one node: the mention that fills it, else a phrase."""
        surface = self.text[start:end]
        start += len(surface) - len(surface.lstrip(_MARKUP + "\n\r#"))
        surface = surface.strip(_MARKUP + "\n\r#").rstrip(_MARKUP + ",;:")
        end = start + len(surface)
        name = self.names.get(start)
        if name is not None and name.end == end:
            return Node(name)
        key = normalise(surface)
        if not key or len(surface) > _MAX_VALUE:
            return None
        return Node(Mention(start, end, surface, key, PHRASE))

    def _values(self, start: int, end: int) -> list[Node]:
        """The names of a value that is a list of names, else the value as a whole."""
        inside = self.starts[bisect_left(self.starts, start) : bisect_left(self.starts, end)]
        names = [name for at in inside if (name := self.names[at]).end <= end]
        rest, at = "", start
        for name in names:
            rest, at = rest + self.text[at : name.start], name.end
        if names and not re.search(r"\w", re.sub(r"\b(?:and|or)\b", "", rest + self.text[at:end])):
            return [Node(name) for name in names]
        whole = self._cell(start, end)
        return [whole] if whole is not None else []


def _outermost(mentions: Sequence[Mention]) -> dict[int, Mention]:
    """The mentions that lie in no other, by their starts; of two keys of one span the longer, which is the precise
    date."""
    found: dict[int, Mention] = {}
    until = -1
    for mention in sorted(mentions, key=lambda m: (m.start, -m.end, -len(m.key), m.key)):
        if mention.start >= until:
            found[mention.start] = mention
            until = mention.end
    return found


def _title_node(title: str) -> Node | None:
    """The title, without its qualifier in brackets, as a node; none where it is empty or a sentence."""
    form = _QUALIFIER.sub("", title.strip())
    key = normalise(form)
    if not key or len(form.split()) > _MAX_TITLE_WORDS:
        return None
    at = title.find(form)
    return Node(Mention(at, at + len(form), form, key, "title"), in_title=True)


def _is_name(title: Mention, mentions: Sequence[Mention]) -> bool:
    """Whether a title is what its passage is about, rather than a headline: its text names it, or it is a name."""
    words = [word for word in title.surface.split() if word[0].isalnum()]
    if any(mention.key == title.key for mention in mentions):
        return True
    return 0 < len(words) <= 3 or (len(words) <= 6 and all(not word[0].islower() or len(word) <= 3 for word in words))


def _head_noun(title: str) -> str:
    """What "the institute" may call a title: its last word before a comma or preposition, in lower case."""
    words = _TAIL.split(title.lower(), maxsplit=1)[0].split()
    return words[-1] if words else ""


def _is_value(value: str) -> bool:
    """Whether a line's content is a value and not something said."""
    value = value.strip()
    return (
        len(value) <= _MAX_VALUE
        and "\n" not in value
        and value.count(" ") < _MAX_VALUE_WORDS
        and not (_SENTENCE_LIKE.search(value) and " " in value)
        and _PERSONAL.search(value) is None
    )


def _key(cells: Sequence[Node | None]) -> str:
    return cells[0].mention.key if cells and cells[0] is not None else ""

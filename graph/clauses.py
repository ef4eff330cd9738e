"""Who does what to whom in one sentence: links between the names of its clauses, read from left to right.

A clause is its subject, then verbs, then what they reach. Every name behind a verb is linked to the clause's subject
with the words that lead to it; a name directly before another verb is the next subject. Nothing is taken from other
sentences but what a leading pronoun or "the album" stands for, which `Topic` remembers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from graph.chunks import AND, CLOSE, OPEN, PHRASE, VERBS, Chunk
from graph.grammar import POSSESSIVES, PRONOUN, RELATIVE, SPEAKER, SUBORDINATOR
from graph.mentions import Mention
from graph.normalise import STOP, normalise

_MAX_LEAD = 60
"""Characters of a predicate that is one piece of the text; what is longer is told by its verbs and last preposition."""
_MAX_WORDS = 6
_MAX_ASIDE = 60
_ARTICLE_AT_END = re.compile(r"(?:(?:^|\s+)(?:a|an|the|his|her|its|their))+$", re.IGNORECASE)
_EDGES = " \t\n,;:–—-\"'“”‘’([*_`"
_ASIDE = re.compile(r"[a-z]+\.?(?: [a-z]+){0,3}")
_PLACES = frozenset({"at", "in", "near", "on"})
_DASH = re.compile("[-–—]")
_WEATHER = frozenset("rained rains raining snowed snows snowing".split())


@dataclass(frozen=True, slots=True)
class Node:
    """A subject or object: a mention, and whether its offsets are into the title."""

    mention: Mention
    in_title: bool = False


@dataclass(slots=True)
class Topic:
    """What a pronoun or a definite noun stands for, as the sentences go by: the last subject, else the title."""

    title: Node | None = None
    nouns: set[str] = field(default_factory=set)
    last: Node | None = None

    def antecedent(self) -> Node | None:
        """The node that "he" or "it" at a sentence's beginning stands for."""
        return self.last or self.title


Link = Callable[[Node, str, Node], None]


class Clauses:
    """Reads one sentence's chunks; `link(subject, predicate, object)` is called for each pair that it finds."""

    def __init__(self, text: str, topic: Topic, link: Link) -> None:
        self.text, self.topic, self.link = text, topic, link
        self.subjects: list[Node] = []
        self.listed: list[Node] = []  # names after commas, which an "and" may turn into subjects
        self.noun = ""  # of "the source of X", "his father": the words that the predicate begins with
        self.begin = self.end = -1  # the relation: from its first verb to its last word; -1 before the verb
        self.lead = ""  # the words between the relation and the last object, which a list shares
        self.copular = False
        self.named = False  # whether the relation has reached a name
        self.complement: Node | None = None
        self.adjuncts: list[tuple[str, Mention]] = []  # of a leading "In 1999, ..."
        self.main: Node | None = None

    def read(self, parts: Sequence[Chunk]) -> None:
        """Go through the sentence once, then remember its subject."""
        index = 0
        while index < len(parts):
            part = parts[index]
            if part.kind == OPEN:
                index = self._aside(parts, index)
                continue
            after = parts[index + 1] if index + 1 < len(parts) else None
            before = parts[index - 1] if index else None
            if part.separator == ";":
                self._reset()
            if part.kind == VERBS:
                self._verbs(part, before)
            elif part.kind == PHRASE:
                if self.begin < 0:
                    self._subject(part, before)
                else:
                    self._object(part, before, after)
            elif part.kind == PRONOUN:
                self._reset()
                antecedent = self.main or self.topic.antecedent()
                if antecedent is not None and not _expletive(part, parts[index + 1 : index + 3]):
                    self.subjects = [antecedent]
            elif part.kind == RELATIVE:
                self._relative(before)
            elif part.kind in (SUBORDINATOR, SPEAKER):
                self._reset()
            index += 1
        if self.main is not None:
            self.topic.last = self.main

    def _reset(self, *subjects: Node) -> None:
        """Begin a clause."""
        self.subjects, self.listed = list(subjects), []
        self.noun, self.lead = "", ""
        self.begin = self.end = -1
        self.named = False
        self.complement = None

    # --- the subject ----------------------------------------------------------------------------------------------

    def _subject(self, part: Chunk, before: Chunk | None) -> None:
        """Take a phrase that stands before the verb: as a subject, one more of them, or what tells more of one."""
        if part.preposition >= 0:
            self._modifier(part, before)
        elif part.determiner in POSSESSIVES:
            self._possessed(part)
        elif part.separator == "," and self.subjects:
            if part.determiner in ("a", "an", "the") and not part.ends_in_name:
                self._apposition(part)
            else:
                self.listed += [Node(name) for name in part.names[-1:] if name.kind != "date"]
        else:
            self._new_subject(part, before)

    def _modifier(self, part: Chunk, before: Chunk | None) -> None:
        """Of "the mayor of X" the subject is X, by its mayor; "In 1999," is kept until there is a verb."""
        names = part.names
        of_noun = before is not None and before.kind == PHRASE and not before.names
        if before is not None and of_noun and not self.subjects and (names or self._is_topic(part)):
            if not names:
                owner = self.topic.title or self.topic.antecedent()
            else:
                owner = Node(names[-1]) if self._preposition(part) == "of" else None
            if owner is not None:
                self.subjects, self.noun = [owner], self.text[before.start : before.end]
                return
        if names and not self.subjects:
            self.adjuncts.append((_clean(self.text[part.preposition : names[0].start]).lower(), names[0]))
        elif names and before is not None and before.ends_in_name and self._preposition(part) == "of":
            self.link(self.subjects[-1], "of", Node(names[0]))

    def _preposition(self, part: Chunk) -> str:
        return self.text[part.preposition : part.start].split()[0].lower()

    def _possessed(self, part: Chunk) -> None:
        """Of "his father" the subject is he, by his father; of "his father Bo" it is Bo, and they are linked."""
        owner = self.main or self.topic.antecedent()
        if owner is None:
            return
        if part.ends_in_name and part.names[-1].start > part.start:
            name = part.names[-1]
            self.link(owner, _clean(self.text[part.start : name.start]), Node(name))
            self.subjects = [Node(name)]
        else:
            self.subjects, self.noun = [owner], self.text[part.start : part.end]

    def _new_subject(self, part: Chunk, before: Chunk | None) -> None:
        """The last name of the phrase, with the nouns behind it; else what the phrase stands for."""
        names = [name for name in part.names if name.kind != "date"]
        words = self.text[part.start : part.end]
        definite = part.determiner in ("the", "this")
        title = self.topic.title
        if part.separator == AND and self.subjects and names:
            self.subjects += [*self.listed, Node(names[-1])]
            self.listed = []
        elif names and definite and title is not None and names[-1].key in self.topic.nouns:
            self.subjects = [title]  # "the Institute"
        elif names:
            self.subjects = [Node(names[-1])]
            self.noun = self.text[names[-1].end : part.end].strip()
            if self.noun[:2] in ("'s", "’s"):
                self.noun = self.noun[2:].strip()
        elif definite and self._is_topic(part):
            owner = title or self.topic.antecedent()
            self.subjects = [owner] if owner is not None else []
        elif part.determiner == "the" and title is not None:
            self.subjects, self.noun = [title], words  # "the climate": the title's
        elif title is None and not part.determiner and before is None and words.istitle() and " " not in words:
            # "Copper is ...", or a name that only opens the sentence. Below a title it is mostly a part of that.
            phrase = self._phrase(part) if words.lower() not in STOP else None
            self.subjects = [phrase] if phrase is not None else []

    def _is_topic(self, part: Chunk) -> bool:
        return part.last.lower() in self.topic.nouns

    def _apposition(self, part: Chunk) -> None:
        """Of "X, the mayor of Y,": X is the mayor. Such a phrase has no verb: "is" is added."""
        phrase = self._phrase(part)
        if phrase is not None:
            self.link(self.subjects[-1], "is", phrase)

    # --- verbs ----------------------------------------------------------------------------------------------------

    def _verbs(self, part: Chunk, before: Chunk | None) -> None:
        """Begin a relation, with a new subject where a name stands directly before the verb."""
        if self.begin < 0:
            if self.subjects and self.main is None:
                self.main = self.subjects[0]
        elif before is not None and before.kind == PHRASE and not part.separator and part.preposition < 0:
            if self.copular or (before.preposition >= 0 and not part.finite):
                pass  # "a river in Mexico named after Ana", "was built in Rome using stone"
            elif (owner := _last_name(before)) is not None:
                self.subjects = [owner]
            elif self.complement is not None:
                self.subjects = [self.complement]
            self.noun = ""
        elif part.separator:
            self.noun = ""
        self.begin, self.end = part.start, part.end
        self.copular, self.named, self.lead, self.complement = part.copular, False, "", None
        for lead, name in self.adjuncts:
            for subject in self.subjects:
                self.link(subject, f"{self._relation()} {lead}", Node(name))
        self.adjuncts = []

    def _relation(self) -> str:
        words = self.text[self.begin : self.end]
        return f"{self.noun} {words}" if self.noun else words

    def _relative(self, before: Chunk | None) -> None:
        """Of "Y, who was ..." the subject is Y; of "X is a player who won ..." it stays X."""
        if before is None or before.kind not in (PHRASE, CLOSE) or self.begin < 0:
            return
        if self.copular:
            self._reset(*self.subjects)
        elif (name := _last_name(before)) is not None:
            self._reset(name)
        else:
            self._reset(*([self.complement] if self.complement is not None else []))

    # --- what the verbs reach -------------------------------------------------------------------------------------

    def _object(self, part: Chunk, before: Chunk | None, after: Chunk | None) -> None:
        """Link what a phrase behind the verb names, or the phrase itself where it says enough."""
        names = part.names
        follows = after is not None and after.kind == VERBS and not after.separator and after.preposition < 0
        if follows and part.separator and part.preposition < 0:  # ", and X won": a new clause
            self._reset()
            self._subject(part, before)
            return
        if part.preposition >= 0:
            begin = part.preposition
            if before is not None and before.kind == PHRASE and not before.names and before.end < begin:
                begin = before.preposition if before.preposition >= 0 else begin
            self.lead = self.text[begin : names[0].start if names else part.start]
        elif not part.separator:
            self.lead = ""
        direct = before is not None and before.kind == VERBS and part.preposition < 0
        phrase = None
        if not part.ends_in_name and _is_full(part, direct):
            phrase = self._phrase(part, after)
        if phrase is not None:
            self.complement = phrase
            self._link_to(phrase)
            if (
                self.copular
                and self.subjects
                and self.subjects[0] == (self.topic.title or self.topic.last or self.main)
            ):
                self.topic.nouns.add(part.last.lower())
        if phrase is None or not self.copular:  # "is a British actor" says nothing of Britain
            for name in names:
                self._link_to(Node(name))
        if direct and (phrase is not None or not names):
            self.end = part.end
        self.named = self.named or (bool(names) and phrase is None)

    def _link_to(self, node: Node) -> None:
        """Link each subject: by the text from the verb on or, beyond the first name, by the verb and what leads on."""
        at = node.mention.start
        if not self.named and at - self.begin <= _MAX_LEAD:
            words = self.text[self.begin : at]
            words = f"{self.noun} {words}" if self.noun else words
        else:
            words = f"{self._relation()} {self.lead}"
        for subject in self.subjects:
            self.link(subject, _clean(words), node)

    def _phrase(self, part: Chunk, after: Chunk | None = None) -> Node | None:
        """The whole phrase as a node, with an "of" phrase that has no name, if it is short and a key is left of it."""
        end = part.end
        if after is not None and after.kind == PHRASE and not after.names and 0 <= after.preposition < part.end + 3:
            joined = self.text[part.start : after.end]
            if self.text[after.preposition :].startswith("of ") and joined.count(" ") < _MAX_WORDS:
                end = after.end
        surface = self.text[part.start : end]
        key = normalise(surface)
        if len(key) < 2 or surface.count(" ") >= _MAX_WORDS or surface.isdigit():
            return None
        return Node(Mention(part.start, end, surface, key, "phrase"))

    # --- brackets -------------------------------------------------------------------------------------------------

    def _aside(self, parts: Sequence[Chunk], index: int) -> int:
        """Of "X (1920–1999)" or "X (born in Rome)": what it says of X. Returns where the sentence goes on."""
        end = min(index + _MAX_ASIDE, len(parts))
        stop = next((at for at in range(index, end) if parts[at].kind == CLOSE), index)  # never closed: passed over
        before = parts[index - 1] if index else None
        owner = _last_name(before) if before is not None else None
        if owner is None:
            return stop + 1
        inside = [name for part in parts[index:stop] for name in part.names]
        dates = [name for name in inside if name.kind == "date"]
        at, stated = parts[index].end, ""
        for name in inside:
            gap = self.text[at : name.start]
            words = _clean(gap)
            if words or _DASH.search(gap):
                verb = stated.split()[0] + " " if stated and words in _PLACES else ""  # "born 5 May 1961 in Rome"
                stated = verb + words.rstrip(".") if _ASIDE.fullmatch(words) else ""
            predicate = stated
            if not words and not stated and name.kind == "date" and len(dates) <= 2:
                predicate = "in" if len(dates) == 1 else "from" if name is dates[0] else "until"
            if predicate:
                self.link(owner, predicate, Node(name))
            at = name.end
        return stop + 1


def _last_name(part: Chunk) -> Node | None:
    """The name that a phrase ends in; a date is none."""
    return Node(part.names[-1]) if part.ends_in_name and part.names[-1].kind != "date" else None


def _clean(words: str) -> str:
    """White space collapsed, without marks at the edges or an article at the end."""
    return _ARTICLE_AT_END.sub("", " ".join(words.split()).strip(_EDGES)).strip(_EDGES)


def _is_full(part: Chunk, direct: bool) -> bool:
    """Whether a phrase says enough to be an object: after a verb one with an article or number, else of two words."""
    if part.preposition >= 0:
        return False
    if part.names:
        return direct
    if direct and part.determiner:
        return part.determiner not in POSSESSIVES
    return part.end - part.start > len(part.last)


def _expletive(pronoun: Chunk, following: Sequence[Chunk]) -> bool:
    """Whether "it" stands for nothing: "it is raining", "it is clear that ..."."""
    if pronoun.last.lower() != "it" or not following or following[0].kind != VERBS:
        return False
    if not following[0].copular:
        return following[0].last in _WEATHER
    said = following[1] if len(following) > 1 else None
    return said is None or not (said.kind == PHRASE and (said.determiner or said.names or said.preposition >= 0))

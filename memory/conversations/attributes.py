"""Attributes of people that have one value at a time, and the words that state them.

An attribute is read from a statement in the present alone: who used to live somewhere says nothing of today. Where in
doubt a statement has none, and then no later one can outdate it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from memory.conversations.background import FUNCTION_WORDS
from memory.conversations.time_grammar import NUMBERS
from memory.stemming import stem, words

ATTRIBUTES = (
    *"residence employer job school".split(),
    *("field of study", "relationship status", "age", "birthday", "name", "phone number", "email address", "address"),
)
"""What has one value at a time; besides these `favourite X` of anything and, by rules, a number of somebody's."""

NO_VALUE = "none"
"""Of who left an employer."""

_OCCUPATIONS = """accountant actor actress analyst architect artist assistant baker banker barista bartender biologist
builder carpenter cashier chef chemist clerk coach consultant contractor cook counselor counsellor dancer dentist
designer developer director doctor driver economist editor electrician engineer farmer firefighter fisherman
freelancer gardener geologist hairdresser journalist judge lawyer lecturer librarian manager mechanic midwife model
musician nurse painter paramedic pharmacist photographer physicist physiotherapist pilot plumber policeman
policewoman producer professor programmer psychologist receptionist recruiter reporter researcher salesman
scientist secretary singer soldier student surgeon surveyor tailor teacher technician therapist trainer translator tutor
vet veterinarian waiter waitress welder writer""".split()

_BE = r"(?:am|'m|is|'s|are|'re)"
_NOW = r"(?:\s(?:now|currently|already|just|still|officially|finally|both))?"
_NAME = (
    r"(?P<value>(?-i:[A-Z])[\w.'-]*(?:,?\s(?:(?:of|the|de|la|and)\s)?(?-i:[A-Z])[\w.'-]*){0,4}|[^\W\d_a-zA-Z]{1,20})"
)
_NOUN = (
    r"(?P<value>(?-i:[A-Z])[\w&.'-]*(?:\s(?:of\s)?(?-i:[A-Z])[\w&.'-]*){0,3}"
    r"|(?:(?:an?|the|my)\s)?[a-z][\w-]*(?:\s[a-z][\w-]*)?)"
)
_REST = r"(?P<value>[\w&'-]+(?:\s[\w&'-]+){0,5})"

_STATING = tuple(
    (attribute, re.compile(pattern, re.IGNORECASE | re.VERBOSE))
    for attribute, pattern in (
        (
            "residence",
            rf"""\b(?:lives?|{_BE}{_NOW}\s(?:living|based|settled)
                |(?:moved|relocated)(?:\s(?:back|over|away|out|down|up))?)\s(?:in|to)\s{_NAME}""",
        ),
        (
            "employer",
            rf"""\b(?:works?|{_BE}{_NOW}\sworking|(?:started|began)\s(?:a\s(?:new\s)?job|working|work)
                |(?:got|landed)\s(?:a|the)\s(?:new\s)?job)\s(?:at|for)\s
                (?!(?:the\s)?(?:moment|home|night|least)\b){_NOUN}""",
        ),
        (
            "employer",
            r"""\b(?:quit|left|lost)\s(?:my|his|her|their)\s(?:old\s)?job\b|\b(?:got|was)\s(?:laid\soff|fired)\b""",
        ),
        (
            "job",
            rf"""\b(?:works?|working)\sas\san?\s(?P<value>[\w-]+(?:\s[\w-]+)?)
                |\b{_BE}{_NOW}\san?\s(?P<other>(?:[\w-]+\s)?(?:{"|".join(_OCCUPATIONS)}))\b""",
        ),
        (
            "job",
            r"""\b(?:became|got\spromoted\sto|was\spromoted\sto)\s(?:an?\s|the\s)?
                (?P<value>[a-z][\w-]*(?:\s[a-z][\w-]*)?)""",
        ),
        (
            "relationship status",
            rf"""\b(?:{_BE}{_NOW}|got)\s(?P<value>single|married|engaged|divorced|widowed|separated)\b
                (?!\s(?:in|with\sthe|by|mom|mum|dad|parent))""",
        ),
        ("relationship status", r"\b(?:broke\sup\swith|split\sup\swith|(?:my|our)\sbreakup)\b"),
        (
            "age",
            rf"""(?<!like\sI)(?<!like\she)(?:\b|(?<=\w)(?='))(?:{_BE}{_NOW}|turned)\s(?P<value>[1-9]\d?)
                (?=\s(?:years?\sold|now|today)|\s?[.!,;]|$)""",
        ),
        (
            "school",
            rf"""\b(?:goes?|{_BE}\sgoing|studies|study|{_BE}{_NOW}\sstudying|enrolled)\s(?:to|at)\s
                (?=(?:the\s)?(?:\w+\s){{0,3}}(?:school|college|university|academy|institute)\b){_NAME}""",
        ),
        (
            "field of study",
            r"""\b(?:majoring\sin|(?:my|his|her)\smajor\sis|(?:'m|am|is|'s|been)\sstudying)\s
                (?!(?:for|at|in|the|hard|abroad)\b)(?P<value>[\w-]+(?:\s[\w-]+)?)""",
        ),
        ("birthday", rf"\bbirthday\s(?:is|'s)\s(?:on\s)?{_REST}"),
        ("name", r"\b(?:name\s?(?:is|'s)|(?:is|are)\s(?:called|named))\s(?P<value>(?-i:[A-Z])[\w'-]*)"),
        (
            "phone number",
            r"\b(?:phone|mobile|cell)(?:\snumber)?\s(?:is|'s)(?:\snow)?\s(?P<value>[+\d][\d\s()/-]{4,20}\d)",
        ),
        (
            "email address",
            r"\be-?mail(?:\saddress)?\s(?:is|'s)(?:\snow)?\s(?P<value>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)",
        ),
        (
            "address",
            r"\b(?:my|our|his|her)\s(?:new\s|home\s)?address\s(?:is|'s)(?:\snow)?\s(?P<value>[^.!?;]{4,60})",
        ),
    )
)
_TRIGGERS = frozenset(
    """lives live living based settled moved relocated works work working job laid fired became promoted single married
    engaged divorced widowed separated broke split breakup studies study studying going go goes enrolled majoring major
    birthday name called named phone mobile cell email mail address fav favorite favourite""".split()
    + _OCCUPATIONS
)
"""One of these words, or a digit, is in every statement of an attribute."""
_FAVOURITE = re.compile(
    r"(?<!one\sof\smy\s)(?<!one\sof\sour\s)\bfav(?:ou?rite)?\s(?!(?:part|thing|one|bit|moment|memory|way)s?\b)"
    r"(?P<what>[\w-]+(?:\s[\w-]+){0,2}?)(?:\s(?:is|are)|'s)(?:\snow)?\s(?P<value>[\w'-]+(?:\s[\w'-]+){0,4})",
    re.IGNORECASE,
)
_MEASURED = re.compile(
    r"(?:\b(?:my|our|his|her|their)|'s)\s(?:new\s|current\s)?(?P<what>[a-z]+(?:\s[a-z]+){0,2}?)(?:\s(?:is|are)|'s)"
    r"(?:\s(?:now|currently|about|around|only|at|up\sto))?\s(?P<value>\d[\d.,:]*(?:\s?[%a-z]+)?)",
    re.IGNORECASE,
)
"""`My daily commute is 45 minutes`: a number of somebody's has one value at a time."""
_PAST = re.compile(
    r"\b(?:used to|when i was|when we were|back when|would|could|might|if|wish|never|not|\w+n't|want to|hope to)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^[^:\n]{1,60}:\s")
_ADDED = re.compile(r"\s\([^()]*\d{4}\)")
_CLOSING = frozenset(
    "with and but so because since for last this next yesterday today now a few two three in on at".split()
)


class Stated(NamedTuple):
    """What a sentence states: ``value`` is in lower case, ``start`` where in the sentence the stating words begin."""

    attribute: str
    value: str
    start: int


def stated_attribute(sentence: str) -> Stated | None:
    """What a sentence states of somebody that has one value at a time; None where it states nothing of the kind.

    >>> stated_attribute("I moved to Berlin last month.")
    Stated(attribute='residence', value='berlin', start=2)
    >>> stated_attribute("I used to live in Rome."), stated_attribute("I moved to the sofa.")
    (None, None)
    """
    plain = sentence.replace("’", "'")
    found = words(plain)
    if _TRIGGERS.isdisjoint(found) and not any(word[0].isdigit() for word in found):
        return None
    if match := _FAVOURITE.search(plain):
        what = " ".join(words(match["what"]))
        return Stated(f"favourite {what}", _value(match["value"]), match.start())
    for attribute, pattern in _STATING:
        match = pattern.search(plain)
        if match is not None and not _PAST.search(plain[: match.end()]):
            groups = match.groupdict()
            value = groups.get("value") or groups.get("other") or _absent(attribute)
            return Stated(attribute, _value(value), match.start())
    if (match := _MEASURED.search(plain)) and not _PAST.search(plain[: match.end()]):
        return Stated(" ".join(words(match["what"])), _value(match["value"]), match.start())
    return None


def value_of(text: str, attribute: str) -> str:
    """The value that a fact's text states for its attribute, so that two facts can be compared.

    It is what the rules read; where they read nothing of that attribute (a model wrote the statement), the stems of
    its content words without the attribute's, in order of the alphabet.
    """
    plain = _ADDED.sub("", text)
    stated = stated_attribute(_LABEL.sub("", plain))
    if stated is not None and stated.attribute == attribute:
        return stated.value
    left_out = {stem(word) for word in words(attribute)}
    stems = {stem(word) for word in words(plain) if word not in FUNCTION_WORDS}
    return " ".join(sorted(stems - left_out))


def known_attribute(name: str) -> str:
    """``name`` as it is kept, or '' where it has not one value at a time."""
    plain = " ".join(name.casefold().replace("_", " ").replace("favorite", "favourite").split())
    return plain if plain in ATTRIBUTES or re.fullmatch(r"favourite \w[\w -]{0,40}", plain) else ""


def _absent(attribute: str) -> str:
    return "single" if attribute == "relationship status" else NO_VALUE


def _value(words_of_it: str) -> str:
    """Lower case, without an article before and what no longer belongs to it behind."""
    return " ".join(_kept(words_of_it.casefold().strip(" .,'!-").split()))


def _kept(parts: list[str]) -> Iterator[str]:
    for place, part in enumerate(parts):
        if place == 0 and part in ("a", "an", "the", "my"):
            continue
        if place and part.strip(",") in _CLOSING and part not in NUMBERS:
            return
        yield part.strip(",")

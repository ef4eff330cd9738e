"""What in an English question tells of time besides dates: orders, events, and the bounds of ranges.

Each pattern would rather miss a time than find one where there is none: `after all`, `at first`, `an electric current`,
`may I` and `when it rains` tell nothing.
"""

from __future__ import annotations

import re

_OF_WHOM = r"(?:the|whose|what|which|my|your|his|her|its|our|their|\w+['’]s?)"

LATEST = re.compile(
    rf"""\b(?:most\srecent(?:ly)?|recently|lately|(?<!at\sthe\s)latest|newest|nowadays|these\sdays|last\stime
  | (?:right|as\sof|by)\snow|as\sof\stoday|now(?=\s*\?*\s*$)|at\s(?:the|this)\smoment|at\spresent|presently|currently
  | {_OF_WHOM}\scurrent(?=\s(?!in\b|of\b|from\b|through\b|is\b|are\b|was\b|flow)\w))(?!\w)""",
    re.VERBOSE | re.IGNORECASE,
)
EARLIEST = re.compile(
    r"""\b(?:(?:very\s)?first\stime(?!\s(?:buyer|user|visitor|parent))|(?<!at\sthe\s)earliest|originally|initially
  | (?:at|in)\sthe\s(?:very\s)?beginning(?!\sof)|did\s(?:\w+\s){1,3}first(?=\s\w))(?!\w)""",
    re.VERBOSE | re.IGNORECASE,
)

_AUXILIARY = (
    r"(?:did|does|do|is|was|were|are|am|will|would|has|have|had|can|could|should|shall|might|may|must)(?:n['’]t)?"
)
ASKS_WHEN = re.compile(
    rf"""\bwhen\s(?:exactly\s)?{_AUXILIARY}\b|^\W*when\W*$|\bsince\swhen\b|\bhow\slong\sago\b
  | \b(?:what|which)\s(?:exact\s|calendar\s)?(?:date|day|week|month|year|time)(?!['’\w-])
  | ^(?!\W*(?:what|which|who|whose|whom|where|why|how)\b).*\b
    (?:know|tell|remember|recall|say|said|mention|mentioned|remind|wonder|idea|sure|out|me|us)\s(?:of\s)?when\b""",
    re.VERBOSE | re.IGNORECASE,
)
"""Questions for a time; their `when` names no event."""

ANCHOR = re.compile(
    r"""\b(?P<word>(?:right\s|shortly\s|soon\s|just\s)?(?:after|before)|ever\ssince|since|following|once|as\ssoon\sas
  | prior\sto|until|till|by\sthe\stime|when|while|during|at\sthe\stime\sof)\s(?P<event>\w[^,;?!]*)""",
    re.VERBOSE | re.IGNORECASE,
)
NO_AFTER = re.compile(
    r"\b(?:look(?:s|ed|ing)?|nam(?:e|es|ed|ing)|call(?:s|ed|ing)?|tak(?:e|es|en|ing)|took|run(?:s|ning)?|ran"
    r"|ask(?:s|ed|ing)?|go(?:es|ing)?|went|chas(?:e|es|ed|ing)|model(?:l?ed)?|styled|and)\s$",
    re.IGNORECASE,
)
"""Words before `after` that make it no word of time: `named after the lake`."""

PAST = re.compile(
    r"""\b(?:was|were|had|did|got|went|left|met|became|came|began|broke|bought|took|won|lost|found|died|gave|told|said
  | saw|made|fell|felt|kept|knew|led|quit|ran|sold|sent|spent|stood|swam|taught|thought|threw|woke|wrote|drove|flew|grew
  | heard|held|built|paid|sang|sat|slept|spoke|rode|ate|drank|[^\W\d_]{2,}[^e\W]ed)\b""",
    re.VERBOSE | re.IGNORECASE,
)
"""A clause without one tells no event but a habit: `when it rains`."""

NAMED = re.compile(
    r"(?:the|his|her|their|my|our|your|its|this|these|those|\w+['’]s?)\s\w|(?-i:[A-Z])\w|\w{2,}ing\b(?!\s*$)|(?:an?)\s\w",
    re.IGNORECASE,
)
"""How the name of an event begins: with an article, a possessive, a name or a gerund."""
SUBJECT = re.compile(r"(?:i|you|he|she|it|we|they|someone|everyone|there)\b", re.IGNORECASE)
"""How a clause begins that names its subject by a pronoun."""
NO_FOLLOWING = re.compile(
    r"\b(?:is|are|was|were|be|been|am|the|by|start(?:s|ed)?|stop(?:s|ped)?|(?:some|any|every)one|people)\s$",
    re.IGNORECASE,
)
"""Words before `following` that make it a verb or an adjective."""
CLAUSE_WORDS = frozenset({"when", "while", "once", "as soon as", "by the time"})
"""Words that only a clause follows."""

EVENT_END = re.compile(
    r"\s(?=(?:what|who|whom|whose|which|where|why|how|did|does|do|after|before|during|while|since|until|when)\b)"
    r"|\s(?=(?:and|or|but)\s(?:what|who|when|where|why|how)\b)|\s(?=\()",
    re.IGNORECASE,
)
"""Where an event ends that no comma parts from the question itself."""
EVENT_WORDS = 12
"""More words than this do not help to find an event."""
NO_EVENT = re.compile(
    r"(?:the|his|her|their|my|our|your|its|an?)\s(?:(?:whole|entire|same|next|last|past|first|late|early|mid)[\s-])?"
    r"(?:day|night|morning|afternoon|evening|week|weekend|month|year|season|decade|century|spring|summer|autumn|fall|winter"
    r"|time|times|moment|past|process|meantime|end|beginning|fact)s?",
    re.IGNORECASE,
)
"""Names of times without a date, which no text tells of as an event."""
HAPPENED = re.compile(r"\s(?:happened|occurred|took\splace|began|started|ended)\W*$", re.IGNORECASE)

BOUND = re.compile(
    r"\b(?P<word>before|after|until|till|by|since|prior\sto|no\slater\sthan|earlier\sthan|later\sthan|as\sof)\s(?:the\s)?$",
    re.IGNORECASE,
)
ONWARDS = re.compile(r"\s(?:on|onwards?|forward)\b", re.IGNORECASE)
BETWEEN = re.compile(
    r"\b(?:between\s(?P<from>[^,;?!]{3,24}?)\sand|from\s(?P<from_b>[^,;?!]{3,24}?)\s(?:to|until|till|through))"
    r"\s(?P<to>[^,;?!]{3,40})",
    re.IGNORECASE,
)
QUARTER = re.compile(
    r"\b(?:Q(?P<digit>[1-4])|the\s(?P<word>first|second|third|fourth|last)\squarter)(?:\s(?:of\s)?(?P<year>(?:19|20)\d\d))?\b"
)
QUARTERS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": 4}

"""What in a text is a time expression: one pattern for English words, one for dates in digits of any script.

A pattern only finds candidates; :mod:`memory.conversations.times` says which days they mean, or that they mean none.
Every repetition is bounded, so that a text of any length is read in linear time.
"""

from __future__ import annotations

import re

MONTHS = tuple("January February March April May June July August September October November December".split())

SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""The first month of each: meteorological seasons of the northern half of the earth."""

VAGUE = {"couple": (2, 2), "few": (2, 5), "several": (3, 7)}
"""How many a vague number may mean, the least and the most."""

_NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()
NUMBERS = {word: number for number, word in enumerate(_NUMBERS, start=1)} | {"a": 1, "an": 1}

_PLAIN_MONTHS = "january|february|april|june|july|august|september|october|november|december"
_MONTH = rf"(?:(?i:{_PLAIN_MONTHS})|March|May|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\b\.?)(?!\w)"
"""`may`, `march` and short forms count in capitals alone."""
_DAY = r"(?:3[01]|[12][0-9]|0?[1-9])(?:st|nd|rd|th)?(?![\w:%])"
_YEAR = r"(?:19|20)[0-9]{2}"
_WEEKDAY = r"(?:(?i:monday|tuesday|wednesday|thursday|friday|saturday|sunday)|(?:Mon|Tues?|Weds?|Thurs?|Fri)\b)"
_COUNT = rf"(?:(?i:an?\s(?:couple|few)(?:\sof)?|couple\sof|few|several|an?|{'|'.join(_NUMBERS)})|[1-9][0-9]{{0,2}})"
_UNIT = r"(?i:day|week|weekend|month|year)"
_PART = r"(?:\s(?i:morning|afternoon|evening|night))?"
_TO = r"\s?(?:[-–]|to)\s?"

WORDED = re.compile(
    rf"""\b(?:(?P<prep>(?i:since|until|till|by|before|after|from|in|on|during|around|of))\s{{1,2}})?(?:
    (?:the\s)?(?P<day>{_DAY})(?:{_TO}(?P<last_day>{_DAY}))?\s(?:of\s)?(?P<month>{_MONTH})(?:,?\s(?P<year>{_YEAR})\b)?
  | (?P<month_b>{_MONTH})\s(?:the\s)?(?P<day_b>{_DAY})(?:{_TO}(?P<last_day_b>{_DAY}))?(?:,?\s(?P<year_b>{_YEAR})\b)?
  | (?P<which>(?i:early|mid|late|last|this\spast|this|next)(?:\s(?i:in))?[\s-])?
        (?P<only_month>{_MONTH})(?:,?\s(?:of\s)?(?P<month_year>{_YEAR})\b)?
  | (?:(?P<year_part>(?i:early|mid|late))(?:\s(?i:in))?[\s-])?(?P<only_year>{_YEAR})(?P<decade>s)?\b(?![-/.,:]?[0-9])
  | (?:(?P<season_which>(?i:last|this\spast|this|next))\s)?(?P<season>(?i:spring|summer|autumn|fall|winter))
        (?:\s(?:of\s)?(?P<season_year>{_YEAR}))?\b
  | (?P<deictic>(?i:(?:the\s)?day\s(?:before\syesterday|after\stomorrow)|yesterday|today|tonight|tomorrow
        |last\snight|this\s(?:morning|afternoon|evening))){_PART}\b
  | (?:(?i:the)\s)?(?P<turn>(?i:this\spast|this\scoming|last|past|next|coming|this))\s
        (?P<turn_unit>{_WEEKDAY}|(?i:weekend|week|month|year))\b{_PART}(?!\s(?i:of)\b)
  | (?P<ago>{_COUNT})\s(?P<ago_unit>{_UNIT})(?i:s?\sago)\b
  | (?:(?i:the)\s)?(?P<run>(?i:last|past|next|coming))\s(?P<run_count>{_COUNT})\s(?P<run_unit>{_UNIT})s\b
  | (?:(?i:the)|(?P<beside_count>{_COUNT}))\s(?P<beside_unit>{_UNIT}|{_WEEKDAY})s?\s
        (?P<beside>(?i:before|after))(?:\s(?P<turned>(?i:last|next))\b
        |(?=\s?(?:[,.;!?)]|$))|(?=\s(?:{_DAY}\s|{_MONTH}|{_YEAR}\b|(?i:yesterday|last\s|next\s))))
  | (?P<ahead>{_COUNT})\s(?P<ahead_unit>{_UNIT})s?(?P<ahead_end>(?i:'?\s(?:from\s(?:now|today)|time)))?\b
  | (?P<weekday>{_WEEKDAY})\b{_PART}
)""",
    re.VERBOSE,
)

TRIGGERS = frozenset(
    f"""{" ".join(MONTHS).lower()} jan feb mar apr jun jul aug sept sep oct nov dec {" ".join(SEASONS)}
    monday tuesday wednesday thursday friday saturday sunday mon tue tues wed weds thur thurs fri
    day days week weeks weekend weekends month months year years
    yesterday today tonight tomorrow morning afternoon evening night""".split()
)
"""One of these words, or a year, is in all that :data:`WORDED` matches."""

REACH = 64
"""Characters before and after such a word that a match may cover."""

NUMERIC = re.compile(
    r"""(?<!\d)(?<!\d[-/.])(?:
    (?P<year>\d{4})(?P<between>[-/.])(?P<month>\d{1,2})(?P=between)(?P<day>\d{1,2})(?!\d)
  | (?P<dotted_day>\d{1,2})\.(?P<dotted_month>\d{1,2})\.(?P<dotted_year>\d{4})(?!\d)
  | (?P<one>\d{1,2})/(?P<other>\d{1,2})/(?P<slashed_year>\d{4})(?!\d)
  | (?P<written_year>\d{4})\s?[年년]\s?(?P<written_month>\d{1,2})\s?[月월](?:\s?(?P<written_day>\d{1,2})\s?[日号號일])?
)""",
    re.VERBOSE,
)

AHEAD = re.compile(
    r"\b(?:will|won't|gonna|going\sto|plan(?:s|ning)?|wants?\sto|hop(?:e|es|ing)\sto|looking\sforward|can't\swait"
    r"|excited\s(?:for|about)|upcoming|let's|see\syou|scheduled|(?:I'm|we're|is|are)\s\w{2,20}ing)\b|\w'll\b",
    re.IGNORECASE,
)
"""Words of a sentence that is about what is to come."""

STANDING = re.compile(r"(?:\b(?:is|are|starts?|begins?|ends?|opens?|due)|'s)(?:\s\w{1,12}){0,2}\s?$", re.IGNORECASE)
"""Words right before a date that has not passed: `the concert is on`."""

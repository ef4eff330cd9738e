"""What of a chat is a statement: patterns of English for whom a sentence is about, and for what states nothing.

Every pattern is searched in one sentence of bounded length, with straight apostrophes.
"""

from __future__ import annotations

import re

_JUST = r"(?:just|also|actually|recently|lately|finally|already|really|once|even|then|still|so|and|but)"
_PAST = r"""(?:been|got|had|went|made|took|bought|met|saw|found|lost|won|ran|came|spent|gave|wrote|read|began|built|sold
    |taught|learnt|told|felt|grew|left|kept|led|broke|chose|did|drove|ate|fell|flew|forgot|heard|held|hit|hurt|knew|paid
    |put|quit|rode|sang|sat|sent|set|slept|spoke|stood|swam|threw|thought|woke|wore|brought|became|caught|[a-z]{2,20}ed)"""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.VERBOSE)


FIRST_PERSON = _pattern(r"\b(?:I|me|my|mine|myself|we|us|our|ours|ourselves)\b")
THIRD_PERSON = _pattern(r"\b(?:he|she|they|him|them|his|their)\b")

EVENT = _pattern(rf"\b(?:I|we)(?:'ve|\shave|'d|\shad)?(?:\s{_JUST})?\s{_PAST}\b")
"""What somebody did or what befell them."""

ELIDED = _pattern(rf"^(?:{_JUST},?\s){{0,2}}(?:{_PAST}|thinking|planning|working|looking|trying)\b(?!\s(?:by|you)\b)")
"""A statement without its `I`."""

OPENING = re.compile(
    r"""^(?:(?:hey|hi|hello|wow|whoa|woah|oh|yeah|yep|yes|no|nope|aww?|haha|ok|okay|well|totally|absolutely|exactly
        |definitely|sure|cool|nice|great|awesome|sorry|congrats|glad|thanks?(?:\s(?:so\smuch|a\slot|a\sbunch|you))?
        |thank\syou|sounds\sgood|you're\sright|of\scourse|by\sthe\sway)\b(?:[,\s]+(?-i:[A-Z])\w+)?[,!.:;\s-]+)+""",
    re.IGNORECASE | re.VERBOSE,
)
"""What comes before a statement: a greeting, thanks, an exclamation, with or without a name."""

ADDRESSED = _pattern(
    r"""^(?:you|your|please|let's|let\sme|let\sus|keep|take|check|look|tell|have\s(?:a|fun)|don't|do\s|go\s
        |give\s(?!me)|never|remember|good\s(?:luck|job|on)|see\syou|talk\s|enjoy|stay|believe|hang|feel\sfree|here's
        |congrats|can't\swait\sto\s(?:see|hear))"""
)
"""Commands, and what is said of the listener."""

COURTESY = _pattern(
    r"""\b(?:I|we)(?:'m|\sam|'re|\sare|\sfeel)?\s(?:(?:really|so|super|very|just|totally|truly|always|all)\s){0,2}
        (?:(?:glad|happy|proud|sorry|excited|stoked|pumped|thrilled|psyched)
            \s(?:for|of|to\s(?:hear|see|help)|you|that\syou|about\syour|i\scould)
        |(?:grateful|thankful|blessed)\s(?:for\syou|to\shave\syou|you)
        |hope\syou|wish\syou|hear\syou|agree|bet|appreciate|get\sit|see\swhat|understand|can\simagine
        |know\s(?:you|what\syou|right|that|it)|totally|believe\sin\syou|here\sfor\syou|rooting|cheering|admire|sure\syou
        |think\s(?:you|that's|it's\sgreat)|love\s(?:that|it|this|your|how\syou)|like\s(?:that|it|your)
        |couldn't\sagree|can't\swait\sto\s(?:see|hear)|mean|guess|owe|got\sthis
        |(?:would|will)\s(?:love|like)\sto\s(?:see|hear|know)|wonder)\b
    |\b(?:I|we)(?:'d|'ll)\s(?:love|like)\sto\s(?:see|hear|know)\b
    |\b(?:let\sme\sknow|means?\s(?:a\slot|so\smuch|the\sworld)|you\sgot\sthis|I'll\skeep\syou|tell\sme|I\swon't\squit)\b
    |^glad\b"""
)
"""Praise, thanks, sympathy, wishes."""

REMARK = _pattern(r"^(?:that's|that\sis|this\sis|it's|its|what|how|such|so)\b")
"""A comment on what was said, unless it answers or speaks of the speaker."""

KIN = _pattern(
    r"""^(?:my|our)\s
        (?P<whom>(?:(?:older|younger|little|big|best|twin|new|oldest|youngest|late|former)\s)?[a-z]{2,20})\s
        (?=(?:is|was|has|had|lives|lived|works|worked|likes|loves|got|moved|started|turned|plays|studies|went|wants
        |bought|gave|told|died|passed|and)\b)"""
)
"""Somebody or something of the speaker's as the subject of a sentence."""

KIN_WITH = _pattern(r"^(?:my|our)\s(?P<whom>[a-z]+)'s\s(?:name|birthday|phone|favou?rite)\b")
"""Something of theirs as its subject."""

OWNER = _pattern(
    r"""^(?:\W*|.*\b(?:I|we|my|our))(?:\s?\b(?:just|have|recently|also|new|now|both|still|only|all))*\s?$"""
)
"""What stands before the words that state an attribute where it is the speaker's own: `I`, `we just`, `my`, nothing."""

OWN = _pattern(r"(?:my|our)\b")

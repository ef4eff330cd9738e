"""How much a word tells: by its rank in a fixed vocabulary, never by other documents of the lake.

The vocabulary is the default embedder's, whose whole words stand about in the order of their frequency in books and
encyclopedias. What chats are full of and books are not is in a list of its own.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from memory.embedding import bundled_model_path

_FIRST_WORD = "the"
"""The commonest; what comes before it in the vocabulary are marks and single letters."""

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

FUNCTION_WORDS = frozenset(
    """a about above after again all also although always am an and another any anybody anyone anything are aren't
    around as at away back be because been before being below between both but by can can't cannot could couldn't did
    didn't do does doesn't doing don't done down during each either else enough even ever every everybody everyone
    everything few for from further get gets getting give given go goes going gone gonna got had hadn't has hasn't have
    haven't having he he'd he'll he's her here here's hers herself him himself his how how's however i i'd i'll i'm i've
    if in instead into is isn't it it'd it'll it's its itself just keep kind let let's like lot lots made make makes
    making many may maybe me might mine more most much must my myself need never new no nobody none nor not nothing now
    of off often oh ok okay on once one ones only or other others our ours ourselves out over own perhaps put quite
    rather really s same see seem seems she she'd she'll she's should shouldn't since so some somebody someone something
    sometimes soon still such sure t take takes taking than that that's the their theirs them themselves then there
    there's these they they'd they'll they're they've thing things think this those though through till to together too
    toward towards under until up upon us use used very via want wants was wasn't way we we'd we'll we're we've well
    went were weren't what what's when when's where where's whether which while who who's whole whom whose why will with
    within without won't would wouldn't yet you you'd you'll you're you've your yours yourself""".split()
)
"""Of English; a summary or a keyword that is made of them says nothing."""

SMALL_TALK = frozenset(
    """absolutely agree agreed amazing appreciate awesome aww aw bet best bye cheer cheers cool congrats congratulations
    cute dear definitely encouraging exactly excited exciting fab fabulous fantastic feel feeling feels fun funny
    fun glad good goodbye gorgeous great grateful haha happy heck hello hey hi hiya hmm hope hopefully hug incredible
    inspire inspired inspiring interesting kudos lately lol lovely luck lucky mean means moment moments nice nope omg
    perfect please pretty proud right rock rocks share sharing sorry sound sounds special stay super support supporting
    supportive sweet talk thank thanks thankful totally true truly way welcome wish wonderful word words wow yay yeah
    yep yes yikes yo you ya y'all yup wanna whoa woah chat guess guys folks gotta tho btw lmk hah ah uh um""".split()
)
"""What people say to each other whatever they talk about."""


@lru_cache(maxsize=1)
def _ranks() -> dict[str, int]:
    words = (bundled_model_path() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return {word: rank for rank, word in enumerate(words[words.index(_FIRST_WORD) :], start=1)}


@lru_cache(maxsize=65_536)
def rarity(word: str) -> float:
    """How much a word tells, from 0 (a function word, small talk) to 1 (in no vocabulary), whatever its case."""
    folded = word.casefold().replace("’", "'")
    if folded in FUNCTION_WORDS or folded in SMALL_TALK:
        return 0.0
    folded = folded.removesuffix("'s")
    ranks = _ranks()
    rank = min(ranks.get(folded, len(ranks)), ranks.get(folded.removesuffix("s"), len(ranks)))
    return math.log(rank) / math.log(len(ranks))


def telling(words: str) -> float:
    """How much a text tells: the rarities of its distinct words; names and numbers count twice."""
    found: dict[str, float] = {}
    for match in WORD.finditer(words):
        word = match[0]
        named = (
            match.start() > 0
            and word[0].isupper()
            and not words[: match.start()].rstrip().endswith((".", "!", "?", ":"))
        )
        found[word.casefold()] = rarity(word) * (2.0 if (named or word[0].isdigit()) and word[:2] != "I'" else 1.0)
    return sum(found.values())

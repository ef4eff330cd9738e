"""The key of a name: what two spellings of it have in common.

Letters of every script are kept; HippoRAG's normalisation deletes all but Latin ones.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_POSSESSIVE = re.compile(r"['’ʼ]s\b|(?<=s)['’ʼ](?!\w)")
_DOTTED = re.compile(r"\b(?:[^\W\d_]\.){2,}(?:[^\W\d_]\b)?")
_APOSTROPHE = re.compile(r"(?<=\w)['’ʼ`](?=\w)")
_NOT_WORD = re.compile(r"(?:[^\w+#]|(?<![\w+#])[+#]+)+")
_ARTICLE = re.compile(r"^(?:(?:the|a|an) )+(?=.)")


def _fold_latin(text: str) -> str:
    """Drop diacritics from Latin letters only: `Němcová` is `nemcova`, while Cyrillic й and Japanese が stay whole."""
    out, latin = [], False
    for ch in unicodedata.normalize("NFD", text):
        if unicodedata.combining(ch):
            if not latin:
                out.append(ch)
        else:
            latin = ch < "\u0250" or "\u1e00" <= ch <= "\u1eff"
            out.append(ch)
    return unicodedata.normalize("NFC", "".join(out))


@lru_cache(maxsize=65536)
def normalise(surface: str) -> str:
    """The key of a name: NFKC, case folded, Latin diacritics, possessives, punctuation and a leading article removed.

    Letters of every script are kept. Dots inside an abbreviation go (`U.S.` is `us`), other punctuation is a space.
    """
    text = surface
    text = _fold_latin(unicodedata.normalize("NFKC", text).casefold()) if not text.isascii() else text.lower()
    text = _POSSESSIVE.sub("", text)
    text = _DOTTED.sub(lambda m: m[0].replace(".", ""), text)
    text = _APOSTROPHE.sub("", text)
    text = _NOT_WORD.sub(" ", text).strip()
    return _ARTICLE.sub("", text)


def normalise_identifier(surface: str) -> str:
    """The key of an identifier: NFKC and case folded; inner punctuation is part of it, call brackets are not."""
    return unicodedata.normalize("NFKC", surface).casefold().removesuffix("()").rstrip(".,;:/")


# Words that open a sentence or a noun phrase without being part of a name, and that are no entity on their own.
STOP = frozenset(
    """a about above according across actually after again against ago all almost along already also although
    always am amid among an and another any anyone anything are around as aside at away back be because been
    before behind being below beside besides between beyond both but by can cannot can't could critics current
    currently despite did didn't do does doesn't doing don't down due during each early earlier either else
    especially even eventually ever every everyone everything except few finally first following for former
    formerly from further furthermore generally get go good great had has have having he hello hence her here
    hers herself hey hi him himself his how however i i'd i'll i'm i've if in indeed initially inside instead
    into is isn't it it's its itself just last late later latest least less let let's like likewise located look
    made mainly many may maybe me meanwhile might mine more moreover most mostly much must my myself near nearly
    neither never nevertheless new next no nobody none nor not nothing notable notably now of off often oh ok
    okay old on once one only onto or originally other others otherwise our ours out outside over overall own
    partly per perhaps please plus previously prior rather recent recently regarding same second see several
    shall she should similar similarly since so some someone something sometimes soon still subsequently such
    take than thank thanks that that's the their theirs them themselves then there there's therefore these they
    they're third this those though three through throughout thus to today together tomorrow too toward towards
    two typically under unlike until up upon us use used using usually various very via was wasn't we we're well
    were what what's when whenever where whereas whether which while who whom whose why will with within without
    won't would wow yeah yes yesterday yet you you'd you'll you're you've your yours sure really awesome cool
    nice sounds great glad yep nope yup haha lol aw aww four five six seven eight nine ten part section note
    example see also figure table chapter step make using add set run create given based built born died""".split()
)

# Of those, the ones that names begin with: New York, Great Britain, Second World War, Table Mountain.
NAME_OPENERS = frozenset(
    "better early eastern first former good great last late new next old second table third".split()
)

# Acronyms that are common words when not written in capitals.
SHOUTED = frozenset({"IT", "US", "WHO"})

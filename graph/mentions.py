"""Entity mentions in a passage by rules alone: no model, no network, no corpus statistics.

The mention set is a function of the passage's text and title only, so that an incremental lake equals a rebuilt
one. It stands where HippoRAG (arXiv 2405.14831) and HippoRAG 2 (arXiv 2502.14802) call a language model for named
entities.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from graph.acronyms import extract_acronyms
from graph.dates import MONTHS, date_keys
from graph.normalise import NAME_OPENERS, SHOUTED, STOP, normalise, normalise_identifier

CODE_VERSION = "3"

KINDS = ("name", "title", "quoted", "date", "identifier", "acronym")


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """An entity name at a span: `text[start:end] == surface`; in a title's mentions the offsets are into the title."""

    start: int
    end: int
    surface: str
    key: str
    kind: str


Token = tuple[int, int, str]
Add = Callable[..., None]


_WEEKDAYS = frozenset("monday tuesday wednesday thursday friday saturday sunday".split())
_HONORIFIC = r"(?:Mr|Mrs|Ms|Dr|St|Mt|Ft|Prof|Gen|Col|Sgt|Capt|Lt|Rev|Hon|Gov|Sen|Rep|Maj|Adm|Sr|Jr)\."


def _upper_class() -> str:
    """A character class of all upper-case and title-case letters of the basic plane (`re` has no \\p{Lu})."""
    ranges: list[list[int]] = []
    for cp in range(0x41, 0xFFFF):
        if unicodedata.category(chr(cp)) in ("Lu", "Lt"):
            if ranges and ranges[-1][1] == cp - 1:
                ranges[-1][1] = cp
            else:
                ranges.append([cp, cp])
    return "[" + "".join(chr(a) if a == b else f"{chr(a)}-{chr(b)}" for a, b in ranges) + "]"


_U = _upper_class()
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?"
    r"|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_WORD = rf"(?:{_HONORIFIC}|(?:{_U}\.){{1,4}}(?!\w)|{_U}[^\W_]*(?!\w|\.\w+\()(?:['’](?!s\b)\w+)*(?:[-‑]\w+)*)"
_LINK = (
    r"(?:of(?:[ ]the)?|de(?:[ ](?:la|las|los))?|del|della|di|da|do|dos|das|du|des|van(?:[ ]de[rn]?)?|von(?:[ ]der)?"
    r"|der|den|la|le|les|el|al|bin|ibn|ben|bint|zu|zur|af|av|y|upon|sur|&)"
)
_SEP = r"[ \u00a0]"
# "In 2007", "On August 7" at a sentence's beginning: no name, so that the date is seen as one.
_DATED = rf"(?:In|On|By|Since|From|Until|During|After|Before|Between|Around|About){_SEP}(?:\d{{4}}\b|{_MONTH}{_SEP}\d)"
_KANA = r"[\u30a1-\u30fa\u30fc\u31f0-\u31ff]"
_HAN = r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff々〆]"

# One alternation, tried left to right at each place: what an earlier branch takes, a later one does not see.
_SCAN = re.compile(
    rf"""
    (?P<url>\b(?:https?://|www\.)[^\s<>"'`)\]]+)
  | (?P<mail>(?<![\w.+-])[\w.+-]{{1,64}}@\w[\w-]{{0,63}}(?:\.\w[\w-]{{0,63}}){{1,8}})
  | (?P<code>`[^`\n]{{2,60}}`(?!`))
  | (?P<quote>“[^”\n]{{2,80}}”|"[^"\n]{{2,80}}"|``[^`'\n]{{2,80}}''|«[^»\n]{{2,80}}»|„[^“”\n]{{2,80}}[“”]
      |(?<!\w)['‘](?={_U}|\d)[^'‘’\n]{{2,60}}['’](?!\w))
  | (?P<bracket>《[^》\n]{{1,40}}》|〈[^〉\n]{{1,40}}〉|「[^」\n]{{1,40}}」|『[^』\n]{{1,40}}』|【[^】\n]{{1,40}}】)
  | (?P<date>\b\d{{4}}-[01]\d(?:-[0-3]\d)?\b
      |\b[0-3]?\d(?:st|nd|rd|th)?{_SEP}(?:of{_SEP})?{_MONTH}(?:\.?,?{_SEP}\d{{4}}\b|(?!\w))
      |\b{_MONTH}\.?{_SEP}[0-3]?\d(?:st|nd|rd|th)?\b(?:,?{_SEP}\d{{4}}\b)?
      |\b{_MONTH}\.?,?{_SEP}(?:of{_SEP})?\d{{4}}\b)
  | (?P<flag>(?<![\w-])--?[A-Za-z][\w-]+)
  | (?P<path>(?<![\w/<.])(?:~|\.{{1,2}})?/[\w@-][\w.@-]*(?:/[\w.@-]+)*/?
      |(?<![\w/-])(?:[\w@-]{{1,40}}/){{1,8}}[\w@-]{{1,60}}\.[A-Za-z]\w{{0,4}}\b)
  | (?P<ident>(?<![\w.])[A-Za-z]\w{{0,60}}(?:(?:\.|::)[A-Za-z_]\w{{0,60}}){{0,7}}(?:\.|::)[A-Za-z_]\w+(?:\(\))?
      |(?<!\w)_{{0,2}}[A-Za-z][A-Za-z0-9]{{0,40}}_\w+(?:\(\))?
      |\b[a-z]+[A-Z]\w*(?:\(\))?|\b[A-Z][A-Z0-9]+-\d+\b|\b[a-z]\w+\(\)
      |\bv?\d{{1,6}}\.\d{{1,6}}\.\d{{1,6}}(?:[-+.]?[A-Za-z0-9]{{1,20}}){{0,4}}\b|\bv\d{{1,6}}(?:\.\d{{1,6}}){{1,3}}\b)
  | (?P<name>\b(?!{_DATED})(?P<num>\d{{1,4}}(?:st|nd|rd|th)?{_SEP})?{_WORD}
      (?:(?:{_SEP}|['’]s{_SEP}|,{_SEP}(?=(?:Jr|Sr)\b))(?:{_LINK}{_SEP})?(?:{_WORD}|\d{{1,4}}(?![\w%]|[.,:]\d)))*)
  | (?P<year>\b(?:1[0-9]|20)\d\d(?:s\b|\b)(?![.,]\d))
  | (?P<kana>{_KANA}{{2,}}(?:[・＝]{_KANA}+)*)
  | (?P<han>{_HAN}+)
    """,
    re.VERBOSE,
)
# A place where a capital says nothing: the text's or a line's first word, or after a full stop, a colon or a bracket.
_OPENING = re.compile(
    r"(?:^|[.!?:;…。！？|>•*#\n]|\w\))[\s\"'“”‘’(\[\-–—*#>_•]*$"
    r"|(?:^|\n)[ \t]*(?:[-*+•]|\d+[.)])[ \t]+$|[\"“‘(\[]$|[—–][ ]?$"
)
_TOKEN = re.compile(rf"{_HONORIFIC}|(?:{_U}\.)+|[^\s]+")
_TICKET = re.compile(r"[A-Z][A-Z0-9]+-\d+")
_CAMEL = re.compile(r"(?!Mc|Mac|De|Di|La|Le|Fitz|O')[A-Z][a-z0-9]+[A-Z]\w*")
_IDENTIFIER_LIKE = re.compile(r"[\w./-]*(?:_|/|::|\w\.\w)[\w./-]*")
_SPEAKER = re.compile(rf"^[ \t]*({_U}[\w.'’-]*(?:[ ]{_U}[\w.'’-]*){{0,3}})(?=:[ ])", re.MULTILINE)
_LOWER_WORD = re.compile(r"(?<![\w])[a-z]\w+")
_KANA_ANY = re.compile(r"[\u3040-\u30ff]")
_HAN_FUNCTION = frozenset("的了是在和与與于於都为為有不这這那也就而及")
_CJK_EDGE = frozenset("、，。；：！？（）()「」『』《》〈〉·・ \n\t,.")
_LINKS = frozenset(
    """of the de la las los del della di da do dos das du des van der den von le les el al bin ibn
    ben bint zu zur af av y upon sur &""".split()
)


# --- names ---------------------------------------------------------------------------------------------------------


def _opens(text: str, at: int) -> bool:
    """Whether a word at this offset would be capitalised whatever it is."""
    return at == 0 or _OPENING.search(text, max(0, at - 8), at) is not None


def _strip_possessive(token: str) -> str:
    return token[:-2] if len(token) > 2 and token.endswith(("'s", "’s")) else token


def extract_mentions(text: str, title: str = "") -> list[Mention]:
    """All mentions in `text`, in order of place; `title` only tells which words are names. Spans may nest.

    See `title_mentions` for those of the title itself.
    """
    out: dict[tuple[int, int, str], Mention] = {}

    def add(start: int, end: int, kind: str, key: str | None = None) -> None:
        surface = text[start:end]
        k = normalise(surface) if key is None else key
        if k and (len(k) > 1 or not k.isascii()) and (start, end, k) not in out:
            out[start, end, k] = Mention(start, end, surface, sys.intern(k), kind)

    # Words that are capitalised where they need not be; the title and the speakers count as such places.
    known: set[str] = set(_name_words(title)) if title else set()
    speakers = {(m.start(1), m.end(1)) for m in _SPEAKER.finditer(text)} if ": " in text else set()
    for s, e in speakers:
        if text[s:e].lower() not in STOP:
            add(s, e, "name")
            known.update(text[s:e].split())
    lower = set(_LOWER_WORD.findall(text))
    matches = list(_SCAN.finditer(text))
    runs: list[tuple[int, int, list[Token], bool]] = []
    caps_lines = _all_caps_lines(text)
    nested: list[tuple[int, int]] = []
    for m in matches:
        group = m.lastgroup
        # `lastgroup` is the last closed group, which for a name is `name` itself.
        start, end = m.span()
        if group in ("name", "num"):
            runs.append(
                (
                    start,
                    end,
                    [(start + t.start(), start + t.end(), t[0]) for t in _TOKEN.finditer(m[0])],
                    _opens(text, start),
                )
            )
        elif group == "quote":
            n = 2 if m[0].startswith("``") else 1
            inner = text[start + n : end - n]
            words = inner.split()
            if len(words) == 1 and _IDENTIFIER_LIKE.search(inner):
                add(start + n, end - n, "identifier", normalise_identifier(inner))
                continue
            if text[start - 1 : start] == "=" and inner.islower():  # an attribute's value in markup
                continue
            if (
                0 < len(words) <= 8
                and words[0][0].isalnum()
                and (words[0][0].isupper() or not words[0].isascii() or len(words) <= 4)
                and not inner.rstrip().endswith((",", ":", ";"))
            ):
                pad = len(inner) - len(inner.lstrip())
                add(start + n + pad, start + n + pad + len(inner.strip()), "quoted")
            nested.append((start + n, end - n))
        elif group == "bracket":
            a, b = _trimmed(text, start + 1, end - 1)
            add(a, b, "title" if m[0][0] in "《〈『" else "quoted")
        elif group == "date":
            for key in date_keys(m[0]):
                add(start, end, "date", key)
        elif group == "year":
            add(start, end, "date", m[0])
        elif group == "code":
            inner = text[start + 1 : end - 1]
            if inner.strip() and len(inner.split()) <= 3:
                add(*_trimmed(text, start + 1, end - 1), "identifier", normalise_identifier(inner.strip()))
        elif group == "url":
            add(
                start,
                len(m[0].rstrip(".,;:!?")) + start,
                "identifier",
                normalise_identifier(re.sub(r"^(?:https?://)?(?:www\.)?", "", m[0].rstrip(".,;:!?"))),
            )
        elif group in ("mail", "flag", "path", "ident"):
            add(start, end, "identifier", normalise_identifier(m[0]))
        elif group == "kana" or (
            group == "han"
            and (
                2 <= end - start <= 8
                and not _HAN_FUNCTION.intersection(m[0])
                and (
                    _KANA_ANY.search(text) is not None
                    or (
                        (start == 0 or text[start - 1] in _CJK_EDGE)
                        and (end == len(text) or text[end] in _CJK_EDGE)
                        and end - start <= 6
                    )
                )
            )
        ):
            add(start, end, "name")
    for s, e in nested:  # names inside quotation marks
        for m in _SCAN.finditer(text, s, e):
            if m.lastgroup in ("name", "num"):
                a, b = m.span()
                runs.append(
                    (a, b, [(a + t.start(), a + t.end(), t[0]) for t in _TOKEN.finditer(m[0])], _opens(text, a))
                )
    runs.sort(key=lambda r: (r[0], r[1]))
    for start, _end, tokens, opening in runs:
        if any(a <= start < b for a, b in caps_lines):
            continue
        for i, (_s, _e, tok) in enumerate(tokens):
            if i or not opening:
                word = _strip_possessive(tok)
                if word[:1].isupper() and word.lower() not in STOP:
                    known.add(word)
    folded = {w.lower() for w in known} if caps_lines else set()
    for start, _end, tokens, opening in runs:
        heading = any(a <= start < b for a, b in caps_lines)
        _name_run(tokens, opening, known, lower, folded if heading else None, add)
    for (a, b), (c, d) in extract_acronyms(text):
        add(a, b, "acronym")
        add(c, d, "name")
    if title:
        _own_title(text, title, add)
    return sorted(out.values(), key=lambda m: (m.start, m.end, m.key))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())


def _all_caps_lines(text: str) -> list[tuple[int, int]]:
    """Spans of lines of several words without a lower-case letter: headings, shouting."""
    out, at = [], 0
    for line in text.split("\n"):
        if line.isupper() and line.count(" ") >= 1 and sum(w.isalpha() for w in line.split()) >= 2:
            out.append((at, at + len(line)))
        at += len(line) + 1
    return out


def _name_run(
    tokens: list[Token], opening: bool, known: set[str], lower: set[str], folded: set[str] | None, add: Add
) -> None:
    """Mentions of one run of capitalised words: itself, and what its `of` and possessives separate."""
    # A full stop that ended a sentence: "... in the U.S. The army ..."
    cuts = [i for i in range(1, len(tokens)) if tokens[i - 1][2].endswith(".") and tokens[i][2].lower() in STOP]
    for begin, end in zip([0, *cuts], [*cuts, len(tokens)], strict=True):
        _sentence_run(tokens[begin:end], opening or begin > 0, known, lower, folded, add)


def _sentence_run(
    tokens: list[Token], opening: bool, known: set[str], lower: set[str], folded: set[str] | None, add: Add
) -> None:
    """The same for a run within one sentence."""
    # Leading words that are not of the name.
    while tokens:
        word = tokens[0][2]
        bare = _strip_possessive(word)
        low = bare.lower()
        if low in _LINKS:
            tokens = tokens[1:]
        elif bare in SHOUTED or _opens_a_name(tokens):
            break
        elif low in STOP or low in _WEEKDAYS:
            tokens = tokens[1:]
            opening = False
        elif opening and bare not in known and (len(tokens) == 1 or low in lower):
            if len(bare) > 1 and bare.isupper() and low not in lower and len(tokens) == 1 and folded is None:
                break  # an acronym at the start of a sentence
            tokens = tokens[1:]
            opening = False
        else:
            break
    while tokens and tokens[-1][2] not in SHOUTED and tokens[-1][2].lower() in _LINKS | STOP:
        tokens = tokens[:-1]
    if not tokens:
        return
    if folded is not None and not all(t[2].lower() in folded or not t[2].isalpha() for t in tokens):
        return
    if tokens[0][2][0].isdigit() and len(tokens) > 1:  # "1920 Summer Olympics", but "in 1920 Sweden"
        if len(tokens) > 2 or not (tokens[0][2].isdigit() and len(tokens[0][2]) == 4):
            add(tokens[0][0], _end(tokens), "name")
        elif tokens[0][2].isdigit():
            add(tokens[0][0], tokens[0][1], "date", tokens[0][2])
        tokens = tokens[1:]
    _emit(tokens, add)
    if not tokens:
        return
    last = tokens[-1][2]
    if last.isdigit() and len(last) == 4 and len(tokens) > 1:
        tokens = tokens[:-1]
        while tokens and tokens[-1][2].lower() in _LINKS:
            tokens = tokens[:-1]
        _emit(tokens, add)
    # Parts around "of" and after a possessive.
    cut, after_possessive = 0, False
    for i, (_s, _e, tok) in enumerate(tokens):
        if tok == "of" or (tok.endswith(("'s", "’s")) and i + 1 < len(tokens)):
            left = tokens[cut:i] if tok == "of" else tokens[cut : i + 1]
            if left and (len(left) > 1 or tok != "of"):
                _emit(left, add)
            cut, after_possessive = i + 1, tok != "of"
            while cut < len(tokens) and tokens[cut][2] in _LINKS:
                cut += 1
    if 0 < cut < len(tokens) and not (after_possessive and len(tokens) - cut == 1):
        _emit(tokens[cut:], add)


def _end(tokens: list[Token]) -> int:
    """End of the last token, its possessive left out."""
    return tokens[-1][0] + len(_strip_possessive(tokens[-1][2]))


def _opens_a_name(tokens: list[Token]) -> bool:
    """Whether the first word, common as it is, belongs to the name: `New York`, but not `New` or `Last Friday`."""
    if len(tokens) < 2 or tokens[0][2].lower() not in NAME_OPENERS:
        return False
    follower = tokens[1][2].lower()
    return follower not in STOP and follower not in _WEEKDAYS and follower not in MONTHS and follower not in _LINKS


def _emit(tokens: list[Token], add: Add) -> None:
    """One mention of these words, with its kind; none where nothing is left of them."""
    if not tokens:
        return
    if len(tokens) == 1:
        word = _strip_possessive(tokens[0][2])
        low = word.lower()
        if word not in SHOUTED and (low in STOP or low in _WEEKDAYS or low in MONTHS or word.isdigit()):
            return
        if _TICKET.fullmatch(word):
            add(tokens[0][0], tokens[0][0] + len(word), "identifier", normalise_identifier(word))
            return
        if len(word) <= 6 and word.isupper() and len(word) > 1:
            kind = "acronym"
        elif not word[1:].islower() and not word.isupper() and _CAMEL.fullmatch(word):
            kind = "identifier"
        else:
            kind = "name"
        add(tokens[0][0], tokens[0][0] + len(word), kind)
    else:
        add(tokens[0][0], _end(tokens), "name")


# --- titles --------------------------------------------------------------------------------------------------------

_QUALIFIER = re.compile(r"\s*[(（][^()（）]*[)）]\s*$")


@lru_cache(maxsize=4096)
def _name_words(title: str) -> tuple[str, ...]:
    return tuple(w for w in re.findall(r"[^\W_][\w'’-]*", title) if w[0].isupper() and w.lower() not in STOP)


def title_keys(title: str) -> list[str]:
    """Keys that the title itself stands for: whole, without its qualifier in brackets, and up to its first comma.

    >>> title_keys("Green (R.E.M. album)")
    ['green rem album', 'green']
    """
    whole = title.strip()
    bare = _QUALIFIER.sub("", whole)
    forms = [whole, bare, bare.split(",")[0] if "," in bare else bare]
    keys = [normalise(f) for f in forms if len(f.split()) <= 12]
    return list(dict.fromkeys(k for k in keys if len(k) > 1 or (k and not k.isascii())))


def title_mentions(title: str) -> list[Mention]:
    """Mentions in a title: the title as an entity (kind `title`), and the names and dates within it."""
    out: dict[str, Mention] = {}
    bare = _QUALIFIER.sub("", title.strip())
    for key in title_keys(title):
        form = next(f for f in (title.strip(), bare, bare.split(",")[0]) if normalise(f) == key)
        at = title.find(form)
        out[key] = Mention(at, at + len(form), form, key, "title")
    for m in extract_mentions(title, title):
        out.setdefault(m.key, m)
    return sorted(out.values(), key=lambda m: (m.start, -m.end, m.key))


def _own_title(text: str, title: str, add: Add) -> None:
    """Occurrences of the passage's own title in its text, whatever their case or script."""
    bare = _QUALIFIER.sub("", title.strip())
    if 1 < len(bare) <= 80 and bare.casefold() in text.casefold() and normalise(bare) not in STOP:
        key = normalise(bare)
        for m in re.finditer(
            rf"(?<!\w){re.escape(bare)}(?!\w)" if bare.isascii() else re.escape(bare), text, re.IGNORECASE
        ):
            add(m.start(), m.end(), "title", key)

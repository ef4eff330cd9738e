"""Which pairs of entities may be the same: by key, by spelling, as a text states, by their vectors.

A pair is written once, the smaller id on the left. Every source of pairs compares what is alike or stated, never all
with all, and gives the same pairs in whatever order, and in how many batches, the entities came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graph.normalise import normalise

PAIRS = {"left_id": pl.String, "right_id": pl.String, "method": pl.String, "score": pl.Float64}
"""Columns of candidate pairs; ``score`` in (0, 1] compares pairs of one method only."""

EXACT_KINDS = frozenset({"date", "identifier"})
"""Kinds of mentions whose keys are canonical: the same only where their keys are equal."""

_SLACK = 1e-4
"""How far below the threshold a float32 product may be and is still measured anew in float64."""

_PLAIN = "^[A-Za-z0-9 .,:;!?()/-]*$"
_DOTTED = r"[A-Za-z]\.[A-Za-z]\."
_ARTICLES = "^(?:(?:the|a|an) )+"
"""Of a plain name without dotted letters :func:`normalise` folds the case, and takes punctuation and articles off."""

_SPACING = re.compile(r"[\s_]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+|[^\W\d_]+")
_ROMAN = re.compile(r"(?=[ivxlc])c{0,3}(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})", re.IGNORECASE)
_ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_LONE_NUMERALS = frozenset("IVXivx")
_CARDINALS = "one two three four five six seven eight nine ten eleven twelve".split()
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
_NUMBER_WORDS = {word: str(at) for words in (_CARDINALS, _ORDINALS) for at, word in enumerate(words, 1)}


@lru_cache(maxsize=65536)
def spelling(name: str) -> str:
    """The letters of a name: its key without spaces, with `&` as `and`; a plural stays another spelling.

    >>> spelling("Rock & Roll") == spelling("rock-and-roll"), spelling("C.S. Lewis") == spelling("C S Lewis")
    (True, True)
    """
    return _SPACING.sub("", normalise(name.replace("&", " and ")))


def letters(kind: str, key: str, name: str) -> str:
    """The :func:`spelling` of an entity; of a date or an identifier that of its key, which says more than its name."""
    return spelling(key if kind in EXACT_KINDS else name)


@lru_cache(maxsize=65536)
def numbers(name: str) -> tuple[str, ...]:
    """The numbers in a name, in order: digits, Roman numerals below CD, number words and ordinals up to twelve.

    A lone I, V or X counts behind the first word, where it is a capital or ends the name.

    >>> numbers("World War II"), numbers("The Second World War"), numbers("Windows 10"), numbers("Roe v. Wade")
    (('2',), ('2',), ('10',), ())
    """
    words = _NUMBER.findall(_THOUSANDS.sub("", name))
    found = []
    for at, word in enumerate(words):
        low = word.casefold()
        if word.isdigit():
            found.append(word)
        elif low in _NUMBER_WORDS:
            found.append(_NUMBER_WORDS[low])
        elif _ROMAN.fullmatch(word) and (
            len(word) > 1 or (at and word in _LONE_NUMERALS and (word.isupper() or at == len(words) - 1))
        ):
            found.append(str(_roman(low)))
    return tuple(found)


def _roman(numeral: str) -> int:
    values = [_ROMAN_VALUES[letter] for letter in numeral]
    return sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))


def same_key(entities: pl.DataFrame) -> pl.DataFrame:
    """Pairs of one key and different types, as :data:`PAIRS` with method ``key``."""
    return _alike(entities.select("entity_id", "entity_key"), "entity_key", "key")


def spelled_alike(entities: pl.DataFrame) -> pl.DataFrame:
    """Pairs of different keys and one :func:`spelling`, as :data:`PAIRS` with method ``spelling``."""
    named = entities.select("entity_id", "entity_key", spelling=_spellings(entities)).filter(pl.col("spelling") != "")
    return _alike(named, "spelling", "spelling", pl.col("entity_key") != pl.col("entity_key_right"))


def _spellings(entities: pl.DataFrame) -> pl.Series:
    """The :func:`letters` of each entity; plain names, which are most, all at once."""
    exact = pl.col("kind").is_in(sorted(EXACT_KINDS))
    written = entities.select(pl.when(exact).then("entity_key").otherwise("name").alias("spelling")).to_series()
    words = written.str.to_lowercase().str.replace_all("[^a-z0-9]+", " ").str.strip_chars(" ")
    joined = words.str.replace(_ARTICLES, "").str.replace_all(" ", "", literal=True)
    others = ~written.str.contains(_PLAIN) | written.str.contains(_DOTTED)
    rest = pl.Series([spelling(name) for name in written.filter(others)], dtype=pl.String)
    return joined.scatter(others.arg_true(), rest)


def _alike(entities: pl.DataFrame, column: str, method: str, also: pl.Expr | None = None) -> pl.DataFrame:
    shared = entities.filter(pl.len().over(column) > 1)
    pairs = shared.join(shared, on=column).filter(pl.col("entity_id") < pl.col("entity_id_right"))
    return _as_pairs(
        (pairs if also is None else pairs.filter(also)).select(
            left_id="entity_id", right_id="entity_id_right", score=pl.lit(1.0)
        ),
        method,
    )


def stated(statements: pl.DataFrame, one: str, other: str, method: str) -> pl.DataFrame:
    """Pairs that texts state, as :data:`PAIRS`; the score ``s / (s + 1)`` grows with the supports ``s``.

    Args:
        statements: columns `one`, `other` (entity ids) and ``supports``, how many passages state it.
    """
    pairs = statements.filter(pl.col(one) != pl.col(other)).select(
        left_id=pl.min_horizontal(one, other), right_id=pl.max_horizontal(one, other), supports="supports"
    )
    together = pairs.group_by("left_id", "right_id").agg(pl.col("supports").sum())
    return _as_pairs(together.with_columns(score=pl.col("supports") / (pl.col("supports") + 1)), method)


def neighbours(
    new_ids: Sequence[str],
    new_vectors: NDArray[np.float32],
    ids: Sequence[str],
    vectors: NDArray[np.float32],
    threshold: float = 0.8,
    block: int = 1024,
) -> pl.DataFrame:
    """Pairs of a new entity with another one, new or not, whose cosine is at least `threshold`, as :data:`PAIRS`.

    Exact: products of blocks find what is near, and each of those is measured alone in float64. So entities that come
    in batches, each compared with all before it, give exactly the pairs of a single batch.

    Args:
        new_ids, new_vectors: ``(n,)`` and ``(n, d)``; vectors need no unit length, one of zeros is near to nothing.
        ids, vectors: ``(m,)`` and ``(m, d)``: the ones that are there; new ones among them do no harm.
        block: rows of each side in one product, which bounds the memory.

    Raises:
        ValueError: ids and vectors differ in number, or the vectors in dimensions.
    """
    if len(new_ids) != len(new_vectors) or len(ids) != len(vectors):
        raise ValueError("each id needs one vector")
    if not len(new_ids):
        return pl.DataFrame(schema=PAIRS)
    if len(ids) and vectors.shape[1] != new_vectors.shape[1]:
        raise ValueError(f"vectors of {new_vectors.shape[1]} and {vectors.shape[1]} dimensions are not comparable")
    found = [
        pl.DataFrame(
            {
                "left_id": [min(new_ids[i], other_ids[j]) for i, j in zip(rows, columns, strict=True)],
                "right_id": [max(new_ids[i], other_ids[j]) for i, j in zip(rows, columns, strict=True)],
                "score": _cosines(new_vectors[rows], others[columns]),
            },
            schema={"left_id": pl.String, "right_id": pl.String, "score": pl.Float64},
        )
        for other_ids, others in ((new_ids, new_vectors), (ids, vectors))
        for rows, columns in _near(new_vectors, others, threshold - _SLACK, block)
    ]
    near = pl.concat(found) if found else pl.DataFrame(schema=PAIRS).drop("method")
    return _as_pairs(near.filter(pl.col("score") >= threshold, pl.col("left_id") < pl.col("right_id")), "embedding")


def _near(
    new: NDArray[np.float32], old: NDArray[np.float32], threshold: float, block: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows of `new` and of `old` whose cosine may reach the threshold, block by block."""
    for first in range(0, len(new), block):
        ahead = _unit(new[first : first + block])
        for second in range(first if old is new else 0, len(old), block):
            rows, columns = np.nonzero(ahead @ _unit(old[second : second + block]).T >= threshold)
            if len(rows):
                yield rows + first, columns + second


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row by row, in float64, so that a pair has one cosine whatever it is measured together with."""
    one, other = left.astype(np.float64), right.astype(np.float64)
    product, a, b = (np.einsum("ij,ij->i", x, y) for x, y in ((one, other), (one, one), (other, other)))
    cosines: NDArray[np.float64] = (product / np.sqrt(a * b)).round(9)
    return cosines


def _as_pairs(pairs: pl.DataFrame, method: str) -> pl.DataFrame:
    return (
        pairs.with_columns(method=pl.lit(method))
        .select(pl.col(name).cast(kind) for name, kind in PAIRS.items())
        .unique(["left_id", "right_id"])
        .sort("left_id", "right_id")
    )

"""The compressed bank of a space: a codec that follows the stream, and a code for each memory that it holds.

All codes of a space are of one codec, the one that ``banks`` names. A second one, the learner, goes on learning from
what comes; it writes no code until a drift is measured. Then the learner and one that is learnt anew from a sample are
compared, the better takes over, and every memory is encoded again, in one transaction.

Every eighth memory, told by its vector's name, is never learnt from: on those a codec is measured. Which codec a space
has depends on the order in which its memories came, so the bank is no part of a lake's digest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from derivation.lake import Lake, exclusive
from derivation.progress import StepReport
from derivation.runner import conclude_global
from errors import BankError
from memory.bank.codec import Codec
from memory.bank.report import BankReport, needs_reencoding, report
from memory.bank.residual import ResidualCodec
from memory.bank.storage import load_codec, save_codec
from warehouse.database import Changes, Connection, bump_generation, frame, registered
from warehouse.delta import Step
from warehouse.faults import reach

CODES_STEP_NAME = "codes"
_CODE_VERSION = "1"

FIRST_BATCH = 16_384
"""Vectors that codebooks and their rotation begin from; all kinds should be among them."""
BATCH = 2_048
"""Vectors that are learnt at once afterwards."""
LEAST_BATCH = 256
"""Fewer new vectors wait for more: a batch moves each code that it chooses by the same share, however small it is."""
SAMPLED = 50_000
"""Vectors that a codec is learnt anew from, at most."""
MEASURED = 2_000
"""Vectors that a codec is measured on, at most."""
_AT_ONCE = 8_192
"""Vectors that are in memory at once while memories are encoded."""

_SPACE = """
SELECT m.memory_id AS row_id, m.text_hash, m.document_id, left(md5(m.text_hash), 1) IN ('0', '1') AS held_out
FROM memories m JOIN embeddings e ON e.space = m.space AND e.text_hash = m.text_hash AND e.embedder = $embedder
WHERE m.space = $space
"""
_WANTED = {
    "all": f"SELECT row_id, text_hash, held_out FROM ({_SPACE}) ORDER BY row_id",
    "cold": f"SELECT row_id, text_hash, held_out FROM ({_SPACE}) s JOIN cold c"
    " ON c.target_id = s.row_id AND c.document_id = s.document_id ORDER BY row_id",
    "none": f"SELECT row_id, text_hash, held_out FROM ({_SPACE}) WHERE false",
}
_SAMPLE = f"""
SELECT text_hash FROM ({_SPACE}) WHERE held_out = $held_out GROUP BY text_hash ORDER BY md5(text_hash) LIMIT $limit
"""
_VECTORS = """
SELECT h.i, e.vector FROM hashes_frame h
JOIN embeddings e ON e.space = $space AND e.embedder = $embedder AND e.text_hash = h.text_hash ORDER BY h.i
"""
_KEYS = ["row_id", "text_hash"]
_OF = "space = $space AND embedder = $embedder"


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """What serves a space, and what learns on."""

    serving: Codec
    learner: Codec
    baseline: BankReport
    """Of the serving codec when it began to serve."""
    report: BankReport
    """Of the serving codec when memories were last encoded."""


@dataclass(frozen=True, slots=True)
class BankStatus:
    """The bank of one space, for people."""

    space: str
    memories: int
    """Encoded."""
    report: BankReport
    """What the codec made of memories that it had not learnt from, when any was last encoded."""
    drift: str
    """Why the space should be encoded again; empty where nothing says so."""


def bank_step(lake: Lake) -> Step:
    """Vectors of memories to codes."""
    return Step(
        CODES_STEP_NAME, _CODE_VERSION, {"embedder": lake.embedder_spec.identity, **lake.settings.bank.model_dump()}
    )


@exclusive("encoding memories")
def refresh_bank(lake: Lake, space: str, anew: bool = False) -> StepReport:
    """Give each memory that the bank holds its code; after a drift, encode all of them with another codec.

    Args:
        anew: learn the codec again from what is there, so that nothing is left in it of what is gone.
    """
    started = time.perf_counter()
    step = bank_step(lake)
    asked = {"space": space, "embedder": lake.embedder_spec.identity}
    with lake.warehouse.session("planning codes") as connection:
        connection.execute("DELETE FROM codes WHERE space = $space AND embedder <> $embedder", asked)
        connection.execute("DELETE FROM banks WHERE space = $space AND embedder <> $embedder", asked)
        wanted = wanted_rows(connection, lake, space)
        held = frame(connection, f"SELECT row_id, text_hash, version, learnt FROM codes WHERE {_OF}", asked)
    lake.progress.start(step.name, space, wanted.height)
    changes = Changes()
    if wanted.is_empty():
        changes = _forget(lake, space)
    else:
        with lake.warehouse.released():
            bank = read_bank(lake, space)
            held = held.filter(pl.col("version") == (bank.serving.digest if bank else ""))
            new = wanted.join(held, on=_KEYS, how="anti")
            if bank is None or anew:
                changes = _switch(lake, space, wanted, _learnt_anew(lake, space))
            elif len(new) or held.height > wanted.height:
                changes = _follow(lake, space, bank, wanted, held, new)
    return conclude_global(lake, step, wanted.height, changes, started)


def _follow(lake: Lake, space: str, bank: Bank, wanted: pl.DataFrame, held: pl.DataFrame, new: pl.DataFrame) -> Changes:
    """Learn on from what is new, and encode it; or all of it with a better codec, where a drift is measured."""
    learner, seen = bank.learner, held.filter(pl.col("learnt"))
    ahead = wanted.filter(~pl.col("held_out")).join(seen, on=_KEYS, how="anti")
    if ahead.height < LEAST_BATCH:
        ahead = ahead.clear()
    for vectors in _vectors(lake, space, ahead["text_hash"], BATCH):
        learner = learner.learn(vectors)
    tried = _held_out(lake, space, bank.serving, bank.baseline.vectors)
    now = report(bank.serving, tried)
    if needs_reencoding(now, bank.baseline):
        better = min((_learnt_anew(lake, space), learner), key=lambda codec: report(codec, tried).error)
        return _switch(lake, space, wanted, better)
    coded = _encoded(lake, space, bank.serving, new).with_columns(learnt=pl.lit(False))
    _save(lake, learner)
    return _write(lake, space, Bank(bank.serving, learner, bank.baseline, now), wanted, coded, ahead)


def _switch(lake: Lake, space: str, wanted: pl.DataFrame, codec: Codec) -> Changes:
    """Encode everything with this codec, which serves and learns on from then."""
    baseline = report(codec, _held_out(lake, space, codec, MEASURED))
    coded = _encoded(lake, space, codec, wanted).with_columns(learnt=pl.lit(True))
    _save(lake, codec)
    return _write(lake, space, Bank(codec, codec, baseline, baseline), wanted, coded, wanted.clear())


def wanted_rows(connection: Connection, lake: Lake, space: str) -> pl.DataFrame:
    """``row_id``, ``text_hash`` and ``held_out`` of the memories that the bank of a space should hold, by id."""
    asked: dict[str, object] = {"space": space, "embedder": lake.embedder_spec.identity}
    rows = frame(connection, _WANTED[lake.settings.bank.of], asked)
    if rows.is_empty():
        return rows
    memories = frame(connection, f"SELECT count(*) AS memories FROM ({_SPACE})", asked).item()
    return rows if memories >= lake.settings.bank.least else rows.clear()


def read_bank(lake: Lake, space: str) -> Bank | None:
    """The bank of a space; ``None`` where there is none, none of this shape, or one that cannot be read."""
    with lake.warehouse.session("reading the bank") as connection:
        row = connection.execute(
            f"SELECT version, learner, baseline, report FROM banks WHERE {_OF}",
            {"space": space, "embedder": lake.embedder_spec.identity},
        ).fetchone()
    if row is None:
        return None
    try:
        serving, learner = (load_codec(lake.layout.bank(digest)) for digest in row[:2])
    except BankError:
        return None
    if (serving.digest, learner.digest, serving.identity) != (*row[:2], _blank(lake, serving.dimensions).identity):
        return None
    return Bank(serving, learner, *(BankReport(**json.loads(text)) for text in row[2:]))


def serving_codec(connection: Connection, space: str, embedder: str) -> str:
    """Digest of the codec that wrote the codes of a space; empty where there is none."""
    row = connection.execute(
        f"SELECT version FROM banks WHERE {_OF}", {"space": space, "embedder": embedder}
    ).fetchone()
    return "" if row is None else str(row[0])


def used_codecs(connection: Connection) -> set[str]:
    """Digests of the codecs that serve or learn in any space."""
    rows = connection.execute("SELECT version, learner FROM banks").fetchall()
    return {digest for row in rows for digest in row}


def bank_status(lake: Lake) -> list[BankStatus]:
    """The banks of the present embedder, by space."""
    with lake.warehouse.session("reading the banks") as connection:
        rows = connection.execute(
            "SELECT space, baseline, report, (SELECT count(*) FROM codes c WHERE c.space = b.space"
            " AND c.embedder = b.embedder) FROM banks b WHERE embedder = $embedder ORDER BY space",
            {"embedder": lake.embedder_spec.identity},
        ).fetchall()
    found = []
    for space, baseline, last, memories in rows:
        now = BankReport(**json.loads(last))
        found.append(BankStatus(space, memories, now, needs_reencoding(now, BankReport(**json.loads(baseline)))))
    return found


def code_problems(lake: Lake, space: str) -> tuple[int, list[str]]:
    """How many codes of a space were compared with those of their vectors, and what differs, as sentences."""
    with lake.warehouse.session("reading the codes") as connection:
        wanted = wanted_rows(connection, lake, space)
        held = frame(
            connection,
            f"SELECT row_id, text_hash, version, code FROM codes WHERE {_OF} ORDER BY row_id",
            {"space": space, "embedder": lake.embedder_spec.identity},
        )
    bank = read_bank(lake, space)
    if bank is None:
        return held.height, [f"the codec of {held.height:,} codes of {space} cannot be read"] if len(held) else []
    problems = [f"{key} has no code" for key in wanted.join(held, on=_KEYS, how="anti")["row_id"]]
    problems += [f"the code of {key} is left over" for key in _only_in(held, wanted)]
    again = _encoded(lake, space, bank.serving, wanted)
    both = again.join(held, on=_KEYS, how="inner", suffix="_held")
    wrong = both.filter((pl.col("code") != pl.col("code_held")) | (pl.col("version") != pl.col("version_held")))
    return held.height, problems + [f"the code of {key} is not that of its vector" for key in wrong["row_id"]]


def _only_in(rows: pl.DataFrame, others: pl.DataFrame) -> list[str]:
    found: list[str] = rows.join(others, on=_KEYS, how="anti")["row_id"].to_list()
    return found


def _blank(lake: Lake, dimensions: int) -> ResidualCodec:
    return ResidualCodec.of_size(dimensions, min(lake.settings.bank.bytes, dimensions))


def _learnt_anew(lake: Lake, space: str) -> Codec:
    """A codec of a sample of the space's memories: it depends on what is there alone."""
    hashes = _sampled(lake, space, False, SAMPLED)
    first = np.concatenate(list(_vectors(lake, space, hashes[:FIRST_BATCH], FIRST_BATCH)))
    codec: Codec = _blank(lake, first.shape[1]).learn(first)
    for vectors in _vectors(lake, space, hashes[FIRST_BATCH:], BATCH):
        codec = codec.learn(vectors)
    return codec


def _held_out(lake: Lake, space: str, codec: Codec, most: int) -> NDArray[np.float32]:
    """Vectors to measure a codec on, a sample of those that nothing learns from."""
    nothing = np.zeros((0, codec.dimensions), np.float32)
    return np.concatenate([nothing, *_vectors(lake, space, _sampled(lake, space, True, most), _AT_ONCE)])


def _sampled(lake: Lake, space: str, held_out: bool, limit: int) -> pl.Series:
    asked = {"space": space, "embedder": lake.embedder_spec.identity, "held_out": held_out, "limit": limit}
    with lake.warehouse.session("sampling memories") as connection:
        return frame(connection, _SAMPLE, asked)["text_hash"]


def _vectors(lake: Lake, space: str, hashes: pl.Series, size: int) -> Iterator[NDArray[np.float32]]:
    """The vectors of these, in their order, so many at once."""
    for start in range(0, len(hashes), size):
        part = hashes[start : start + size]
        numbered = pl.DataFrame({"i": range(len(part)), "text_hash": part})
        with lake.warehouse.session("reading vectors") as connection, registered(connection, "hashes_frame", numbered):
            asked = {"space": space, "embedder": lake.embedder_spec.identity}
            rows = connection.sql(_VECTORS, params=asked).to_arrow_table()
        flat = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        yield flat.astype(np.float32).reshape(rows.num_rows, -1)


def _encoded(lake: Lake, space: str, codec: Codec, rows: pl.DataFrame) -> pl.DataFrame:
    """``row_id``, ``text_hash``, ``version`` and ``code`` of these rows."""
    codes = [codec.encode(vectors) for vectors in _vectors(lake, space, rows["text_hash"], _AT_ONCE)]
    return rows.select(_KEYS).with_columns(
        pl.lit(codec.digest).alias("version"),
        pl.Series("code", [row.tobytes() for part in codes for row in part.array], dtype=pl.Binary),
    )


def _save(lake: Lake, codec: Codec) -> None:
    """Put a codec in place; the same codec is the same folder."""
    folder = lake.layout.bank(codec.digest)
    try:
        if load_codec(folder).digest == codec.digest:
            return
    except BankError:
        pass
    save_codec(codec, folder, lambda: reach("bank.written"))
    reach("bank.renamed")


def _forget(lake: Lake, space: str) -> Changes:
    """The bank of a space that holds nothing."""
    with lake.warehouse.session("forgetting codes") as connection:
        gone = connection.execute("DELETE FROM codes WHERE space = $space RETURNING 1", {"space": space}).fetchall()
        connection.execute("DELETE FROM banks WHERE space = $space", {"space": space})
        if gone:
            bump_generation(connection)
    return Changes(removed=len(gone))


def _write(
    lake: Lake, space: str, bank: Bank, wanted: pl.DataFrame, coded: pl.DataFrame, learnt: pl.DataFrame
) -> Changes:
    """Put the codes in, and let go of those that are not wanted or of another codec; one transaction.

    Args:
        coded: the rows to put in.
        learnt: those that are there and that the learner has seen now.
    """
    asked = {"space": space, "embedder": lake.embedder_spec.identity}
    with (
        lake.warehouse.session("writing codes") as connection,
        registered(connection, "wanted_frame", wanted),
        registered(connection, "coded_frame", coded),
        registered(connection, "learnt_frame", learnt),
    ):
        updated = frame(
            connection, f"SELECT count(*) FROM codes SEMI JOIN coded_frame USING (row_id) WHERE {_OF}", asked
        )
        connection.execute(
            "INSERT INTO codes SELECT $space, row_id, $embedder, text_hash, version, learnt, code FROM coded_frame"
            " ON CONFLICT DO UPDATE SET text_hash = excluded.text_hash, version = excluded.version,"
            " learnt = excluded.learnt, code = excluded.code",
            asked,
        )
        gone = connection.execute(
            f"DELETE FROM codes WHERE {_OF}"
            " AND (version <> $version OR row_id NOT IN (SELECT row_id FROM wanted_frame)) RETURNING 1",
            {**asked, "version": bank.serving.digest},
        ).fetchall()
        connection.execute(
            f"UPDATE codes SET learnt = true WHERE {_OF} AND row_id IN (SELECT row_id FROM learnt_frame)", asked
        )
        connection.execute(
            "INSERT OR REPLACE INTO banks VALUES ($space, $embedder, $version, $learner, $baseline, $report)",
            {
                **asked,
                "version": bank.serving.digest,
                "learner": bank.learner.digest,
                "baseline": json.dumps(asdict(bank.baseline)),
                "report": json.dumps(asdict(bank.report)),
            },
        )
        bump_generation(connection)
        reach("bank.coded")
    reach("bank.committed")
    lake.progress.advance(coded.height)
    return Changes(coded.height - updated.item(), updated.item(), len(gone))

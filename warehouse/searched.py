"""What the Lance tables hold: passages, the memories of every granularity, and the codes of the compressed bank.

A kind says how a table is named, which columns it has, and by which SQL its rows follow from the warehouse. How a table
is brought up to date, compacted or pinned is the same for all of them (``warehouse.vectors``).

Text columns are stored without compression, so that the bytes of a file say what it holds: an erasure proves itself by
searching them, which compressed text would let it do in vain. It costs a tenth of a table's size.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

FTS_COLUMN = "search_text"
"""What the full-text index is over, in every kind of table."""

_PLAIN = {"lance-encoding:compression": "none"}


@dataclass(frozen=True, slots=True)
class TableKind:
    """One kind of searched table."""

    name: str
    """Also what its rows are, in the plural."""
    key: str
    """The column that names a row."""
    columns: tuple[pa.Field, ...]
    """All but the key, the row's hash, the searched text and the vector."""
    wanted: str
    """SQL: the key and ``row_hash`` of what the table of a space should hold, given ``$space`` and ``$embedder``."""
    rows: str
    """SQL: the rows of the keys in ``wanted_frame``, in their order, with ``search_text``, given ``$embedder``."""
    is_searched: bool = True
    """Whether its rows have a text and a vector, and a full-text index; the codes of the bank have none of these."""

    @property
    def row(self) -> str:
        """What a row is."""
        return self.key.removesuffix("_id")

    def table(self, embedder: str) -> str:
        """The table as one embedder sees it."""
        return f"{self.name}-{embedder}"

    def schema(self, dimensions: int) -> pa.Schema:
        """Everything that a retriever filters on or shows, and the vector where rows are searched by it."""
        searched = [_text(FTS_COLUMN), pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False)]
        return pa.schema(
            [
                pa.field(self.key, pa.string(), nullable=False),
                pa.field("row_hash", pa.string(), nullable=False),
                *self.columns,
                *(searched if self.is_searched else ()),
            ]
        )


def _text(name: str) -> pa.Field:
    return pa.field(name, pa.string(), nullable=False, metadata=_PLAIN)


def _word(name: str) -> pa.Field:
    return pa.field(name, pa.string(), nullable=False)


def _number(name: str) -> pa.Field:
    return pa.field(name, pa.int32(), nullable=False)


_STANDING = (pa.field("strength", pa.float64()), pa.field("recalled_at", pa.timestamp("us")))
"""What the events of clients made of a row; nothing where there were none."""

_CONTEXT = "concat_ws(chr(10), nullif({title}, ''), nullif({heading}, ''), {text})"
"""Title, headings and text, a line each: what is embedded and searched (``memory.segmentation.contextual_text``)."""

PASSAGES = TableKind(
    name="passages",
    key="passage_id",
    columns=(
        _word("document_id"),
        _word("revision_id"),
        _word("content_hash"),
        _word("source"),
        _text("path"),
        _text("title"),
        pa.field("author", pa.string()),
        pa.field("document_date", pa.date32()),
        _word("media_type"),
        _number("ordinal"),
        _number("char_start"),
        _number("char_end"),
        pa.field("page", pa.int32()),
        _word("kind"),
        _text("heading"),
        _text("text"),
        pa.field("representative", pa.string()),
        pa.field("pieces", pa.binary()),
        *_STANDING,
    ),
    wanted="""
SELECT p.passage_id, md5(concat_ws(chr(31), p.revision_id, p.text_hash, p.ordinal, p.char_start, p.char_end,
    coalesce(p.page, 0), p.kind, r.content_hash, d.path, d.title, coalesce(d.author, ''),
    coalesce(CAST(d.document_date AS VARCHAR), ''), d.media_type, coalesce(f.representative, ''),
    octet_length(v.vectors), s.strength, s.recalled_at)) AS row_hash
FROM searched p
JOIN documents d ON d.document_id = p.document_id
JOIN revisions r ON r.revision_id = p.revision_id
JOIN embeddings e ON e.space = p.space AND e.text_hash = p.text_hash AND e.embedder = $embedder
LEFT JOIN piece_vectors v ON v.space = p.space AND v.text_hash = p.text_hash AND v.embedder = $embedder
LEFT JOIN reinforcement s ON s.target_id = p.passage_id AND s.document_id = p.document_id
LEFT JOIN families f ON f.passage_id = p.passage_id
WHERE p.space = $space
""",
    rows=f"""
SELECT p.passage_id, w.row_hash, p.document_id, p.revision_id, r.content_hash, p.source, d.path, d.title, d.author,
    d.document_date, d.media_type, p.ordinal, p.char_start, p.char_end, p.page, p.kind, p.heading, p.text,
    f.representative, v.vectors AS pieces, s.strength, s.recalled_at,
    {_CONTEXT.format(title="d.title", heading="p.heading", text="p.text")} AS search_text, e.vector
FROM wanted_frame w
JOIN passages p ON p.passage_id = w.passage_id
JOIN documents d ON d.document_id = p.document_id
JOIN revisions r ON r.revision_id = p.revision_id
JOIN embeddings e ON e.space = p.space AND e.text_hash = p.text_hash AND e.embedder = $embedder
LEFT JOIN piece_vectors v ON v.space = p.space AND v.text_hash = p.text_hash AND v.embedder = $embedder
LEFT JOIN reinforcement s ON s.target_id = p.passage_id AND s.document_id = p.document_id
LEFT JOIN families f ON f.passage_id = p.passage_id
ORDER BY p.passage_id
""",
)

_LED = """
led AS (
    SELECT s.memory_id, list(DISTINCT p.passage_id ORDER BY p.passage_id) AS passage_ids
    FROM memory_spans s JOIN memories m USING (memory_id)
    JOIN searched p ON p.document_id = s.document_id AND (m.granularity IN ('summary', 'keywords')
        OR (p.char_start < s.char_end AND s.char_start < p.char_end))
    WHERE s.space = $space GROUP BY s.memory_id
),
spanned AS (
    SELECT memory_id, list(document_id ORDER BY document_id, char_start) AS documents,
        list(revision_id ORDER BY document_id, char_start) AS revisions,
        list(char_start ORDER BY document_id, char_start) AS starts,
        list(char_end ORDER BY document_id, char_start) AS ends
    FROM memory_spans WHERE space = $space GROUP BY memory_id
)
"""
"""The passages that each memory leads to, all of its document where it stands for that, and its spans.

One that leads to no searched passage is not searched.
"""

MEMORIES = TableKind(
    name="memories",
    key="memory_id",
    columns=(
        _word("granularity"),
        _word("document_id"),
        _word("source"),
        _text("path"),
        _text("title"),
        pa.field("author", pa.string()),
        pa.field("document_date", pa.date32()),
        _number("ordinal"),
        pa.field("parent_id", pa.string()),
        _text("text"),
        _text("speaker"),
        _text("subject"),
        _text("attribute"),
        pa.field("since", pa.date32()),
        pa.field("until", pa.date32()),
        pa.field("valid_until", pa.date32()),
        pa.field("superseded_by", pa.string()),
        pa.field("passage_ids", pa.list_(pa.string()), nullable=False),
        pa.field("documents", pa.list_(pa.string()), nullable=False),
        pa.field("revisions", pa.list_(pa.string()), nullable=False),
        pa.field("starts", pa.list_(pa.int32()), nullable=False),
        pa.field("ends", pa.list_(pa.int32()), nullable=False),
        *_STANDING,
    ),
    wanted=f"""
WITH {_LED}
SELECT m.memory_id, md5(concat_ws(chr(31), m.text_hash, m.text, m.granularity, m.ordinal, coalesce(m.parent_id, ''),
    m.speaker, m.subject, m.attribute, coalesce(CAST(m.since AS VARCHAR), ''), coalesce(CAST(m.until AS VARCHAR), ''),
    coalesce(d.path, ''), coalesce(d.title, ''), coalesce(d.author, ''), coalesce(CAST(d.document_date AS VARCHAR), ''),
    coalesce(CAST(v.valid_until AS VARCHAR), ''), coalesce(v.superseded_by, ''), led.passage_ids, spanned.documents,
    spanned.revisions, spanned.starts, spanned.ends, s.strength, s.recalled_at)) AS row_hash
FROM memories m JOIN led USING (memory_id) JOIN spanned USING (memory_id)
LEFT JOIN documents d ON d.document_id = m.document_id
JOIN embeddings e ON e.space = m.space AND e.text_hash = m.text_hash AND e.embedder = $embedder
LEFT JOIN memory_validity v ON v.memory_id = m.memory_id
LEFT JOIN reinforcement s ON s.target_id = m.memory_id AND s.document_id = m.document_id
WHERE m.space = $space
""",
    rows=f"""
WITH {_LED}
SELECT m.memory_id, w.row_hash, m.granularity, m.document_id, m.source, coalesce(d.path, '') AS path,
    coalesce(d.title, '') AS title, d.author, d.document_date, m.ordinal, m.parent_id, m.text, m.speaker, m.subject,
    m.attribute, m.since, m.until, v.valid_until, v.superseded_by, led.passage_ids, spanned.documents,
    spanned.revisions, spanned.starts, spanned.ends, s.strength, s.recalled_at,
    {_CONTEXT.format(title="d.title", heading="''", text="m.text")} AS search_text, e.vector
FROM wanted_frame w
JOIN memories m ON m.memory_id = w.memory_id JOIN led ON led.memory_id = m.memory_id
JOIN spanned ON spanned.memory_id = m.memory_id
LEFT JOIN documents d ON d.document_id = m.document_id
JOIN embeddings e ON e.space = m.space AND e.text_hash = m.text_hash AND e.embedder = $embedder
LEFT JOIN memory_validity v ON v.memory_id = m.memory_id
LEFT JOIN reinforcement s ON s.target_id = m.memory_id AND s.document_id = m.document_id
ORDER BY m.memory_id
""",
)

BANK = TableKind(
    name="bank",
    key="row_id",
    columns=(
        _word("version"),
        pa.field("code", pa.binary(), nullable=False),
    ),
    wanted="""
SELECT row_id, md5(concat_ws(chr(31), version, md5(code))) AS row_hash FROM codes
WHERE space = $space AND embedder = $embedder
""",
    rows="""
SELECT c.row_id, w.row_hash, c.version, c.code FROM wanted_frame w
JOIN codes c ON c.row_id = w.row_id AND c.embedder = $embedder ORDER BY c.row_id
""",
    is_searched=False,
)

KINDS = (PASSAGES, MEMORIES, BANK)
"""Every kind of table that a lake has, in each space."""

"""Revisions to passages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import polars as pl

from derivation.lake import Lake
from derivation.runner import Computed, Inputs, failure
from errors import MemlakeError
from memory.segmentation import CODE_VERSION, segment
from warehouse.database import Changes, Connection, frame, replace_rows
from warehouse.delta import Outcome, Scope, Status, Step, Task
from warehouse.ids import passage_id, text_id

HEADING_SEPARATOR = " > "

_SCHEMA = {
    "passage_id": pl.String,
    "space": pl.String,
    "source": pl.String,
    "document_id": pl.String,
    "revision_id": pl.String,
    "ordinal": pl.Int32,
    "char_start": pl.Int32,
    "char_end": pl.Int32,
    "page": pl.Int32,
    "kind": pl.String,
    "heading": pl.String,
    "tokens": pl.Int32,
    "text": pl.String,
    "text_hash": pl.String,
}


class Passages:
    """Cuts each revision; an edit keeps every passage whose text it leaves alone."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._settings = lake.settings.segmentation
        spec = lake.embedder_spec
        tokenizer = spec.model if spec.provider == "sentence-transformers" else "bundled"
        parameters = {**self._settings.model_dump(), "tokenizer": tokenizer}
        self.step = Step("passages", CODE_VERSION, parameters)

    def inputs(self, scope: Scope) -> Inputs:
        return Inputs(
            "SELECT r.document_id AS input_id, r.content_hash AS input_hash, d.path AS label"
            " FROM revisions r JOIN documents d USING (document_id)"
            " WHERE r.space = $of_space AND r.source = $of_source",
            {"of_space": scope.space, "of_source": scope.source},
        )

    def load(self, connection: Connection, tasks: Sequence[Task]) -> pl.DataFrame:
        return frame(
            connection,
            "SELECT d.document_id, d.space, d.source, d.title, d.media_type, r.revision_id, r.text, r.page_starts,"
            " r.turn_starts FROM documents d JOIN revisions r USING (document_id)"
            " WHERE d.document_id IN (SELECT unnest($ids))",
            {"ids": [task.input_id for task in tasks]},
        )

    def compute(self, tasks: Sequence[Task], loaded: pl.DataFrame) -> Computed:
        documents = {row["document_id"]: row for row in loaded.iter_rows(named=True)}
        rows: list[dict[str, Any]] = []
        outcomes = []
        for task in tasks:
            if task.input_id not in documents:  # removed since it was planned; the next plan sees it
                continue
            try:
                found = self._passages(documents[task.input_id])
            except MemlakeError as error:
                outcomes.append(failure(task, error))
                continue
            rows.extend(found)
            outcomes.append(Outcome(task, Status.DONE, outputs=len(found)))
        return Computed(pl.DataFrame(rows, schema=_SCHEMA), outcomes)

    def tables(self, outputs: pl.DataFrame) -> dict[str, pl.DataFrame]:
        return {"passages": outputs}

    def write(self, connection: Connection, owners: Sequence[str], outputs: pl.DataFrame) -> Changes:
        return replace_rows(connection, "passages", ["passage_id"], outputs, "document_id", owners)

    def owned(self, table: str, owners: Sequence[str]) -> tuple[str, Sequence[str]]:
        return "document_id", owners

    def remove(self, connection: Connection, input_ids: Sequence[str]) -> Changes:
        gone = connection.execute(
            "DELETE FROM passages WHERE document_id IN (SELECT unnest($ids)) RETURNING 1", {"ids": list(input_ids)}
        ).fetchall()
        return Changes(removed=len(gone))

    def _passages(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        text = document["text"]
        spans = segment(
            text,
            document["media_type"],
            self._lake.token_counter,
            self._settings.target_tokens,
            self._settings.max_tokens,
            document["turn_starts"],
        )
        occurrences: dict[str, int] = {}
        rows = []
        for ordinal, span in enumerate(spans):
            body = text[span.start : span.end]
            occurrence = occurrences.get(body, 0)
            occurrences[body] = occurrence + 1
            heading = HEADING_SEPARATOR.join(name for name in span.headings if name != document["title"])
            rows.append(
                {
                    "passage_id": passage_id(document["document_id"], body, occurrence),
                    "space": document["space"],
                    "source": document["source"],
                    "document_id": document["document_id"],
                    "revision_id": document["revision_id"],
                    "ordinal": ordinal,
                    "char_start": span.start,
                    "char_end": span.end,
                    "page": bisect_right(document["page_starts"], span.start) or None,
                    "kind": span.kind,
                    "heading": heading,
                    "tokens": span.tokens,
                    "text": body,
                    "text_hash": text_id(document["title"], heading, body),
                }
            )
        return rows

"""What a client notes about its queries: by itself where the settings ask for it, and whatever it is told.

Noting by itself never fails a query; being told to note something either does it or says that it did not.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from errors import UnknownName
from memory.forgetting import EventKind
from retrieval.events import Event, EventWriter, event_kind, events_of
from retrieval.model import Answer, Hit
from retrieval.search import View
from warehouse.layout import LakeLayout
from warehouse.sections import EventsSettings


class Recorder:
    """Notes what is done with the passages of one space."""

    def __init__(self, layout: LakeLayout, space: str, settings: EventsSettings) -> None:
        self._space = space
        self._settings = settings
        self._writer = EventWriter(layout.events)
        weakref.finalize(self, self._writer.flush)

    def returned(self, view: View, query: str, hits: list[Hit]) -> list[Hit]:
        """Note that a search returned these hits, if the settings ask for it; gives them back."""
        self._note(view, EventKind.RETURNED, query, hits)
        return hits

    def cited(self, view: View, answer: Answer) -> Answer:
        """Note what an answer cites, if the settings ask for it; gives it back."""
        self._note(view, EventKind.CITED, answer.question, [citation.hit for citation in answer.citations])
        return answer

    def record(self, view: View, kind: str, of: Sequence[Hit | str], query: str | None) -> int:
        """As :meth:`retrieval.client.MemoryClient.record`."""
        noted = event_kind(kind)
        targets = {item.passage_id: item.span.document_id for item in of if isinstance(item, Hit)}
        named = list(dict.fromkeys(item for item in of if isinstance(item, str) and item not in targets))
        rows = view.table.rows(named)
        for key in named:
            if key not in rows:
                raise UnknownName(
                    f"The snapshot {view.manifest.snapshot_id} holds no passage '{key}'.", "Name the hits themselves."
                )
            targets[key] = rows[key]["document_id"]
        events = self._events(view, noted, targets, query)
        self._writer.write(events)
        return len(events)

    def flush(self) -> None:
        """Write what waits."""
        self._writer.flush()

    def _note(self, view: View, kind: EventKind, query: str, hits: Sequence[Hit]) -> None:
        if self._settings.enabled and hits:
            targets = {hit.passage_id: hit.span.document_id for hit in hits}
            self._writer.note(self._events(view, kind, targets, query))

    def _events(self, view: View, kind: EventKind, targets: dict[str, str], query: str | None) -> list[Event]:
        hashed = query if self._settings.query_hashes else None
        return events_of(kind, self._space, view.manifest.snapshot_id, targets.items(), hashed)

"""Named places in the write path where a process may die; tests arm them, and nothing else does.

Invariant 4 says that a crash at any instant leaves the published snapshot intact and that the next run converges. These
are the instants that differ: before and after each commit of a store, and between two stores. ``reach`` costs a
comparison with ``None`` unless a test has armed a point in its own process.
"""

from __future__ import annotations

from collections.abc import Callable

POINTS = {
    "migrate.applied": "a migration's statements have run, in its open transaction",
    "migrate.committed": "one migration is committed, the next has not begun",
    "files.written": "a small file is on the disk under its temporary name",
    "documents.written": "a batch of documents is in the open transaction, its ledger rows are not",
    "documents.committed": "a batch of documents is committed, the next is not read",
    "documents.removing": "vanished documents are removed in the open transaction",
    "step.computed": "a batch is computed and nothing of it is written",
    "step.written": "a batch is in the open transaction, its ledger rows are not",
    "step.committed": "a batch and its ledger rows are committed",
    "step.removing": "outputs of vanished inputs are removed in the open transaction",
    "embeddings.computed": "vectors are paid for and not yet written",
    "embeddings.committed": "a batch of vectors is committed",
    "embeddings.removed": "unused vectors are removed, the Lance table still has their rows",
    "memory_vectors.computed": "vectors of memories are made of their pieces and not yet written",
    "memory_vectors.committed": "a batch of memories' vectors is committed",
    "entities.written": "entities are merged in the open transaction",
    "facts.written": "facts are merged in the open transaction",
    "resolution.written": "verdicts on entities are merged in the open transaction",
    "replies.noted": "a model's reply is in the journal, the warehouse does not know",
    "replies.absorbed": "the journal is in the warehouse and not emptied yet",
    "batches.submitted": "a batch of requests is started at the provider, the lake does not know",
    "events.read": "new lines of a client's file are read and not written",
    "events.written": "a portion of them is in the open transaction",
    "events.committed": "a portion of a file is committed, its rest is not read, nothing is summed up",
    "reinforcement.written": "strengths and tiers are merged in the open transaction",
    "duplicates.measured": "pairs are measured and not yet written",
    "duplicates.committed": "families are committed, the Lance table does not show them",
    "vectors.created": "the Lance table exists and is empty",
    "vectors.merged": "Lance has committed the rows, DuckDB does not know and nothing is indexed",
    "vectors.compacted": "Lance has compacted, the full-text index is old",
    "vectors.indexed": "Lance is done, DuckDB has not noted the version",
    "bank.written": "a codec of the bank is on the disk under its temporary name",
    "bank.renamed": "the codec is in place, DuckDB has not noted it",
    "bank.coded": "codes and the codec that wrote them are in the open transaction",
    "bank.committed": "the codes are committed, the Lance table shows those of before",
    "graph.written": "the graph is on the disk under its temporary name",
    "graph.renamed": "the graph is in place, DuckDB has not noted it",
    "layers.noted": "a derived store is up to date and noted",
    "candidate.pinned": "the candidate is noted, no check has run",
    "checks.recorded": "one check's verdict is noted",
    "publish.tagged": "the Lance versions are tagged, there is no manifest",
    "publish.manifested": "the manifest exists, CURRENT names the snapshot before",
    "publish.pointed": "CURRENT is swapped, DuckDB does not know",
    "retention.listed": "what expires is noted in the history, its manifest is still there",
    "retention.unlisted": "the manifest is gone, its tags are not",
    "retention.untagged": "the tags are gone, the versions are not pruned",
    "retention.pruned": "one table's versions are pruned, the files that only they named are not",
    "retention.cleaned": "one table holds nothing that no version names",
    "compaction.merged": "Lance has merged small files, old versions are not pruned",
    "compaction.copied": "the warehouse is copied, the copy has not replaced it",
    "compaction.replaced": "the compact copy is the warehouse",
    "erase.blocked": "what is to be erased is marked, nothing is removed yet",
    "erase.removed": "the rows are removed, the published snapshot still has them",
    "erase.published": "a snapshot without them is published, older ones still have them",
    "repair.dropped": "damaged derived stores are set aside, none is rebuilt",
}
"""Every point by name, with the state of the lake there."""

_armed: Callable[[str], None] | None = None


def reach(point: str) -> None:
    """Note that the write path is at ``point``."""
    if _armed is not None:
        _armed(point)


def arm(action: Callable[[str], None] | None) -> None:
    """Call ``action`` with each point that is reached from now on; ``None`` disarms."""
    global _armed
    _armed = action

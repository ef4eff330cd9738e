"""What changed between two snapshots, told from what they pin; needs neither the warehouse nor the sources."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.tables import SearchedTable
from warehouse.layout import LakeLayout
from warehouse.snapshots import Manifest


@dataclass(frozen=True, slots=True)
class SpaceDifference:
    """The documents of one space, each path as ``source: path``; the passages in numbers."""

    space: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    """From and to, where the content stayed the same."""
    passages_added: int
    passages_removed: int


def difference(layout: LakeLayout, before: Manifest, after: Manifest) -> list[SpaceDifference]:
    """What ``after`` has that ``before`` has not, and the other way round, by space."""
    return [_space_difference(layout, space, before, after) for space in sorted({*before.spaces, *after.spaces})]


def _space_difference(layout: LakeLayout, space: str, before: Manifest, after: Manifest) -> SpaceDifference:
    old_documents, old_passages = _content(layout, space, before)
    new_documents, new_passages = _content(layout, space, after)
    added = [path for path in new_documents if path not in old_documents]
    removed = [path for path in old_documents if path not in new_documents]
    by_content: dict[str, list[str]] = {}
    for path in added:
        by_content.setdefault(new_documents[path], []).append(path)
    renamed = []
    for path in removed:
        same = by_content.get(old_documents[path])
        if same:
            renamed.append((path, same.pop(0)))
    old_names, new_names = {old for old, _ in renamed}, {new for _, new in renamed}
    return SpaceDifference(
        space=space,
        added=tuple(path for path in added if path not in new_names),
        removed=tuple(path for path in removed if path not in old_names),
        changed=tuple(path for path, content in new_documents.items() if old_documents.get(path, content) != content),
        renamed=tuple(renamed),
        passages_added=len(new_passages - old_passages),
        passages_removed=len(old_passages - new_passages),
    )


def _content(layout: LakeLayout, space: str, manifest: Manifest) -> tuple[dict[str, str], set[str]]:
    """Documents of a snapshot with the hash of their content, by path, and the ids of its passages."""
    if space not in manifest.spaces:
        return {}, set()
    state = manifest.space(space)
    rows = SearchedTable(layout, space, state.table, state.version).columns(
        ["passage_id", "source", "path", "content_hash"]
    )
    documents = {f"{row['source']}: {row['path']}": row["content_hash"] for row in rows}
    return dict(sorted(documents.items())), {row["passage_id"] for row in rows}

"""Families of near-duplicates: found across sources, shown once with the others named, suppressed where asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import Workspace, kept_open
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Filters, Hit
from retrieval.families import Families, collapse

NOTICE = (
    "# Notice\n\nThe harbour master of Port Hallin closes the eastern lock on the first Monday of May for repairs to"
    " the sluice, and vessels above forty metres wait at the outer buoys until the pilot calls them in by radio.\n"
)
OTHER = (
    "# Lamp\n\nThe lamp of Gull Point was lit in 1911 and is turned by a clockwork that Ana Reyes winds each night.\n"
)


@pytest.fixture
def copied(workspace: Workspace) -> Workspace:
    """A notice in two sources, once with an addition, and another document."""
    workspace.configure([{"name": "notes"}, {"name": "mirror"}])
    workspace.write("notice.md", NOTICE)
    workspace.write("lamp.md", OTHER)
    workspace.write("copy.md", NOTICE, source="mirror")
    workspace.write("longer.md", NOTICE.strip() + " The fee is waived.\n", source="mirror")
    workspace.build()
    return workspace


def search(workspace: Workspace, **options: object) -> list[Hit]:
    return workspace.client().search("eastern lock of Port Hallin closed for repairs", **options)  # type: ignore[arg-type]


def paths(hit: Hit) -> set[str]:
    return {hit.location.path, *(other.location.path for other in hit.further)}


def test_copies_are_a_family_with_the_longest_as_representative(copied: Workspace) -> None:
    rows = copied.rows(
        "SELECT d.path, f.kind, f.score FROM families f JOIN passages p USING (passage_id)"
        " JOIN documents d USING (document_id) ORDER BY d.path"
    )
    assert rows == [("copy.md", "near", 1.0), ("longer.md", "representative", 1.0), ("notice.md", "near", 1.0)]


def test_one_is_shown_and_the_others_are_named(copied: Workspace) -> None:
    hits = search(copied)
    assert [hit.location.path for hit in hits] == ["longer.md", "lamp.md"]
    assert paths(hits[0]) == {"notice.md", "copy.md", "longer.md"}
    assert [hit.rank for hit in hits] == [1, 2]
    for other in hits[0].further:
        (text,) = copied.column("SELECT text FROM revisions WHERE revision_id = $id", id=other.span.revision_id)
        assert "Port Hallin" in text[other.span.start : other.span.end]
    assert [item["location"]["path"] for item in hits[0].as_record()["further"]] == [
        other.location.path for other in hits[0].further
    ]


def test_k_counts_what_is_shown(copied: Workspace) -> None:
    copied.write("ferry.md", "# Ferry\n\nThe ferry to Port Hallin leaves at seven.\n")
    copied.write("fish.md", "# Fish\n\nCod and herring are sold on the quay.\n")
    copied.build()
    for k in (1, 2, 3):
        hits = search(copied, k=k)
        assert len(hits) == k
        assert paths(hits[0]) == {"notice.md", "copy.md", "longer.md"}


def test_a_filter_shows_what_it_lets_through(copied: Workspace) -> None:
    (hit, *_) = search(copied, filters=Filters(sources=("notes",)))
    assert hit.location.path == "notice.md"
    assert hit.further == ()
    (hit, *_) = search(copied, filters=Filters(sources=("mirror",)))
    assert paths(hit) == {"copy.md", "longer.md"}


@pytest.mark.parametrize("channels", [("dense",), ("lexical",), ("graph",), ("dense", "lexical")])
def test_every_channel_collapses(copied: Workspace, channels: tuple[str, ...]) -> None:
    shown = [hit.location.path for hit in search(copied, channels=channels)]
    assert len(set(shown) & {"notice.md", "copy.md", "longer.md"}) == 1


def test_collapsing_can_be_turned_off(copied: Workspace) -> None:
    copied.configure([{"name": "notes"}, {"name": "mirror"}], retrieval={"collapse_duplicates": False})
    hits = search(copied)
    assert {hit.location.path for hit in hits} == {"notice.md", "copy.md", "longer.md", "lamp.md"}
    assert all(hit.further == () for hit in hits)


def test_a_source_can_suppress_its_repetitions(copied: Workspace) -> None:
    copied.configure([{"name": "notes"}, {"name": "mirror", "suppress": True}])
    built = copied.build()
    assert built.published
    assert built.snapshot.space("default").passages == 2
    hits = search(copied)
    assert [hit.location.path for hit in hits] == ["notice.md", "lamp.md"]
    assert copied.column("SELECT count(*) FROM passages") == [4], "advisory: the warehouse keeps them"
    copied.assert_equals_rebuild(built.lake)
    copied.configure([{"name": "notes"}, {"name": "mirror"}])
    again = copied.build()
    assert again.embedded == 0
    assert again.snapshot.space("default").passages == 4


def test_a_family_outlives_its_representative(copied: Workspace) -> None:
    copied.delete("longer.md", source="mirror")
    built = copied.build()
    (hit, *_) = search(copied)
    assert paths(hit) == {"notice.md", "copy.md"}
    copied.assert_equals_rebuild(built.lake)
    copied.delete("copy.md", source="mirror")
    copied.build()
    assert search(copied)[0].further == ()
    assert copied.column("SELECT count(*) FROM families") == [0]


def test_spaces_share_no_family(workspace: Workspace) -> None:
    workspace.configure([{"name": "notes"}, {"name": "mirror", "space": "vault"}])
    workspace.write("notice.md", NOTICE)
    workspace.write("copy.md", NOTICE, source="mirror")
    workspace.build()
    assert workspace.column("SELECT count(*) FROM families") == [0]


def test_a_pair_is_measured_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import derivation.duplicates

    measured: list[int] = []
    compare = derivation.duplicates.compare
    monkeypatch.setattr(derivation.duplicates, "compare", lambda a, b: measured.append(1) or compare(a, b))
    with kept_open(workspace.lake()):
        for number in range(4):
            workspace.write(f"copy{number}.md", f"{NOTICE.strip()} Copy {number}.\n")
            workspace.build()
        before = len(measured)
        workspace.write("lamp.md", OTHER)
        built = workspace.build()
        assert len(measured) == before, "a text that resembles nothing is measured against nothing"
        workspace.assert_equals_rebuild(built.lake)


keys = st.sampled_from("abcdefgh")


@given(
    ids=st.lists(keys, unique=True),
    family_of=st.dictionaries(keys, st.sampled_from("ah")),
    allowed=st.none() | st.sets(keys),
)
def test_collapsing_shows_each_family_once_where_its_best_was(
    ids: list[str], family_of: dict[str, str], allowed: set[str] | None
) -> None:
    family_of |= {shown: shown for shown in family_of.values()}
    ids = [key for key in ids if allowed is None or key in allowed]
    scores = np.linspace(1, 0, len(ids), dtype=np.float32)
    shown = collapse(ids, scores, Families.of(family_of), allowed)
    families = [family_of.get(key, key) for key in ids]
    assert [family_of.get(item.key, item.key) for item in shown] == list(dict.fromkeys(families))
    assert [item.score for item in shown] == sorted((item.score for item in shown), reverse=True)
    for item in shown:
        assert allowed is None or {item.key, *item.others} <= allowed
        assert item.key not in item.others
        assert set(item.found) <= {item.key, *item.others}


def test_a_table_of_before_has_no_families(make_workspace: Callable[[], Workspace]) -> None:
    from retrieval.tables import SearchedTable
    from warehouse.vectors import connect

    workspace = make_workspace()
    workspace.write("lamp.md", OTHER)
    state = workspace.build().snapshot.space("default")
    database = connect(workspace.layout, "default")
    rows = database.open_table(state.table).to_arrow().drop_columns(["representative"])
    database.create_table("former", rows)
    assert SearchedTable(workspace.layout, "default", "former", 1).families().members == {}

"""The steps of memories over a lake: what is remembered, what a change costs, and what is left of what is gone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from conftest import Built, Workspace, kept_open, refresh_source
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sessions import TALK

from derivation.checks import check_spans
from derivation.documents import refresh_documents
from derivation.memories import Memories
from derivation.passages import Passages
from derivation.runner import run
from derivation.settling import refresh_served
from derivation.verification import verify
from memory.embedding import HashingEmbedder
from warehouse.delta import Scope
from warehouse.searched import MEMORIES
from warehouse.vectors import connect

Turns = Sequence[tuple[str, str]]

SOURCES = ({"name": "notes"}, {"name": "team", "kind": "chat"})

SOUND = """# The sound

## Ferries

The ferry crosses the sound twice a day. The ferry carries forty cars. Its crew is three.

## Gardens

Roses like a lime soil. They are cut back in March, before the buds open. In the shade they bloom less.
"""
PORTO = (("Ben", "I moved to Porto yesterday. The flat is small."), ("Ann", "Oh, tell me more about Porto."))
FERRY = (("Ann", "I saw the ferry in the harbour last Friday. It was late."), ("Ben", "The ferry is always late."))

TABLES = ("memories", "memory_spans", "memory_validity", "outline_candidates", "time_expressions", "piece_vectors")
TABLES += ("association_neighbours", "embeddings")


def session(number: int, day: str, turns: Turns) -> dict[str, Any]:
    told = [{"speaker": speaker, "text": text} for speaker, text in turns]
    return {"session": f"s{number}", "date": day, "turns": told}


def write_sessions(workspace: Workspace, *sessions: Mapping[str, Any]) -> None:
    workspace.write("c.jsonl", "".join(json.dumps(item) + "\n" for item in sessions), "team")


def fill(workspace: Workspace) -> None:
    """One document, and two sessions of which the later one tells of a move."""
    workspace.configure(SOURCES)
    workspace.write("sound.md", SOUND)
    write_sessions(workspace, session(1, "2023-05-25", TALK), session(2, "2023-06-02", PORTO))


def build(workspace: Workspace) -> Built:
    """Build, and see that only texts that the lake did not hold were embedded."""
    before = workspace.texts_held()
    built = workspace.build()
    assert built.embedded == len(workspace.texts_held() - before)
    return built


def texts(workspace: Workspace, granularity: str, path: str = "%") -> list[str]:
    sql = (
        "SELECT m.text FROM memories m LEFT JOIN documents d USING (document_id)"
        " WHERE granularity = $granularity AND coalesce(d.path, '') LIKE $path ORDER BY d.path, m.ordinal"
    )
    return workspace.column(sql, granularity=granularity, path=path)


def made(workspace: Workspace) -> set[str]:
    """The granularities that the lake holds."""
    return set(workspace.column("SELECT DISTINCT granularity FROM memories"))


def searched(workspace: Workspace) -> list[dict[str, Any]]:
    """The rows of the table that is searched."""
    lake = workspace.lake()
    table = connect(lake.layout, "default").open_table(MEMORIES.table(lake.embedder_spec.identity))
    rows: list[dict[str, Any]] = table.to_arrow().to_pylist()
    return rows


def count_rows(workspace: Workspace) -> dict[str, int]:
    return {table: workspace.column(f"SELECT count(*) FROM {table}")[0] for table in TABLES}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A lake that tests only read."""
    workspace = Workspace(tmp_path_factory.mktemp("filled"))
    fill(workspace)
    with kept_open(workspace.lake()):
        assert build(workspace).published
    return workspace


@pytest.fixture
def lake_of_talk(workspace: Workspace) -> Iterator[Workspace]:
    """A lake of one's own, built."""
    with kept_open(workspace.lake()):
        fill(workspace)
        build(workspace)
        yield workspace


class TestWhatIsRemembered:
    def test_documents_have_outlines_and_sessions_all_the_rest(self, filled: Workspace) -> None:
        rows = filled.rows(
            "SELECT d.path, list(DISTINCT m.granularity ORDER BY m.granularity) FROM memories m"
            " JOIN documents d USING (document_id) GROUP BY d.path ORDER BY d.path"
        )
        talked = ["episode", "fact", "keywords", "round", "summary", "turn"]
        assert rows == [("c.jsonl#s1", talked), ("c.jsonl#s2", talked), ("sound.md", ["core", "outline"])]
        assert texts(filled, "turn", "c.jsonl#s2") == [f"{speaker}: {words}" for speaker, words in PORTO]
        assert texts(filled, "summary", "c.jsonl#s2") == ["2 June 2023\nBen: I moved to Porto yesterday."]

    def test_spans_say_what_memories_say(self, filled: Workspace) -> None:
        rows = filled.rows(
            "SELECT m.granularity, m.text, list(substring(r.text, s.char_start + 1, s.char_end - s.char_start)"
            " ORDER BY s.char_start) FROM memories m JOIN memory_spans s USING (memory_id)"
            " JOIN revisions r USING (revision_id) GROUP BY m.memory_id, m.granularity, m.text"
        )
        assert len(rows) == filled.column("SELECT count(*) FROM memories")[0]
        for granularity, text, parts in rows:
            assert all(parts)
            if granularity in ("turn", "round", "episode"):
                assert parts == [text]
            elif granularity == "core":
                assert " ".join(parts) == text
            elif granularity == "keywords":
                assert sorted(part.casefold() for part in parts) == sorted(text.split(", "))

    def test_a_memory_lies_in_the_next_coarser_one(self, filled: Workspace) -> None:
        pairs = filled.rows(
            "SELECT DISTINCT m.granularity, p.granularity FROM memories m LEFT JOIN memories p"
            " ON p.memory_id = m.parent_id AND p.document_id = m.document_id WHERE m.document_id <> '' ORDER BY ALL"
        )
        assert pairs == [
            ("core", "outline"),
            ("episode", "summary"),
            ("fact", "turn"),
            ("keywords", "summary"),
            ("outline", None),
            ("round", "episode"),
            ("summary", None),
            ("turn", "round"),
        ]

    def test_a_later_value_ends_the_fact_before(self, filled: Workspace) -> None:
        rows = filled.rows(
            "SELECT f.text, v.valid_from, v.valid_until, n.text FROM memory_validity v"
            " JOIN memories f USING (memory_id)"
            " LEFT JOIN memories n ON n.memory_id = v.superseded_by WHERE f.attribute = 'residence' ORDER BY 2"
        )
        porto = "Ben: I moved to Porto yesterday (1 June 2023)."
        assert [row[1:] for row in rows] == [
            (date(2023, 5, 25), date(2023, 6, 2), porto),
            (date(2023, 6, 2), None, None),
        ]
        assert "Lisbon" in rows[0][0] and rows[1][0] == porto

    def test_words_for_a_time_are_kept_with_their_days(self, filled: Workspace) -> None:
        rows = filled.rows(
            "SELECT words, since, until, substring(r.text, char_start + 1, char_end - char_start) FROM time_expressions"
            " JOIN revisions r USING (revision_id)"
        )
        assert ("yesterday", date(2023, 6, 1), date(2023, 6, 1), "yesterday") in rows
        assert ("last month", date(2023, 4, 1), date(2023, 4, 30), "last month") in rows

    def test_sessions_are_told_by_day_week_month_and_quarter(self, filled: Workspace) -> None:
        rows = filled.rows(
            "SELECT m.attribute, m.subject, p.subject, count(DISTINCT s.document_id) FROM memories m"
            " LEFT JOIN memories p ON p.memory_id = m.parent_id JOIN memory_spans s ON s.memory_id = m.memory_id"
            " WHERE m.granularity = 'period' GROUP BY ALL ORDER BY ALL"
        )
        assert rows == [
            ("day", "2023-05-25", "2023-05", 1),
            ("day", "2023-06-02", "2023-06", 1),
            ("month", "2023-05", "2023-Q2", 1),
            ("month", "2023-06", "2023-Q2", 1),
            ("quarter", "2023-Q2", None, 2),
            ("week", "2023-W21", None, 1),
            ("week", "2023-W22", None, 1),
        ]

    def test_a_summary_knows_the_earlier_episodes_and_summaries(self, filled: Workspace) -> None:
        rows = filled.rows(
            "SELECT a.granularity, d.path, b.granularity, e.path FROM association_neighbours n"
            " JOIN memories a USING (memory_id) JOIN documents d USING (document_id)"
            " JOIN memories b ON b.memory_id = n.neighbour_id JOIN documents e ON e.document_id = b.document_id"
        )
        later = [(a, b) for a, path, b, other in rows if (path, other) == ("c.jsonl#s2", "c.jsonl#s1")]
        assert sorted(later) == sorted((a, b) for a in ("episode", "summary") for b in ("episode", "summary"))
        assert not [row for row in rows if (row[1], row[3]) == ("c.jsonl#s1", "c.jsonl#s2")], (
            "a later one is no earlier"
        )

    def test_every_memory_is_searched_with_its_vector_and_leads_to_passages(self, filled: Workspace) -> None:
        rows = {row["memory_id"]: row for row in searched(filled)}
        assert set(rows) == set(filled.column("SELECT memory_id FROM memories"))
        passages = set(filled.column("SELECT passage_id FROM passages"))
        assert all(row["passage_ids"] and set(row["passage_ids"]) <= passages for row in rows.values())

    def test_a_turn_has_the_vector_of_its_piece_and_no_text_of_a_turn_is_read(self, filled: Workspace) -> None:
        turns = [row for row in searched(filled) if row["granularity"] == "turn"]
        assert len(turns) == len(TALK) + len(PORTO)
        expected = HashingEmbedder(64).encode([row["text"] for row in turns])
        assert np.array([row["vector"] for row in turns]) == pytest.approx(expected, abs=1e-3)
        pooled = dict(filled.rows("SELECT granularity, bool_and(pooled) FROM memories GROUP BY ALL"))
        assert {name for name, is_pooled in pooled.items() if is_pooled} == {"turn", "round", "episode", "core", "fact"}

    def test_an_episode_has_the_mean_of_its_turns(self, filled: Workspace) -> None:
        (episode,) = [row for row in searched(filled) if row["granularity"] == "episode" and "Porto y" in row["text"]]
        said = [f"{speaker}: {words}" for speaker, words in PORTO]
        weights = np.array([len(words) for words in said])
        mean = weights @ HashingEmbedder(64).encode(said)
        assert np.array(episode["vector"]) == pytest.approx(mean / np.linalg.norm(mean), abs=1e-3)

    def test_all_of_it_is_what_is_computed_anew(self, filled: Workspace) -> None:
        found = verify(filled.lake())
        assert found.whole, found.problems
        assert found.compared["memories"] > 50


@pytest.mark.histories
class TestSettings:
    def test_only_the_granularities_that_are_wanted_are_made_and_lead_to_the_next_that_is(
        self, workspace: Workspace
    ) -> None:
        fill(workspace)
        workspace.configure(SOURCES, memory={"granularities": ["turn", "summary", "core"]})
        built = build(workspace)
        assert made(workspace) == {"turn", "summary", "core"}
        parents = workspace.rows(
            "SELECT DISTINCT m.granularity, p.granularity FROM memories m LEFT JOIN memories p"
            " ON p.memory_id = m.parent_id ORDER BY ALL"
        )
        assert parents == [("core", None), ("summary", None), ("turn", "summary")]
        assert built.published and verify(built.lake).whole

    def test_a_space_may_want_others(self, workspace: Workspace) -> None:
        fill(workspace)
        workspace.configure(
            [SOURCES[0], {**SOURCES[1], "space": "vault"}], memory={"granularities": [], "spaces": {"vault": ["turn"]}}
        )
        build(workspace)
        assert workspace.rows("SELECT DISTINCT space, granularity FROM memories") == [("vault", "turn")]

    def test_another_choice_equals_a_lake_that_always_had_it(self, lake_of_talk: Workspace) -> None:
        passages = lake_of_talk.rows("SELECT * FROM passages ORDER BY ALL")
        for chosen in ({"granularities": []}, {"granularities": ["summary", "period"]}, {"associations": False}, {}):
            lake_of_talk.configure(SOURCES, memory=chosen)
            built = build(lake_of_talk)
            lake_of_talk.assert_equals_rebuild(built.lake)
        assert lake_of_talk.rows("SELECT * FROM passages ORDER BY ALL") == passages

    def test_without_pieces_every_memory_is_read(self, workspace: Workspace) -> None:
        fill(workspace)
        workspace.configure(SOURCES, memory={"pieces": False})
        built = build(workspace)
        assert workspace.column("SELECT count(*) FROM piece_vectors") == [0]
        assert workspace.column("SELECT count(*) FROM memories WHERE pooled") == [0]
        assert built.published
        workspace.configure(SOURCES)
        again = workspace.build()
        assert again.embedded == workspace.column("SELECT count(DISTINCT text_hash) FROM passages")[0], (
            "the vectors of pieces come from reading the passages, and nothing else is read"
        )
        workspace.assert_equals_rebuild(again.lake)


class TestWhatAChangeCosts:
    def test_an_unchanged_lake_remembers_nothing_anew(self, lake_of_talk: Workspace) -> None:
        built = build(lake_of_talk)
        assert built.embedded == 0
        assert {report.step: report.processed for report in built.lake.reports if report.processed} == {}

    def test_an_edit_elsewhere_keeps_the_ids_and_embeds_what_is_new(self, lake_of_talk: Workspace) -> None:
        before = dict(lake_of_talk.rows("SELECT memory_id, text FROM memories WHERE granularity = 'turn'"))
        grown = [*PORTO, ("Ben", "The ferry to Porto takes a day.")]
        write_sessions(lake_of_talk, session(1, "2023-05-25", TALK), session(2, "2023-06-02", grown))
        built = build(lake_of_talk)
        after = dict(lake_of_talk.rows("SELECT memory_id, text FROM memories WHERE granularity = 'turn'"))
        assert before.items() < after.items() and len(after) == len(before) + 1
        assert [report.processed for report in built.lake.reports if report.step == "memories"] == [0, 1]
        assert built.embedded <= 8, "the passage, its summary and keywords, and what tells them again"
        lake_of_talk.assert_equals_rebuild(built.lake)

    def test_a_new_paragraph_moves_the_others_and_leaves_them(self, lake_of_talk: Workspace) -> None:
        facts = "SELECT memory_id FROM memories WHERE granularity = 'core' ORDER BY ALL"
        lake_of_talk.write("other.md", "# Looms\n\nThe loom of Lyon takes cards. Its weavers are not paid.\n")
        build(lake_of_talk)
        before = lake_of_talk.column(facts)
        lake_of_talk.write("other.md", "\n\n# Looms\n\nThe loom of Lyon takes cards. Its weavers are not paid.\n")
        assert build(lake_of_talk).embedded == 0
        assert lake_of_talk.column(facts) == before

    def test_a_new_session_touches_one_path_of_the_tree(self, lake_of_talk: Workspace) -> None:
        sessions = [session(1, "2023-05-25", TALK), session(2, "2023-06-02", PORTO), session(3, "2023-06-20", FERRY)]
        write_sessions(lake_of_talk, *sessions)
        built = build(lake_of_talk)
        touched = {
            report.step.removeprefix("periods-"): (report.processed, report.untouched)
            for report in built.lake.reports
            if report.step.startswith("periods-") and report.source == "team"
        }
        assert touched == {"day": (1, 2), "week": (1, 2), "month": (1, 1), "quarter": (1, 0)}

    def test_what_a_period_leads_to_follows_a_session_whose_summary_stays(self, workspace: Workspace) -> None:
        workspace.configure(SOURCES, memory={"granularities": ["summary", "period"]})
        write_sessions(workspace, session(1, "2023-05-25", PORTO))
        build(workspace)
        summary = texts(workspace, "summary")
        write_sessions(workspace, session(1, "2023-05-25", [*PORTO, ("Ann", "Bye!")]))
        built = build(workspace)
        assert texts(workspace, "summary") == summary, "or this test tells nothing"
        assert built.published
        workspace.assert_equals_rebuild(built.lake)

    def test_a_session_that_goes_takes_its_memories_and_gives_back_what_it_ended(self, lake_of_talk: Workspace) -> None:
        write_sessions(lake_of_talk, session(1, "2023-05-25", TALK))
        built = build(lake_of_talk)
        assert built.embedded <= 1, "the quarter is told anew"
        assert lake_of_talk.column("SELECT count(*) FROM memories WHERE text LIKE '%Porto yesterday%'") == [0]
        assert lake_of_talk.column("SELECT DISTINCT valid_until FROM memory_validity") == [None]
        assert not [row for row in searched(lake_of_talk) if "Porto yesterday" in row["text"]]
        lake_of_talk.assert_equals_rebuild(built.lake)

    def test_nothing_is_left_of_what_is_deleted(self, lake_of_talk: Workspace) -> None:
        assert min(count_rows(lake_of_talk).values()) > 0
        lake_of_talk.delete("sound.md")
        lake_of_talk.delete("c.jsonl", "team")
        build(lake_of_talk)
        assert set(count_rows(lake_of_talk).values()) == {0}
        assert searched(lake_of_talk) == []

    def test_copies_of_a_document_share_their_vectors(self, workspace: Workspace) -> None:
        for number in range(6):
            workspace.write(f"copy{number}.md", SOUND)
        built = build(workspace)
        once = count_rows(workspace)["embeddings"]
        workspace.write("one-more.md", SOUND)
        assert build(workspace).embedded == 0
        assert count_rows(workspace)["embeddings"] == once
        assert workspace.column("SELECT count(*) FROM memories WHERE granularity = 'core'")[0] >= 7
        assert built.published

    def test_memories_whose_passages_have_no_vectors_yet_wait_for_them(self, workspace: Workspace) -> None:
        fill(workspace)
        lake = workspace.lake()
        with kept_open(lake):
            notes, team = lake.settings.sources
            refresh_documents(lake, team)
            scope = Scope(team.space, team.name)
            run(lake, Passages(lake), scope)
            run(lake, Memories(lake), scope)
            refresh_source(lake, notes)
            refresh_served(lake)
            found = {row["granularity"] for row in searched(workspace) if row["source"] == "team"}
            assert found == {"summary", "keywords", "period"}, "the model read those"
            built = workspace.build()
            assert built.published
            workspace.assert_equals_rebuild(built.lake)


class TestWhatIsFoundOut:
    def test_a_row_that_somebody_changed(self, lake_of_talk: Workspace) -> None:
        lake_of_talk.rows("UPDATE memories SET speaker = 'Eve' WHERE granularity = 'fact' AND speaker = 'Ben'")
        problems = verify(lake_of_talk.lake()).problems["memories"]
        changed = lake_of_talk.column("SELECT memory_id FROM memories WHERE speaker = 'Eve'")
        for memory in changed:
            assert any(problem.startswith(f"memories: missing {memory}") for problem in problems)
            assert any(problem.startswith(f"memories: left over {memory}") for problem in problems)
        assert len(problems) == 2 * len(changed) > 0

    def test_a_period_that_somebody_changed(self, lake_of_talk: Workspace) -> None:
        lake_of_talk.rows("UPDATE memories SET text = 'Nothing.' WHERE attribute = 'month'")
        assert any("Nothing." in problem for problem in verify(lake_of_talk.lake()).problems["memories"])

    @pytest.mark.parametrize(
        "change",
        ["char_start = char_start + 1", "char_end = char_end + 100000", "char_start = -1", "char_end = char_start"],
    )
    def test_a_span_that_is_wrong(self, lake_of_talk: Workspace, change: str) -> None:
        built = build(lake_of_talk)
        assert check_spans(built.lake, built.snapshot).passed
        turn = "SELECT memory_id FROM memories WHERE granularity = 'turn' ORDER BY memory_id LIMIT 1"
        lake_of_talk.rows(f"UPDATE memory_spans SET {change} WHERE memory_id = ({turn})")
        (problem,) = check_spans(built.lake, built.snapshot).problems
        assert "a memory (turn) of c.jsonl#s" in problem


BAD_DOCUMENTS = {
    "flat.txt": "no structure here " * 300,
    "sentence.txt": "One sentence alone.",
    "word.txt": "Word",
    "code.py": "def late(ferry):\n    return ferry.delay > 5\n\n\n" * 30,
    "table.md": "| ferry | cars |\n|---|---|\n" + "".join(f"| F{row} | {row} |\n" for row in range(120)),
    "chinese.md": "# 渡轮\n\n" + "渡轮每天穿过海峡两次。它载四十辆车。船员有三个人。\n\n" * 20,
    "arabic.txt": "تعبر العبارة المضيق مرتين في اليوم. تحمل أربعين سيارة. طاقمها ثلاثة.\n\n" * 20,
    "headings.md": "# One\n\n## Two\n\n### Three\n",
    "twice.md": "# Same\n\nThe very same words.\n\n# Same\n\nThe very same words.\n",
}
BAD_SESSIONS = (
    session(1, "2024-03-01", FERRY),
    session(2, "2023-01-01", PORTO),
    session(3, "", TALK),
    session(4, "no date at all", PORTO),
    session(5, "2024-03-01", [("Ann", "I live in Rome."), ("Ann", ""), ("Ann", "  \n\n "), ("Ann", "I am here.")]),
    session(6, "2024-03-02", [("", "…"), ("Ben", "?")]),
    session(7, "2024-02-29", [("小林", "我上周搬到了里斯本。"), ("小王", "太好了！你喜欢吗？")]),
    session(8, "0001-01-01", PORTO),
    session(9, "9999-12-31", PORTO),
)


@pytest.mark.histories
class TestBadInput:
    def test_documents_of_every_shape_are_remembered_with_exact_spans(self, workspace: Workspace) -> None:
        for path, content in BAD_DOCUMENTS.items():
            workspace.write(path, content)
        built = build(workspace)
        assert built.published, "the check of spans let it pass"
        remembered = workspace.column(
            "SELECT DISTINCT d.path FROM memories m JOIN documents d USING (document_id) WHERE granularity = 'core'"
        )
        assert set(remembered) >= set(BAD_DOCUMENTS) - {"headings.md"}
        found = verify(built.lake)
        assert found.whole, found.problems

    def test_sessions_of_every_shape_are_remembered_with_exact_spans(self, workspace: Workspace) -> None:
        workspace.configure(SOURCES)
        write_sessions(workspace, *BAD_SESSIONS)
        built = build(workspace)
        assert built.published
        paths = workspace.paths()
        assert paths == [f"c.jsonl#s{number}" for number in range(1, 10)]
        for granularity in ("turn", "round", "episode", "summary"):
            assert (
                workspace.column(
                    "SELECT DISTINCT d.path FROM memories m JOIN documents d USING (document_id)"
                    " WHERE granularity = $granularity ORDER BY 1",
                    granularity=granularity,
                )
                == paths
            )
        assert texts(workspace, "turn", "%s5") == ["Ann: I live in Rome.", "Ann: I am here."]
        days = workspace.column("SELECT subject FROM memories WHERE attribute = 'day' ORDER BY since")
        assert days == ["0001-01-01", "2023-01-01", "2024-02-29", "2024-03-01", "2024-03-02", "9999-12-31"]
        found = verify(built.lake)
        assert found.whole, found.problems

    def test_sessions_in_another_order_are_told_alike(self, make_workspace: Callable[[], Workspace]) -> None:
        found = []
        for order in (BAD_SESSIONS, BAD_SESSIONS[::-1]):
            workspace = make_workspace()
            workspace.configure(SOURCES)
            write_sessions(workspace, *order)
            with kept_open(workspace.lake()):
                build(workspace)
                found.append(
                    [
                        workspace.rows(f"SELECT * FROM {table} ORDER BY ALL")
                        for table in ("memories", "memory_spans", "memory_validity", "association_neighbours")
                    ]
                )
        assert found[0] == found[1]


PARAGRAPHS = (
    "The ferry crosses the sound twice a day. Its crew is three.",
    "Roses like a lime soil. They are cut back in March.",
    "Enzymes break proteins down. The cell takes them in.",
    "The ferry carries forty cars. It is always late.",
)
SAID = (
    ("Ann", "I moved to Rome last week. It is loud."),
    ("Ben", "I moved to Oslo in March. My sister lives there."),
    ("Ann", "I adopted a greyhound called Pixel."),
    ("Ben", "The ferry was late again yesterday, and I missed the concert."),
    ("Ben", "Really?"),
)
DAYS = ("", "2023-05-25", "2023-05-26", "2023-08-01")

changes = st.lists(
    st.one_of(
        st.tuples(st.just("note"), st.integers(0, 2), st.lists(st.integers(0, 3), max_size=3)),
        st.tuples(
            st.just("session"),
            st.integers(1, 3),
            st.tuples(st.sampled_from(DAYS), st.lists(st.integers(0, 4), max_size=4)),
        ),
        st.tuples(st.just("build"), st.just(0), st.none()),
    ),
    min_size=3,
    max_size=9,
)


@pytest.mark.histories
def test_any_history_of_documents_and_sessions_equals_a_rebuild(make_workspace: Callable[[], Workspace]) -> None:
    @settings(max_examples=12, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck))
    @given(changes=changes)
    def check(changes: list[tuple[str, int, Any]]) -> None:
        workspace = make_workspace()
        workspace.configure(SOURCES)
        workspace.source_folder("team").mkdir()
        sessions: dict[int, dict[str, Any]] = {}
        with kept_open(workspace.lake()):
            for what, number, content in changes:
                if what == "build":
                    build(workspace)
                elif what == "note":
                    workspace.path(f"n{number}.md").unlink(missing_ok=True)
                    if content:
                        workspace.write(f"n{number}.md", "\n\n".join(PARAGRAPHS[part] for part in content))
                else:
                    sessions.pop(number, None)
                    if content[1]:
                        sessions[number] = session(number, content[0], [SAID[turn] for turn in content[1]])
                    write_sessions(workspace, *sessions.values())
            workspace.assert_equals_rebuild(build(workspace).lake)

    check()


def test_periods_count_each_session_once_however_many_there_are(workspace: Workspace) -> None:
    workspace.configure(SOURCES, memory={"granularities": ["summary", "period"]})
    start = date(2024, 1, 1)
    days = [start + timedelta(days=5 * number) for number in range(30)]
    write_sessions(workspace, *(session(n, day.isoformat(), FERRY) for n, day in enumerate(days)))
    with kept_open(workspace.lake()):
        build(workspace)
    levels = Counter(workspace.column("SELECT attribute FROM memories WHERE granularity = 'period'"))
    weeks = {day.isocalendar()[:2] for day in days}
    assert levels == {"day": 30, "week": len(weeks), "month": 5, "quarter": 2}
    for level in levels:
        led = workspace.column(
            "SELECT s.document_id FROM memory_spans s JOIN memories USING (memory_id) WHERE attribute = $level",
            level=level,
        )
        assert len(set(led)) == 30

"""What is remembered is shown, counted, planned and exported as the warehouse has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import Workspace
from typer.testing import CliRunner

from derivation.costs import rehearsed_cost
from derivation.planning import plan_build
from derivation.remembered import export_finetuning, read_candidates, read_memories
from derivation.status import read_status
from errors import InvalidQuery, MemlakeError, SnapshotError, UnknownName
from memory.granularity import Granularity
from pipelines.cli import app

TOPICS = {
    "Harbour": "pier ferry quay anchor cargo sailor crane jetty buoy rope mooring tide",
    "Kitchen": "oven flour recipe butter spoon dough sugar baker yeast pan bread salt",
    "Mountain": "summit glacier ridge snow climber valley avalanche peak rope hut cliff ice",
}
GUIDE = "\n\n".join(
    f"# {topic}\n\n"
    + " ".join(
        f"The {first} of Port Hallin stands near the {second}, and the old {third} is kept beside a {fourth}."
        for first, second, third, fourth in zip(words, words[1:], words[2:], words[3:], strict=False)
    )
    for topic, words in ((topic, line.split()) for topic, line in TOPICS.items())
)
SESSIONS = [
    {
        "session": "1",
        "date": "2023-05-08",
        "turns": [
            {"speaker": "Ann", "text": "Hello Ben! I live in Porto now. I went to the museum yesterday."},
            {"speaker": "Ben", "text": "How nice! I adopted a greyhound called Pixel last week."},
        ],
    },
    {
        "session": "2",
        "date": "2023-06-12",
        "turns": [
            {"speaker": "Ann", "text": "Guess what, I live in Lisbon now. The flat is close to the river."},
            {"speaker": "Ben", "text": "Wonderful! Pixel and I would love to visit you there."},
        ],
    },
]


@pytest.fixture
def remembered(workspace: Workspace) -> Workspace:
    """A lake of a guide and two sessions, built."""
    workspace.configure([{}, {"name": "talks", "kind": "chat"}])
    workspace.write("guide.md", GUIDE)
    workspace.write("talks.jsonl", "\n".join(json.dumps(each) for each in SESSIONS), source="talks")
    workspace.build()
    return workspace


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def record(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


class TestShow:
    def test_gives_a_texts_outline_with_the_core_of_each_part(self, remembered: Workspace) -> None:
        found = read_memories(remembered.lake(), "guide.md")
        items, cores = found.of(Granularity.OUTLINE), found.of(Granularity.CORE)
        assert len(items) == len(cores) >= 2
        assert [core.parent_id for core in cores] == [item.memory_id for item in items]
        [text] = remembered.column(
            "SELECT text FROM revisions JOIN documents USING (document_id) WHERE path = 'guide.md'"
        )
        for core in cores:
            assert core.text == " ".join(text[start:end] for start, end in core.spans)
        printed = run("memories", "show", "guide.md").output
        assert "guide.md" in printed
        assert "outline" in printed
        shown = record("memories", "show", "guide.md")
        assert [item["text"] for item in shown["memories"] if item["granularity"] == "outline"] == [
            item.text for item in items
        ]

    def test_gives_a_sessions_facts_with_the_time_for_which_they_hold(self, remembered: Workspace) -> None:
        found = read_memories(remembered.lake(), "talks.jsonl#1")
        assert found.document.document_date is not None
        counts = {name: len(found.of(name)) for name in (Granularity.SUMMARY, Granularity.TURN, Granularity.ROUND)}
        assert counts == {Granularity.SUMMARY: 1, Granularity.TURN: 2, Granularity.ROUND: 1}
        [home] = [fact for fact in found.of(Granularity.FACT) if fact.attribute == "residence"]
        assert (str(home.valid_from), str(home.valid_until)) == ("2023-05-08", "2023-06-12")
        later = read_memories(remembered.lake(), "talks.jsonl#2")
        assert home.superseded_by in {fact.memory_id for fact in later.of(Granularity.FACT)}
        assert "yesterday" in {time.words for time in found.times}
        printed = run("memories", "show", "talks.jsonl#1").output
        assert "from 2023-05-08 until 2023-06-12, then: another document" in printed
        assert "2023-05-07" in printed, "the day that was yesterday"
        assert "1 round, 2 turns" in printed

    def test_finds_a_document_by_its_id(self, remembered: Workspace) -> None:
        [key] = remembered.column("SELECT document_id FROM documents WHERE path = 'guide.md'")
        assert read_memories(remembered.lake(), key).document.path == "guide.md"

    def test_says_where_nothing_is_remembered(self, workspace: Workspace) -> None:
        workspace.configure(memory={"granularities": []})
        workspace.write("guide.md", GUIDE)
        workspace.build()
        assert "Nothing is remembered of it" in run("memories", "show", "guide.md").output


class TestCandidates:
    def test_are_those_that_were_measured_with_the_kept_one_marked(self, workspace: Workspace) -> None:
        plain = "\n\n".join(line for line in GUIDE.split("\n\n") if not line.startswith("#"))
        workspace.write(
            "guide.txt", "\n\n".join(plain.replace("Hallin", name) for name in ("Hallin", "Skerry", "Gull"))
        )
        workspace.build()
        _, judged = read_candidates(workspace.lake(), "guide.txt")
        assert len(judged) == workspace.column("SELECT count(*) FROM outline_candidates")[0] > 1
        assert [item.kept for item in judged].count(True) == 1
        assert judged[0].kept, "the best comes first"
        lines = [
            line for line in run("memories", "candidates", "guide.txt").output.splitlines() if line.startswith("*")
        ]
        assert len(lines) == 1
        assert judged[0].name in lines[0]

    def test_of_a_conversation_there_are_none(self, remembered: Workspace) -> None:
        assert "No outline was considered" in run("memories", "candidates", "talks.jsonl#1").output


class TestErrors:
    def failed(self, *arguments: str) -> MemlakeError:
        error = run(*arguments).exception
        assert isinstance(error, MemlakeError), error
        return error

    def test_name_the_nearest_document(self, remembered: Workspace) -> None:
        error = self.failed("memories", "show", "gide.md")
        assert isinstance(error, UnknownName)
        assert "Did you mean 'guide.md'" in str(error)

    def test_name_the_sources_of_a_path_that_several_have(self, workspace: Workspace) -> None:
        workspace.configure([{}, {"name": "more"}])
        workspace.write("guide.md", GUIDE)
        workspace.write("guide.md", GUIDE, source="more")
        workspace.build()
        error = self.failed("memories", "show", "guide.md")
        assert isinstance(error, InvalidQuery)
        assert "'more', 'notes'" in str(error)
        assert read_memories(workspace.lake(), "guide.md", "more").document.source == "more"
        assert isinstance(self.failed("memories", "show", "guide.md", "--source", "mor"), UnknownName)

    def test_say_that_a_lake_was_never_built(self, workspace: Workspace) -> None:
        for command in (["show", "a.md"], ["candidates", "a.md"], ["export", str(workspace.folder / "out.jsonl")]):
            error = self.failed("memories", *command)
            assert isinstance(error, SnapshotError)
            assert "memlake build" in error.remedy
        assert not (workspace.folder / "out.jsonl").exists()


class TestExport:
    def test_writes_chats_that_a_model_can_learn_from(self, remembered: Workspace, tmp_path: Path) -> None:
        file = tmp_path / "pairs.jsonl"
        done = record("memories", "export", str(file), "--clarity", "0", "--completeness", "0")
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert (done["documents"], done["used"], done["records"]) == (1, 1, len(lines))
        [line] = lines
        assert [message["role"] for message in line["messages"]] == ["system", "user", "assistant"]
        assert "Port Hallin" in line["messages"][1]["content"]
        found = read_memories(remembered.lake(), "guide.md")
        parts = json.loads(line["messages"][2]["content"])["parts"]
        assert [part["item"] for part in parts] == [item.text for item in found.of(Granularity.OUTLINE)]
        assert line["path"] == "guide.md"

    def test_takes_only_documents_above_the_thresholds(self, remembered: Workspace, tmp_path: Path) -> None:
        done = export_finetuning(remembered.lake(), tmp_path / "pairs.jsonl", least_clarity=1e9)
        assert (done.documents, done.used, done.records) == (1, 0, 0)
        done = export_finetuning(remembered.lake(), tmp_path / "pairs.jsonl", "talks", 0, 0)
        assert done.documents == 0, "conversations have no outline"

    def test_replaces_a_file_only_when_told(self, remembered: Workspace, tmp_path: Path) -> None:
        file = tmp_path / "pairs.jsonl"
        file.write_text("mine")
        assert run("memories", "export", str(file)).exit_code == 2
        assert file.read_text() == "mine"
        assert run("memories", "export", str(file), "--force").exit_code == 0
        assert file.read_text() != "mine"
        assert run("memories", "export", str(tmp_path / "none" / "pairs.jsonl")).exit_code == 2


def test_status_counts_memories_by_granularity(remembered: Workspace) -> None:
    found = {item.source: item.memories for item in read_status(remembered.lake()).sources}
    for source, counts in found.items():
        assert list(counts.items()) == remembered.rows(
            "SELECT granularity, count(*) FROM memories WHERE source = $source GROUP BY ALL"
            " ORDER BY list_position($order, any_value(granularity))",
            source=source,
            order=[name.value for name in Granularity],
        )
    assert set(found["notes"]) == {"outline", "core"}
    assert {"turn", "summary", "period"} <= set(found["talks"])
    assert "Memories   outline" in run("status").output


class TestPlan:
    def steps(self, workspace: Workspace) -> dict[str, dict[str, int]]:
        """What would be done in ``notes``, by step."""
        [plan] = [item for item in plan_build(workspace.lake()).sources if item.source == "notes"]
        assert plan.error is None
        return {step.step: {name: count for name, count in step.counts.items() if count} for step in plan.steps}

    def test_names_documents_that_are_not_remembered_and_memories_without_a_vector(self, remembered: Workspace) -> None:
        assert plan_build(remembered.lake()).empty
        with remembered.lake().warehouse.session() as connection:
            connection.execute("UPDATE ledger SET fingerprint = '' WHERE step = 'memories' AND source = 'notes'")
            outlined = "SELECT text_hash FROM memories WHERE granularity = 'outline'"
            connection.execute(f"DELETE FROM embeddings WHERE text_hash IN ({outlined})")
        [outlines] = remembered.column("SELECT count(DISTINCT text_hash) FROM memories WHERE granularity = 'outline'")
        found = self.steps(remembered)
        assert found["memories"] == {"stale": 1}
        assert found["memory_embeddings"] == {"new": outlines}
        assert list(found) == ["documents", "passages", "memories", "embeddings", "memory_embeddings", "mentions"]

    def test_a_rehearsal_counts_the_memories_of_what_is_yet_to_be_read(self, remembered: Workspace) -> None:
        before = rehearsed_cost(remembered.lake(), remembered.lake().settings.sources)
        assert (before.texts, before.tokens, before.memory_texts) == (0, 0, 0)
        remembered.write("pier.md", GUIDE.replace("Port Hallin", "Gull Point"))
        told = rehearsed_cost(remembered.lake(), remembered.lake().settings.sources)
        assert told.memory_texts > 0
        built = remembered.build()
        spent = {report.step: report.tokens for report in built.lake.reports if report.tokens}
        assert told.memory_tokens == spent["memory_embeddings"]
        assert told.tokens == sum(spent.values())

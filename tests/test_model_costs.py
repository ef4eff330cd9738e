"""What layers by a model would cost, told before anything is asked, against what they then cost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest
from conftest import REPOSITORY, Workspace
from modelled import ADA, KEY, billed, calls, configure, write_all

from assets.reporting import report_metadata
from derivation.costs import CostEstimate, estimate_cost, rehearsed_cost
from derivation.model_costs import ModelCost
from errors import BudgetExhausted
from testing.recorded import Recording
from testing.server import OpenAIServer

DATA = REPOSITORY.parent / "shared" / "data" / "musique-train"
RECORDED = DATA / "openie_results_ner_gpt-3.5-turbo-1106.json"
DOCUMENTS = 150


def cost(workspace: Workspace, rehearse: bool = True, retry: bool = False) -> CostEstimate:
    """What ``memlake plan --cost`` tells, or without its rehearsal."""
    lake = workspace.lake(retry_quarantined=retry)
    return (rehearsed_cost if rehearse else estimate_cost)(lake, lake.settings.sources)


def estimated(workspace: Workspace, rehearse: bool = True, layer: str = "mentions") -> ModelCost:
    """Of one layer."""
    [found] = [item for item in cost(workspace, rehearse).models if item.layer == layer]
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.histories
@pytest.mark.skipif(not RECORDED.exists(), reason="needs ../shared/data/musique-train")
class TestOfWhatAModelReallySaid:
    """The recording is of GPT-3.5, whose replies the defaults go by; which documents are taken is not chosen."""

    @pytest.fixture(scope="class")
    def recorded(self, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
        workspace = Workspace(tmp_path_factory.mktemp("recorded"))
        docs = json.loads(RECORDED.read_text(encoding="utf-8"))["docs"][-DOCUMENTS:]
        lines = [{"id": str(n), "title": doc["title"], "text": doc["text"]} for n, doc in enumerate(docs)]
        workspace.write("docs.jsonl", "\n".join(map(json.dumps, lines)))
        return workspace

    @pytest.mark.parametrize("way", ["two", "one"])
    def test_it_is_within_a_fifth_before_any_call_and_near_after_some(
        self, recorded: Workspace, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        extraction = {"calls": way, "concurrency": 8}
        shutil.rmtree(recorded.layout.root, ignore_errors=True)
        with OpenAIServer(recording=Recording.from_file(RECORDED)) as server:
            configure(recorded, server, sources=[{"kind": "jsonl"}], extraction=extraction)
            before = estimated(recorded)
            assert calls(server) == 0
            assert not before.measured
            budget = {"run_tokens": 20_000}
            configure(recorded, server, sources=[{"kind": "jsonl"}], extraction=extraction, budget=budget)
            with pytest.raises(BudgetExhausted):
                recorded.build()
            some, spent = calls(server), billed(recorded)
            rest = estimated(recorded)
            configure(recorded, server, sources=[{"kind": "jsonl"}], extraction=extraction)
            recorded.build()
            assert before.calls == calls(server)
            assert rest.calls == calls(server) - some
            assert before.tokens == pytest.approx(billed(recorded), rel=0.2)
            assert rest.tokens == pytest.approx(billed(recorded) - spent, rel=0.1)
            assert estimated(recorded).calls == 0


class TestAnEstimate:
    def test_changes_no_file_and_asks_nobody(self, workspace: Workspace, server: OpenAIServer) -> None:
        configure(workspace, server)
        write_all(workspace)
        first = estimated(workspace)
        assert (first.inputs, first.calls, first.measured) == (3, 6, False)
        assert not list(workspace.layout.root.glob("*")) if workspace.layout.root.exists() else True
        workspace.build()
        workspace.write("more.md", ADA.replace("London", "Turin"))
        before, seen = files(workspace.layout.root), calls(server)
        again = estimated(workspace)
        assert (again.inputs, again.calls, again.measured) == (1, 2, True)
        now = files(workspace.layout.root)
        changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        assert {name for name in changed if ".lock" not in name} == set()
        assert calls(server) == seen

    def test_counts_equal_requests_once_and_what_is_recorded_not_at_all(
        self, workspace: Workspace, server: OpenAIServer
    ) -> None:
        configure(workspace, server)
        workspace.write("ada.md", ADA)
        workspace.build()
        workspace.configure()
        workspace.build()
        configure(workspace, server)
        workspace.write("copy.md", ADA)
        assert estimated(workspace).calls == 0, "what was asked before the rules had their turn"
        configure(workspace, server, extraction={"model": "another-model"})
        found = estimated(workspace)
        assert (found.inputs, found.calls) == (2, 2), "another model has said nothing yet; the two texts are equal"

    def test_knows_a_half_way_of_two_calls(self, workspace: Workspace, server: OpenAIServer) -> None:
        configure(workspace, server, extraction={"max_tokens": 256}, budget={"run_tokens": 1100})
        write_all(workspace)
        with pytest.raises(BudgetExhausted):
            workspace.build()
        asked = calls(server)
        assert asked in (2, 3)
        assert estimated(workspace).calls == estimated(workspace, rehearse=False).calls == 6 - asked

    def test_is_in_money_where_prices_are_set(self, workspace: Workspace, server: OpenAIServer) -> None:
        configure(workspace, server)
        write_all(workspace)
        live = estimated(workspace)
        assert live.price == pytest.approx((2 * live.prompt_tokens + 8 * live.completion_tokens) / 1e6)
        configure(workspace, server, extraction={"mode": "batch"})
        assert estimated(workspace).price == pytest.approx(live.price / 2)

    def test_is_none_for_rules(self, workspace: Workspace) -> None:
        write_all(workspace)
        assert cost(workspace).models == ()


def test_a_run_shows_what_a_model_took(workspace: Workspace, server: OpenAIServer) -> None:
    configure(workspace, server)
    write_all(workspace)
    built = workspace.build()
    shown = report_metadata([report for report in built.lake.reports if report.step == "mentions"])
    assert shown["tokens"] == billed(workspace)
    (cost,) = workspace.column("SELECT sum(cost) FROM model_calls")
    assert shown["cost"] == dg.MetadataValue.float(round(cost, 6))
    assert shown["unlocated"] == 0

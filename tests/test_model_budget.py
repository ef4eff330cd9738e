"""A run stops before it exceeds its budget, a killed one loses nothing that was paid for, and batches outlive both."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from conftest import Workspace, python
from modelled import KEY, billed, calls, configure, statuses

from derivation.digest import lake_digest
from derivation.verification import verify
from errors import BatchPending, BudgetExhausted
from testing.faults import Fault
from testing.server import OpenAIServer
from warehouse.faults import POINTS
from warehouse.snapshots import current_id

pytestmark = pytest.mark.histories
"""Many builds, which take minutes together."""

NAMES = ("Ada Lovelace", "Grace Hopper", "Alan Turing", "Mary Shelley", "Emmy Noether", "Lise Meitner")
ALL_CALLS = 2 * len(NAMES)
RUN = 60_000
"""Tokens for any of these lakes as a whole."""


def write_people(workspace: Workspace) -> None:
    for number, name in enumerate(NAMES):
        workspace.write(f"{number}.md", f"# {name}\n\nIn 19{number}0 {name} wrote to Charles Babbage about London.\n")


@pytest.fixture
def people(workspace: Workspace, server: OpenAIServer) -> Workspace:
    configure(workspace, server, extraction={"max_tokens": 256})
    write_people(workspace)
    return workspace


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the lake that one unlimited run builds."""
    with OpenAIServer() as endless, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        workspace = Workspace(tmp_path_factory.mktemp("whole"))
        configure(workspace, endless, extraction={"max_tokens": 256})
        write_people(workspace)
        digest = lake_digest(workspace.build().lake)
        assert calls(endless) == ALL_CALLS
    return digest


def told(server: OpenAIServer) -> int:
    """Tokens of all requests, as the server reckons what is sent."""
    return sum(
        -(-len(message["content"]) // 4) for body in server.bodies("/chat/completions") for message in body["messages"]
    )


class TestABudget:
    @pytest.mark.parametrize(
        ("limit", "first", "later"),
        [("run_tokens", 2500, RUN), ("day_tokens", 2500, RUN), ("run_cost", 0.008, 1.0), ("day_cost", 0.008, 1.0)],
    )
    def test_stops_a_run_before_it_is_exceeded_and_the_next_goes_on(
        self, people: Workspace, server: OpenAIServer, whole: str, limit: str, first: float, later: float
    ) -> None:
        configure(people, server, extraction={"max_tokens": 256}, budget={limit: first})
        with pytest.raises(BudgetExhausted, match=f"budget of a {limit[:3]}") as caught:
            people.build()
        assert "the next run goes on from there" in caught.value.remedy
        assert 0 < calls(server) < ALL_CALLS
        assert told(server) < billed(people)
        spent = billed(people) if "tokens" in limit else people.column("SELECT sum(cost) FROM model_calls")[0]
        assert first / 4 < spent <= first
        assert current_id(people.layout) is None
        assert len(people.paths()) == len(NAMES)
        if limit.startswith("day"):
            before = calls(server)
            with pytest.raises(BudgetExhausted, match="tomorrow"):
                people.build()
            assert billed(people) <= first or limit == "day_cost"
            assert calls(server) - before <= 1, "what yesterday's midnight left is spent"

        configure(people, server, extraction={"max_tokens": 256}, budget={limit: later})
        built = people.build()
        assert built.published
        assert calls(server) == ALL_CALLS, "nothing is paid for twice"
        assert lake_digest(built.lake) == whole

    def test_leaves_what_is_published_and_takes_away_what_is_gone(
        self, people: Workspace, server: OpenAIServer
    ) -> None:
        first = people.build()
        people.delete("0.md")
        people.write("new.md", "# Hypatia\n\nIn 400 Hypatia wrote to Synesius.\n")
        configure(people, server, extraction={"max_tokens": 256}, budget={"run_tokens": 100})
        with pytest.raises(BudgetExhausted):
            people.build()
        assert current_id(people.layout) == first.id
        assert calls(server) == ALL_CALLS
        orphans = "SELECT count(*) FROM mentions WHERE passage_id NOT IN (SELECT passage_id FROM passages)"
        assert people.column(orphans) == [0]
        configure(people, server, extraction={"max_tokens": 256})
        assert verify(people.build().lake).whole

    def test_in_money_needs_prices(self, people: Workspace, server: OpenAIServer) -> None:
        prices = {"price_per_million_prompt_tokens": 0.0, "price_per_million_completion_tokens": 0.0}
        configure(people, server, extraction=prices, budget={"run_cost": 0.0})
        assert people.build().published, "what costs nothing is within any budget"


KILLED = """
import os, signal
from conftest import build_lake
from derivation.lake import Lake
from memory.embedding import HashingEmbedder
from warehouse import faults
reached = 0
def kill(point):
    global reached
    reached += point == {point!r}
    if reached == {reach}:
        os.kill(os.getpid(), signal.SIGKILL)
faults.arm(kill)
lake = Lake.from_file()
lake._embedder = HashingEmbedder(64, lake.embedder_spec.identity)
build_lake(lake)
"""


def kill_at(workspace: Workspace, point: str, reach: int) -> None:
    """Build in a process that is killed when it reaches a point for the ``reach``-th time."""
    assert point in POINTS
    process = python(
        "import sys; sys.path.insert(0, 'tests')\n" + KILLED.format(point=point, reach=reach),
        MEMLAKE_CONFIG=str(workspace.config),
        OPENAI_API_KEY=KEY,
    )
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors


@pytest.mark.parametrize(
    ("point", "reach"),
    [
        ("replies.noted", 4),
        ("replies.absorbed", 1),
        ("replies.absorbed", 2),
        ("step.computed", 2),
    ],
)
def test_a_killed_run_is_followed_by_one_that_asks_for_the_rest(
    people: Workspace, server: OpenAIServer, whole: str, point: str, reach: int
) -> None:
    kill_at(people, point, reach)
    assert 0 < calls(server) <= ALL_CALLS
    built = people.build()
    assert calls(server) == ALL_CALLS, "every reply that arrived is used"
    assert people.column("SELECT count(*) FROM model_calls") == [ALL_CALLS]
    assert not people.layout.replies.exists()
    assert lake_digest(built.lake) == whole


def batches(server: OpenAIServer) -> int:
    return len(server.bodies("/batches"))


class TestBatches:
    @pytest.fixture
    def batched(self, people: Workspace, server: OpenAIServer) -> Workspace:
        configure(people, server, extraction={"max_tokens": 256, "mode": "batch"})
        return people

    @staticmethod
    def pending(workspace: Workspace) -> None:
        with pytest.raises(BatchPending, match="requests are with the batch interface") as caught:
            workspace.build()
        assert "Run the build again later" in caught.value.remedy

    def test_come_to_what_live_calls_come_to_at_half_the_price(
        self, batched: Workspace, server: OpenAIServer, whole: str
    ) -> None:
        self.pending(batched)
        assert batches(server) == 1
        self.pending(batched)
        assert batches(server) == 1, "nothing is submitted twice"
        assert current_id(batched.layout) is None
        self.pending(batched)
        assert batches(server) == 2, "the second prompts follow"
        self.pending(batched)
        built = batched.build()
        assert (batches(server), calls(server)) == (2, 0)
        assert built.published
        assert lake_digest(built.lake) == whole
        prompt, completion, cost = batched.rows(
            "SELECT sum(prompt_tokens), sum(completion_tokens), sum(cost) FROM model_calls"
        )[0]
        assert cost == pytest.approx((2 * prompt + 8 * completion) / 1e6 / 2)
        assert batched.column("SELECT count(*) FROM model_batches") == [0]
        assert verify(built.lake).whole

    @pytest.mark.parametrize("ends", ["failed", "expired"])
    def test_that_end_too_early_are_asked_again_for_what_is_missing(
        self, batched: Workspace, server: OpenAIServer, whole: str, ends: Any
    ) -> None:
        server.batches.polls = 1
        server.batches.ends = ends
        server.batches.reached = 2
        self.pending(batched)
        self.pending(batched)
        assert batches(server) == (2 if ends == "failed" else 3), "what was answered goes on meanwhile"
        assert batched.column("SELECT count(*) FROM model_batches") == [len(NAMES)]
        server.batches.ends = "completed"
        self.pending(batched)
        assert lake_digest(batched.build().lake) == whole
        assert batched.column("SELECT count(*) FROM model_calls WHERE outcome = 'ok'") == [ALL_CALLS]

    def test_with_a_request_that_is_refused_go_on_without_it(self, batched: Workspace, server: OpenAIServer) -> None:
        server.batches.polls = 1
        server.faults.mark("Emmy", Fault.REFUSAL)
        self.pending(batched)
        self.pending(batched)
        assert batched.build().published
        assert statuses(batched)["4.md"] == "quarantined"
        assert batches(server) == 2, "what was refused is not asked again"
        batched.build()
        assert batches(server) == 2

    def test_hold_the_budget(self, batched: Workspace, server: OpenAIServer, whole: str) -> None:
        server.batches.polls = 1
        batch = {"max_tokens": 256, "mode": "batch"}
        configure(batched, server, extraction=batch, budget={"day_tokens": 2500})
        with pytest.raises(BudgetExhausted):
            batched.build()
        (open_,) = batched.column("SELECT sum(most_tokens) FROM model_batches")
        assert 0 < open_ <= 2500
        with pytest.raises(BudgetExhausted):
            batched.build()
        (open_,) = batched.column("SELECT coalesce(sum(most_tokens), 0) FROM model_batches")
        assert billed(batched) + open_ <= 2500, "what open batches may take counts"
        configure(batched, server, extraction=batch)
        for _ in range(3):
            try:
                built = batched.build()
            except BatchPending:
                continue
        assert lake_digest(built.lake) == whole
        assert batched.column("SELECT count(*) FROM model_calls") == [ALL_CALLS]

    def test_that_a_killed_process_has_started_are_found(
        self, batched: Workspace, server: OpenAIServer, whole: str
    ) -> None:
        server.batches.polls = 1
        kill_at(batched, "batches.submitted", 1)
        assert batches(server) == 1
        self.pending(batched)
        assert batches(server) == 1, "it is taken over"
        self.pending(batched)
        assert lake_digest(batched.build().lake) == whole
        assert batches(server) == 2

    def test_with_replies_of_no_use_are_asked_anew_on_request(self, batched: Workspace, server: OpenAIServer) -> None:
        server.batches.polls = 1
        batch = {"max_tokens": 256, "mode": "batch", "repairs": 0}
        configure(batched, server, extraction=batch)
        server.faults.mark("Emmy", Fault.MISSING_KEY)
        self.pending(batched)
        self.pending(batched)
        batched.build()
        assert statuses(batched)["4.md"] == "quarantined"
        server.faults.clear()
        for _ in range(3):
            try:
                batched.build(retry_quarantined=True)
            except BatchPending:
                continue
        assert set(statuses(batched).values()) == {"done"}

"""Changing the embedder or a parameter: what becomes stale, what it costs, and what readers see meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from conftest import Workspace, build_lake
from numpy.typing import NDArray

from derivation.costs import estimate_cost
from derivation.planning import plan_build
from derivation.snapshot import rollback
from errors import CheckFailed, ModelUnavailable
from memory.embedding import HashingEmbedder
from warehouse.compaction import tables

pytestmark = pytest.mark.histories

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEXT = "# {0}\n\nAda Lovelace wrote program {0} for the Analytical Engine.\n\n## More\n\n" + "It ran on cards. " * 20
SMALL = {"dimensions": 32}


class Broken(HashingEmbedder):
    """Gives vectors of no length, which a blocking check finds."""

    def encode(self, texts: list[str], on_progress: object = None) -> NDArray[np.float32]:  # type: ignore[override]
        return super().encode(texts) * 0


class Failing(HashingEmbedder):
    """Stops answering after some texts."""

    def encode(self, texts: list[str], on_progress: object = None) -> NDArray[np.float32]:  # type: ignore[override]
        if self.calls >= 3:
            raise ModelUnavailable("The model does not answer.", "Try later.")
        return super().encode(texts)


@pytest.fixture
def built(workspace: Workspace) -> Workspace:
    for number in range(6):
        workspace.write(f"note{number}.md", TEXT.format(number))
    workspace.build(as_of=START)
    return workspace


def small(workspace: Workspace) -> HashingEmbedder:
    """Another embedder, set in the settings."""
    workspace.configure(embedding=SMALL, lake={"batch_rows": 2})
    return HashingEmbedder(32, workspace.lake().embedder_spec.identity)


class TestAnotherEmbedder:
    def test_it_is_built_beside_the_old_one_and_both_can_be_read(self, built: Workspace) -> None:
        old = built.client().snapshot
        embedder = small(built)
        new = built.build(as_of=START + timedelta(hours=1), embedder=embedder)
        assert new.published
        assert len(tables(built.layout)) == 6, "passages, memories and codes, each for two embedders"
        assert built.client(snapshot=old.snapshot_id).search("program 3")
        rollback(built.lake(), old.snapshot_id)
        assert built.client().search("program 3")[0].text.count("program 3") == 1
        rollback(built.lake(), new.id)
        from retrieval import MemoryClient

        assert MemoryClient.open(built.config, embedder=embedder).search("program 3")

    def test_the_old_one_serves_until_the_new_one_has_passed(self, built: Workspace) -> None:
        old = built.client().snapshot.snapshot_id
        small(built)
        broken = Broken(32, built.lake().embedder_spec.identity)
        with pytest.raises(CheckFailed, match="vectors"):
            build_lake(built.lake(as_of=START + timedelta(hours=1), embedder=broken))
        client = built.client()
        assert client.snapshot.snapshot_id == old
        assert client.search("program 3")

    def test_one_that_stops_halfway_goes_on_and_pays_once(self, built: Workspace) -> None:
        old = built.client().snapshot.snapshot_id
        small(built)
        identity = built.lake().embedder_spec.identity
        failing = Failing(32, identity)
        with pytest.raises(ModelUnavailable):
            built.build(embedder=failing)
        assert built.client().snapshot.snapshot_id == old
        paid = built.column("SELECT count(*) FROM embeddings WHERE embedder = $identity", identity=identity)[0]
        assert 0 < paid == failing.calls
        rest = HashingEmbedder(32, identity)
        built.build(as_of=START + timedelta(hours=1), embedder=rest)
        assert paid + rest.calls == len(built.texts_held())

    def test_going_back_costs_nothing(self, built: Workspace) -> None:
        built.build(as_of=START + timedelta(hours=1), embedder=small(built))
        built.configure()
        back = built.build(as_of=START + timedelta(hours=2))
        assert back.embedded == 0
        assert back.published
        built.assert_equals_rebuild(back.lake)


class TestThePlanTellsTheCost:
    def test_nothing_has_to_be_embedded_after_a_build(self, built: Workspace) -> None:
        cost = estimate_cost(built.lake(), list(built.lake().settings.sources))
        assert (cost.texts, cost.tokens, cost.unread_files, cost.unread_tokens) == (0, 0, 0, 0)

    def test_another_embedder_costs_every_text_once(self, built: Workspace) -> None:
        built.write("copy.md", TEXT.format(0))
        built.build(as_of=START + timedelta(hours=1))
        built.configure(embedding={**SMALL, "price_per_million_tokens": 20.0})
        lake = built.lake()
        planned = plan_build(lake)
        assert planned.publishes
        cost = estimate_cost(lake, list(lake.settings.sources))
        embedder = HashingEmbedder(32, lake.embedder_spec.identity)
        report = built.build(as_of=START + timedelta(hours=2), embedder=embedder)
        assert cost.texts == embedder.calls
        steps = ("embeddings", "memory_embeddings")
        tokens = sum(item.tokens for item in report.lake.reports if item.step in steps)
        assert cost.tokens == tokens > 0
        assert cost.price == pytest.approx(20.0 * tokens / 1e6)
        assert cost.seconds is None, "this embedder has never run here"

    def test_smaller_passages_cost_exactly_the_new_ones(self, built: Workspace) -> None:
        built.configure(segmentation={"target_tokens": 16, "max_tokens": 32})
        lake = built.lake()
        planned = plan_build(lake)
        (source,) = planned.sources
        stale = {step.step: step.counts["stale"] for step in source.steps if "stale" in step.counts}
        assert stale["passages"] == 6
        assert stale["documents"] == 0
        cost = estimate_cost(lake, list(lake.settings.sources))
        done = built.build(as_of=START + timedelta(hours=1))
        assert cost.texts == done.embedded > 0
        assert cost.seconds is not None

    def test_unread_files_are_told_by_their_size(self, built: Workspace) -> None:
        built.write("new.md", TEXT.format(9))
        cost = estimate_cost(built.lake(), list(built.lake().settings.sources))
        assert cost.texts == 0
        assert cost.unread_files == 1
        assert cost.unread_tokens == len(TEXT.format(9)) // 3

    def test_a_parameter_of_the_graph_costs_nothing(self, built: Workspace) -> None:
        built.configure(graph={"max_share": 0.5})
        lake = built.lake()
        assert plan_build(lake).publishes
        assert estimate_cost(lake, list(lake.settings.sources)).texts == 0
        assert built.build(as_of=START + timedelta(hours=1)).embedded == 0

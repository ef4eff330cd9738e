"""Dagster: what the assets tell, how checks hold a snapshot back, what runs by itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from example import DATES, ExampleLake, build_example, replay

from derivation.evaluation_records import list_runs
from derivation.lake import Lake
from errors import SettingsError
from memory.embedding import HashingEmbedder
from pipelines.build import build
from warehouse.settings import load_settings
from warehouse.snapshots import current_id

SOURCE_LAYERS = ("documents", "passages", "memories", "embeddings", "mentions")
SERVED_LAYERS = (
    "entities",
    "facts",
    "phrases",
    "resolutions",
    "validity",
    "duplicates",
    "reinforcement",
    "periods",
    "memory_validity",
    "memory_embeddings",
    "associations",
    "vectors",
    "memory_vectors",
    "bank",
    "knowledge_graph",
    "candidate_snapshot",
    "published_snapshot",
)
EVALUATION = ("qa_evaluation",)
UPKEEP = (
    "compact_vectors_default",
    "compact_memory_vectors_default",
    "compact_bank_default",
    "kept_snapshots",
    "compact_warehouse",
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> ExampleLake:
    """The example lake at its last date, without a model, built once."""
    embedder = HashingEmbedder(64, "sentence-transformers-all-MiniLM-L6-v2-float32")
    lake = build_example(tmp_path_factory.mktemp("template"), embedder, DATES[-1:])
    assert not lake.builds[0].errors
    return lake


@pytest.fixture
def example(tmp_path: Path, template: ExampleLake, monkeypatch: pytest.MonkeyPatch) -> ExampleLake:
    """A copy to change; its files are other files, so that their sources count as changed until they are read."""
    folder = tmp_path / "example"
    shutil.copytree(template.config.parent, folder)
    config = folder / "memlake.toml"
    monkeypatch.setenv("MEMLAKE_CONFIG", str(config))
    return replace(template, config=config, corpus=folder / ".demo" / "corpus")


@pytest.fixture
def definitions(example: ExampleLake) -> dg.Definitions:
    from pipelines.definitions import defs

    return defs()


@pytest.fixture
def instance(example: ExampleLake) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(example.lake().settings.dagster.home)) as opened:
        yield opened


def _event(instance: dg.DagsterInstance, asset: str) -> dg.AssetMaterialization:
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization


def _run(definitions: dg.Definitions, instance: dg.DagsterInstance, example: ExampleLake, job: str) -> Any:
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance,
        resources={"lake": example.lake()},
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def test_there_is_one_asset_a_layer_grouped_described_and_versioned(definitions: dg.Definitions) -> None:
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert set(specs) == {*SOURCE_LAYERS, *SERVED_LAYERS, *UPKEEP, *EVALUATION}
    for name, spec in specs.items():
        assert spec.description, name
        assert spec.code_version, name
        assert spec.group_name in ("ingest", "derive", "serve", "upkeep", "evaluate"), name
        assert (spec.group_name == "upkeep") == (name in UPKEEP), name
        assert (spec.partitions_def is not None) == (name in (*SOURCE_LAYERS, *EVALUATION)), name
        assert (spec.automation_condition is not None) == (name in SERVED_LAYERS), name
    for name in specs:
        pool = "upkeep" if name in UPKEEP else "evaluation" if name in EVALUATION else "warehouse"
        assert definitions.resolve_assets_def(dg.AssetKey(name)).op.pool == pool, name


def test_lineage_follows_what_a_layer_is_made_of(definitions: dg.Definitions) -> None:
    above = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for spec in definitions.resolve_all_asset_specs()
    }
    assert above["memories"] == {"passages"}
    assert above["periods"] == above["memory_validity"] == {"memories"}
    assert above["memory_embeddings"] == {"periods", "embeddings"}
    assert above["associations"] == {"memory_embeddings"}
    assert above["memory_vectors"] == {"memory_embeddings", "memory_validity", "duplicates"}
    assert "reinforcement" in above["vectors"]
    assert above["compact_memory_vectors_default"] == {"memory_vectors"}
    tables = {"vectors", "memory_vectors", "compact_vectors_default", "compact_memory_vectors_default"}
    assert above["compact_bank_default"] == {"bank"}
    assert above["bank"] == {"memory_embeddings", "reinforcement"}
    tables |= {"bank", "compact_bank_default"}
    assert above["candidate_snapshot"] == {*tables, "associations", "knowledge_graph"}


REMEMBERED = ("periods", "memory_embeddings", "memory_vectors", "associations")


@pytest.mark.parametrize(
    "asset",
    [*SOURCE_LAYERS, *REMEMBERED, "entities", "facts", "resolutions", "vectors", "knowledge_graph"],
)
def test_every_run_tells_rows_what_it_did_and_how_long(
    definitions: dg.Definitions, instance: dg.DagsterInstance, asset: str
) -> None:
    materialization = _event(instance, asset)
    metadata = materialization.metadata
    told = {"processed", "skipped", "removed", "failed", "seconds", "bytes", "dagster/row_count"}
    assert told <= set(metadata)
    assert int(str(metadata["dagster/row_count"].value)) > 0
    assert materialization.tags is not None
    assert materialization.tags["dagster/data_version"]


def test_a_source_that_did_not_change_keeps_its_data_version(
    definitions: dg.Definitions, instance: dg.DagsterInstance, example: ExampleLake
) -> None:
    def version() -> str:
        tags = _event(instance, "documents").tags
        assert tags is not None
        return tags["dagster/data_version"]

    job = definitions.resolve_job_def("refresh_source")
    versions = []
    for _ in range(2):
        result = job.execute_in_process(
            instance=instance, partition_key="tickets", resources={"lake": example.lake()}, raise_on_error=False
        )
        assert result.success
        versions.append(version())
    assert versions[0] == versions[1]


def test_a_chat_source_is_remembered_as_conversations_with_versions_of_its_own(
    definitions: dg.Definitions, instance: dg.DagsterInstance, example: ExampleLake
) -> None:
    job = definitions.resolve_job_def("refresh_source")

    def version(partition: str) -> str:
        result = job.execute_in_process(
            instance=instance, partition_key=partition, resources={"lake": example.lake()}, raise_on_error=False
        )
        assert result.success
        tags = _event(instance, "memories").tags
        assert tags is not None
        return tags["dagster/data_version"]

    first = version("chat")
    with example.lake().warehouse.session() as connection:
        kinds = connection.execute("SELECT DISTINCT granularity FROM memories WHERE source = 'chat'").fetchall()
        assert {"turn", "episode", "summary", "period"} <= {kind for (kind,) in kinds}
        connection.execute("DELETE FROM memories WHERE granularity = 'period'")
    assert version("chat") == first, "periods are a layer of their own"
    with example.lake().warehouse.session() as connection:
        connection.execute("UPDATE memory_spans SET char_end = char_end - 1 WHERE source = 'chat' AND owner_id <> ''")
    assert version("chat") != first, "where a memory stands is a part of it"


def test_a_corrupted_span_fails_its_check_and_nothing_is_published(
    definitions: dg.Definitions, instance: dg.DagsterInstance, example: ExampleLake
) -> None:
    layout = example.lake().layout
    before = current_id(layout)
    with example.lake().warehouse.session() as connection:
        connection.execute(
            "UPDATE passages SET char_start = char_start + 1 WHERE passage_id = (SELECT min(passage_id) FROM passages)"
        )
    result = _run(definitions, instance, example, "publish")
    assert not result.success
    verdicts = {item.check_name: item for item in result.get_asset_check_evaluations()}
    assert not verdicts["spans"].passed
    assert verdicts["spans"].blocking
    assert verdicts["spans"].severity == dg.AssetCheckSeverity.ERROR
    assert "is not the text at" in str(verdicts["spans"].description)
    materialized = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert "candidate_snapshot" in materialized
    assert "published_snapshot" not in materialized
    assert current_id(layout) == before


def test_publishing_alone_refuses_a_candidate_whose_check_failed(
    definitions: dg.Definitions, instance: dg.DagsterInstance, example: ExampleLake
) -> None:
    with example.lake().warehouse.session() as connection:
        connection.execute("UPDATE passages SET text = text || '!'")
    assert not _run(definitions, instance, example, "publish").success
    from assets.snapshots import published_snapshot

    result = dg.materialize(
        [published_snapshot], instance=instance, resources={"lake": example.lake()}, raise_on_error=False
    )
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "checks that failed: spans" in str(failure.user_failure_data.description)


def test_an_unanswering_source_is_a_failure_that_says_what_to_do(
    definitions: dg.Definitions, instance: dg.DagsterInstance, example: ExampleLake
) -> None:
    (example.corpus / "tickets").rename(example.corpus / "elsewhere")
    result = definitions.resolve_job_def("refresh_source").execute_in_process(
        instance=instance, partition_key="tickets", resources={"lake": example.lake()}, raise_on_error=False
    )
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.metadata["error"].value == "SourceUnavailable"
    with example.lake().warehouse.session() as connection:
        row = connection.execute("SELECT count(*) FROM documents WHERE source = 'tickets'").fetchone()
    assert row == (12,), "a source that does not answer is no empty source"


def test_the_sensor_asks_for_changed_sources_only(definitions: dg.Definitions, example: ExampleLake) -> None:
    from pipelines.defs.automation import changed_sources

    assert not build(example.lake()).errors
    assert isinstance(changed_sources(dg.build_sensor_context()), dg.SkipReason)
    (example.corpus / "handbook" / "new.md").write_text("# New\n\nA new page about Port Hallin.\n")
    result = changed_sources(dg.build_sensor_context())
    assert isinstance(result, dg.SensorResult)
    assert [request.partition_key for request in result.run_requests or []] == ["documents"]


def test_the_schedule_refreshes_every_source(definitions: dg.Definitions) -> None:
    from pipelines.defs.automation import nightly_refresh

    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 7, 16, 3, tzinfo=UTC))
    requests = list(nightly_refresh(context))
    assert [request.partition_key for request in requests] == ["documents", "chat", "tickets"]
    assert len({request.run_key for request in requests}) == 3


def test_what_is_downstream_runs_when_data_changed_and_not_when_it_only_ran_again(
    definitions: dg.Definitions, instance: dg.DagsterInstance, example: ExampleLake
) -> None:
    job = definitions.resolve_job_def("refresh_source")

    def refresh() -> None:
        result = job.execute_in_process(
            instance=instance, partition_key="documents", resources={"lake": example.lake()}, raise_on_error=False
        )
        assert result.success

    evaluation = dg.evaluate_automation_conditions(defs=definitions, instance=instance)
    refresh()
    evaluation = dg.evaluate_automation_conditions(defs=definitions, instance=instance, cursor=evaluation.cursor)
    assert evaluation.get_num_requested(dg.AssetKey("entities")) == 0

    (example.corpus / "handbook" / "new.md").write_text("# New\n\nA new page about Port Hallin and Ana Reyes.\n")
    refresh()
    evaluation = dg.evaluate_automation_conditions(defs=definitions, instance=instance, cursor=evaluation.cursor)
    assert evaluation.get_num_requested(dg.AssetKey("entities")) == 1
    assert evaluation.get_num_requested(dg.AssetKey("candidate_snapshot")) == 1


def test_a_build_with_nothing_to_do_starts_no_run(example: ExampleLake, instance: dg.DagsterInstance) -> None:
    assert not build(example.lake()).errors
    runs = instance.get_runs_count()
    result = build(example.lake())
    assert result.did_nothing
    assert instance.get_runs_count() == runs


def test_the_dates_of_the_example_are_replayed_in_order() -> None:
    assert tuple(replay().revisions()) == DATES


def test_a_second_lake_with_other_sources_is_refused_in_the_same_process(
    definitions: dg.Definitions, example: ExampleLake, tmp_path: Path
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("Another lake.\n")
    other = tmp_path / "memlake.toml"
    other.write_text('[lake]\nroot = "other"\n[[sources]]\nname = "texts"\nurl = "texts"\n')
    with pytest.raises(SettingsError, match="other sources"):
        build(Lake(load_settings(other), embedder=example.embedder))


def test_an_evaluation_shows_tables_and_a_picture(
    definitions: dg.Definitions, instance: dg.DagsterInstance, example: ExampleLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMLAKE_EVALUATION__TOLERATED", "0.6")  # most questions of a past date have no snapshot here
    result = definitions.resolve_job_def("evaluate").execute_in_process(
        instance=instance, partition_key="example", resources={"lake": example.lake()}, raise_on_error=False
    )
    assert result.success
    metadata = _event(instance, "qa_evaluation").metadata
    assert int(str(metadata["questions"].value)) > 20
    assert int(str(metadata["left_out"].value)) > 0
    systems = metadata["systems"]
    assert isinstance(systems, dg.TableMetadataValue)
    assert {record.data["system"] for record in systems.records} >= {"fused", "dense", "lexical", "graph", "bm25"}
    compared = metadata["comparisons"]
    assert isinstance(compared, dg.TableMetadataValue)
    assert len(compared.records) == len(systems.records) - 1
    assert str(metadata["chart"].value).startswith("![")
    [run] = list_runs(example.lake().warehouse, "example")
    assert metadata["run"].value == run.run_id


def test_what_clients_noted_is_read_on_a_schedule(
    definitions: dg.Definitions, instance: dg.DagsterInstance, example: ExampleLake
) -> None:
    client = example.client()
    client.record("confirmed", client.search("What caused the outage of Node Birch?", k=2))
    assert _run(definitions, instance, example, "reinforce").success
    metadata = _event(instance, "reinforcement").metadata
    told = {name: int(str(metadata[name].value)) for name in ("events_read", "dagster/row_count", "processed", "cold")}
    assert told == {"events_read": 2, "dagster/row_count": 2, "processed": 2, "cold": 0}
    schedule = definitions.resolve_schedule_def("remember")
    assert (schedule.job_name, schedule.cron_schedule) == ("reinforce", "30 2 * * *")


def test_a_schedule_evaluates_every_dataset(definitions: dg.Definitions) -> None:
    from pipelines.defs.automation import regular_evaluation

    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 8, 2, 5, tzinfo=UTC))
    assert [request.partition_key for request in regular_evaluation(context)] == ["example"]

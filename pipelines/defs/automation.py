"""When things run by themselves: a nightly refresh, a sensor for changed sources, and what follows downstream."""

from collections.abc import Iterator

import dagster as dg

from derivation.documents import list_source, plan_documents
from derivation.lake import Lake
from errors import MemlakeError
from pipelines.defs.jobs import evaluate, maintain, refresh_source, reinforce
from warehouse.ids import content_id
from warehouse.settings import load_settings

_SETTINGS = load_settings().dagster
_UPKEEP = load_settings().upkeep
_FORGETTING = load_settings().forgetting
_EVALUATION = load_settings().evaluation


@dg.schedule(
    job=refresh_source,
    cron_schedule=_SETTINGS.schedule,
    execution_timezone="UTC",
    description="Refresh every source; what is downstream follows where data changed.",
)
def nightly_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    night = context.scheduled_execution_time.strftime("%Y-%m-%dT%H:%M")
    for source in load_settings().sources:
        yield dg.RunRequest(run_key=f"{source.name}:{night}", partition_key=source.name)


upkeep = dg.ScheduleDefinition(
    name="upkeep",
    job=maintain,
    cron_schedule=_UPKEEP.schedule,
    execution_timezone="UTC",
    description="Compact, expire and sweep; each store is measured first and left alone where it is in shape.",
)


remember = dg.ScheduleDefinition(
    name="remember",
    job=reinforce,
    cron_schedule=_FORGETTING.schedule,
    execution_timezone="UTC",
    description="Read the events that clients wrote; memories gain strength by them and fade without.",
)


@dg.schedule(
    job=evaluate,
    cron_schedule=_EVALUATION.schedule,
    execution_timezone="UTC",
    description="Evaluate every dataset of the settings; what was evaluated before, with the same code, is not again.",
)
def regular_evaluation(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    when = context.scheduled_execution_time.strftime("%Y-%m-%dT%H:%M")
    for dataset in load_settings().evaluation.datasets:
        yield dg.RunRequest(run_key=f"{dataset.name}:{when}", partition_key=dataset.name)


@dg.sensor(
    job=refresh_source,
    minimum_interval_seconds=_SETTINGS.sensor_seconds,
    description="Lists the sources and refreshes those that differ from what the lake has read.",
)
def changed_sources(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    lake = Lake.from_file()
    requests, silent = [], []
    for source in lake.settings.sources:
        try:
            listing = list_source(source)
        except MemlakeError as error:
            silent.append(str(error))
            continue
        with lake.warehouse.session("looking for changed sources") as connection:
            todo = plan_documents(connection, source, listing)
        if not todo.empty:
            state = content_id(*(f"{task.input_id}{task.input_hash}" for task in todo.tasks), *todo.removed)
            requests.append(dg.RunRequest(run_key=f"{source.name}:{state}", partition_key=source.name))
    for message in silent:
        context.log.warning(message)
    if not requests:
        return dg.SkipReason(" ".join(silent) or "No source has changed.")
    return dg.SensorResult(run_requests=requests)


follow_new_data = dg.AutomationConditionSensorDefinition(
    "follow_new_data",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    description="Materializes what is downstream of changed data, up to the published snapshot.",
)

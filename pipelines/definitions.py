"""The Dagster code location: everything in ``assets/``, wired by ``pipelines/defs/``."""

import dagster as dg

import assets
from pipelines.defs import automation, jobs, resources


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(
        assets=dg.load_assets_from_package_module(assets),
        asset_checks=dg.load_asset_checks_from_package_module(assets),
        jobs=[
            jobs.refresh_source,
            jobs.publish,
            jobs.refresh_and_publish,
            jobs.evaluate,
            jobs.reinforce,
            jobs.maintain,
        ],
        schedules=[automation.nightly_refresh, automation.regular_evaluation, automation.remember, automation.upkeep],
        sensors=[automation.changed_sources, automation.follow_new_data],
        resources={"lake": resources.lake},
        executor=dg.in_process_executor,
    )

"""Sources are partitions: few, named, and declared in the settings file."""

from __future__ import annotations

import dagster as dg

from warehouse.settings import load_settings

source_partitions = dg.StaticPartitionsDefinition([source.name for source in load_settings().sources])

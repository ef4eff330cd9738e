"""Sources and evaluated datasets are partitions: few, named, and declared in the settings file."""

from __future__ import annotations

import dagster as dg

from warehouse.settings import load_settings

_SETTINGS = load_settings()

source_partitions = dg.StaticPartitionsDefinition([source.name for source in _SETTINGS.sources])

dataset_partitions = dg.StaticPartitionsDefinition([dataset.name for dataset in _SETTINGS.evaluation.datasets])

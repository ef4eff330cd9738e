"""The lake that the assets work on, opened once a run from the settings file."""

import dagster as dg

from derivation.lake import Lake


@dg.resource(description="The lake of memlake.toml (or of the file that MEMLAKE_CONFIG names).")
def lake(_context: dg.InitResourceContext) -> Lake:
    return Lake.from_file()

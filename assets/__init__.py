"""Dagster assets and checks, one module a layer of the lake: thin shells around the steps in ``derivation``."""

from example import bundled_embedder, example_lake  # noqa: F401

"""A local server that speaks the OpenAI API, for tests, benchmarks and trials without a model."""

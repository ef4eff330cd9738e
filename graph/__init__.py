"""Mentions, graph compilation, personalized PageRank: pure functions over text and arrays."""

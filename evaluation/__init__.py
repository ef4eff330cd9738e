"""Batch evaluation: dataset adapters, metrics, runs."""

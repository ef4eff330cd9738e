"""The truth of a lake and its derived stores: settings, DuckDB, the ledger, Lance tables, snapshots."""

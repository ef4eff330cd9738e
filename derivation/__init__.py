"""The steps of a build: read the delta, call a pure function, write. No orchestration here."""

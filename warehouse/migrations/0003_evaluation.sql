-- Evaluations: runs, what every system did on every question, and snapshots that were let pass a check by hand.

CREATE TABLE evaluation_runs (
    run_id VARCHAR PRIMARY KEY,     -- of dataset, questions, snapshot, settings and systems: the same run has the same id
    dataset VARCHAR NOT NULL,
    format VARCHAR NOT NULL,
    unit VARCHAR NOT NULL,          -- what gold is: document, session, turn, span
    path VARCHAR NOT NULL,          -- of the dataset, where the report reads the questions again
    metric VARCHAR NOT NULL,        -- the dataset's main one
    root VARCHAR NOT NULL,          -- of the lake that was asked
    snapshot_id VARCHAR NOT NULL,
    systems VARCHAR[] NOT NULL,     -- in order
    settings JSON NOT NULL,
    embedder JSON NOT NULL,
    hashes JSON NOT NULL,           -- of the dataset's files, its questions, the settings, the embedder's weights
    judge VARCHAR,                  -- model and version of the prompt
    version VARCHAR NOT NULL,       -- of memlake
    questions INTEGER NOT NULL,
    problems VARCHAR[] NOT NULL,    -- what could not be used
    step INTEGER NOT NULL,          -- of a growing lake, from 1; 0 where the lake was built at once
    cost JSON,                      -- of that step's ingestion
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP           -- NULL while unfinished: run the command again
);

CREATE TABLE evaluation_results (
    run_id VARCHAR NOT NULL,
    system VARCHAR NOT NULL,
    question_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,          -- the dataset's question type
    answerable BOOLEAN NOT NULL,
    metrics JSON NOT NULL,
    passages VARCHAR[] NOT NULL,    -- passage ids, best first; their texts are in the snapshot only
    documents VARCHAR[] NOT NULL,   -- document ids of those, and of all that the answer was given from
    gold_ranks INTEGER[] NOT NULL,  -- from 1; 0 where a piece of gold was not found
    answer VARCHAR,                 -- as it is, so that a search for erased text finds it; NULL where none is kept
    answering JSON,                 -- refused, by whom, calls, tokens
    latency_ms DOUBLE,
    PRIMARY KEY (run_id, system, question_id)
);

CREATE TABLE overrides (            -- candidates that were let pass a failed check, by whom and why
    content VARCHAR NOT NULL,       -- of the candidate: the same content passes in whatever snapshot
    check_name VARCHAR NOT NULL,
    snapshot_id VARCHAR NOT NULL,   -- the candidate that it was granted for
    reason VARCHAR NOT NULL,
    granted_by VARCHAR NOT NULL,
    granted_at TIMESTAMP NOT NULL,
    PRIMARY KEY (content, check_name)
);

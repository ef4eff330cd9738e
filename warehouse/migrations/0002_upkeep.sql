-- Near-duplicate families, and what keeps a lake in shape: erasures and compactions.

CREATE TABLE signatures (       -- MinHash bands of each distinct passage text: what finds pairs to measure
    space VARCHAR NOT NULL,
    text_key VARCHAR NOT NULL,  -- md5 of the passage's text
    fingerprint VARCHAR NOT NULL,
    bands UBIGINT[] NOT NULL,
    PRIMARY KEY (space, text_key)
);

CREATE TABLE duplicate_pairs (  -- pairs that share a band, measured once; the leader is the longest text of the band
    space VARCHAR NOT NULL,
    leader_key VARCHAR NOT NULL,
    member_key VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL,
    score DOUBLE NOT NULL,      -- containment, 0 to 1
    jaccard DOUBLE NOT NULL,
    duplicate BOOLEAN NOT NULL,
    PRIMARY KEY (space, leader_key, member_key)
);

CREATE TABLE families (         -- passages that say the same; a passage alone has no row
    passage_id VARCHAR PRIMARY KEY,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    representative VARCHAR NOT NULL, -- passage_id of the one that is shown
    kind VARCHAR NOT NULL,      -- representative, exact, near
    score DOUBLE NOT NULL,      -- containment measured against the representative
    suppressed BOOLEAN NOT NULL -- left out of the indexes, by its source's setting
);

CREATE VIEW searched AS         -- the passages that the derived stores hold
SELECT * FROM passages ANTI JOIN (SELECT passage_id FROM families WHERE suppressed) USING (passage_id);

CREATE TABLE blocked (          -- documents that were erased: they are not read again
    document_id VARCHAR PRIMARY KEY,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL
);

CREATE TABLE erasures (         -- what was erased when, without the content
    erasure_id VARCHAR PRIMARY KEY,
    target VARCHAR NOT NULL,    -- document, source, space
    name_hash VARCHAR NOT NULL, -- of what was named, so that an interrupted one is recognised
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    document_ids VARCHAR[] NOT NULL,
    requested_at TIMESTAMP NOT NULL,
    requested_by VARCHAR NOT NULL,
    finished_at TIMESTAMP,      -- NULL while unfinished: run the command again
    passages INTEGER NOT NULL,
    snapshots VARCHAR[] NOT NULL, -- expired by it
    files_scanned INTEGER NOT NULL,
    bytes_before BIGINT NOT NULL,
    bytes_after BIGINT NOT NULL
);

CREATE TABLE compactions (      -- what upkeep did to a store
    store VARCHAR NOT NULL,     -- warehouse, or the space of a Lance table
    compacted_at TIMESTAMP NOT NULL,
    bytes_before BIGINT NOT NULL,
    bytes_after BIGINT NOT NULL,
    live_rows BIGINT NOT NULL
);

ALTER TABLE step_runs ADD COLUMN tokens BIGINT DEFAULT 0; -- that a model was given

-- The compressed bank: which codec serves a space, and the codes that it wrote.

CREATE TABLE banks (
    space VARCHAR NOT NULL,
    embedder VARCHAR NOT NULL,
    version VARCHAR NOT NULL,   -- digest of the codec that wrote the codes, the name of its folder in banks/
    learner VARCHAR NOT NULL,   -- digest of the one that learns on from what comes, to take over after a drift
    baseline JSON NOT NULL,     -- report of the codec when it began to serve
    report JSON NOT NULL,       -- its last one
    PRIMARY KEY (space, embedder)
);

CREATE TABLE codes (
    space VARCHAR NOT NULL,
    row_id VARCHAR NOT NULL,    -- the memory
    embedder VARCHAR NOT NULL,
    text_hash VARCHAR NOT NULL, -- of what its vector is of
    version VARCHAR NOT NULL,   -- of the codec; one in a space
    learnt BOOLEAN NOT NULL,    -- whether the learner has seen it
    code BLOB NOT NULL,
    PRIMARY KEY (space, embedder, row_id)
);

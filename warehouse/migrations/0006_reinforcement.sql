-- Forgetting and reinforcement: what clients noted in events/, what came of it, and which memories are cold.

CREATE TABLE event_files (      -- how far each file was read
    file VARCHAR PRIMARY KEY,   -- its name in events/
    bytes_read BIGINT NOT NULL, -- up to the end of a line
    tail_hash VARCHAR NOT NULL, -- of the last bytes that were read: another one is another file
    documents_hash VARCHAR NOT NULL, -- of the documents that the lake held then
    events INTEGER NOT NULL,    -- lines that are events
    kept INTEGER NOT NULL,      -- those with a row; the others are read again when the lake holds other documents
    elsewhere INTEGER NOT NULL, -- of the others, events whose document is in another space
    unreadable INTEGER NOT NULL -- lines that are no event
);

CREATE TABLE events (           -- a row a line about a document that the lake holds
    file VARCHAR NOT NULL,
    position BIGINT NOT NULL,   -- of the line's first byte
    event_id VARCHAR NOT NULL,  -- an id that is there twice counts once
    kind VARCHAR NOT NULL,      -- returned, cited, confirmed, rejected
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    document_id VARCHAR NOT NULL, -- '' for a memory of many documents
    target_id VARCHAR NOT NULL, -- the passage or memory; it stays while the document does, as it may come back
    snapshot_id VARCHAR NOT NULL,
    query_hash VARCHAR NOT NULL, -- '' where none was noted
    happened_at TIMESTAMP NOT NULL, -- UTC
    PRIMARY KEY (file, position)
);

CREATE TABLE reinforcement (    -- the events of each passage or memory, summed up
    target_id VARCHAR NOT NULL,
    document_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    returned INTEGER NOT NULL,
    cited INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    strength DOUBLE NOT NULL,   -- 1 is that of a memory without events
    recalled_at TIMESTAMP,      -- UTC; NULL where it was only rejected
    PRIMARY KEY (target_id, document_id)
);

CREATE TABLE cold (             -- passages and memories that have faded; all others are hot
    target_id VARCHAR NOT NULL,
    document_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    PRIMARY KEY (target_id, document_id)
);

CREATE TABLE reinforced (       -- until when the events of a space are summed up
    space VARCHAR PRIMARY KEY,
    until TIMESTAMP NOT NULL    -- UTC
);

-- The truth of a lake. Every row carries its space; ids are content hashes (warehouse/ids.py).

CREATE TABLE documents (        -- one item of a source and its present revision
    document_id VARCHAR PRIMARY KEY,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    path VARCHAR NOT NULL,      -- unique in the source; 'file#record' where a file holds several documents
    item_path VARCHAR NOT NULL, -- the file it came from
    revision_id VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    author VARCHAR,
    document_date DATE,
    media_type VARCHAR NOT NULL,
    seen_at TIMESTAMP NOT NULL  -- when this revision was first seen (UTC)
);

CREATE TABLE revisions (        -- one content of a document; all offsets refer to this text
    revision_id VARCHAR PRIMARY KEY,
    document_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    content_hash VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    page_starts INTEGER[] NOT NULL,
    turn_starts INTEGER[] NOT NULL,
    speakers VARCHAR[] NOT NULL
);

CREATE TABLE passages (         -- contiguous spans of revisions; the unit of citation
    passage_id VARCHAR PRIMARY KEY,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    document_id VARCHAR NOT NULL,
    revision_id VARCHAR NOT NULL,
    ordinal INTEGER NOT NULL,
    char_start INTEGER NOT NULL,
    char_end INTEGER NOT NULL,
    page INTEGER,               -- from 1, where the document has pages
    kind VARCHAR NOT NULL,      -- prose, code, list, table, dialogue
    heading VARCHAR NOT NULL,   -- headings above it, joined by ' > '
    tokens INTEGER NOT NULL,
    text VARCHAR NOT NULL,
    text_hash VARCHAR NOT NULL  -- of what is embedded: title, heading and text
);

CREATE TABLE embeddings (       -- what was paid for once; Lance holds a derived copy
    space VARCHAR NOT NULL,
    text_hash VARCHAR NOT NULL,
    embedder VARCHAR NOT NULL,
    vector FLOAT[] NOT NULL,
    PRIMARY KEY (space, embedder, text_hash)
);

CREATE TABLE mentions (         -- an entity name at a span; offsets count from the start of the passage
    passage_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    entity_id VARCHAR NOT NULL,
    entity_key VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    surface VARCHAR NOT NULL,
    char_start INTEGER NOT NULL,
    char_end INTEGER NOT NULL,
    PRIMARY KEY (passage_id, char_start, char_end, entity_id)
);

CREATE TABLE titles (           -- what a passage's document is about: the entities that its title names
    passage_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    entity_id VARCHAR NOT NULL,
    entity_key VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    surface VARCHAR NOT NULL,
    PRIMARY KEY (passage_id, entity_id)
);

CREATE TABLE acronyms (         -- 'long form (SHORT)' stated in a passage; supports a synonym edge
    passage_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    short_id VARCHAR NOT NULL,
    long_id VARCHAR NOT NULL,
    char_start INTEGER NOT NULL,
    char_end INTEGER NOT NULL,
    PRIMARY KEY (passage_id, short_id, long_id)
);

CREATE TABLE entities (         -- aggregated from mentions and titles
    entity_id VARCHAR PRIMARY KEY,
    space VARCHAR NOT NULL,
    entity_key VARCHAR NOT NULL,
    name VARCHAR NOT NULL,      -- the most frequent surface
    kind VARCHAR NOT NULL,      -- the most frequent kind
    passages INTEGER NOT NULL
);

CREATE TABLE ledger (           -- which step processed which input, at which hash and fingerprint, at what cost
    step VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    input_id VARCHAR NOT NULL,
    input_hash VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL,
    status VARCHAR NOT NULL,    -- done, failed (transient: tried again), quarantined (terminal: until it changes)
    label VARCHAR NOT NULL,     -- what a person calls the input, such as its path
    error VARCHAR,
    remedy VARCHAR,
    attempts INTEGER NOT NULL,
    outputs INTEGER NOT NULL,
    processed_at TIMESTAMP NOT NULL,
    PRIMARY KEY (step, space, input_id)
);

CREATE TABLE step_runs (        -- one row a step a run: the cost of every build
    run_id VARCHAR NOT NULL,
    step VARCHAR NOT NULL,
    source VARCHAR NOT NULL,    -- '' for a step over all sources
    fingerprint VARCHAR NOT NULL,
    started_at TIMESTAMP NOT NULL,
    seconds DOUBLE NOT NULL,
    model_seconds DOUBLE NOT NULL,
    processed INTEGER NOT NULL,
    untouched INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    rows_added INTEGER NOT NULL,
    rows_updated INTEGER NOT NULL,
    rows_removed INTEGER NOT NULL
);

CREATE TABLE generations (      -- counts the changes of what a snapshot is made of
    only_row BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row),
    generation BIGINT NOT NULL
);
INSERT INTO generations VALUES (true, 0);

CREATE TABLE layers (           -- what the derived stores of a space held when they were last brought up to date
    space VARCHAR NOT NULL,
    layer VARCHAR NOT NULL,     -- vectors, graph
    state JSON NOT NULL,
    PRIMARY KEY (space, layer)
);

CREATE TABLE snapshots (        -- the history of candidates; the manifests are what readers open
    snapshot_id VARCHAR PRIMARY KEY,
    generation BIGINT NOT NULL,
    recipe VARCHAR NOT NULL,    -- fingerprint of everything besides the warehouse's rows that shaped it
    as_of TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL,
    status VARCHAR NOT NULL,    -- candidate, published
    manifest JSON NOT NULL,
    checked VARCHAR[] NOT NULL, -- names of the blocking checks that have run
    failures VARCHAR[] NOT NULL -- names of those that failed
);

-- Memories at every granularity besides passages, each with the spans that it came from.

CREATE TABLE memories (
    memory_id VARCHAR PRIMARY KEY,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    document_id VARCHAR NOT NULL, -- '' for a period, which is of many documents
    granularity VARCHAR NOT NULL, -- outline, core, turn, round, episode, summary, fact, keywords, period
    ordinal INTEGER NOT NULL,   -- among those of its granularity in the document, or in the source for a period
    parent_id VARCHAR,          -- the next coarser memory that it is a part of
    text VARCHAR NOT NULL,      -- what is embedded and searched
    text_hash VARCHAR NOT NULL, -- of what its vector is of: the text, or the pieces of passages that it is made of
    pooled BOOLEAN NOT NULL,    -- its vector is the mean of those pieces', so no model reads its text
    tokens INTEGER NOT NULL,
    speaker VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,   -- of a fact: whom it is about
    attribute VARCHAR NOT NULL, -- of a fact: what a later fact about the subject updates; '' where nothing can
    since DATE,                 -- the days that it speaks of, where it says any
    until DATE
);

CREATE TABLE piece_vectors (    -- of the sentences or turns of a passage's text, in order; from the model's one reading of it
    space VARCHAR NOT NULL,
    text_hash VARCHAR NOT NULL,
    embedder VARCHAR NOT NULL,
    vectors BLOB NOT NULL,      -- float16, a unit vector a piece
    PRIMARY KEY (space, embedder, text_hash)
);

CREATE TABLE memory_spans (     -- where a memory came from, in characters of revisions
    memory_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    owner_id VARCHAR NOT NULL,  -- the memory's own document; '' for a period
    document_id VARCHAR NOT NULL,
    revision_id VARCHAR NOT NULL,
    char_start INTEGER NOT NULL,
    char_end INTEGER NOT NULL,
    PRIMARY KEY (memory_id, document_id, char_start)
);

CREATE TABLE outline_candidates ( -- every outline that was considered for a document, the kept one and the losers
    document_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    candidate VARCHAR NOT NULL, -- how it was made
    chunks INTEGER NOT NULL,
    clarity DOUBLE NOT NULL,    -- a proxy: how much the texts differ across boundaries
    completeness DOUBLE NOT NULL, -- a proxy: how well cores cover their chunks
    fused DOUBLE NOT NULL,      -- reciprocal rank fusion of both
    kept BOOLEAN NOT NULL,
    PRIMARY KEY (document_id, candidate)
);

CREATE TABLE time_expressions ( -- words for a time, with the days that they mean on the document's date
    document_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    revision_id VARCHAR NOT NULL,
    char_start INTEGER NOT NULL,
    char_end INTEGER NOT NULL,
    words VARCHAR NOT NULL,     -- as they stand in the text
    since DATE NOT NULL,
    until DATE NOT NULL,
    PRIMARY KEY (document_id, char_start)
);

CREATE TABLE memory_validity (  -- for how long a fact of a conversation holds, where its session is dated
    memory_id VARCHAR PRIMARY KEY,
    space VARCHAR NOT NULL,
    valid_from DATE NOT NULL,
    valid_until DATE,
    superseded_by VARCHAR       -- the fact that holds instead
);

CREATE TABLE association_neighbours ( -- the earlier memories nearest to each, and whether they are linked
    memory_id VARCHAR NOT NULL,
    neighbour_id VARCHAR NOT NULL, -- an earlier one
    space VARCHAR NOT NULL,
    embedder VARCHAR NOT NULL,
    score DOUBLE NOT NULL,      -- cosine
    probability DOUBLE NOT NULL, -- of belonging to the higher component of the scores' mixture
    linked BOOLEAN NOT NULL,
    PRIMARY KEY (embedder, memory_id, neighbour_id)
);

-- The knowledge graph: facts with the passages that state them, which entities are the same, and what models were asked.

CREATE TABLE supports (         -- a passage span that states a fact; a fact lives while one passage states it
    passage_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    fact_id VARCHAR NOT NULL,
    subject_id VARCHAR NOT NULL,
    predicate VARCHAR NOT NULL, -- as this passage words it
    object_id VARCHAR NOT NULL,
    char_start INTEGER NOT NULL, -- of the evidence, from the start of the passage
    char_end INTEGER NOT NULL,
    subject_start INTEGER NOT NULL, -- in the passage, or in the title where only that names it
    subject_end INTEGER NOT NULL,
    subject_titled BOOLEAN NOT NULL,
    object_start INTEGER NOT NULL,
    object_end INTEGER NOT NULL,
    object_titled BOOLEAN NOT NULL,
    PRIMARY KEY (passage_id, fact_id)
);

CREATE TABLE facts (            -- aggregated from supports
    fact_id VARCHAR PRIMARY KEY, -- of subject, predicate and object
    space VARCHAR NOT NULL,
    subject_id VARCHAR NOT NULL,
    predicate VARCHAR NOT NULL, -- the most frequent wording
    object_id VARCHAR NOT NULL,
    passages INTEGER NOT NULL
);

CREATE TABLE validity (         -- for how long a fact about a functional attribute holds, where its statements are dated
    fact_id VARCHAR PRIMARY KEY,
    space VARCHAR NOT NULL,
    valid_from DATE NOT NULL,
    valid_until DATE,
    superseded_by VARCHAR       -- the fact that holds instead
);

CREATE TABLE decisions (        -- which pairs of entities are the same, similar or different, and by what
    left_id VARCHAR NOT NULL,
    right_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    method VARCHAR NOT NULL,    -- override where a person said so
    score DOUBLE NOT NULL,
    verdict VARCHAR NOT NULL,   -- same (merged, if the cluster allows), similar (a synonym edge), different
    reason VARCHAR NOT NULL,
    PRIMARY KEY (left_id, right_id)
);

CREATE TABLE resolutions (      -- entities that stand under another one's name
    entity_id VARCHAR PRIMARY KEY,
    space VARCHAR NOT NULL,
    canonical_id VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    score DOUBLE NOT NULL
);

CREATE VIEW entity_links AS     -- all that is known of pairs of entities
SELECT left_id, right_id, space, method, score, verdict FROM decisions
UNION ALL SELECT entity_id, canonical_id, space, method, score, 'stands for' FROM resolutions;

CREATE TABLE phrases (          -- what is embedded of the graph: entities and facts, by the text that stands for them
    owner_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,      -- entity, fact
    text_hash VARCHAR NOT NULL,
    PRIMARY KEY (space, kind, owner_id)
);

CREATE TABLE neighbours (       -- entities whose phrases are near in meaning: each new one is compared with all, once
    left_id VARCHAR NOT NULL,
    right_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    embedder VARCHAR NOT NULL,
    score DOUBLE NOT NULL,      -- cosine
    PRIMARY KEY (embedder, left_id, right_id)
);

CREATE TABLE compared (         -- entities whose neighbours are in the table above
    entity_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    embedder VARCHAR NOT NULL,
    similarity DOUBLE NOT NULL, -- the least cosine of the neighbours that were looked for
    PRIMARY KEY (embedder, entity_id)
);

CREATE TABLE model_calls (      -- every call of a language model: what it took and how it ended; no text
    call_id VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    step VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    input_id VARCHAR NOT NULL,
    request_key VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    prompt VARCHAR NOT NULL,
    prompt_version VARCHAR NOT NULL,
    called_at TIMESTAMP NOT NULL,
    latency_ms DOUBLE NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    cost DOUBLE,                -- NULL where no price is set
    attempts INTEGER NOT NULL,
    outcome VARCHAR NOT NULL,
    error VARCHAR,
    prompt_chars BIGINT NOT NULL, -- of what was sent, and of the document in it: what later estimates go by
    input_chars BIGINT NOT NULL
);

CREATE TABLE model_replies (    -- the cache: what was paid for once; kept while a passage has the text
    space VARCHAR NOT NULL,
    text_hash VARCHAR NOT NULL,
    request_key VARCHAR NOT NULL, -- of model, parameters and prompt
    reply VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,   -- ok, or why it could not be used; then the raw text is here for a person to see
    replied_at TIMESTAMP NOT NULL,
    PRIMARY KEY (space, text_hash, request_key) -- the heading is of the text and not of the request
);

CREATE TABLE model_batches (    -- requests that a provider's batch interface works on; gone when they are answered
    batch_id VARCHAR NOT NULL,
    space VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    step VARCHAR NOT NULL,
    input_id VARCHAR NOT NULL,
    text_hash VARCHAR NOT NULL,
    request_key VARCHAR NOT NULL,
    handle JSON NOT NULL,
    submitted_at TIMESTAMP NOT NULL,
    most_tokens BIGINT NOT NULL, -- what the request can take at most; a budget counts it until the batch has ended
    most_cost DOUBLE NOT NULL,
    prompt_chars BIGINT NOT NULL,
    input_chars BIGINT NOT NULL,
    PRIMARY KEY (batch_id, request_key)
);

UPDATE ledger SET fingerprint = '' WHERE step = 'mentions'; -- every passage is read again, for the facts that it states

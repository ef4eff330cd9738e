"""The tables of the settings file: every key with its default, its bounds and what it means, here and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


GranularityName = Literal["outline", "core", "turn", "round", "episode", "summary", "fact", "keywords", "period"]

GRANULARITIES: tuple[GranularityName, ...] = get_args(GranularityName)
"""As ``memory.granularity`` has them."""


class Section(BaseModel):
    """A table of the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LakeSettings(Section):
    """The lake: where everything that memlake keeps lives."""

    root: Path = Field(Path("memlake-lake"), description="Folder of the lake, relative to this file.")
    lock_timeout_seconds: float = Field(600.0, gt=0, description="How long a transaction waits for another one.")
    work_timeout_seconds: float = Field(
        86_400.0, gt=0, description="How long a step waits for another process's step, which may be embedding."
    )
    batch_rows: int = Field(
        2048, ge=1, le=100_000, description="Rows computed between two commits; a crash loses at most one batch."
    )


class SourceSettings(Section):
    """A named place that documents come from; a Dagster partition."""

    name: str = Field(pattern=NAME_PATTERN, description="Unique name: lower-case letters, digits, _ and -.")
    url: str = Field(description="A folder, or any fsspec URL such as s3://bucket/prefix.")
    kind: Literal["files", "jsonl", "chat"] = Field(
        "files", description="files: one document a file; jsonl: one a record; chat: one a session."
    )
    space: str = Field("default", pattern=NAME_PATTERN, description="The tenant that the documents belong to.")
    include: tuple[str, ...] = Field(("**/*",), description="Globs of what to read.")
    exclude: tuple[str, ...] = Field((), description="Globs of what to leave out.")
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="For jsonl: which field of a record is id, title, text, author, date (text may be 'a+b').",
    )
    storage_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the fsspec file system, such as endpoint_url; never secrets."
    )
    suppress: bool = Field(
        False, description="Leave this source's passages out of the indexes where another passage says the same."
    )
    max_bytes: int = Field(50_000_000, gt=0, description="A larger file is quarantined.")
    max_pages: int = Field(2_000, gt=0, description="A PDF of more pages is quarantined.")
    max_chars: int = Field(20_000_000, gt=0, description="A document of more characters is quarantined.")

    @field_validator("fields")
    @classmethod
    def _known_fields(cls, value: dict[str, str]) -> dict[str, str]:
        known = ("id", "title", "text", "author", "date")
        for key in value:
            if key not in known:
                raise ValueError(f"unknown field '{key}', expected one of {', '.join(known)}")
        return value


class SegmentationSettings(Section):
    """How a revision is cut into passages."""

    target_tokens: int = Field(200, ge=16, description="Passages are filled up to about this many tokens.")
    max_tokens: int = Field(256, ge=32, description="A longer block is split even when it is code or a table.")

    @model_validator(mode="after")
    def _ordered(self) -> SegmentationSettings:
        if self.target_tokens > self.max_tokens:
            raise ValueError("target_tokens must not exceed max_tokens")
        return self


class EmbeddingSettings(Section):
    """The embedder; provider, model and precision together are its identity."""

    provider: Literal["sentence-transformers", "openai", "hashing"] = Field(
        "sentence-transformers",
        description="sentence-transformers runs here; openai is any compatible endpoint; hashing is for tests.",
    )
    model: str = Field("all-MiniLM-L6-v2", description="all-MiniLM-L6-v2 is bundled; others by name or folder.")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16 is faster on processors that have it; part of the identity."
    )
    batch_size: int = Field(128, ge=1, description="Texts encoded at once, at most; fewer of long ones.")
    base_url: str | None = Field(None, description="For openai: the endpoint; the key comes from OPENAI_API_KEY.")
    dimensions: int | None = Field(None, gt=0, description="For openai and hashing: the length of a vector.")
    price_per_million_tokens: float | None = Field(
        None, ge=0, description="What the endpoint charges, in your currency; `memlake plan` tells the cost by it."
    )


class ExtractionSettings(Section):
    """How entities and facts are found in passages."""

    provider: Literal["rules", "openai"] = Field(
        "rules", description="rules needs no model and no network; openai asks any compatible endpoint."
    )
    model: str | None = Field(None, description="For openai: the model's name.")
    base_url: str | None = Field(None, description="For openai: the endpoint; the key comes from OPENAI_API_KEY.")
    calls: Literal["two", "one"] = Field(
        "two", description="two asks for the entities first and then for the facts between them; one asks at once."
    )
    mode: Literal["live", "batch"] = Field(
        "live", description="batch hands the requests to the provider's batch interface and fetches them in later runs."
    )
    structured: Literal["auto", "never"] = Field(
        "auto", description="Structured outputs by JSON schema; never, where a server takes them and answers badly."
    )
    max_tokens: int = Field(2048, ge=64, description="Tokens that one reply may have.")
    concurrency: int = Field(8, ge=1, le=256, description="Requests under way at once.")
    attempts: int = Field(5, ge=1, description="Tries of a request that fails in passing.")
    repairs: int = Field(2, ge=0, description="How often a reply that is not what was asked for is asked for again.")
    timeout_seconds: float = Field(60.0, gt=0, description="How long one call may take.")
    price_per_million_prompt_tokens: float | None = Field(
        None, ge=0, description="What the endpoint charges, in your currency; needed for a budget in money."
    )
    price_per_million_completion_tokens: float | None = Field(None, ge=0, description="The same for what it writes.")
    batch_price: float = Field(0.5, ge=0, le=1, description="Share of the price that the batch interface charges.")

    @model_validator(mode="after")
    def _complete(self) -> ExtractionSettings:
        if self.provider == "openai" and not self.model:
            raise ValueError("provider is 'openai' and model is not set")
        return self


class BudgetSettings(Section):
    """What language models may take; a run stops before the call that would exceed it, and the next one goes on."""

    run_cost: float | None = Field(None, ge=0, description="Money for one run, in the currency of the prices.")
    run_tokens: int | None = Field(None, ge=0, description="Tokens for one run, prompts and replies together.")
    day_cost: float | None = Field(None, ge=0, description="Money for one day (UTC).")
    day_tokens: int | None = Field(None, ge=0, description="Tokens for one day (UTC).")


class MemorySettings(Section):
    """What is remembered of a document besides its passages."""

    granularities: tuple[GranularityName, ...] = Field(
        GRANULARITIES, description="Granularities that are made and searched besides passages; none with []."
    )
    spaces: dict[str, tuple[GranularityName, ...]] = Field(
        default_factory=dict, description="Space to its own granularities, where they differ."
    )
    provider: Literal["rules", "openai"] = Field(
        "rules", description="rules needs no model; openai asks the model that [extraction] names."
    )
    samples: int = Field(
        1, ge=1, le=8, description="For openai: outlines asked for of each document; the best is kept."
    )
    pieces: bool = Field(
        True, description="Keep a vector of each sentence and turn, which a local embedder gives for nothing."
    )
    associations: bool = Field(True, description="Link each episode and summary to the earlier ones that it recalls.")

    def of_space(self, space: str) -> tuple[GranularityName, ...]:
        """The granularities of a space."""
        return self.spaces.get(space, self.granularities)


class GraphSettings(Section):
    """The knowledge graph."""

    max_share: float = Field(
        0.1, gt=0, le=1, description="An entity in a larger share of a space's passages says nothing and is left out."
    )
    embed_phrases: bool | None = Field(
        None,
        description="Embed entities and facts, for synonyms and for linking questions to facts; by default where a "
        "model extracts them.",
    )
    synonym_similarity: float = Field(
        0.8, gt=0, le=1, description="Entities whose phrases have at least this cosine are synonyms."
    )


class FusionSettings(Section):
    """How the channels become one order; see retrieval/fusion.py for the formula.

    The defaults were chosen by `memlake eval tune` on four public development sets at once (benchmarks/README.md).
    """

    dense_weight: float = Field(0.88, ge=0, description="Factor on the trust in the dense channel.")
    lexical_weight: float = Field(1.43, ge=0, description="Factor on the trust in the lexical channel.")
    judged: int = Field(41, ge=1, description="Best candidates that tell how far to trust a channel.")
    coverage_weight: float = Field(
        0.45, ge=0, le=1, description="Weight of how much of the question a passage's best sentence holds."
    )
    covered: int = Field(50, ge=1, description="Best candidates whose sentences are read for that.")
    graph_weight: float = Field(
        0.97, ge=0, le=1, description="Factor on the trust in PageRank, its share; the rest is dense and lexical."
    )
    seed_passages: int = Field(20, ge=1, description="Passages that PageRank starts from.")
    entity_share: float = Field(0.5, ge=0, le=1, description="Share of the start on the question's entities.")
    fact_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the entities' start on the ends of facts near the question, if there are.",
    )
    fact_cut: float = Field(
        0.9, ge=0, le=1, description="A fact is near the question from this share of the best fact's cosine."
    )
    aspect_weight: float = Field(
        0.5, ge=0, le=1, description="Weight of the parts of a long question, each searched for by itself."
    )
    piece_weight: float = Field(
        0.2, ge=0, le=1, description="Weight of the nearest sentence or turn of a passage, where these have vectors."
    )
    memory_weight: float = Field(
        0.05, ge=0, le=1, description="Weight of the memories of all granularities that lead to a passage."
    )
    time_weight: float = Field(
        0.2, ge=0, le=1, description="How far dates count where a question says something of time."
    )
    left_out: tuple[GranularityName, ...] = Field(
        ("core",), description="Granularities that passages are not ranked by; they can be searched for all the same."
    )
    hop_weight: float = Field(0.4, ge=0, description="Weight of one hop along shared entities.")
    hop_passages: int = Field(6, ge=1, description="Passages that the hop starts from.")


class RecognitionSettings(Section):
    """Which facts near a question are relevant to it, where facts are embedded."""

    provider: Literal["rule", "openai"] = Field(
        "rule", description="rule goes by cosines; openai asks a model, one call a query."
    )
    model: str | None = Field(None, description="For openai: the model's name.")
    base_url: str | None = Field(None, description="For openai: the endpoint; the key comes from OPENAI_API_KEY.")
    timeout_seconds: float = Field(20.0, gt=0, description="For openai: after that the rule decides.")

    @model_validator(mode="after")
    def _complete(self) -> RecognitionSettings:
        if self.provider == "openai" and not self.model:
            raise ValueError("provider is 'openai' and model is not set")
        return self


class RetrievalSettings(Section):
    """How a query is answered; read by the client, so a change needs no rebuild."""

    k: int = Field(10, ge=1, description="Passages returned.")
    candidates: int = Field(200, ge=1, description="Candidates taken from each channel before fusion.")
    collapse_duplicates: bool = Field(
        True, description="Show one passage of a family that says the same, and name the others as further sources."
    )
    fusion: FusionSettings = Field(default_factory=FusionSettings)
    recognition: RecognitionSettings = Field(default_factory=RecognitionSettings)


class RetentionSettings(Section):
    """Which snapshots are kept; the published one and pinned ones always are."""

    keep_last: int = Field(10, ge=1, description="The newest snapshots that are kept.")
    keep_days: float = Field(30.0, ge=0, description="Snapshots younger than this are kept, too.")


class EventsSettings(Section):
    """What clients note about the memories that they use, in files of the lake (docs/forgetting.md)."""

    enabled: bool = Field(
        False, description="Whether `search` and `ask` note by themselves what they returned and cited."
    )
    query_hashes: bool = Field(
        True, description="Note a hash of the query, which tells equal queries; its text is never noted."
    )


class ForgettingSettings(Section):
    """How events strengthen a memory, and how it fades without them (docs/forgetting.md)."""

    days: float = Field(
        30.0, gt=0, description="Days in which what is retained of a memory that was never recalled falls to 1/e."
    )
    returned: float = Field(0.05, ge=0, description="Strength that a memory gains each time a search returns it.")
    cited: float = Field(0.5, ge=0, description="Strength that it gains each time an answer cites it.")
    confirmed: float = Field(1.0, ge=0, description="Strength that it gains each time somebody confirms it.")
    rejected: float = Field(0.5, ge=0, description="Strength that it loses each time somebody rejects it.")
    weakest: float = Field(0.1, gt=0, le=1, description="The least strength; a memory without events has 1.")
    strongest: float = Field(12.0, ge=1, description="The greatest strength.")
    prior_weight: float = Field(
        0.1, ge=0, lt=1, description="By how much events may raise or lower a score, at most, as a share of it."
    )
    cold_retention: float = Field(0.05, ge=0, le=1, description="A memory of which less is retained is cold,")
    cold_days: float = Field(90.0, ge=0, description="but not before so many days without a recall.")
    schedule: str = Field("30 2 * * *", description="Cron expression of the job that reads the events.")


class BankSettings(Section):
    """The compressed bank: short codes that stand for the vectors of memories in a client's memory (docs/bank.md)."""

    of: Literal["cold", "all", "none"] = Field(
        "cold", description="Memories that it holds: those that have faded, all (only codes stay resident), or none."
    )
    bytes: int = Field(64, ge=1, le=1024, description="Length of a code; no more than the vectors have dimensions.")
    least: int = Field(
        2000, ge=2, description="Memories of a space below which nothing is learnt, and all vectors stay resident."
    )


class UpkeepSettings(Section):
    """When `memlake maintain` compacts a store; each threshold is measured on the store itself."""

    small_fragments: int = Field(8, ge=1, description="Files of a Lance table that are merged above this number.")
    deleted_share: float = Field(
        0.1, ge=0, le=1, description="Share of deleted rows in a Lance table above which its files are rewritten."
    )
    growth: float = Field(
        1.2, ge=1, description="Growth of the warehouse's bytes per row since it was last compacted that is let be."
    )
    schedule: str = Field("30 4 * * *", description="Cron expression of the upkeep job.")


class AnswerSettings(Section):
    """How `ask` answers."""

    provider: Literal["extractive", "openai"] = Field(
        "extractive", description="extractive quotes the best sentences; openai asks the configured model."
    )
    model: str | None = Field(None, description="For openai: the model's name.")
    base_url: str | None = Field(None, description="For openai: the endpoint; the key comes from OPENAI_API_KEY.")
    passages: int = Field(5, ge=1, description="Passages read for an answer.")
    min_similarity: float = Field(
        0.4, ge=-1, le=1, description="For extractive: below this cosine to the question nothing is an answer."
    )
    timeout_seconds: float = Field(60.0, gt=0, description="For openai: how long one call may take.")
    price_per_million_prompt_tokens: float | None = Field(
        None, ge=0, description="What the endpoint charges, in your currency; an evaluation tells the cost by it."
    )
    price_per_million_completion_tokens: float | None = Field(None, ge=0, description="The same for what it writes.")


class EvaluatedDatasetSettings(Section):
    """A dataset that the asset `qa_evaluation` evaluates; a Dagster partition."""

    name: str = Field(pattern=NAME_PATTERN, description="Unique name, as in results.")
    path: Path = Field(description="Its folder or file, relative to this file.")
    format: str = Field("", description="Its format (`memlake eval run --help`); by default told from the files.")


class CanarySettings(Section):
    """Questions that every new snapshot must answer about as well as the published one, or it is held back."""

    questions: Path | None = Field(None, description="A file of your own questions (docs/evaluation.md).")
    metric: str = Field("recall@5", description="What is compared, question by question.")
    margin: float = Field(0.02, ge=0, le=1, description="How much worse the mean may get.")
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="How sure it must be that it got worse by more than the margin."
    )


class JudgeSettings(Section):
    """A language model that judges answers."""

    model: str | None = Field(None, description="Its name; without one nothing is judged.")
    base_url: str | None = Field(None, description="The endpoint; the key comes from OPENAI_API_KEY.")
    timeout_seconds: float = Field(60.0, gt=0, description="How long one call may take.")


class EvaluationSettings(Section):
    """Batch evaluation."""

    datasets: tuple[EvaluatedDatasetSettings, ...] = Field((), description="What the schedule evaluates.")
    tolerated: float = Field(0.05, ge=0, lt=1, description="Share of a dataset's entries that may be unusable.")
    schedule: str = Field("0 5 * * 0", description="Cron expression of the evaluation of every dataset.")
    canary: CanarySettings = Field(default_factory=CanarySettings)
    judge: JudgeSettings = Field(default_factory=JudgeSettings)

    @model_validator(mode="after")
    def _unique_datasets(self) -> EvaluationSettings:
        names = [dataset.name for dataset in self.datasets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two datasets are named '{name}'")
        return self


class DagsterSettings(Section):
    """Orchestration."""

    home: Path = Field(Path(".dagster"), description="DAGSTER_HOME of this lake, relative to this file.")
    schedule: str = Field("0 3 * * *", description="Cron expression of the nightly refresh of every source.")
    sensor_seconds: int = Field(60, ge=5, description="How often the sensor looks for changed sources.")

"""Jobs: bring one source up to date, publish what all sources hold, evaluate, reinforce, maintain."""

import dagster as dg

from assets.compaction import compaction_assets
from assets.partitions import dataset_partitions, source_partitions

SOURCE_LAYERS = dg.AssetSelection.assets("documents", "passages", "memories", "embeddings", "mentions")
SERVED_LAYERS = dg.AssetSelection.assets(
    "entities",
    "facts",
    "phrases",
    "resolutions",
    "validity",
    "duplicates",
    "reinforcement",
    "periods",
    "memory_validity",
    "memory_embeddings",
    "associations",
    "vectors",
    "memory_vectors",
    "bank",
    "knowledge_graph",
    "candidate_snapshot",
    "published_snapshot",
) | dg.AssetSelection.checks_for_assets("candidate_snapshot")

COMPACTED = dg.AssetSelection.assets(*compaction_assets)
SNAPSHOTS = dg.AssetSelection.assets("candidate_snapshot", "published_snapshot") | dg.AssetSelection.checks_for_assets(
    "candidate_snapshot"
)
SWEPT = dg.AssetSelection.assets("kept_snapshots", "compact_warehouse")

refresh_source = dg.define_asset_job(
    "refresh_source",
    SOURCE_LAYERS,
    partitions_def=source_partitions,
    description="Read what changed in one source, cut it, remember and embed it, and find what it mentions.",
)
refresh_and_publish = dg.define_asset_job(
    "refresh_and_publish",
    SOURCE_LAYERS | SERVED_LAYERS,
    partitions_def=source_partitions,
    description="Both in one run, where one source has changed.",
)
publish = dg.define_asset_job(
    "publish",
    SERVED_LAYERS,
    description="Aggregate entities and memories, write the tables, compile the graph, check and publish a snapshot.",
)
evaluate = dg.define_asset_job(
    "evaluate",
    dg.AssetSelection.assets("qa_evaluation"),
    partitions_def=dataset_partitions,
    description="Ask every system the questions of one dataset and score what it returns.",
)
reinforce = dg.define_asset_job(
    "reinforce",
    dg.AssetSelection.assets("reinforcement"),
    description="Read what clients noted about the memories that they use; strengthen those, and tell which are cold.",
)
maintain = dg.define_asset_job(
    "maintain",
    COMPACTED | SNAPSHOTS | SWEPT,
    description="Compact the Lance tables, publish what was compacted, expire snapshots, compact the warehouse.",
)

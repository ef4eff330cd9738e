"""``snapshots list | show | diff | rollback | pin | unpin``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from pipelines.cli.console import ConfigOption, JsonOption, out, print_json, settings_of

app = typer.Typer(help="List, inspect, compare and roll back snapshots.", no_args_is_help=True)

SnapshotArgument = Annotated[str, typer.Argument(help="A snapshot's id, or an unambiguous beginning of it.")]


@app.command("list")
def list_snapshots(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every kept snapshot, oldest first; an asterisk marks the published one, p a pinned one."""
    from warehouse.layout import LakeLayout
    from warehouse.snapshots import current_id, list_ids, pinned, read_manifest

    layout = LakeLayout(settings_of(config).lake.root)
    current = current_id(layout)
    pins = pinned(layout)
    manifests = [read_manifest(layout, name) for name in list_ids(layout)]
    if as_json:
        records = []
        for item in manifests:
            state = {"published": item.snapshot_id == current, "pinned": item.snapshot_id in pins}
            records.append({**json.loads(item.to_json()), **state})
        print_json(records)
        return
    if not manifests:
        out().print("There is no snapshot yet; build one with: memlake build")
        return
    from rich.table import Table

    table = Table(
        "", "snapshot", "as of (UTC)", "documents", "passages", "entities", "parent", box=None, pad_edge=False
    )
    for item in manifests:
        states = item.spaces.values()
        table.add_row(
            ("*" if item.snapshot_id == current else "") + ("p" if item.snapshot_id in pins else ""),
            item.snapshot_id,
            f"{item.as_of:%Y-%m-%d %H:%M}",
            f"{sum(state.documents for state in states):,}",
            f"{sum(state.passages for state in states):,}",
            f"{sum(state.entities for state in states):,}",
            item.parent or "-",
        )
    out().print(table)


@app.command()
def show(snapshot: SnapshotArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What one snapshot pins."""
    from warehouse.layout import LakeLayout
    from warehouse.snapshots import read_manifest

    manifest = read_manifest(LakeLayout(settings_of(config).lake.root), snapshot)
    if as_json:
        print_json(json.loads(manifest.to_json()))
        return
    console = out()
    console.print(f"Snapshot  {manifest.snapshot_id}")
    console.print(f"As of     {manifest.as_of:%Y-%m-%d %H:%M} UTC, made {manifest.created_at:%Y-%m-%d %H:%M} UTC")
    console.print(f"Parent    {manifest.parent or 'none'}")
    console.print(f"Embedder  {' '.join(str(value) for value in manifest.embedder.values() if value)}")
    for name, state in manifest.spaces.items():
        console.print(
            f"Space     {name}: {state.documents:,} documents, {state.passages:,} passages, "
            f"{state.entities:,} entities, {state.edges:,} edges"
        )
        console.print(f"          vectors {state.table} version {state.version}, graph {state.graph}")


@app.command()
def diff(
    before: SnapshotArgument, after: SnapshotArgument, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Documents that were added, removed, changed and renamed between two snapshots."""
    from retrieval.difference import difference
    from warehouse.layout import LakeLayout
    from warehouse.snapshots import read_manifest

    layout = LakeLayout(settings_of(config).lake.root)
    spaces = difference(layout, read_manifest(layout, before), read_manifest(layout, after))
    if as_json:
        print_json([asdict(item) for item in spaces])
        return
    for item in spaces:
        _print_difference(item)


@app.command()
def rollback(snapshot: SnapshotArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Publish an earlier snapshot again: one pointer swap, nothing is deleted."""
    from derivation.lake import Lake
    from derivation.snapshot import rollback as roll_back
    from warehouse.snapshots import current_id

    lake = Lake(settings_of(config))
    before = current_id(lake.layout)
    manifest = roll_back(lake, snapshot)
    if as_json:
        print_json({"published": manifest.snapshot_id, "before": before})
    else:
        out().print(f"Published {manifest.snapshot_id} (before: {before}). The next change to a source builds on it.")


@app.command()
def accept(
    reason: Annotated[str, typer.Option("--reason", help="Why it is as it should be; recorded.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the state that the canary questions hold back; every other check must pass."""
    from derivation.lake import Lake
    from derivation.snapshot import publish_present

    published = publish_present(Lake(settings_of(config)), accepted=reason)
    if as_json:
        print_json({"published": published.snapshot_id, "reason": reason})
    else:
        out().print(f"Published {published.snapshot_id}; recorded: {reason}", markup=False)


@app.command("pin")
def pin_snapshot(
    snapshot: SnapshotArgument,
    note: Annotated[str, typer.Option("--note", help="Why it is kept.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a snapshot whatever the retention settings say."""
    from warehouse.layout import LakeLayout
    from warehouse.snapshots import pin, read_manifest

    layout = LakeLayout(settings_of(config).lake.root)
    name = read_manifest(layout, snapshot).snapshot_id
    pin(layout, name, note)
    print_json({"pinned": name}) if as_json else out().print(f"Pinned {name}.")


@app.command("unpin")
def unpin_snapshot(snapshot: SnapshotArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Let the retention settings have a snapshot again."""
    from warehouse.layout import LakeLayout
    from warehouse.snapshots import read_manifest, unpin

    layout = LakeLayout(settings_of(config).lake.root)
    name = read_manifest(layout, snapshot).snapshot_id
    was = unpin(layout, name)
    print_json({"unpinned": name, "was_pinned": was}) if as_json else out().print(
        f"Unpinned {name}." if was else f"{name} was not pinned."
    )


def _print_difference(item: Any) -> None:
    from rich.markup import escape

    console = out()
    console.print(
        f"Space {item.space}: {item.passages_added} passages added, {item.passages_removed} removed", highlight=False
    )
    for sign, colour, paths in (("+", "green", item.added), ("-", "red", item.removed), ("~", "yellow", item.changed)):
        for path in paths:
            console.print(f"[{colour}]{sign} {escape(path)}[/{colour}]")
    for old, new in item.renamed:
        console.print(f"[blue]> {escape(old)} -> {escape(new.partition(': ')[2])}[/blue]")

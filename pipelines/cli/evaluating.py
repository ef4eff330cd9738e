"""``eval``: batch question-answering evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import JsonOption, notes, out, print_json

app = typer.Typer(help="Evaluate retrieval on questions with known gold passages.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Evaluate retrieval on questions with known gold passages."""


@app.command()
def hipporag(
    questions: Annotated[Path, typer.Argument(help="Questions in HippoRAG's format (MuSiQue, 2Wiki, HotpotQA).")],
    corpus: Annotated[Path, typer.Argument(help="The corpus: a JSON array of objects with title and text.")],
    lake: Annotated[
        Path | None, typer.Option("--lake", help="Folder for the evaluation's lake; by default in the user's cache.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings to evaluate; their sources are not used.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ingest a corpus as a source and report recall by channel and fused."""
    from evaluation.hipporag import read_dataset
    from evaluation.run import evaluate
    from pipelines.cli.progress import TerminalProgress
    from pipelines.evaluation import build_evaluation_lake

    dataset = read_dataset(questions, corpus)
    with TerminalProgress(notes()) as progress:
        client = build_evaluation_lake(dataset, config, lake, progress)
        result = evaluate(client, dataset, progress)
    if as_json:
        print_json(result.as_record())
        return

    from rich.table import Table

    names = list(next(iter(result.systems.values())))
    table = Table("system", *names, box=None, pad_edge=False)
    for system, metrics in result.systems.items():
        table.add_row(system, *(f"{metrics[name]:.3f}" for name in names))
    console = out()
    console.print(
        f"{dataset.name}: {result.questions} questions over {len(dataset.documents)} documents; "
        f"snapshot {result.snapshot}"
    )
    console.print(table)

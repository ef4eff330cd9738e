"""``eval``: batch question-answering evaluation."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import ConfigOption, JsonOption, notes, out, print_json

if TYPE_CHECKING:
    from derivation.evaluations import EvaluationPlan
    from evaluation.dataset import Dataset
    from warehouse.settings import Settings

app = typer.Typer(help="Evaluate retrieval and answers on questions with known gold.", no_args_is_help=True)

LakeOption = Annotated[
    Path | None, typer.Option("--lake", help="Folder for the dataset's own lake; by default in the user's cache.")
]
SystemOption = Annotated[
    list[str] | None,
    typer.Option("--system", help="One of the built-in systems, NAME=FILE.toml or NAME=snapshot:ID; may be repeated."),
]
MetricOption = Annotated[str, typer.Option("--metric", "-m", help="Rank by this metric, by default the dataset's own.")]

AnswersOption = Annotated[bool, typer.Option("--answers/--no-answers", help="Whether the fused system also answers.")]


@app.callback()
def _group() -> None:
    """Evaluate retrieval and answers on questions with known gold."""


@app.command()
def run(
    dataset: Annotated[
        str,
        typer.Argument(help="A format (hipporag, multihop-rag, beir, locomo, longmemeval, questions), or any name."),
    ],
    path: Annotated[Path, typer.Argument(help="The folder or file of the authors; its format is recognised.")],
    system: SystemOption = None,
    increments: Annotated[
        int, typer.Option("--increments", min=0, help="Ingest in this many dated steps, evaluate after each.")
    ] = 0,
    answers: AnswersOption = True,
    snapshot: Annotated[
        str,
        typer.Option("--snapshot", help="For your own questions: the snapshot to ask; by default what is published."),
    ] = "",
    metric: MetricOption = "",
    format_name: Annotated[str, typer.Option("--format", help="The format, where it is not recognised.")] = "",
    tolerate: Annotated[
        float | None,
        typer.Option("--tolerate", min=0, max=1, help="Share of entries that may be unusable; 0.05 by default."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Evaluate anew what was evaluated before.")] = False,
    lake: LakeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate every system on a dataset; with your own questions, on your lake."""
    from derivation.evaluations import EvaluationPlan
    from evaluation.datasets import read_dataset
    from evaluation.systems import parse_systems
    from warehouse.sections import EvaluationSettings

    settings = _settings(config)
    of = settings.evaluation if settings else EvaluationSettings()
    share = of.tolerated if tolerate is None else tolerate
    read = read_dataset(dataset, path, format_name, share)
    plan = EvaluationPlan(
        read,
        parse_systems(system or []),
        answers=answers,
        tolerated=share,
        again=again,
        snapshot=snapshot,
        judge=of.judge,
    )
    _run(read, settings, plan, increments, lake, metric, as_json)


@app.command()
def hipporag(
    questions: Annotated[Path, typer.Argument(help="Questions in HippoRAG's format (MuSiQue, 2Wiki, HotpotQA).")],
    corpus: Annotated[Path, typer.Argument(help="The corpus: a JSON array of objects with title and text.")],
    system: SystemOption = None,
    answers: AnswersOption = True,
    lake: LakeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """As run, for the two files of HippoRAG's format wherever they are."""
    from derivation.evaluations import EvaluationPlan
    from evaluation.datasets.hipporag import read_files
    from evaluation.systems import parse_systems
    from warehouse.sections import EvaluationSettings

    settings = _settings(config)
    of = settings.evaluation if settings else EvaluationSettings()
    read = read_files(corpus.stem, questions, corpus).checked(of.tolerated)
    plan = EvaluationPlan(read, parse_systems(system or []), answers, of.tolerated, judge=of.judge)
    _run(read, settings, plan, 0, lake, "", as_json)


@app.command(name="list")
def list_command(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The runs so far."""
    from derivation.evaluation_records import list_runs
    from derivation.evaluations import results_warehouse
    from pipelines.cli.scores import table

    records = list_runs(results_warehouse(_settings(config)))
    if as_json:
        print_json(
            [
                {
                    "run": item.run_id,
                    "dataset": item.dataset,
                    "snapshot": item.snapshot_id,
                    "questions": item.questions,
                    "step": item.step,
                    "systems": list(item.systems),
                    "finished_at": item.finished_at,
                }
                for item in records
            ]
        )
        return
    if not records:
        out().print("No evaluation yet. Run one with: memlake eval run DATASET PATH")
        return
    made = table("run", "dataset", "questions", "systems", "snapshot", "step", "finished (UTC)")
    for item in records:
        made.add_row(
            item.run_id,
            item.dataset,
            f"{item.questions:,}",
            str(len(item.systems)),
            item.snapshot_id,
            str(item.step or "-"),
            f"{item.finished_at:%Y-%m-%d %H:%M}",
        )
    out().print(made)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="One run: its systems; several: one system of each. Ids, or datasets for their latest run."
        ),
    ],
    metric: MetricOption = "",
    system: Annotated[str, typer.Option("--system", help="The system to compare; fused by default.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Paired tests on the same questions, corrected for their number."""
    from derivation.evaluation_records import read_run
    from derivation.evaluations import results_warehouse
    from evaluation.comparing import compare_runs
    from evaluation.output import comparison_record, comparisons
    from pipelines.cli.scores import print_comparisons

    store = results_warehouse(_settings(config))
    found = [read_run(store, name) for name in runs]
    compared = comparisons(found[0], metric, system) if len(found) == 1 else compare_runs(found, metric, system)
    if as_json:
        print_json([comparison_record(item) for item in compared])
        return
    print_comparisons(out(), compared)


@app.command()
def report(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or a dataset for its latest run.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; by default RUN.html here.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write one HTML file that needs no network: tables, charts, and every question with what was returned."""
    from derivation.evaluation_records import read_run
    from derivation.evaluations import results_warehouse
    from derivation.reporting import write_report

    found = read_run(results_warehouse(_settings(config)), run_name)
    file = write_report(found, output or Path(f"{found.record.dataset}-{found.record.run_id}.html"))
    out().print(f"Wrote {file} ({file.stat().st_size / 1e6:.1f} MB).", soft_wrap=True)


@app.command()
def tune(
    datasets: Annotated[list[str], typer.Argument(help="NAME=PATH of each dataset to tune on, all at once.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The settings file to write.")] = Path("tuned.toml"),
    trials: Annotated[int, typer.Option("--trials", min=1, help="Settings to try.")] = 60,
    metric: Annotated[
        str, typer.Option("--metric", "-m", help="What to search for, by default each dataset's own.")
    ] = "",
    folds: Annotated[int, typer.Option("--folds", min=2, help="Parts of the questions; each is held out once.")] = 2,
    lake: Annotated[Path | None, typer.Option("--lake", help="Folder for the datasets' lakes, one each.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search fusion settings on part of the questions, report the gain on the rest, write a settings file."""
    from derivation.tuning import tune_datasets
    from errors import SettingsError
    from evaluation.datasets import read_dataset
    from pipelines.cli.progress import TerminalProgress
    from pipelines.cli.scores import print_tuned
    from warehouse.settings import Settings

    base = _settings(config) or Settings()
    pairs = [item.partition("=") for item in datasets]
    unnamed = next((name for name, sign, _ in pairs if not sign), None)
    if unnamed:
        raise SettingsError(f"'{unnamed}' has no name.", f"Write NAME={unnamed}.")
    read = [read_dataset(name, Path(path)) for name, _, path in pairs]
    if metric:
        read = [replace(dataset, metric=metric) for dataset in read]
    with TerminalProgress(notes()) as progress:
        result = tune_datasets(read, base, trials, folds, progress, lake)
    output.write_text(result.settings_text(), encoding="utf-8")
    if as_json:
        print_json(result.as_record())
        return
    print_tuned(out(), result)
    out().print(f"Wrote {output}.")


def _settings(config: Path | None) -> Settings | None:
    """The settings to evaluate: the file that is named or found; none where there is none, and then the defaults."""
    from errors import SettingsError
    from warehouse.settings import find_settings_file, load_settings

    if config is None:
        with suppress(SettingsError):
            config = find_settings_file()
    return load_settings(config) if config else None


def _run(
    dataset: Dataset,
    settings: Settings | None,
    plan: EvaluationPlan,
    increments: int,
    lake: Path | None,
    metric: str,
    as_json: bool,
) -> None:
    from derivation.evaluations import evaluate_corpus, evaluate_growing, evaluate_lake, results_warehouse
    from derivation.lake import Lake
    from errors import NotComparable, SettingsError
    from evaluation.growth import growth, step_record
    from evaluation.output import comparisons, run_record, summary_of
    from pipelines.cli.progress import TerminalProgress
    from pipelines.cli.scores import print_comparisons, print_growth, print_run
    from warehouse.settings import Settings

    store, base = results_warehouse(settings), settings or Settings()
    steps = []
    with TerminalProgress(notes()) as progress:
        if not dataset.documents:
            if increments:
                raise SettingsError("Questions of your own come without a corpus to ingest.", "Leave out --increments.")
            if settings is None:
                raise SettingsError("Questions of your own need a lake.", "Name its settings file with --config.")
            evaluated = evaluate_lake(Lake(settings, progress=progress), plan, store, progress)
        elif increments:
            runs = list(evaluate_growing(plan, base, store, progress, increments, lake))
            evaluated = runs[-1]
            steps = growth(runs, plan.systems[0].name, metric or dataset.metric)
        else:
            evaluated = evaluate_corpus(plan, base, store, progress, lake)
    summary = summary_of(evaluated)
    compared, unranked = [], ""
    try:
        compared = comparisons(evaluated, metric) if len(plan.systems) > 1 else []
    except NotComparable as error:
        unranked = str(error)
    if as_json:
        record = run_record(evaluated, summary, compared)
        print_json(record | ({"increments": [step_record(step) for step in steps]} if increments else {}))
        return
    console = out()
    if steps:
        print_growth(console, steps, metric or dataset.metric)
        console.print()
    print_run(console, evaluated.record, summary)
    console.print()
    if unranked:
        console.print(unranked)
    elif len(plan.systems) > 1:
        print_comparisons(console, compared)

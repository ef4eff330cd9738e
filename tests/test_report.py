"""The HTML report: self-contained, safe with hostile texts, true to the run, readable on a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace

from derivation.evaluations import EvaluationPlan, answerable_so_far, dated_steps, evaluate_lake, results_warehouse
from derivation.reporting import gather, write_report
from errors import MissingExtra
from evaluation.changes import Material, Passage, Places, changes
from evaluation.charts import by_cutoff, by_kind, latencies, main_chart_png, run_charts, styles
from evaluation.dataset import Evidence, Question
from evaluation.datasets import read_dataset
from evaluation.matching import Located
from evaluation.output import summary_of
from evaluation.record import EvaluatedRun, RunRecord, StepCost
from evaluation.report import render_report
from evaluation.run import GivenAnswer, QuestionResult
from evaluation.summary import summarise
from evaluation.systems import parse_systems

HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

NOTES = {
    "lamp.md": "The lamp of Gull Point was lit in 1871. Its keeper was Ana Reyes.",
    "ferry.md": f"The ferry to Hallin leaves at nine. {HOSTILE} It carries forty people.",
    "bridge.md": "The bridge at Orrin 😀 is closed for repairs. It opens again in spring.",
}

QUESTIONS = [
    {"id": "lamp", "question": "When was the lamp lit?", "gold": [{"path": "lamp.md", "quote": "was lit in 1871"}],
     "answers": ["1871"], "type": "date"},
    {"id": "ferry", "question": f"When does the ferry leave? {HOSTILE}", "gold": ["ferry.md"], "type": HOSTILE},
    {"id": "bridge", "question": "What is closed?", "gold": [{"path": "bridge.md", "quote": "is closed for repairs"}]},
    {"id": "none", "question": "Who sang at the opera in Vienna?", "answerable": False},
]  # fmt: skip


class Evaluated:
    """A small lake, questions about it, and their evaluation."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder)
        for path, text in NOTES.items():
            self.workspace.write(path, text)
        self.workspace.build()
        self.questions = folder / "questions.jsonl"
        self.questions.write_text("".join(json.dumps(item) + "\n" for item in QUESTIONS), encoding="utf-8")
        lake = self.workspace.lake()
        plan = EvaluationPlan(
            read_dataset("own", self.questions), parse_systems(["fused", "dense", "lexical", "graph"]), answers=False
        )
        self.run = evaluate_lake(lake, plan, results_warehouse(lake.settings), lake.progress)
        self.html = write_report(self.run, folder / "reports" / "own.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    return Evaluated(tmp_path_factory.mktemp("report"))


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _row(
    system: str, question: str, value: float | None, passages: tuple[str, ...] = (), **more: Any
) -> QuestionResult:
    metrics = {"context_tokens": 10.0}
    if value is not None:
        metrics |= {f"recall@{k}": value for k in (1, 2, 5, 10, 20)}
    result = QuestionResult(system, question, "", value is not None, metrics, passages, (), ())
    return replace(result, **more)


def _run(*rows: QuestionResult) -> EvaluatedRun:
    record = RunRecord(
        run_id="run1", dataset="small", format="questions", unit="span", path="/nowhere/q.jsonl", metric="recall@5",
        root="/nowhere/lake", snapshot_id="s1", systems=("fused",), settings={"answer": {}}, embedder={"model": "none"},
        hashes={"questions": "abc"}, judge=None, version="0", questions=1, problems=(), step=0, cost=None,
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
    )  # fmt: skip
    return EvaluatedRun(record, rows)


def _dump(file: Path, width: int, inner: str) -> str:
    """The DOM after a script has looked at the page; the script's policy is the page's but for that script."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    html = file.read_text(encoding="utf-8")
    html = re.sub(r"script-src 'sha256-[^']*'", "script-src 'unsafe-inline'", html)
    looked = file.with_name("looked.html")
    looked.write_text(html.replace("</body>", f"<script>{inner}</script></body>"), encoding="utf-8")
    # The window of headless Chromium is at least 500 px wide; a frame can be as narrow as a phone.
    frame = file.with_name("frame.html")
    frame.write_text(
        f"<iframe src='{looked.name}' width={width} height=844></iframe><pre></pre><script>"
        "addEventListener('message', (event) => document.querySelector('pre').textContent = event.data)</script>",
        encoding="utf-8",
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    profile = f"--user-data-dir={file.parent / 'profile'}"
    done = subprocess.run([*command, profile, frame.as_uri()], capture_output=True, text=True, check=True, timeout=60)
    found = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert found, done.stdout[:500]
    return found[1]


def test_nothing_is_fetched(evaluated: Evaluated) -> None:
    elements = Elements(evaluated.html).found
    tags = {tag for tag, _ in elements}
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in elements:
        assert "src" not in attributes, tag
        assert (attributes.get("href") or "#").startswith("#"), tag
        assert not any(name.startswith("on") for name in attributes), tag
    without_texts = re.sub(r'<script type="application/json".*?</script>', "", evaluated.html, flags=re.DOTALL)
    assert "http://" not in without_texts and "https://" not in without_texts
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)]*)", without_texts))
    assert "@import" not in without_texts


def test_the_page_forbids_the_network_and_foreign_scripts(evaluated: Evaluated) -> None:
    policy = next(
        attributes["content"] or ""
        for tag, attributes in Elements(evaluated.html).found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    scripts = re.search(r"script-src ([^;]*)", policy)
    assert scripts and re.fullmatch(r"'sha256-[A-Za-z0-9+/=]+'", scripts[1])


def test_hostile_texts_are_shown_and_not_run(evaluated: Evaluated) -> None:
    assert HOSTILE not in evaluated.html
    scripts = [attributes for tag, attributes in Elements(evaluated.html).found if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "texts"}, {}]
    assert HOSTILE in "".join(_texts(evaluated.html))


def test_names_do_not_clash_between_charts(evaluated: Evaluated) -> None:
    ids = [attributes["id"] for _, attributes in Elements(evaluated.html).found if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:href="#|url\(#)([^")]+)', evaluated.html)
    assert referred and set(referred) <= set(ids)


def test_the_same_run_gives_the_same_file(evaluated: Evaluated, tmp_path: Path) -> None:
    assert write_report(evaluated.run, tmp_path / "again.html").read_text(encoding="utf-8") == evaluated.html


def test_figures_configuration_and_hashes_are_there(evaluated: Evaluated) -> None:
    record = evaluated.run.record
    recall = summary_of(evaluated.run).systems["fused"]["recall@5"]
    assert f"{recall.value:.3f} <small>{recall.low:.3f} to {recall.high:.3f}</small>" in evaluated.html
    for value in (record.snapshot_id, record.run_id, *record.hashes.values(), *record.systems):
        assert value in evaluated.html
    assert "<h2>Answers</h2>" not in evaluated.html


def test_answers_have_a_section_where_some_were_given() -> None:
    def answered(question: str, text: str, refused: bool, **metrics: float) -> QuestionResult:
        given = GivenAnswer(text, refused, "rules", 0, 0, 0)
        return replace(
            _row("fused", question, 1.0),
            metrics={"recall@5": 1.0, "refused": float(refused), **metrics},
            answerable=bool(metrics),
            answer=given,
        )

    run = _run(answered("a", f"In 1871. {HOSTILE}", False, em=1.0, f1=0.5), answered("b", "", True))
    html = render_report(run, summary_of(run), Material())
    section = html[html.index("<h2>Answers</h2>") : html.index("<h2>Question by question</h2>")]
    assert [name for name in ("exact match", "F1", "refusal precision", "refusal recall") if name in section] == [
        "exact match",
        "F1",
        "refusal precision",
        "refusal recall",
    ]
    assert "Answer: In 1871. &lt;/script&gt;" in html and HOSTILE not in html
    assert '<span class="tag">refused</span>' in html


def test_each_text_is_in_the_file_once(evaluated: Evaluated) -> None:
    texts = _texts(evaluated.html)
    assert len(texts) == len(set(texts)) == len(NOTES)
    assert evaluated.html.count("Its keeper was Ana Reyes") == 1


def test_quoted_gold_is_marked_in_its_passage(evaluated: Evaluated) -> None:
    material = gather(evaluated.run, {name for row in evaluated.run.rows for name in row.passages})
    found = changes(evaluated.run, summary_of(evaluated.run), material)
    every = {item.question_id: item for item in (*found.losses, *found.gains, *found.same, *found.others)}
    marked = [
        found.texts[shown.number or 0][start:end]
        for name in ("lamp", "bridge")
        for shown in every[name].sides[0].passages
        if shown.gold
        for start, end in shown.marks
    ]
    assert marked == ["was lit in 1871", "is closed for repairs"]
    ferry = [shown for shown in every["ferry"].sides[0].passages if shown.gold]
    assert [shown.label for shown in ferry] == ["ferry.md"] and ferry[0].marks == ()
    assert every["none"].difference is None and not every["none"].answerable


def test_a_missing_snapshot_is_told(evaluated: Evaluated, tmp_path: Path) -> None:
    run = replace(evaluated.run, record=replace(evaluated.run.record, root=str(tmp_path / "gone")))
    html = write_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"snapshot {run.record.snapshot_id} cannot be read" in html
    assert "When was the lamp lit?" in html
    assert f"<code>{run.rows[0].passages[0]}</code>" in html
    assert _texts(html) == []


def test_a_changed_dataset_is_told(evaluated: Evaluated, tmp_path: Path) -> None:
    other = tmp_path / "questions.jsonl"
    other.write_text(json.dumps(QUESTIONS[0]) + "\n", encoding="utf-8")
    run = replace(evaluated.run, record=replace(evaluated.run.record, path=str(other)))
    html = write_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "has changed since the run" in html
    assert "When was the lamp lit?" not in html
    assert "<code>lamp.md</code>" in html


def test_a_missing_dataset_is_told(evaluated: Evaluated, tmp_path: Path) -> None:
    run = replace(evaluated.run, record=replace(evaluated.run.record, path=str(tmp_path / "none.jsonl")))
    found = gather(run, set(run.rows[0].passages))
    assert not found.questions and set(found.passages) == set(run.rows[0].passages)
    assert [note for note in found.notes if "There is nothing at" in note] == list(found.notes)


def test_questions_of_a_growing_lakes_step_are_found_again(tmp_path: Path) -> None:
    file = tmp_path / "talks.json"
    turns = {
        f"session_{number}": [{"speaker": "Ana", "dia_id": f"D{number}:1", "text": f"I went to town {number}."}]
        for number in (1, 2)
    }
    dates = {f"session_{number}_date_time": f"1:56 pm on {number} May, 2023" for number in (1, 2)}
    asked = [
        {"question": f"Where to, {number}?", "answer": f"town {number}", "evidence": [f"D{number}:1"], "category": 4}
        for number in (1, 2)
    ]
    file.write_text(json.dumps([{"sample_id": "talk", "conversation": turns | dates, "qa": asked}]), encoding="utf-8")
    dataset = read_dataset("talks", file, "locomo")
    first = dated_steps(dataset.documents, 2)[0]
    questions = answerable_so_far(dataset.questions, first, last=False)
    hashes = replace(dataset, questions=questions).hashes
    run = _run(*(_row("fused", item.question_id, 1.0) for item in dataset.questions))
    cost = StepCost(len(first), len(first), 1, 1, 1, 1.0)
    record = replace(run.record, path=str(file), format="locomo", hashes=hashes, step=1, cost=cost)
    found = gather(replace(run, record=record), set())
    assert [item.text for item in found.questions.values()] == ["Where to, 1?"]


def test_losses_come_first_and_the_largest_differences_first() -> None:
    mine = {"a": 1.0, "b": 0.0, "c": 0.5, "d": 0.5, "e": 0.75, "f": None}
    best = {"a": 0.0, "b": 1.0, "c": 1.0, "d": 0.5, "e": 0.5, "f": None}
    rows = [_row("fused", name, value) for name, value in mine.items()]
    rows += [_row("dense", name, value) for name, value in best.items()]
    rows += [_row("graph", name, 0.0) for name in mine]
    rows += [_row("without-dense", name, 1.0) for name in mine]
    run = _run(*rows)
    found = changes(run, summary_of(run), Material())
    assert (found.system, found.baseline) == ("fused", "dense")
    assert [(item.question_id, item.difference) for item in found.losses] == [("b", -1.0), ("c", -0.5)]
    assert [(item.question_id, item.difference) for item in found.gains] == [("a", 1.0), ("e", 0.25)]
    assert [item.question_id for item in found.same] == ["d"]
    assert [item.question_id for item in found.others] == ["f"]
    html = render_report(run, summary_of(run), Material())
    assert html.index("−1.000") < html.index("−0.500") < html.index("+1.000") < html.index("+0.250")


def test_one_system_alone_is_reported() -> None:
    run = _run(_row("dense", "a", 1.0), _row("dense", "b", None))
    found = changes(run, summary_of(run), Material())
    assert (found.system, found.baseline) == ("dense", "")
    assert {item.question_id for item in found.others} == {"a", "b"}
    assert "dense" in render_report(run, summary_of(run), Material())


def test_wrongly_given_answers_come_before_refusals() -> None:
    def given(refused: bool) -> GivenAnswer:
        return GivenAnswer("An answer.", refused, "rules", 0, 0, 0)

    run = _run(_row("fused", "a", None, answer=given(True)), _row("fused", "b", None, answer=given(False)))
    found = changes(run, summary_of(run), Material())
    assert [item.question_id for item in found.others] == ["b", "a"]


def test_a_report_of_many_long_passages_stays_small() -> None:
    """Where questions share nothing, texts are cut around their gold."""
    passages, places, questions, rows = {}, {}, {}, []
    for number in range(150):
        names = [f"{number}-{place}" for place in range(8)]
        for name in names:
            passages[name] = Passage("notes", f"folder/{name}.md", "A title", 0, 4007, "word " * 800 + "the end")
        rows += [_row("fused", str(number), 1.0, tuple(names[:5])), _row("dense", str(number), 0.0, tuple(names[3:]))]
        path = f"folder/{number}-0.md"
        questions[str(number)] = Question(str(number), f"Question {number}?", gold=(Evidence(path, "the end"),))
        places[str(number)] = Places((Located(frozenset({("notes", path)}), 4000, 4007),))
    run, material = _run(*rows), Material(questions, passages, places)
    summary = summary_of(run)
    assert sum(len(passage.text) for passage in passages.values()) > 4_500_000
    assert len(render_report(run, summary, material).encode()) < 3_600_000
    found = changes(run, summary, material)
    first = found.gains[0].sides[0].passages[0]
    (start, end), text = first.marks[0], found.texts[first.number or 0]
    assert text[start:end] == "the end" and len(text) < 2600


def test_half_a_surrogate_pair_does_not_break_the_file(tmp_path: Path) -> None:
    run = _run(_row("fused", "a", 1.0))
    material = Material({"a": Question("a", "What is \ud83d?")})
    html = render_report(run, summary_of(run), material)
    assert "What is ??" in html


def test_charts_show_the_figures_of_the_summary() -> None:
    rows = [_row(system, name, value) for system in ("fused", "dense") for name, value in (("a", 1.0), ("b", 0.0))]
    typed = [replace(row, kind="multi-hop", latency_ms=3.0) for row in rows]
    summary = summarise(typed)
    lines = by_cutoff(summary.systems, "recall", (1, 2, 5))
    assert lines["fused"][5] == summary.systems["fused"]["recall@5"]
    assert by_cutoff(summary.systems, "fact_recall", (5,)) == {}
    assert by_kind(summary, "recall@5") == {
        "multi-hop": {name: summary.by_kind["multi-hop"][name]["recall@5"] for name in ("fused", "dense")}
    }
    assert latencies(typed) == {"fused": [3.0, 3.0], "dense": [3.0, 3.0]}
    charts = run_charts(summary, typed, "recall@5")
    assert [chart.name for chart in charts] == ["recall", "systems", "kinds", "latency"]
    assert all(chart.svg.startswith("<svg role=") for chart in charts)
    assert main_chart_png(_run(*rows).record, summary).startswith(b"\x89PNG")


def test_names_with_signs_are_drawn_as_they_are() -> None:
    warnings.simplefilter("error")  # pytest puts the filters back
    rows = [replace(_row("a$^{b", "q", 1.0), kind="<b> $x_{ 質問")]
    charts = run_charts(summarise(rows), rows, "recall@5")
    assert any("&lt;b&gt; $x_{ 質問" in chart.svg for chart in charts)


def test_a_system_has_one_colour_and_a_left_out_channel_is_dashed() -> None:
    chosen = styles(["fused", "dense", "without-dense", "mine"])
    assert styles(["dense"])["dense"] == chosen["dense"]
    assert chosen["without-dense"].colour == chosen["dense"].colour and chosen["without-dense"].dashed
    assert len({chosen[name].colour for name in ("fused", "dense", "mine")}) == 3


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_names_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    run = _run(_row("fused", "a", 1.0))
    with pytest.raises(MissingExtra, match=r"memlake\[evaluation\]"):
        render_report(run, summary_of(run), Material())


def test_nothing_scrolls_sideways_on_a_phone_and_gold_is_marked_on_opening(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    file = write_report(evaluated.run, tmp_path / "report.html")
    look = """
      document.querySelectorAll("details").forEach((item) => { item.open = true; });
      setTimeout(() => parent.postMessage(JSON.stringify({
        width: innerWidth, needed: document.documentElement.scrollWidth, title: document.title,
        marked: [...document.querySelectorAll("section mark")].map((item) => item.textContent),
        charts: document.querySelectorAll("figure svg").length,
      }), "*"), 200);"""
    seen = json.loads(_dump(file, 390, look))
    assert seen["width"] == 390
    assert seen["needed"] <= 390
    assert {"was lit in 1871", "is closed for repairs"} == set(seen["marked"])
    assert seen["charts"] >= 4
    assert seen["title"] == "own: retrieval evaluation"


def test_the_script_runs_under_the_pages_own_policy(evaluated: Evaluated, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    html = evaluated.html.replace('<details class="question">', '<details class="question" open>')
    file = tmp_path / "open.html"
    file.write_text(html, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run([*command, profile, file.as_uri()], capture_output=True, text=True, check=True, timeout=60)
    assert "<mark>was lit in 1871</mark>" in done.stdout


def _texts(html: str) -> list[str]:
    """The texts of passages in a report."""
    found = re.search(r'<script type="application/json" id="texts">(.*?)</script>', html, re.DOTALL)
    assert found
    return list(json.loads(found[1]))

"""The canary: a snapshot that answers worse is held back, and only let pass by someone who says why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Workspace

from derivation.canary import accept, check_canary, content_of
from derivation.erasure import DOCUMENT, erase, plan_erasure
from derivation.snapshot import make_candidate, publish_present
from derivation.status import read_status
from errors import CheckFailed
from warehouse.snapshots import current_id

TOWNS = [f"Port {name}" for name in "Hallin Grimmel Gull Birch Sable Tern Ocker Wend Moss Kelp".split()]


@pytest.fixture
def harbours(workspace: Workspace) -> Workspace:
    """Ten towns, a canary question about each; published."""
    for town in TOWNS:
        workspace.write(f"{town}.md", f"# {town}\n\nThe harbour of {town} is kept by the master of {town}.\n")
    questions = [
        {"id": town, "question": f"Who keeps the harbour of {town}?", "gold": [f"{town}.md"]} for town in TOWNS
    ]
    write_questions(workspace.folder / "canary.jsonl", questions)
    configure(workspace)
    workspace.build()
    return workspace


def write_questions(file: Path, questions: list[dict[str, object]]) -> None:
    file.write_text("".join(json.dumps(question) + "\n" for question in questions))


def configure(workspace: Workspace, margin: float = 0.02, metric: str = "recall@1") -> None:
    """recall@1, since ten documents would all be among the first ten."""
    workspace.configure(
        **{"evaluation.canary": {"questions": "canary.jsonl", "metric": metric, "margin": margin}}  # type: ignore[arg-type]
    )


def lose(workspace: Workspace, count: int) -> None:
    """Some documents vanish from their source without a word."""
    for town in TOWNS[:count]:
        workspace.delete(f"{town}.md")


def test_a_snapshot_that_lost_answers_is_held_back(harbours: Workspace) -> None:
    before = current_id(harbours.layout)
    lose(harbours, 6)
    with pytest.raises(CheckFailed, match="checks that failed: canary"):
        harbours.build()
    assert current_id(harbours.layout) == before
    status = read_status(harbours.lake())
    assert status.failed_checks == ("canary",)
    [problem] = check_canary(harbours.lake(), make_candidate(harbours.lake())).problems
    assert "recall@1 over 10 canary questions: 0.400, published 1.000" in problem
    assert "Port Grimmel" in problem
    assert "memlake snapshots accept --reason" in problem


def test_what_may_be_chance_is_let_pass_and_told(harbours: Workspace) -> None:
    lose(harbours, 3)
    assert harbours.build().published, "three of ten may be chance at 95 %: p = 0.125"


def test_a_loss_within_the_margin_is_let_pass(harbours: Workspace) -> None:
    configure(harbours, margin=0.9)
    lose(harbours, 7)
    assert harbours.build().published


def test_the_same_content_is_not_asked_again(harbours: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derivation.canary.read_dataset", lambda *_: pytest.fail("asked"))
    lake = harbours.lake()
    assert check_canary(lake, make_candidate(lake)).passed


def test_without_questions_nothing_is_asked(workspace: Workspace) -> None:
    workspace.write("a.md", "# A\n\nSomething.\n")
    built = workspace.build()
    assert check_canary(built.lake, built.snapshot).passed


def test_the_first_snapshot_has_nothing_to_be_compared_with(harbours: Workspace) -> None:
    first = harbours.rows("SELECT snapshot_id, checked FROM snapshots")
    assert len(first) == 1
    assert "canary" in first[0][1]


def test_who_lets_it_pass_is_recorded(harbours: Workspace) -> None:
    lose(harbours, 6)
    with pytest.raises(CheckFailed):
        harbours.build()
    published = publish_present(harbours.lake(), accepted="six harbours were closed")
    assert current_id(harbours.layout) == published.snapshot_id
    [(content, reason, who)] = harbours.rows("SELECT content, reason, granted_by FROM overrides")
    assert content == content_of(published)
    assert reason.startswith("six harbours were closed; the canary had said: recall@1 over 10 canary questions: 0.400")
    assert "@" in who
    for town in TOWNS[6:9]:
        harbours.delete(f"{town}.md")
    assert harbours.build().published, "compared with what was let pass, three more may be chance"


def test_an_override_is_for_one_content_only(harbours: Workspace) -> None:
    lose(harbours, 6)
    with pytest.raises(CheckFailed):
        harbours.build()
    lake = harbours.lake()
    accept(lake, make_candidate(lake), "so it is")
    assert check_canary(lake, make_candidate(lake)).note == "let pass: so it is"
    harbours.delete(f"{TOWNS[6]}.md")
    with pytest.raises(CheckFailed, match="canary"):
        harbours.build()


@pytest.mark.histories
def test_an_erasure_is_not_held_back(harbours: Workspace) -> None:
    for town in TOWNS[:6]:
        lake = harbours.lake()
        report = erase(lake, plan_erasure(lake, DOCUMENT, f"{town}.md"))
        assert report.clean
    assert harbours.column("SELECT reason FROM overrides") == [], "one at a time may be chance"


def test_what_an_erasure_publishes_against_the_canary_is_recorded(harbours: Workspace) -> None:
    write_questions(
        harbours.folder / "canary.jsonl",
        [{"id": str(n), "question": f"Who keeps the harbour of {TOWNS[0]}? ({n})", "gold": [f"{TOWNS[0]}.md"]}
         for n in range(8)],
    )  # fmt: skip
    lake = harbours.lake()
    assert erase(lake, plan_erasure(lake, DOCUMENT, f"{TOWNS[0]}.md")).clean
    [reason] = harbours.column("SELECT reason FROM overrides")
    assert reason.startswith("erasure ")
    assert "the canary had said: recall@1 over 8 canary questions: 0.000" in reason


def test_a_metric_that_the_questions_do_not_have_is_named(harbours: Workspace) -> None:
    configure(harbours, metric="freshness@5")
    lose(harbours, 1)
    with pytest.raises(CheckFailed, match="canary"):
        harbours.build()
    [problem] = check_canary(harbours.lake(), make_candidate(harbours.lake())).problems
    assert "No canary question has the metric 'freshness@5'" in problem


def test_questions_that_cannot_be_read_hold_back_and_say_why(harbours: Workspace) -> None:
    (harbours.folder / "canary.jsonl").unlink()
    lose(harbours, 1)
    with pytest.raises(CheckFailed, match="canary"):
        harbours.build()
    [problem] = check_canary(harbours.lake(), make_candidate(harbours.lake())).problems
    assert "There is nothing at" in problem


def test_questions_whose_gold_is_nowhere_are_told(harbours: Workspace) -> None:
    write_questions(harbours.folder / "canary.jsonl", [{"question": "Who?", "gold": ["no/such.md"]}])
    lose(harbours, 1)
    with pytest.raises(CheckFailed, match="canary"):
        harbours.build()
    [problem] = check_canary(harbours.lake(), make_candidate(harbours.lake())).problems
    assert "Neither snapshot finds anything" in problem


def test_questions_about_the_past_are_not_asked_of_a_candidate(harbours: Workspace) -> None:
    asked = [{"question": f"Who keeps {town}?", "gold": [f"{town}.md"], "as_of": "2020-01-01"} for town in TOWNS[:6]]
    now = [{"question": f"Who keeps the harbour of {town}?", "gold": [f"{town}.md"]} for town in TOWNS[6:]]
    write_questions(harbours.folder / "canary.jsonl", [*asked, *now])
    lose(harbours, 6)
    assert harbours.build().published


def test_few_questions_are_told_to_hold_nothing_back(harbours: Workspace) -> None:
    asked = [{"question": f"Who keeps the harbour of {town}?", "gold": [f"{town}.md"]} for town in TOWNS[:3]]
    write_questions(harbours.folder / "canary.jsonl", asked)
    lose(harbours, 3)
    built = harbours.build()
    assert built.published
    checked = harbours.rows("SELECT count(*) FROM snapshots WHERE list_contains(checked, 'canary')")
    assert checked == [(2,)]


def test_a_space_that_is_gone_counts_as_not_found(harbours: Workspace) -> None:
    harbours.configure(
        [{"name": "notes", "space": "elsewhere"}],
        **{"evaluation.canary": {"questions": "canary.jsonl", "metric": "recall@1"}},
    )
    with pytest.raises(CheckFailed, match="canary"):
        harbours.build()

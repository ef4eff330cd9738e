"""Tuning: settings are searched on some questions and measured on others, and never on a test split."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from towns import questions, towns

from derivation.progress import NoProgress
from derivation.tuning import tune_datasets
from errors import NotComparable, SettingsError
from evaluation.dataset import Dataset
from evaluation.tuning import RANGES, Tuned, TuningSet
from warehouse.sections import EmbeddingSettings, FusionSettings, RetrievalSettings
from warehouse.settings import Settings, load_settings


def badly_set() -> Settings:
    """Two dimensions tell few texts apart, and these settings trust them alone."""
    return Settings(
        embedding=EmbeddingSettings(provider="hashing", dimensions=2),
        retrieval=RetrievalSettings(
            fusion=FusionSettings(lexical_weight=0.0, coverage_weight=0.0, graph_weight=0.0, hop_weight=0.0)
        ),
    )


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    dataset = replace(towns(), metric="mrr")
    return tune_datasets([dataset], badly_set(), 12, 2, NoProgress(), tmp_path_factory.mktemp("lakes"))


def test_what_was_found_is_better_on_questions_that_it_was_not_chosen_by(tuned: Tuned) -> None:
    gain = tuned.held_out["towns"]
    assert gain.difference.count == len([question for question in questions() if question.gold])
    assert gain.difference.value is not None and gain.difference.value > 0
    assert gain.losses == 0


def test_each_fold_is_searched_without_its_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[frozenset[str]] = []
    values = TuningSet.values

    def noted(self: TuningSet, fusion: FusionSettings, wanted: frozenset[str]) -> dict[str, float]:
        scored.append(wanted)
        return values(self, fusion, wanted)

    monkeypatch.setattr(TuningSet, "values", noted)
    tune_datasets([replace(towns(), metric="mrr")], badly_set(), 1, 2, NoProgress(), tmp_path)
    first, held_out, _, second, held_out_then, _, everything = scored
    assert first.isdisjoint(held_out)
    assert (second, held_out_then) == (held_out, first)
    assert everything == first | held_out == {question.question_id for question in questions() if question.gold}


def test_every_setting_that_is_found_is_in_its_range(tuned: Tuned) -> None:
    assert len(tuned.folds) == 2
    for fold in (*tuned.folds, tuned.settings):
        for name, (low, high) in RANGES.items():
            assert low <= getattr(fold, name) <= high


def test_the_same_search_finds_the_same(tuned: Tuned, tmp_path: Path) -> None:
    again = tune_datasets([replace(towns(), metric="mrr")], badly_set(), 12, 2, NoProgress(), tmp_path)
    assert again == tuned


def test_the_file_is_a_settings_file(tuned: Tuned, tmp_path: Path) -> None:
    file = tmp_path / "tuned.toml"
    file.write_text(tuned.settings_text())
    written = load_settings(file).retrieval.fusion
    found, wanted = written.model_dump(), tuned.settings.model_dump()
    assert found.pop("left_out") == wanted.pop("left_out")
    assert found == pytest.approx(wanted, abs=1e-4)
    assert set(tomllib.loads(tuned.settings_text())["retrieval"]["fusion"]) == set(FusionSettings.model_fields)


def test_every_range_is_of_a_setting_and_holds_its_default() -> None:
    for name, (low, high) in RANGES.items():
        assert low <= getattr(FusionSettings(), name) <= high


def test_too_few_questions_and_strange_metrics_are_refused_before_the_search(tmp_path: Path) -> None:
    with pytest.raises(NotComparable, match="cannot be tuned for ndgc@10"):
        tune_datasets([replace(towns(), metric="ndgc@10")], badly_set(), 1, 2, NoProgress(), tmp_path)
    one = replace(towns(), questions=questions()[:1])
    with pytest.raises(SettingsError, match="too few questions for 2 folds"):
        tune_datasets([one], badly_set(), 1, 2, NoProgress(), tmp_path)


def test_a_test_split_is_never_tuned_on(tmp_path: Path) -> None:
    dataset = replace(towns(), files=(Path("musique_test.json"),))
    with pytest.raises(SettingsError, match="towns is a test split"):
        tune_datasets([dataset], badly_set(), 1, 2, NoProgress(), tmp_path)
    assert not any(tmp_path.iterdir())


def test_questions_without_a_corpus_cannot_be_tuned_on(tmp_path: Path) -> None:
    dataset: Dataset = replace(towns(), documents=())
    with pytest.raises(SettingsError, match="has no corpus"):
        tune_datasets([dataset], badly_set(), 1, 2, NoProgress(), tmp_path)

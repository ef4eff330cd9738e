"""Settings: one file and the environment over it; whatever is not known is refused with the nearest name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from errors import SettingsError, UnknownName
from warehouse.settings import Settings, find_settings_file, load_settings

TWO_SOURCES = """
[[sources]]
name = "notes"
url = "docs/notes"
[[sources]]
name = "tickets"
url = "s3://bucket/tickets"
kind = "jsonl"
space = "support"
"""


def settings_of(folder: Path, text: str) -> Settings:
    file = folder / "memlake.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("text", "key", "nearest"),
        [
            ("[laek]\nroot = 'x'", "laek", "lake"),
            ("[lake]\nrot = 'x'", "lake.rot", "root"),
            ("[retrieval]\ncandidate = 5", "retrieval.candidate", "candidates"),
            ("[retrieval.fusion]\ngraph_wieght = 0.5", "retrieval.fusion.graph_wieght", "graph_weight"),
            ("[[sources]]\nname = 'a'\nurl = 'b'\nexlude = []", "sources.0.exlude", "exclude"),
        ],
    )
    def test_a_misspelt_key_names_the_nearest_known_one(
        self, tmp_path: Path, text: str, key: str, nearest: str
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            settings_of(tmp_path, text)
        assert f"unknown key '{key}', did you mean '{nearest}'?" in str(caught.value)
        assert str(tmp_path / "memlake.toml") in str(caught.value)

    def test_a_key_that_is_like_none_lists_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"unknown key 'lake\.zzz', known here: root, lock_timeout_seconds"):
            settings_of(tmp_path, "[lake]\nzzz = 1")

    def test_an_unknown_field_mapping_lists_the_known_fields(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="unknown field 'body', expected one of id, title, text"):
            settings_of(tmp_path, "[[sources]]\nname = 'a'\nurl = 'b'\nkind = 'jsonl'\nfields = { body = 'x' }")

    def test_every_mistake_is_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError) as caught:
            settings_of(tmp_path, "[lake]\nbatch_rows = 0\n[retrieval]\nk = 'many'")
        assert "lake.batch_rows" in str(caught.value)
        assert "retrieval.k" in str(caught.value)


class TestValues:
    @pytest.mark.parametrize("name", ["Notes", "no tes", "../notes", "", "ä", "a" * 64])
    def test_names_that_are_no_path_component_are_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SettingsError, match=r"sources\.0\.name"):
            settings_of(tmp_path, f"[[sources]]\nname = '{name}'\nurl = 'x'")

    def test_two_sources_of_one_name_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="two sources are named 'a'"):
            settings_of(tmp_path, "[[sources]]\nname = 'a'\nurl = 'x'\n[[sources]]\nname = 'a'\nurl = 'y'")

    def test_a_target_above_the_maximum_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="target_tokens must not exceed max_tokens"):
            settings_of(tmp_path, "[segmentation]\ntarget_tokens = 300")

    def test_settings_cannot_be_changed(self, tmp_path: Path) -> None:
        settings = settings_of(tmp_path, TWO_SOURCES)
        with pytest.raises(ValidationError):
            settings.lake = Settings().lake  # type: ignore[misc]
        with pytest.raises(ValidationError):
            settings.sources[0].name = "other"  # type: ignore[misc]

    def test_a_source_is_found_by_name_and_a_wrong_name_has_a_hint(self, tmp_path: Path) -> None:
        settings = settings_of(tmp_path, TWO_SOURCES)
        assert settings.source("tickets").kind == "jsonl"
        with pytest.raises(UnknownName, match=r"no source named 'ticket'\. Did you mean 'tickets'\?"):
            settings.source("ticket")
        with pytest.raises(UnknownName, match="Known: notes, tickets"):
            settings.source("zzz")

    def test_spaces_are_listed_once_and_in_order(self, tmp_path: Path) -> None:
        more = "[[sources]]\nname = 'more'\nurl = 'x'\nspace = 'support'"
        assert settings_of(tmp_path, TWO_SOURCES + more).spaces == ["default", "support"]


class TestEnvironment:
    def test_it_wins_over_the_file_and_leaves_the_rest_of_the_section(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEMLAKE_RETRIEVAL__K", "20")
        settings = settings_of(tmp_path, "[retrieval]\nk = 3\ncandidates = 77")
        assert (settings.retrieval.k, settings.retrieval.candidates) == (20, 77)

    def test_it_reaches_nested_sections(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEMLAKE_RETRIEVAL__FUSION__HOP_WEIGHT", "0.25")
        settings = settings_of(tmp_path, "[retrieval.fusion]\nhop_passages = 4")
        assert (settings.retrieval.fusion.hop_weight, settings.retrieval.fusion.hop_passages) == (0.25, 4)

    def test_a_misspelt_section_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEMLAKE_RETREIVAL__K", "20")
        with pytest.raises(SettingsError, match=r"RETREIVAL__K names no setting\. Did you mean MEMLAKE_RETRIEVAL"):
            settings_of(tmp_path, "")

    def test_a_misspelt_key_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEMLAKE_LAKE__BATCH_ROW", "20")
        with pytest.raises(SettingsError, match=r"unknown key 'lake\.batch_row', did you mean 'batch_rows'"):
            settings_of(tmp_path, "")

    def test_a_value_of_the_wrong_type_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEMLAKE_LAKE__BATCH_ROWS", "lots")
        with pytest.raises(SettingsError, match=r"lake\.batch_rows"):
            settings_of(tmp_path, "")

    def test_a_structured_value_that_is_not_json_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEMLAKE_SOURCES", "notes")
        with pytest.raises(SettingsError, match="sources"):
            settings_of(tmp_path, "")

    def test_it_can_replace_the_sources(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEMLAKE_SOURCES", '[{"name": "other", "url": "elsewhere"}]')
        settings = settings_of(tmp_path, TWO_SOURCES)
        assert [source.name for source in settings.sources] == ["other"]
        assert settings.sources[0].url == str(tmp_path / "elsewhere")


class TestTheFile:
    def test_bad_toml_says_where(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"memlake\.toml is not valid TOML: .*line 2"):
            settings_of(tmp_path, "[lake]\nroot = \n[retrieval]\n")

    def test_a_file_that_is_not_utf8_is_a_settings_error(self, tmp_path: Path) -> None:
        file = tmp_path / "memlake.toml"
        file.write_bytes("[lake]\nroot = 'größe'\n".encode("latin-1"))
        with pytest.raises(SettingsError, match=r"memlake\.toml"):
            load_settings(file)

    def test_a_missing_file_says_how_to_write_one(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"no settings file .*memlake init"):
            load_settings(tmp_path / "other.toml")

    def test_the_nearest_file_above_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "memlake.toml").write_text("")
        deep = tmp_path / "a" / "b"
        deep.mkdir(parents=True)
        assert find_settings_file(deep) == tmp_path / "memlake.toml"
        (tmp_path / "a" / "memlake.toml").write_text("")
        assert find_settings_file(deep) == tmp_path / "a" / "memlake.toml"

    def test_no_file_at_all_says_how_to_write_one(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"There is no memlake\.toml in .*memlake init"):
            find_settings_file(tmp_path)

    def test_the_environment_can_name_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "memlake.toml").write_text("[retrieval]\nk = 1")
        other = tmp_path / "other.toml"
        other.write_text("[retrieval]\nk = 2")
        monkeypatch.chdir(tmp_path)
        assert load_settings().retrieval.k == 1
        monkeypatch.setenv("MEMLAKE_CONFIG", str(other))
        assert load_settings().retrieval.k == 2

    def test_settings_of_two_files_do_not_mix(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        first = settings_of(tmp_path / "a", "[retrieval]\nk = 1")
        second = settings_of(tmp_path / "b", "")
        assert (first.retrieval.k, second.retrieval.k) == (1, 10)
        assert second.lake.root == tmp_path / "b" / "memlake-lake"


class TestPaths:
    def test_relative_paths_are_taken_from_the_files_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        settings = settings_of(tmp_path, "[lake]\nroot = 'lake'\n[dagster]\nhome = '../dg'\n" + TWO_SOURCES)
        assert settings.lake.root == tmp_path / "lake"
        assert settings.dagster.home == tmp_path.parent / "dg"
        assert settings.source("notes").url == str(tmp_path / "docs" / "notes")

    def test_absolute_paths_and_urls_stay(self, tmp_path: Path) -> None:
        settings = settings_of(tmp_path, f"[lake]\nroot = '{os.sep}srv/lake'\n" + TWO_SOURCES)
        assert settings.lake.root == Path("/srv/lake")
        assert settings.source("tickets").url == "s3://bucket/tickets"

    def test_a_home_folder_is_expanded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        settings = settings_of(tmp_path, "[[sources]]\nname = 'a'\nurl = '~/docs'")
        assert settings.source("a").url == str(tmp_path / "home" / "docs")

    def test_a_relative_path_from_the_environment_is_anchored_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEMLAKE_LAKE__ROOT", "other-lake")
        assert settings_of(tmp_path, "").lake.root == tmp_path / "other-lake"

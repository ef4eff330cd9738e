"""The documentation is true: its code runs, and it leaves no command, option or setting out."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import typer
from example import ExampleLake

from pipelines.cli import app
from warehouse.sections import SourceSettings
from warehouse.settings import Settings

ROOT = Path(__file__).parents[1]
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}

    def walk(command: click.Command, path: str) -> None:
        commands = getattr(command, "commands", None)
        if commands is None:
            found[path] = command
            return
        for name, each in commands.items():
            walk(each, f"{path} {name}")

    walk(typer.main.get_command(app), "memlake")
    return found


COMMANDS = _commands()


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) == 33


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    heading = re.search(rf"^### `{re.escape(name)}(?: [^`]*)?`$(.*?)(?=^### |\Z)", CLI, re.MULTILINE | re.DOTALL)
    assert heading, f"{name} has no section in docs/cli.md"
    for parameter in COMMANDS[name].params:
        option = max(parameter.opts, key=len)
        if option.startswith("-") and option not in ("--help", "--config", "--json"):
            assert f"`{option}" in heading[1], f"{name} {option}"


def test_only_commands_that_exist_are_documented() -> None:
    documented = re.findall(r"^### `(memlake [a-z ]+?)(?: \[?[A-Z][^`]*)?`$", CLI, re.MULTILINE)
    assert set(documented) == set(COMMANDS)
    for name in re.findall(r"^memlake ([a-z]+)", README, re.MULTILINE):
        assert any(command.startswith(f"memlake {name}") for command in COMMANDS), name


def test_every_exit_code_is_documented() -> None:
    from pipelines.cli.console import ExitCode

    for code in ExitCode:
        assert f"| {int(code)} |" in CLI


def test_the_settings_page_is_the_settings() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    from warehouse.settings_template import render_template

    assert f"```toml\n{render_template()}```" in page, "run: python docs/make_settings.py"


def test_every_setting_says_what_it_is_for() -> None:
    def walk(model: type, path: str) -> list[str]:
        silent = []
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            annotation = field.annotation
            if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
                silent += walk(annotation, f"{path}{name}.")
            elif not field.description and name != "sources":
                silent.append(f"{path}{name}")
        return silent

    assert walk(Settings, "") + walk(SourceSettings, "sources.") == []


def test_the_readme_code_runs_on_the_example_lake(
    example_lake: ExampleLake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(example_lake.config.parent)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 1
    scope: dict[str, object] = {}
    exec(compile(blocks[0], "README.md", "exec"), scope)
    printed = capsys.readouterr().out
    assert "pellowsea-connector-advisory.txt" in printed
    assert "O-ring" in printed
    assert "every 75 days" in scope["before"][0].text  # type: ignore[index]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "benchmarks/README.md",
        "docs/cli.md",
        "docs/evaluation.md",
        "docs/forgetting.md",
        "docs/memories.md",
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target

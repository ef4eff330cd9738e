"""The commented settings file that ``memlake init`` writes, made from the settings' own descriptions.

Only the lake and one source are set; every other key stands there as a comment with its default, so the file documents
the settings and cannot drift from them.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from warehouse.sections import SourceSettings
from warehouse.settings import Settings

_WIDTH = 110


def render_template(source_name: str = "documents", source_url: str = "documents") -> str:
    """The text of a new ``memlake.toml``."""
    lines = ["# Settings of a memlake lake. Keys that are commented out show their defaults.", ""]
    for name, field in Settings.model_fields.items():
        if name == "sources":
            lines += _source(source_name, source_url)
        else:
            lines += _section(name, field.annotation)
    return "\n".join(lines).rstrip() + "\n"


def _source(name: str, url: str) -> list[str]:
    lines = _wrapped(SourceSettings.__doc__)
    lines += ["# One [[sources]] table for each.", "[[sources]]"]
    given = {"name": name, "url": url}
    for key, field in SourceSettings.model_fields.items():
        lines += _wrapped(field.description)
        if key in given:
            lines.append(f"{key} = {_literal(given[key])}")
        else:
            lines.append(f"# {key} = {_literal(field.get_default(call_default_factory=True))}")
    return [*lines, ""]


def _section(path: str, model: Any) -> list[str]:
    assert isinstance(model, type) and issubclass(model, BaseModel)
    lines = [*_wrapped(model.__doc__), f"[{path}]"]
    nested: list[tuple[str, FieldInfo]] = []
    tables: list[str] = []
    for key, field in model.model_fields.items():
        listed = next((item for item in get_args(field.annotation) if isinstance(item, type)), None)
        if listed and issubclass(listed, BaseModel):
            tables += _listed(f"{path}.{key}", listed)
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested.append((key, field))
            continue
        lines += _wrapped(field.description)
        default = field.get_default(call_default_factory=True)
        lines.append(f"# {key} = {_literal(default)}" if default is not None else f"# {key} is not set")
    lines += ["", *tables]
    for key, field in nested:
        lines += _section(f"{path}.{key}", field.annotation)
    return lines


def _listed(path: str, model: type[BaseModel]) -> list[str]:
    """A table of which there may be any number; as a comment, since none is needed."""
    lines = [*_wrapped(model.__doc__), f"# One [[{path}]] table for each.", f"# [[{path}]]"]
    for key, field in model.model_fields.items():
        lines += _wrapped(field.description)
        lines.append(f"# {key} is needed" if field.is_required() else f"# {key} = {_literal(field.default)}")
    return [*lines, ""]


def _wrapped(text: str | None) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join((text or "").split()), _WIDTH)]


def _literal(value: Any) -> str:
    """A TOML literal; JSON's is one for every type that settings have, but for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_literal(item)}" for key, item in value.items()) + " }" if value else "{}"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)

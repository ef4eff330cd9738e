"""Settings: one ``memlake.toml``, validated; its tables are in ``warehouse/sections.py``.

``MEMLAKE_``-prefixed environment variables override the file (``MEMLAKE_RETRIEVAL__K=20``); an unknown key is an
error that names the nearest known one. Secrets are never settings: keys come from the environment by themselves
(``OPENAI_API_KEY``, the cloud's own variables).
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import ClassVar, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings import SettingsError as UnreadableSetting

from errors import SettingsError, UnknownName
from warehouse.sections import (
    AnswerSettings,
    BankSettings,
    BudgetSettings,
    DagsterSettings,
    EmbeddingSettings,
    EvaluationSettings,
    EventsSettings,
    ExtractionSettings,
    ForgettingSettings,
    GraphSettings,
    LakeSettings,
    MemorySettings,
    RetentionSettings,
    RetrievalSettings,
    SegmentationSettings,
    SourceSettings,
    UpkeepSettings,
)

DEFAULT_FILE = "memlake.toml"


class Settings(BaseSettings):
    """Everything that can be set, as read from ``memlake.toml`` and the environment."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="MEMLAKE_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )
    _file: ClassVar[Path | None] = None

    lake: LakeSettings = Field(default_factory=LakeSettings)
    sources: tuple[SourceSettings, ...] = ()
    segmentation: SegmentationSettings = Field(default_factory=SegmentationSettings)
    embedding: EmbeddingSettings = Field(default_factory=EmbeddingSettings)
    extraction: ExtractionSettings = Field(default_factory=ExtractionSettings)
    budget: BudgetSettings = Field(default_factory=BudgetSettings)
    memory: MemorySettings = Field(default_factory=MemorySettings)
    graph: GraphSettings = Field(default_factory=GraphSettings)
    retrieval: RetrievalSettings = Field(default_factory=RetrievalSettings)
    events: EventsSettings = Field(default_factory=EventsSettings)
    forgetting: ForgettingSettings = Field(default_factory=ForgettingSettings)
    bank: BankSettings = Field(default_factory=BankSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    upkeep: UpkeepSettings = Field(default_factory=UpkeepSettings)
    answer: AnswerSettings = Field(default_factory=AnswerSettings)
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    dagster: DagsterSettings = Field(default_factory=DagsterSettings)

    @model_validator(mode="after")
    def _unique_sources(self) -> Settings:
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named '{name}'")
        return self

    @model_validator(mode="after")
    def _model_of_memories(self) -> Settings:
        if self.memory.provider == "openai" and not self.extraction.model:
            raise ValueError("memory.provider is 'openai' and extraction.model, which it asks, is not set")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, which wins over the file."""
        layers: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if cls._file is not None:
            layers += (TomlConfigSettingsSource(settings_cls, cls._file),)
        return layers

    @property
    def file(self) -> Path | None:
        """The file that these settings were read from."""
        return type(self)._file

    def source(self, name: str) -> SourceSettings:
        """The source of that name.

        Raises:
            UnknownName: there is none; the message names the nearest.
        """
        for source in self.sources:
            if source.name == name:
                return source
        raise unknown_name("source", name, [source.name for source in self.sources])

    @property
    def spaces(self) -> list[str]:
        """Every space that some source belongs to, in order."""
        return sorted({source.space for source in self.sources})


def unknown_name(what: str, name: str, known: list[str]) -> UnknownName:
    """An error that says what was asked for and which known name is nearest."""
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean '{nearest[0]}'?" if nearest else f"Known: {', '.join(known) or 'none'}."
    return UnknownName(f"There is no {what} named '{name}'.", hint)


def find_settings_file(start: Path | None = None) -> Path:
    """The settings file: ``MEMLAKE_CONFIG``, else ``memlake.toml`` in ``start`` or the nearest folder above it.

    Raises:
        SettingsError: there is none.
    """
    named = os.environ.get("MEMLAKE_CONFIG")
    if named:
        return Path(named)
    folder = (start or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / DEFAULT_FILE).is_file():
            return candidate / DEFAULT_FILE
    raise SettingsError(f"There is no {DEFAULT_FILE} in {folder} or above it.", "Write one with: memlake init")


def load_settings(path: Path | None = None) -> Settings:
    """Read and validate the settings; relative paths in them are taken from the file's folder.

    Raises:
        SettingsError: the file is missing or not TOML, or a key or value is not known.
    """
    import tomllib

    file = (path or find_settings_file()).resolve()
    if not file.is_file():
        raise SettingsError(f"There is no settings file {file}.", "Write one with: memlake init")
    _refuse_unknown_environment()
    bound = type("Settings", (Settings,), {"_file": file, "__module__": Settings.__module__})
    try:
        settings = bound()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not valid TOML: {error}.", "Mend that line.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8 text.", "Save it as UTF-8.") from None
    except UnreadableSetting as error:
        raise SettingsError(f"{file}, or an environment variable: {error}.", "Mend that value.") from None
    except ValidationError as error:
        raise SettingsError(f"{file}: {_explain(error)}", "See the commented example of: memlake init") from None
    return _anchored(settings, file.parent)


def _refuse_unknown_environment() -> None:
    """A misspelt override must not be ignored in silence."""
    known = [*Settings.model_fields, "config"]
    for name in os.environ:
        if not name.startswith("MEMLAKE_"):
            continue
        section = name.removeprefix("MEMLAKE_").partition("__")[0].lower()
        if section not in known:
            nearest = difflib.get_close_matches(section, known, n=1, cutoff=0.4)
            hint = f"Did you mean MEMLAKE_{nearest[0].upper()}?" if nearest else f"Known: {', '.join(known)}."
            raise SettingsError(f"The environment variable {name} names no setting.", hint)


def _anchored(settings: Settings, folder: Path) -> Settings:
    """The same settings with local paths made absolute."""

    def anchored(path: Path) -> Path:
        return (folder / path.expanduser()).resolve()

    sources = tuple(
        source if "://" in source.url else source.model_copy(update={"url": str(anchored(Path(source.url)))})
        for source in settings.sources
    )
    evaluation = settings.evaluation
    datasets = tuple(item.model_copy(update={"path": anchored(item.path)}) for item in evaluation.datasets)
    questions = evaluation.canary.questions
    canary = evaluation.canary.model_copy(update={"questions": anchored(questions) if questions else None})
    return settings.model_copy(
        update={
            "evaluation": evaluation.model_copy(update={"datasets": datasets, "canary": canary}),
            "lake": settings.lake.model_copy(update={"root": anchored(settings.lake.root)}),
            "dagster": settings.dagster.model_copy(update={"home": anchored(settings.dagster.home)}),
            "sources": sources,
        }
    )


def _explain(error: ValidationError) -> str:
    """One line for all the errors; an unknown key names the nearest known one."""
    lines = []
    for item in error.errors():
        location = [str(part) for part in item["loc"]]
        key = ".".join(location)
        if item["type"] == "extra_forbidden":
            known = list(_model_at(location[:-1]).model_fields)
            nearest = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.4)
            hint = f"did you mean '{nearest[0]}'?" if nearest else f"known here: {', '.join(known)}."
            lines.append(f"unknown key '{key}', {hint}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{key or 'settings'}: {message[:1].lower()}{message[1:]}.")
    return " ".join(lines)


def _model_at(location: list[str]) -> type[BaseModel]:
    """The settings model that a validation error's location lies in."""
    model: type[BaseModel] = Settings
    for part in location:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        nested = [item for item in (annotation, *get_args(annotation)) if isinstance(item, type)]
        found = [item for item in nested if issubclass(item, BaseModel)]
        if not found:
            break
        model = found[0]
    return model

"""Any history of a lake, as a state machine: whatever happened, it equals a lake that is built at once.

The machine changes sources and settings, builds whole or in part, lets builds fail in every way that passes, and
compares the canonical digest with that of a lake built at once from the present state. It also keeps the books: every
text that is given to the embedder is one that the lake had no vector of, and no vector goes that a passage needs.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import SystemRandom
from typing import Any

import numpy as np
import pytest
from conftest import Workspace, kept_open, refresh_source, run_checks
from hypothesis import HealthCheck, Phase, assume, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from numpy.typing import NDArray

from derivation.digest import canonical_rows, dump_line, lake_digest
from derivation.documents import refresh_documents
from derivation.lake import Lake
from derivation.progress import NoProgress, Progress
from derivation.retention import enforce_retention
from derivation.settling import refresh_served
from derivation.snapshot import make_candidate, publish, rollback
from derivation.upkeep import maintain_table
from derivation.verification import verify
from errors import ModelUnavailable, SourceUnavailable
from memory.embedding import HashingEmbedder
from warehouse import faults
from warehouse.snapshots import list_ids

MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one: a sequence writes some hundred small files."""

KINDS = {"notes": "files", "archive": "files", "tickets": "jsonl", "team": "chat"}
"""Every source that a lake may have, and its kind."""

SPACES = ("default", "vault")

NAMES = {"files": ("ada.md", "drafts/grace.md", "alan.txt"), "jsonl": ("a.jsonl", "b.jsonl"), "chat": ("c.jsonl",)}

TITLES = ("Notes on Computing", "Reading List", "")

DATES = ("", "2024-01-10", "2025-03-01")

HEADINGS = ("", "Engines", "Engines in London")

SHORT = 5

SENTENCES = (
    "Ada Lovelace wrote the first program for the Analytical Engine of Charles Babbage, and her notes on it were"
    " printed in London in 1843 beside the memoir that she had been asked to translate.",
    "Grace Hopper wrote a compiler at Remington Rand after the war, and a moth that was found in the relays of the"
    " Mark II (MII) is still taped into the book of the laboratory.",
    "Alan Turing worked at the Government Code and Cypher School (GCCS) near London, where the Analytical Engine was"
    " a story that one told to those who came new.",
    "Gannet Maritime (GM) is based in London. The letters of C.S. Lewis to Ada Lovelace are there.",
    "GM is based in Oslo, and Gannet Mines (GM) is not. C S Lewis owns the Mark II.",
    "Short is better.",
    "I moved to Oslo last month, and my sister lives in London now.",
    "I moved to London yesterday. Who told Ada Lovelace of it?",
)

ADDED = " Charles Babbage never saw an Analytical Engine run, as everyone in London knew by then."

VARIANTS = 4
"""Of a sentence: itself, cut, with one more, set otherwise. The first three are one text to a reader."""

SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "segmentation": ({"target_tokens": 48, "max_tokens": 64}, {"target_tokens": 16, "max_tokens": 32}),
    "graph": ({"max_share": 0.6}, {"max_share": 1.0}, {"embed_phrases": True, "synonym_similarity": 0.6}),
    "embedding": ({"dimensions": 16}, {"dimensions": 24}),
    "memory": ({}, {"granularities": ["core", "turn", "summary", "period"]}, {"pieces": False}),
}
"""Choices of the settings that shape what a lake holds; the first of each is where a sequence begins."""

OF_SOURCES: dict[str, tuple[Any, ...]] = {
    "suppress": (False, True),
    "exclude": ((), ("drafts/**", "b.jsonl")),
    "max_chars": (20_000_000, 240),
    "space": SPACES,
}

_OF_ITEM = (
    "SELECT document_id FROM documents WHERE space = $space AND source = $source AND item_path = $path ORDER BY ALL"
)
_FAILED_ITEM = (
    "SELECT 1 FROM ledger WHERE step = 'documents' AND source = $source AND label = $path AND status = 'failed'"
)

Vectors = set[tuple[str, str, str]]
"""Space, text hash and embedder."""


@dataclass(frozen=True)
class Doc:
    """A document of any kind: a title, and what it says under headings."""

    title: str
    parts: tuple[tuple[str, int, int], ...]
    """Heading, sentence and variant of each part."""
    broken: bool = False
    date: str = ""

    def texts(self) -> list[str]:
        return [said(sentence, variant) for _, sentence, variant in self.parts]


Content = tuple[Doc, ...]
"""What a file holds: one document, or records; the first of them where it holds one only."""


def said(sentence: int, variant: int) -> str:
    text = SENTENCES[sentence]
    return (text, text[: len(text) * 3 // 4], text + ADDED, text.upper())[variant]


def rendered(kind: str, content: Content) -> bytes:
    """The bytes of a file of a source."""
    if kind == "files":
        doc = content[0]
        if doc.broken:
            return b"\0\1\2" * 100
        blocks = [f"## {heading}\n\n{text}" if heading else text for (heading, _, _), text in _told(doc)]
        told = {"title": doc.title, "date": doc.date}
        fields = "".join(f"{name}: {value}\n" for name, value in told.items() if value)
        front = f"---\n{fields}---\n\n" if fields else ""
        return (front + "\n\n".join(blocks) + "\n").encode()
    record = _session if kind == "chat" else _ticket
    lines = [record(number, doc) for number, doc in enumerate(content)]
    return "".join(line + "\n" for line in lines).encode()


def _told(doc: Doc) -> Iterator[tuple[tuple[str, int, int], str]]:
    return zip(doc.parts, doc.texts(), strict=True)


def _ticket(number: int, doc: Doc) -> str:
    if doc.broken:
        return "{ broken"
    return json.dumps({"id": f"T-{number}", "title": doc.title, "date": doc.date, "text": "\n\n".join(doc.texts())})


def _session(number: int, doc: Doc) -> str:
    if doc.broken:
        return "[]"
    turns = [{"speaker": "Bob" if turn % 2 else "Ann", "text": text} for turn, text in enumerate(doc.texts())]
    return json.dumps({"session": f"s{number}", "date": doc.date or "2026-02-03", "turns": turns})


FIRST: dict[str, Content] = {
    "ada.md": (Doc(TITLES[0], (("Engines", 0, 0), ("", 2, 0))),),
    "drafts/grace.md": (Doc(TITLES[1], (("", 0, 2), ("", 3, 0)), date=DATES[1]),),
    "a.jsonl": (Doc(TITLES[0], (("", 0, 1),)), Doc(TITLES[2], (("", 1, 0),)), Doc("", (("", SHORT, 0),), broken=True)),
    "b.jsonl": (Doc(TITLES[1], (("", 4, 0),), date=DATES[2]),),
    "c.jsonl": (Doc("", (("", 6, 0), ("", 4, 0)), date=DATES[2]), Doc("", (("", 3, 0), ("", 7, 0)), date=DATES[1])),
}
"""What the files hold of the lakes that sequences begin with."""

EDITS: dict[str, Callable[[Doc], Doc]] = {
    "parts change places": lambda doc: replace(doc, parts=doc.parts[::-1]),
    "a new title": lambda doc: replace(doc, title=TITLES[(TITLES.index(doc.title) + 1) % len(TITLES)]),
    "the headings go": lambda doc: replace(doc, parts=tuple(("", *part[1:]) for part in doc.parts)),
    "a start is put before": lambda doc: replace(doc, parts=(("", SHORT, 0), *doc.parts[:2])),
    "said twice": lambda doc: replace(doc, parts=(doc.parts[0], *doc.parts[:2])),
    "cut": lambda doc: replace(doc, parts=tuple((*part[:2], 1) for part in doc.parts)),
    "added to": lambda doc: replace(doc, parts=tuple((*part[:2], 2) for part in doc.parts)),
    "a later date": lambda doc: replace(doc, date=DATES[(DATES.index(doc.date) + 1) % len(DATES)]),
    "broken or mended": lambda doc: replace(doc, broken=not doc.broken),
}
"""What may happen to a document."""

parts = st.tuples(
    st.sampled_from(HEADINGS), st.integers(0, len(SENTENCES) - 1), st.integers(0, VARIANTS - 1)
)  # fmt: skip
docs = st.builds(
    Doc,
    st.sampled_from(TITLES),
    st.lists(parts, min_size=1, max_size=2).map(tuple),
    date=st.sampled_from(DATES),
)
contents = st.lists(docs, min_size=1, max_size=2).map(tuple)
sources = st.sampled_from(sorted(KINDS))
numbers = st.integers(0, 5)
STEPS = 4
"""Of a short sequence, besides its beginning and the comparison at its end."""

BATCH_ROWS = (2048, 1, 3, 2)
batch_sizes = st.sampled_from(BATCH_ROWS)


class Interrupted(Exception):
    """The process ends here."""


class CountingEmbedder(HashingEmbedder):
    """Keeps what it was given, and does not answer any more after some texts."""

    def __init__(self, dimensions: int, identity: str, answers: int | None) -> None:
        super().__init__(dimensions, identity)
        self.given: list[int] = []
        """How many texts each call had that was answered."""
        self._answers = answers

    def encode(self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        if self._answers is not None and self.calls + len(texts) > self._answers:
            raise ModelUnavailable("The embedder does not answer.", "Run the build again.")
        self.given.append(len(texts))
        return super().encode(texts, on_progress)


class Meddling(NoProgress):
    """Does something to a source after it was listed and before it is read."""

    def __init__(self, source: str, action: Callable[[], object]) -> None:
        self._source = source
        self._action = action

    def start(self, step: str, source: str, total: int) -> None:
        if (step, source) == ("documents", self._source):
            self._action()


@contextmanager
def stopped_after(points: int) -> Iterator[None]:
    """Raise ``Interrupted`` at the fault point that is reached after so many others."""
    left = points

    def count(point: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            faults.arm(None)
            raise Interrupted(point)

    faults.arm(count)
    try:
        yield
    finally:
        faults.arm(None)


@cache
def empty_warehouse() -> bytes:
    """The file of a warehouse that has the schema and no rows, made once."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Workspace(Path(folder)).lake()
        lake.layout.root.mkdir()
        with lake.warehouse.session():
            pass
        return lake.layout.warehouse.read_bytes()


@cache
def published_lake(layout: tuple[tuple[str, str], ...]) -> Path:
    """A folder with sources and a lake that is published from them, made once."""
    folder = new_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = AnyHistory(folder)
    for source, space in layout:
        made.configured[source] = {"space": space}
        for name in NAMES[KINDS[source]][:2]:
            made.put(source, name, FIRST[name])
    made.write_settings()
    with opened(made.workspace.lake()):
        made.whole(made.lake(), True)
    return folder


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="memlake-", dir=MEMORY if MEMORY.is_dir() else None))


@contextmanager
def opened(lake: Lake) -> Iterator[None]:
    """A lake, made if there is none, its warehouse open on one thread: small queries gain nothing from more."""
    if not lake.layout.root.exists():
        lake.layout.root.mkdir()
        lake.layout.warehouse.write_bytes(empty_warehouse())
    with kept_open(lake):
        with lake.warehouse.session() as connection:
            connection.execute("SET threads = 1")
        yield


class Tally:
    """What the sequences of one test came to."""

    def __init__(self) -> None:
        self.sequences = self.longest = self.steps = self.builds = self.failed = self.comparisons = self.texts = 0

    def __str__(self) -> str:
        return json.dumps(vars(self))


class AnyHistory(RuleBasedStateMachine):
    """Any sequence of what may happen to a lake that begins with the sources and spaces of ``layout``."""

    layout: dict[str, str]
    tally = Tally()

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.folder = folder or new_folder()
        self.workspace = Workspace(self.folder)
        for source in KINDS:
            self.workspace.source_folder(source).mkdir(exist_ok=True)
        self.configured: dict[str, dict[str, Any]] = {}
        self.chosen = {section: choices[0] for section, choices in SETTINGS.items()}
        self.batch_rows = 2048
        self.files: dict[tuple[str, str], Content] = {}
        self.deleted: list[tuple[str, str, Content]] = []
        self.published = 0
        self.clock = 0
        self.steps = 0
        self.current = False
        """Whether everything was built since something changed."""
        self.compared = False
        self.open = ExitStack()

    def teardown(self) -> None:
        try:
            if self.steps and not self.compared:
                self.compare(BATCH_ROWS[self.steps % len(BATCH_ROWS)])
            self.tally.sequences += bool(self.steps)
            self.tally.steps += self.steps
            self.tally.longest = max(self.tally.longest, self.steps)
        finally:
            self.open.close()
            shutil.rmtree(self.folder)

    @initialize(wanted=st.booleans(), data=st.data())
    def begin(self, wanted: bool, data: st.DataObject) -> None:
        """With some sources and no lake, or with a copy of a lake that was published from them."""
        assume(wanted)  # the simplest sequence, which Hypothesis tries first each time, is not worth its time
        built = data.draw(st.sampled_from([True, True, False]))
        for source, space in self.layout.items():
            self.configured[source] = {"space": space}
        if built:
            shutil.copytree(published_lake(tuple(self.layout.items())), self.folder, dirs_exist_ok=True)
            self.published = 1
            for source in self.configured:
                self.files |= {(source, name): FIRST[name] for name in NAMES[KINDS[source]][:2]}
        else:
            for source in self.configured:
                for name in NAMES[KINDS[source]][:2]:
                    self.put(source, name, data.draw(contents))
        self.configure()
        self.open.enter_context(opened(self.workspace.lake()))

    # What happens to the sources.

    @precondition(lambda self: self.configured)
    @rule(source=numbers, number=numbers, content=contents)
    def write(self, source: int, number: int, content: Content) -> None:
        chosen = sorted(self.configured)[source % len(self.configured)]
        self.put(chosen, self.name(chosen, number), content)

    @precondition(lambda self: self.files)
    @rule(edits=st.lists(st.tuples(numbers, numbers, st.sampled_from(sorted(EDITS))), min_size=1, max_size=3))
    def edit(self, edits: list[tuple[int, int, str]]) -> None:
        for number, place, edit in edits:
            source, name = self.existing(number)
            changed = list(self.files[source, name])
            place = 0 if KINDS[source] == "files" else place % len(changed)
            changed[place] = EDITS[edit](changed[place])
            self.put(source, name, tuple(changed))

    @precondition(lambda self: self.files)
    @rule(number=numbers, fewer=st.booleans())
    def rearrange_records(self, number: int, fewer: bool) -> None:
        source, name = self.existing(number)
        content = self.files[source, name]
        self.put(source, name, content[:-1] if fewer and len(content) > 1 else content[::-1])

    @precondition(lambda self: self.files)
    @rule(number=numbers)
    def delete(self, number: int) -> None:
        source, name = self.existing(number)
        self.deleted.append((source, name, self.take(source, name)))

    @precondition(lambda self: self.deleted)
    @rule(number=numbers)
    def bring_back(self, number: int) -> None:
        source, name, content = self.deleted[number % len(self.deleted)]
        self.put(source, name, content)

    @precondition(lambda self: self.files)
    @rule(number=numbers, into=numbers, other=numbers, copied=st.booleans())
    def move(self, number: int, into: int, other: int, copied: bool) -> None:
        """To another name or source; between sources of one kind it is the same file."""
        old_source, old_name = self.existing(number)
        known = sorted(self.configured) or sorted(KINDS)
        source = known[into % len(known)]
        name = self.name(source, other)
        if (source, name) == (old_source, old_name):
            return
        if copied:
            self.put(source, name, self.files[old_source, old_name])
        elif KINDS[source] == KINDS[old_source]:
            self.files[source, name] = self.files.pop((old_source, old_name))
            path = self.workspace.path(name, source)
            path.parent.mkdir(exist_ok=True)
            self.workspace.path(old_name, old_source).rename(path)
            self.changed()
        else:
            self.put(source, name, self.take(old_source, old_name))

    # What happens to the settings.

    @rule(section=st.sampled_from(sorted(SETTINGS)), number=st.integers(0, 2))
    def change_settings(self, section: str, number: int) -> None:
        self.chosen[section] = SETTINGS[section][number % len(SETTINGS[section])]
        self.configure()

    @precondition(lambda self: self.configured)
    @rule(number=numbers, key=st.sampled_from(sorted(OF_SOURCES)))
    def set_of_source(self, number: int, key: str) -> None:
        source = sorted(self.configured)[number % len(self.configured)]
        first, second = OF_SOURCES[key]
        self.configured[source][key] = second if self.configured[source].get(key, first) == first else first
        self.configure()

    @rule(source=sources, space=st.sampled_from(SPACES))
    def add_or_drop_source(self, source: str, space: str) -> None:
        if self.configured.pop(source, None) is None:
            self.configured[source] = {"space": space}
        self.configure()

    # What happens to the lake.

    @rule(batch_rows=batch_sizes, retry=st.booleans(), published=st.booleans())
    def build(self, batch_rows: int, retry: bool, published: bool) -> None:
        self.run(batch_rows, lambda lake: self.whole(lake, published), retry=retry)
        self.current = True

    @precondition(lambda self: self.configured)
    @rule(batch_rows=batch_sizes, number=numbers, then=st.sampled_from(["stop", "derive", "serve", "publish"]))
    def build_in_part(self, batch_rows: int, number: int, then: str) -> None:
        """One source only, as far as its documents, all that follows from them, the indexes, or a snapshot."""

        def part(lake: Lake) -> None:
            source = lake.settings.sources[number % len(lake.settings.sources)]
            if then in ("stop", "publish"):
                refresh_documents(lake, source)
            else:
                refresh_source(lake, source)
            if then == "serve":
                refresh_served(lake)
            elif then == "publish":
                self.publish(lake)

        self.run(batch_rows, part)

    @precondition(lambda self: self.configured)
    @rule(batch_rows=batch_sizes, points=st.integers(0, 9) | st.integers(0, 90))
    def stop_a_build(self, batch_rows: int, points: int) -> None:
        with stopped_after(points):
            self.run(batch_rows, lambda lake: self.whole(lake, True), may_raise=Interrupted)

    @precondition(lambda self: self.files)
    @rule(batch_rows=batch_sizes, number=numbers, what=st.sampled_from(["the model", "a source", "a file"]))
    def build_without(self, batch_rows: int, number: int, what: str) -> None:
        """The model answers for a few texts only, or what is listed is away: a source, or a file when it is read."""
        if what == "the model":
            self.run(batch_rows, lambda lake: self.whole(lake, True), may_raise=ModelUnavailable, answers=number)
            return
        source, name = self.existing(number)
        gone, away = self.workspace.source_folder(source), self.folder / "away"
        if what == "a source":
            gone.rename(away)
            self.run(batch_rows, lambda lake: self.whole(lake, False), may_raise=SourceUnavailable)
        else:
            self.write_file(source, name)
            gone /= Path(name).parts[0]  # a folder, if the file is in one: then it comes back with the times it had
            before = self.documents(source, name)
            meddling = Meddling(source, lambda: gone.rename(away))
            self.run(batch_rows, lambda lake: self.whole(lake, True), progress=meddling)
            if self.workspace.rows(_FAILED_ITEM, source=source, path=name):
                assert self.documents(source, name) == before, "what could not be read in passing is kept"
        if away.exists():
            away.rename(gone)

    @precondition(lambda self: self.published)
    @rule(number=numbers)
    def roll_back(self, number: int) -> None:
        lake = self.workspace.lake()
        kept = list_ids(lake.layout)
        rollback(lake, kept[number % len(kept)])

    @precondition(lambda self: self.published)
    @rule()
    def maintain(self) -> None:
        """Only the newest snapshot is kept, and the tables are compacted."""

        def upkeep(lake: Lake) -> None:
            for space in lake.settings.spaces:
                maintain_table(lake, space)
            enforce_retention(lake)

        self.run(self.batch_rows, upkeep, may_forget_embedders=True)

    @precondition(lambda self: self.configured and not self.compared)
    @rule(batch_rows=batch_sizes)
    def compare(self, batch_rows: int) -> None:
        """Build, and see that the lake is the one that is built at once from what there is now."""
        if not self.current:
            self.run(batch_rows, lambda lake: self.whole(lake, False))
        self.compared = True
        self.tally.comparisons += 1
        self.batch_rows = 2048
        self.write_settings()
        lake, anew = self.workspace.lake(), self.lake(root=self.folder / "anew")
        with opened(anew):
            self.whole(anew, False)
            if lake_digest(lake) != lake_digest(anew):
                pytest.fail(differences(lake, anew))
            made = pooled_of(anew)
            texts = sum(key[:2] not in made for key in vectors_of(anew))
        shutil.rmtree(anew.layout.root)
        assert anew.embedder.given.count(0) == 0 and sum(anew.embedder.given) == texts, "a text is embedded once"

    @precondition(lambda self: self.compared and self.published)
    @rule()
    def verify(self) -> None:
        self.steps += 1
        lake = self.workspace.lake()
        problems = verify(lake).problems
        assert not problems, problems

    # How the rules do it.

    def changed(self) -> None:
        self.steps += 1
        self.compared = self.current = False

    def existing(self, number: int) -> tuple[str, str]:
        """A file, of a source that is configured if there is one."""
        found = sorted(key for key in self.files if key[0] in self.configured) or sorted(self.files)
        return found[number % len(found)]

    def name(self, source: str, number: int) -> str:
        names = NAMES[KINDS[source]]
        return names[number % len(names)]

    def put(self, source: str, name: str, content: Content) -> None:
        self.files[source, name] = content
        self.write_file(source, name)
        self.changed()

    def write_file(self, source: str, name: str) -> None:
        """With a time of its own: those of two writes in a row may be equal on a file system in memory."""
        path = self.workspace.write(name, rendered(KINDS[source], self.files[source, name]), source)
        self.clock += 1
        os.utime(path, (self.clock, self.clock))

    def documents(self, source: str, name: str) -> list[str]:
        """Ids of the documents that the lake has from a file."""
        space = self.configured.get(source, {}).get("space")
        return self.workspace.column(_OF_ITEM, space=space, source=source, path=name)

    def take(self, source: str, name: str) -> Content:
        self.workspace.delete(name, source)
        self.changed()
        return self.files.pop((source, name))

    def configure(self) -> None:
        self.write_settings()
        self.changed()

    def write_settings(self) -> None:
        tables = [{"name": name, "kind": KINDS[name], **keys} for name, keys in sorted(self.configured.items())]
        sections = {"lake": {"batch_rows": self.batch_rows}, "retention": {"keep_last": 1, "keep_days": 0}}
        self.workspace.configure(tables, **sections, **self.chosen)

    def lake(self, root: Path | None = None, answers: int | None = None, progress: Progress | None = None) -> Lake:
        """The lake as it is configured now, with an embedder that counts."""
        lake = self.workspace.lake(root=root, progress=progress)
        dimensions = self.chosen["embedding"]["dimensions"]
        embedder = CountingEmbedder(dimensions, lake.embedder_spec.identity, answers)
        return Lake(lake.settings, progress=progress, embedder=embedder)

    def whole(self, lake: Lake, published: bool) -> None:
        for source in lake.settings.sources:
            refresh_source(lake, source)
        if published:
            refresh_served(lake)
            self.publish(lake)
        else:
            refresh_served(lake)

    def publish(self, lake: Lake) -> None:
        candidate = make_candidate(lake)
        for result in run_checks(lake, candidate):
            assert not result.problems, result.problems
        publish(lake, candidate)
        self.published += 1

    def run(
        self,
        batch_rows: int,
        work: Callable[[Lake], None],
        may_raise: type[Exception] | None = None,
        retry: bool = False,
        answers: int | None = None,
        progress: Progress | None = None,
        may_forget_embedders: bool = False,
    ) -> None:
        """Do something with the lake, and go over the books."""
        self.batch_rows = batch_rows
        self.configure()
        lake = self.lake(answers=answers, progress=progress)
        lake.retry_quarantined = retry
        before, pieces = vectors_of(lake), pieces_of(lake)
        self.tally.builds += 1
        stopped = False
        try:
            work(lake)
        except Exception as error:
            if may_raise is None or not isinstance(error, may_raise):
                raise
            self.tally.failed += 1
            stopped = True
        finally:
            faults.arm(None)
        after = vectors_of(lake)
        given = lake.embedder.given
        self.tally.texts += sum(given)
        made = pooled_of(lake)
        added = len({key for key in after - before if key[:2] not in made} | (pieces_of(lake) - pieces))
        lost = sum(given) - added
        assert lost == 0 or (stopped and lost == given[-1]), (
            f"{sum(given)} texts were embedded, and the lake had no vector of {added}"
        )
        gone = before - after
        needed = texts_of(lake)
        dropped = {(space, text) for space, text, embedder in gone if embedder == lake.embedder_spec.identity} & needed
        assert not dropped, "a vector went that something needs"
        if not may_forget_embedders:
            assert not {key for key in gone if key[:2] in needed}, "a former embedder's vector of a present text went"


def vectors_of(lake: Lake) -> Vectors:
    with lake.warehouse.session("looking") as connection:
        return set(connection.execute("SELECT space, text_hash, embedder FROM embeddings").fetchall())


def pieces_of(lake: Lake) -> Vectors:
    """As :func:`vectors_of`, of the pieces of passages."""
    with lake.warehouse.session("looking") as connection:
        return set(connection.execute("SELECT space, text_hash, embedder FROM piece_vectors").fetchall())


def pooled_of(lake: Lake) -> set[tuple[str, str]]:
    """Space and hash of the memories whose vectors are made of pieces, so that nothing is read for them."""
    with lake.warehouse.session("looking") as connection:
        return set(connection.execute("SELECT space, text_hash FROM memories WHERE pooled").fetchall())


def texts_of(lake: Lake) -> set[tuple[str, str]]:
    """Space and hash of the texts that a vector is kept for."""
    with lake.warehouse.session("looking") as connection:
        return set(
            connection.execute(
                "SELECT space, text_hash FROM passages UNION SELECT space, text_hash FROM phrases"
                " UNION SELECT space, text_hash FROM memories"
            ).fetchall()
        )  # fmt: skip


def differences(lake: Lake, other: Lake) -> str:
    """The rows of the canonical dumps that only one of two lakes has."""
    left, right = (Counter(dump_line(*row) for row in canonical_rows(item)) for item in (lake, other))
    told = [f"only after this history: {line}" for line in sorted((left - right).elements())]
    told += [f"only when built at once: {line}" for line in sorted((right - left).elements())]
    return "The lake differs from one that is built at once.\n" + "".join(told)


def run_histories(layout: dict[str, str], sequences: int) -> Tally:
    """Run the machine; under the Hypothesis profile ``long`` as that says, otherwise so many short sequences.

    A short sequence is the only one of its run: within a run Hypothesis varies what it has tried, and of some dozen
    sequences most would be the same steps again.
    """
    tally = Tally()
    profile = settings.get_current_profile_name()
    chosen = settings(suppress_health_check=list(HealthCheck))
    if profile == "long":
        run_state_machine_as_test(_beginning_with(layout, tally), settings=chosen)
        return tally
    phases = (Phase.explicit, Phase.generate)  # a short sequence needs no shrinking
    chosen = settings(chosen, max_examples=1, stateful_step_count=STEPS, phases=phases, database=None)
    first = 0 if profile == "ci" else SystemRandom().getrandbits(48)
    for number in range(first, first + sequences):
        run_state_machine_as_test(seed(number)(_beginning_with(layout, tally)), settings=chosen)
    return tally


def _beginning_with(layout: dict[str, str], tally: Tally) -> type[AnyHistory]:
    name = "Begins" + "And".join(f"{source.title()}In{space.title()}" for source, space in layout.items())
    return type(name, (AnyHistory,), {"layout": layout, "tally": tally})

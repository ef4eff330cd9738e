"""A build's progress in a terminal: a bar for the step that runs, with its rate and the time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class TerminalProgress:
    """Implements ``derivation.progress.Progress`` in one line that is replaced; silent where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("starting", total=None)

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def start(self, step: str, source: str, total: int) -> None:
        self._bars.reset(self._task, description=f"{step}  {source}", total=total or None)

    def advance(self, units: int) -> None:
        self._bars.advance(self._task, units)

    def wait(self, message: str) -> None:
        self._bars.console.print(message, highlight=False, soft_wrap=True, markup=False)

    def finish(self) -> None:
        self._bars.update(self._task, description="", total=None)

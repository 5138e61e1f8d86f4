"""What a person sees: progress while a demonstration runs (stderr), and the table of its result (stdout).

Scripts get the same figures as one object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import TaskID
from rich.table import Table

from sagabus.cli.demonstration.progress_file import Work
from sagabus.cli.progress import bars
from sagabus.cli.text import printable


class Show:
    """Bars for what was published and what took effect, a line for each kill."""

    def __init__(self, console: Console, publications: int, effects: int, what: str) -> None:
        self._progress = bars(console)
        self._published: TaskID = self._progress.add_task("published, copies included", total=publications)
        self._effects: TaskID = self._progress.add_task(what, total=effects)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def published(self, count: int) -> None:
        """Update the number of publications that were accepted or recognised as copies."""
        self._progress.update(self._published, completed=count)

    def took_effect(self, count: int) -> None:
        """So many of the final effects are committed."""
        self._progress.update(self._effects, completed=count)

    def killed(self, worker: str, pid: int, cut: Work) -> None:
        """A worker is no more."""
        self._tell(f"killed {worker} (process {pid}), in flight: {_described(cut)}")

    def restarted(self, how: str, what: str, cut: Work) -> None:
        """A server was away, and is back."""
        self._tell(f"{how} the {what} and started it again, in flight: {_described(cut)}")

    def _tell(self, line: str) -> None:
        self._progress.console.print(line)


def _described(cut: Work) -> str:
    if not cut.in_flight:
        return "nothing"
    return f"{cut.running} handlers running, {cut.committing} outcomes in a commit"


def draw_result(console: Console, title: str, lines: Iterable[tuple[str, object, str]], *, good: bool) -> None:
    """One line per figure: what, how many, and what it means."""
    table = Table(title=title, title_justify="left", show_header=False, title_style="bold")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name, value, meaning in lines:
        table.add_row(name, str(value), meaning)
    console.print(table)
    verdict = "every effect exactly once" if good else "NOT exactly once: see the lines above"
    console.print(f"[bold {'green' if good else 'red'}]{verdict}[/]")


def draw_paths(console: Console, paths: Sequence[tuple[tuple[str, ...], int]]) -> None:
    """The most frequent ways of cases through the activities."""
    table = Table(title="Most frequent paths", title_justify="left", title_style="bold")
    table.add_column("cases", justify="right")
    table.add_column("events", justify="right")
    table.add_column("path", overflow="fold")
    for path, count in paths:
        shown = " → ".join(printable(activity) for activity in path)
        table.add_row(str(count), str(len(path)), shown.replace("[", r"\["))
    console.print(table)

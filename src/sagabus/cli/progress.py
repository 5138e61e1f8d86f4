"""How far long work has come, for those who watch it on a terminal: for every command, decided here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sagabus.cli.output import console


def bars(where: Console) -> Progress:
    """Bars that vanish when the work ends, however it ends: what follows begins a line."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=where,
        transient=True,
    )


@contextmanager
def counting(what: str, total: int | None = None) -> Generator[Callable[[int], None]]:
    """A bar on stderr while the work goes on; what it gives is called with how many are done. No terminal, no bar."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with bars(console(stderr=True)) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)

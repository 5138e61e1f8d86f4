"""`sagabus bench`: the benchmark from the command line."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import NoReturn

import click
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sagabus import Bus
from sagabus.cli.benchmark.crash import MESSAGES, MOST, WORK, CrashFigures
from sagabus.cli.benchmark.crash import measure as after_a_crash
from sagabus.cli.benchmark.process import EVERYTHING
from sagabus.cli.benchmark.rounds import ROUNDS, Figures, HalfFailedError, run_rounds
from sagabus.cli.benchmark.venues import Venue, venue
from sagabus.cli.output import Refused, console, emit_json, refusing


@click.command()
@click.option(
    "--store",
    metavar="URL",
    help="Measure on this SQLite file, and keep it, or on this PostgreSQL or MySQL server, in tables of our own, which"
    " are dropped afterwards.  [default: a temporary file]",
)
@click.option(
    "--sagas",
    type=click.IntRange(min=10),
    default=5000,
    show_default=True,
    help="Sagas per round and worker; three messages each.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes on the full queue."
)
@click.option(
    "--crash",
    is_flag=True,
    help="Measure another thing: how long messages take that were in flight in a worker that was killed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def bench(*, store: str | None, sagas: int, workers: int, crash: bool, as_json: bool) -> None:
    """Measure the whole bus against a loop written by hand over the same tables with the same durability, in turns.

    Exit codes: 0 measured, 1 with --crash if that costs more than twice the time, 2 when it could not run.
    """
    signal.signal(signal.SIGTERM, _leave)  # in good order: the half that runs is stopped, what it made is removed
    with refusing():
        found = venue(store, f"{time.time_ns() // 1_000_000:x}")
        if store is not None:
            asyncio.run(_try(found.engine(0)))
        with found:
            if crash:
                _crash(asyncio.run(after_a_crash(found.engine(0))), found.title, as_json=as_json)
                return
            figures = _measure(found, sagas, workers)
    summary = figures.summary()
    _draw(summary, f"{sagas:,} sagas of three messages, {found.title}", stderr=as_json)
    if as_json:
        emit_json({**summary, "sagas": sagas, "rounds": ROUNDS, "workers": workers})


def _crash(figures: CrashFigures, title: str, *, as_json: bool) -> None:
    summary = {**msgspec.to_builtins(figures), "ratio": round(figures.ratio, 4)}
    table = Table(
        title=f"{MESSAGES} messages of {WORK} s, {title}", title_justify="left", title_style="bold", show_header=False
    )
    table.add_row("undisturbed", f"{figures.undisturbed:.2f} s", "all of them, with nothing in their way")
    table.add_row("after_a_crash", f"{figures.after_a_crash:.2f} s", "the same, in flight in a worker that was killed")
    table.add_row("ratio", f"{figures.ratio:.2f}", f"the second against the first, at most {MOST:.0f}")
    console(stderr=as_json).print(table)
    if as_json:
        emit_json(summary)
    if figures.ratio > MOST or figures.dead_letters:
        raise SystemExit(1)


def _leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


async def _try(url: str) -> None:
    bus = Bus(url, *EVERYTHING)
    await bus.open(worker=False)
    await bus.close()


def _measure(found: Venue, sagas: int, workers: int) -> Figures:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("measuring", total=2 * ROUNDS)

        def done(text: str) -> None:
            progress.console.print(text)
            progress.advance(task)

        try:
            return run_rounds(found, sagas, workers, done)
        except HalfFailedError as error:
            raise Refused(str(error)) from error


_MEANINGS: tuple[tuple[str, Callable[[float], str], str], ...] = (
    ("messages_per_second", lambda value: f"{value:,.0f}", "messages handled per second, from a full queue"),
    ("one_worker_per_second", lambda value: f"{value:,.0f}", "the same by one worker process"),
    ("scaling", lambda value: f"{value:.2f}", "the first against that"),
    ("baseline_batched_per_second", lambda value: f"{value:,.0f}", "the loop written by hand, 100 messages per commit"),
    ("ratio", lambda value: f"{value:.2f}", "all workers against the loop"),
    ("baseline_single_per_second", lambda value: f"{value:,.0f}", "the loop written by hand, one message per commit"),
    ("published_per_second", lambda value: f"{value:,.0f}", "publishing by 100 tasks, one await per message"),
    ("published_singly_per_second", lambda value: f"{value:,.0f}", "publishing one after another"),
    ("hot_key_per_second", lambda value: f"{value:,.0f}", "messages handled per second, all of one saga"),
    ("p50_ms", lambda value: f"{value:.2f} ms", "from publish to committed at low load, half of the messages"),
    ("p99_ms", lambda value: f"{value:.2f} ms", "and 99 in 100"),
    ("baseline_single_p50_ms", lambda value: f"{value:.2f} ms", "one commit of the loop at the same low load"),
    ("peak_rss_mb", lambda value: f"{value:.0f} MB", "the most memory of the process"),
)


def _draw(summary: dict[str, float], what: str, *, stderr: bool) -> None:
    table = Table(
        title=f"{what}, median of {ROUNDS} rounds", title_justify="left", title_style="bold", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for key, shown, meaning in _MEANINGS:
        table.add_row(key, shown(summary[key]), meaning)
    console(stderr=stderr).print(table)

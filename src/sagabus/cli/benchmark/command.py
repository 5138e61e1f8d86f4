"""`sagabus bench`: the benchmark from the command line."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

import click
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sagabus import Bus
from sagabus.cli.benchmark.costs import interpreter
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
    help="Measure on this SQLite file and keep it, or on this PostgreSQL or MySQL server, in new tables. "
    "These are dropped afterwards.  [default: a temporary file]",
)
@click.option(
    "--sagas",
    type=click.IntRange(min=10),
    default=5000,
    show_default=True,
    help="Sagas per round and worker, three messages each.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes on the full queue."
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=ROUNDS,
    show_default=True,
    help="Rounds, each of engine and loop: the ratio is the median of these pairs.",
)
@click.option(
    "--crash",
    is_flag=True,
    help="Measure how long the in-flight messages of a killed worker take instead.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def bench(*, store: str | None, sagas: int, workers: int, rounds: int, crash: bool, as_json: bool) -> None:
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
            figures = _measure(found, sagas, workers, rounds)
    summary = figures.summary()
    title = f"{sagas:,} sagas of three messages, {found.title}, median of {rounds} rounds, {interpreter()}"
    _draw(summary, title, stderr=as_json)
    if as_json:
        emit_json({**summary, "sagas": sagas, "rounds": rounds, "workers": workers, "interpreter": interpreter()})


def _crash(figures: CrashFigures, title: str, *, as_json: bool) -> None:
    summary = {**msgspec.to_builtins(figures), "ratio": round(figures.ratio, 4)}
    table = Table(
        title=f"{MESSAGES} messages of {WORK} s, {title}", title_justify="left", title_style="bold", show_header=False
    )
    table.add_row("undisturbed", f"{figures.undisturbed:.2f} s", "all of them, with nothing in their way")
    table.add_row("after_a_crash", f"{figures.after_a_crash:.2f} s", "the same, in flight in a killed worker")
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


def _measure(found: Venue, sagas: int, workers: int, rounds: int) -> Figures:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("measuring", total=2 * rounds)

        def done(text: str) -> None:
            progress.console.print(text)
            progress.advance(task)

        try:
            return run_rounds(found, sagas, workers, rounds, done)
        except HalfFailedError as error:
            raise Refused(str(error)) from error


_MEANINGS: tuple[tuple[str, Callable[[float], str], str], ...] = (
    ("messages_per_second", lambda value: f"{value:,.0f}", "messages handled per second, from a full queue"),
    ("one_worker_per_second", lambda value: f"{value:,.0f}", "the same by one worker process"),
    ("scaling", lambda value: f"{value:.2f}", "the first against that"),
    ("baseline_batched_per_second", lambda value: f"{value:,.0f}", "the loop written by hand, 100 messages per commit"),
    ("ratio", lambda value: f"{value:.2f}", "all workers against the loop, each round a pair"),
    ("ratio_lower_quartile", lambda value: f"{value:.2f}", "a quarter of the pairs is below"),
    ("ratio_upper_quartile", lambda value: f"{value:.2f}", "a quarter of the pairs is above"),
    ("cpu_us_per_message", lambda value: f"{value:.1f} µs", "processor time of the workers"),
    ("baseline_cpu_us_per_message", lambda value: f"{value:.1f} µs", "processor time of the loop"),
    ("cpu_ratio", lambda value: f"{value:.2f}", "the first against the second"),
    ("written_bytes_per_message", lambda value: f"{value:,.0f}", "bytes that the workers wrote, to files and sockets"),
    ("baseline_written_bytes_per_message", lambda value: f"{value:,.0f}", "bytes that the loop wrote"),
    ("baseline_single_per_second", lambda value: f"{value:,.0f}", "the loop written by hand, one message per commit"),
    ("published_per_second", lambda value: f"{value:,.0f}", "publishing by 100 tasks, one await per message"),
    ("published_singly_per_second", lambda value: f"{value:,.0f}", "publishing one after another"),
    ("hot_key_per_second", lambda value: f"{value:,.0f}", "messages handled per second, all of one saga"),
    ("p50_ms", lambda value: f"{value:.2f} ms", "from publish to committed at low load, half of the messages"),
    ("p99_ms", lambda value: f"{value:.2f} ms", "and 99 in 100"),
    ("baseline_single_p50_ms", lambda value: f"{value:.2f} ms", "one commit of the loop at the same low load"),
    ("peak_rss_mb", lambda value: f"{value:.0f} MB", "the most memory of the process"),
)


def _draw(summary: Mapping[str, float | None], title: str, *, stderr: bool) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for key, shown, meaning in _MEANINGS:
        if (value := summary[key]) is not None:
            table.add_row(key, shown(value), meaning)
    console(stderr=stderr).print(table)

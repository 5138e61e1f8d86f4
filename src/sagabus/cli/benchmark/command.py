"""`sagabus bench`: the benchmark from the command line."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

import click
import msgspec
from rich.table import Table

from sagabus import Bus
from sagabus.cli.benchmark.costs import interpreter
from sagabus.cli.benchmark.crash import MESSAGES, MOST, WORK, CrashFigures
from sagabus.cli.benchmark.crash import measure as after_a_crash
from sagabus.cli.benchmark.halves import HalfFailedError
from sagabus.cli.benchmark.process import EVERYTHING
from sagabus.cli.benchmark.rounds import ROUNDS, run_rounds
from sagabus.cli.benchmark.venues import Venue, venue
from sagabus.cli.output import Refused, console, emit_json, refusing
from sagabus.cli.progress import bars

T = TypeVar("T")


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
    "--transport",
    metavar="URL",
    help="Measure over this broker instead, in turn with a client of it alone. Each message starts a saga, and each "
    "saga sends one. What is made at the broker is removed afterwards.",
)
@click.option(
    "--crash",
    is_flag=True,
    help="Measure how long the in-flight messages of a killed worker take instead.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def bench(  # one parameter per option
    *, store: str | None, sagas: int, workers: int, rounds: int, transport: str | None, crash: bool, as_json: bool
) -> None:
    """Measure the whole bus against a loop written by hand over the same tables with the same durability, in turns.

    Exit codes: 0 measured, 1 with --crash if that costs more than twice the time, 2 when it could not run.
    """
    if transport is not None and (workers > 1 or crash):
        raise click.UsageError("--transport measures one worker, without a crash: leave --workers and --crash out")
    signal.signal(signal.SIGTERM, _leave)  # in good order: the half that runs is stopped, what it made is removed
    with refusing():
        found = venue(store, f"{time.time_ns() // 1_000_000:x}")
        if store is not None:
            asyncio.run(_try(found.engine(0)))
        with found:
            if crash:
                _crash(asyncio.run(after_a_crash(found.engine(0))), found.title, as_json=as_json)
                return
            if transport is not None:
                _over_a_broker(found, transport, sagas, rounds, as_json=as_json)
                return
            figures = _shown(2 * rounds, lambda done: run_rounds(found, sagas, workers, rounds, done))
    summary = figures.summary()
    title = f"{sagas:,} sagas of three messages, {found.title}, median of {rounds} rounds, {interpreter()}"
    _draw(_MEANINGS, summary, title, stderr=as_json)
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


def _over_a_broker(found: Venue, transport: str, messages: int, rounds: int, *, as_json: bool) -> None:
    from sagabus.cli.benchmark.brokers import clients
    from sagabus.cli.benchmark.brokers import rounds as broker_rounds

    client = clients.bare(transport)
    summary = _shown(
        2 * rounds, lambda done: broker_rounds.run_rounds(found, transport, messages, rounds, done).summary()
    )
    title = f"{messages:,} messages, {client.title}, {found.title}, median of {rounds} rounds, {interpreter()}"
    _draw(_BROKER_MEANINGS, summary, title, stderr=as_json)
    if as_json:
        emit_json({**summary, "messages": messages, "rounds": rounds, "interpreter": interpreter()})


def _shown(halves: int, run: Callable[[Callable[[str], None]], T]) -> T:
    """Run all halves with a bar that counts them."""
    with bars(console(stderr=True)) as progress:
        task = progress.add_task("measuring", total=halves)

        def done(text: str) -> None:
            progress.console.print(text)
            progress.advance(task)

        try:
            return run(done)
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


_BROKER_MEANINGS: tuple[tuple[str, Callable[[float], str], str], ...] = (
    ("messages_per_second", lambda value: f"{value:,.0f}", "from the broker through a saga on the store to the broker"),
    ("baseline_per_second", lambda value: f"{value:,.0f}", "the client alone: take, send, acknowledge"),
    ("ratio", lambda value: f"{value:.2f}", "the first against the second, each round a pair"),
    ("ratio_lower_quartile", lambda value: f"{value:.2f}", "a quarter of the pairs is below"),
    ("ratio_upper_quartile", lambda value: f"{value:.2f}", "a quarter of the pairs is above"),
    ("cpu_us_per_message", lambda value: f"{value:.1f} µs", "processor time of the process with the bus"),
    ("baseline_cpu_us_per_message", lambda value: f"{value:.1f} µs", "processor time of the client"),
    ("p50_ms", lambda value: f"{value:.2f} ms", "both ways at low load, half of the messages"),
    ("p99_ms", lambda value: f"{value:.2f} ms", "and 99 in 100"),
)


def _draw(
    meanings: tuple[tuple[str, Callable[[float], str], str], ...],
    summary: Mapping[str, float | None],
    title: str,
    *,
    stderr: bool,
) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    for key, shown, meaning in meanings:
        if (value := summary[key]) is not None:
            table.add_row(key, shown(value), meaning)
    console(stderr=stderr).print(table)

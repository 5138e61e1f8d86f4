"""`sagabus demo`: the demonstration from the command line."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
from rich.console import Console

from sagabus.cli.demonstration.brokers import broker_at, check_survives
from sagabus.cli.demonstration.brokers import is_private as is_private_broker
from sagabus.cli.demonstration.demos import SERVICES, perform_orders, perform_replay, perform_services
from sagabus.cli.demonstration.event_log import Columns, EventLog, MalformedLogError, read_log
from sagabus.cli.demonstration.report import draw_paths, draw_result
from sagabus.cli.demonstration.session import Result, Setting
from sagabus.cli.demonstration.target import is_private, venue_at
from sagabus.cli.demonstration.worker_processes import WorkerEndedError
from sagabus.cli.output import Refused, console, emit_json, refusing

T = TypeVar("T")

_TERMINATED = 128 + signal.SIGTERM
_PATHS = 5
_RESTARTS = 2


_PLACES = """
Where to play:

\b
  --store sqlite:///demo.db          your file, which is kept
  --store postgresql://user@host/db  your server, in a new schema that is dropped afterwards
  --store mysql://user@host/db       your server, in new tables that are dropped afterwards
  --store postgresql:private         a private server, which is killed and restarted meanwhile
  --store mysql:private              the same, with MariaDB

A schema or prefix that the URL names (?schema=shop, ?prefix=shop_) is used and kept.

With --transport, sagas and handlers are two services, each with a place of its own there.
They talk through your broker, or through a private one that is killed and restarted meanwhile:

\b
  --transport amqp://user:password@host/virtual-host      or rabbitmq:private
  --transport nats://host                                 or nats:private
  --transport redis://host/0                              or redis:private
"""


@click.command(epilog=_PLACES)
@click.option("--orders", type=click.IntRange(min=1), default=300, show_default=True, help="How many orders to run.")
@click.option("--kills", type=click.IntRange(min=0), default=5, show_default=True, help="How many workers to kill.")
@click.option(
    "--restarts",
    type=click.IntRange(min=0),
    help="How often to kill or stop each private server, and start it again.  [default: 2 for a private server]",
)
@click.option("--seed", type=int, help="Repeat a demonstration: same orders, same copies.")
@click.option("--store", metavar="URL", help="Where to play; see below.  [default: a temporary SQLite file]")
@click.option("--transport", metavar="URL", help="Have two services talk through this broker; see below.")
@click.option(
    "--events", type=click.Path(path_type=Path), metavar="FILE.csv", help="Replay this event log instead of orders."
)
@click.option("--key", metavar="COLUMN", help="With --events: the column that names the case.")
@click.option("--type", "activity", metavar="COLUMN", help="With --events: the column that says what happened.")
@click.option(
    "--time", metavar="COLUMN", help="With --events: the column that orders the rows.  [default: as in the file]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def demo(  # noqa: PLR0913  # one parameter per option
    *,
    orders: int,
    kills: int,
    restarts: int | None,
    seed: int | None,
    store: str | None,
    transport: str | None,
    events: Path | None,
    key: str | None,
    activity: str | None,
    time: str | None,
    as_json: bool,
) -> None:
    """Publish orders up to three times, kill workers mid-work, and audit that every effect is there exactly once.

    Exit code 1 when anything was lost or doubled, or when no kill hit work in flight; 2 when it could not run.
    """
    log = _log(events, key, activity, time)
    if transport is not None and log is not None:
        raise Refused("--events replays a log in one service: leave --transport out")
    asked = _Asked(store, transport, orders, kills, restarts, secrets.randbelow(1_000_000) if seed is None else seed)
    with refusing():
        result = _run(_perform(asked, log))
    _report(result, log, as_json=as_json)
    if not result.is_good:
        raise SystemExit(1)


class _Asked(NamedTuple):
    store: str | None
    transport: str | None
    orders: int
    kills: int
    restarts: int | None
    seed: int


async def _perform(asked: _Asked, log: EventLog | None) -> Result:
    has_private = is_private(asked.store) or is_private_broker(asked.transport)
    if asked.restarts and not has_private:
        raise Refused(
            "--restarts is for a private server (--store postgresql:private, --transport rabbitmq:private): "
            "no other is ever restarted"
        )
    usual = _RESTARTS if has_private else 0
    if is_private_broker(asked.transport) and (usual if asked.restarts is None else asked.restarts):
        check_survives(asked.transport)
    services = SERVICES if asked.transport else ("",)
    with tempfile.TemporaryDirectory(prefix="sagabus-demo-") as folder:
        async with venue_at(asked.store, Path(folder), services) as venue:
            setting = Setting(
                venue=venue,
                folder=Path(folder),
                kills=asked.kills,
                restarts=usual if asked.restarts is None else asked.restarts,
                seed=asked.seed,
                console=console(stderr=True),
            )
            if asked.transport is not None:
                async with broker_at(asked.transport, venue) as broker:
                    return await perform_services(setting, asked.orders, broker)
            return await (perform_orders(setting, asked.orders) if log is None else perform_replay(setting, log))


def _log(events: Path | None, key: str | None, activity: str | None, time: str | None) -> EventLog | None:
    if events is None:
        if key or activity or time:
            raise Refused("--key, --type and --time go with --events FILE.csv")
        return None
    if not key or not activity:
        raise Refused("--events needs --key COLUMN and --type COLUMN")
    try:
        with refusing():
            return read_log(events, Columns(key, activity, time))
    except MalformedLogError as error:
        raise Refused(str(error)) from error


def _run(course: Coroutine[Any, Any, T]) -> T:
    """Run to the end, or to the first interrupt or SIGTERM; the workers are stopped in any case."""

    async def guarded() -> T:
        task = asyncio.ensure_future(course)
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise SystemExit(_TERMINATED) from None
    except WorkerEndedError as error:
        raise Refused(str(error)) from error


def _report(result: Result, log: EventLog | None, *, as_json: bool) -> None:
    out = console(stderr=as_json)
    draw_result(out, "The audit", _lines(result, log), good=result.audit.is_clean)
    if log is not None:
        draw_paths(out, log.paths().most_common(_PATHS))
    _complain(result, out)
    if as_json:
        emit_json({**result.figures(), **_log_figures(result, log)})


def _lines(result: Result, log: EventLog | None) -> list[tuple[str, object, str]]:
    audit, difference = result.audit, result.audit.difference
    events = [] if log is None else [("events", len(log.events), "rows of the file, in order of time")]
    order = [] if log is None else [("out of order", audit.out_of_order, "events applied after one that they precede")]
    hit = f"of the server, by SIGKILL or in good order; {result.restarts_mid_work} hit work in flight"
    restarts = [("restarts", result.restarts, hit)] if result.restarts else []
    done = "sagas that ended in the right state" if log is None else "sagas whose list of events equals the file's"
    return [
        ("orders" if log is None else "cases", result.orders, "sagas to run"),
        *events,
        (
            "published",
            result.published,
            f"{result.duplicates_sent} of them copies; {result.duplicates_dropped} dropped on entry",
        ),
        (
            "kills",
            result.kills,
            f"SIGKILL to a worker; {result.kills_mid_work} hit work in flight, {result.kills_mid_commit} a commit",
        ),
        *restarts,
        *_broker_lines(result),
        ("handler runs", result.runs, f"{result.interrupted} of them cut short by a kill, and run again"),
        ("completed", audit.completed, done),
        ("lost", difference.lost, "effects that are missing"),
        ("doubled", difference.doubled, "effects that are there too often"),
        ("phantom", difference.phantom, "rows that nothing should have written"),
        ("torn", audit.torn, "effects in one table and not in the other"),
        *order,
        ("left over", audit.left + len(audit.dead_letters), "messages or timers still stored, dead letters"),
        ("seconds", f"{result.seconds:.1f}", f"seed {result.seed}"),
    ]


def _broker_lines(result: Result) -> list[tuple[str, object, str]]:
    found = result.broker
    if found is None:
        return []
    hit = f"of the broker, by SIGKILL or in good order; {found.restarts_mid_work} hit work in flight"
    return [
        *([("broker restarts", found.restarts, hit)] if found.restarts else []),
        ("redelivered", found.redelivered, "messages that the broker handed out again"),
        ("dropped copies", found.dropped_copies, "messages from the broker that had taken effect already"),
    ]


def _log_figures(result: Result, log: EventLog | None) -> dict[str, object]:
    if log is None:
        return {}
    paths = log.paths()
    return {
        "cases": result.orders,
        "events": len(log.events),
        "out_of_order": result.audit.out_of_order,
        "paths": len(paths),
        "most_frequent_paths": [{"cases": count, "path": list(path)} for path, count in paths.most_common(_PATHS)],
    }


def _complain(result: Result, out: Console) -> None:
    for letter in result.audit.dead_letters[:10]:
        out.print(f"dead letter: {letter}", markup=False)
    if result.proves_nothing:
        out.print("[bold red]no kill, or no restart, hit work in flight, so this proves nothing: try more orders[/]")

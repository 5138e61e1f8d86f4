"""`sagabus run`: a worker as a process, which stops as a supervisor expects."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

import click

from sagabus.cli.listening import address, listening, look_at
from sagabus.cli.loading import load_bus
from sagabus.cli.opening import json_option
from sagabus.cli.output import Refused, emit_json
from sagabus.cli.process import own_process
from sagabus.cli.text import printable, time_text
from sagabus.clock import SystemClock
from sagabus.errors import StoreError
from sagabus.telemetry.fields import MessageFields
from sagabus.telemetry.json_lines import JsonLines
from sagabus.telemetry.line_handler import LineHandler
from sagabus.telemetry.text_lines import TextLines

if TYPE_CHECKING:
    from sagabus.bus import Bus


log = logging.getLogger("sagabus")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
_LEVELS = ("debug", "info", "warning", "error")


@click.command("run")
@click.argument("target", metavar="MODULE:BUS")
@click.option(
    "--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="What to log on stderr."
)
@click.option(
    "--log-format", type=click.Choice(("text", "json")), default="text", show_default=True, help="How to write the log."
)
@click.option(
    "--listen",
    callback=address,
    metavar="[HOST:]PORT",
    help="Answer /health/live, /health/ready and /metrics there by HTTP.",
)
@json_option
def run(target: str, log_level: str, log_format: str, listen: tuple[str, int] | None, *, as_json: bool) -> None:
    """Run a worker for MODULE:BUS until SIGTERM, SIGINT or SIGHUP.

    The worker waits for a database that is down at the start. The first signal stops it gracefully: it takes no more
    messages, lets running handlers finish within the grace period, and releases its lanes. A second signal ends it at
    once: in-flight work is rolled back and runs again elsewhere. --json prints one record at the start and one at the
    end. The log goes to stderr, unless the module sets up its own logging; with --log-format json, one JSON object is
    one line.

    Exit codes: 0 stopped gracefully, 2 could not run, 128 plus the signal's number after a second signal.
    """
    bus = load_bus(target)
    if not bus.definitions:
        raise Refused(f"{printable(target)} has no handler and no saga to run: pass them to the Bus")
    _log(log_level, log_format)
    own_process()
    asyncio.run(_serve(bus, target, listen, as_json=as_json))


async def _serve(bus: Bus, target: str, listen: tuple[str, int] | None, *, as_json: bool) -> None:
    asked = asyncio.Event()
    reasons: list[str] = []
    _listen(asyncio.get_running_loop(), asked, reasons)
    names = [definition.name for definition in bus.definitions]
    async with listening(bus, listen) as server:
        where = {} if server is None else {"listens": server.address}
        if await _open(bus, asked):
            async with bus:
                look_at(bus)
                _tell("started", target, as_json=as_json, pid=os.getpid(), subscriptions=names, **where)
                await asked.wait()
        _tell("stopped", target, as_json=as_json, pid=os.getpid(), signal=reasons[0])


async def _open(bus: Bus, asked: asyncio.Event) -> bool:
    """Open the bus as soon as its database answers; False if a signal came first."""
    pause = _FIRST_PAUSE
    while not asked.is_set():
        opening, stopping = asyncio.ensure_future(bus.open()), asyncio.ensure_future(asked.wait())
        await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not opening.done():
            opening.cancel()
            await asyncio.wait([opening])
            await bus.close()
            break
        error = opening.exception()
        if error is None:
            return True
        if not (isinstance(error, StoreError) and error.is_transient):
            raise error
        log.warning("cannot open the store, trying again in %.2g s: %s", pause, error)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await asked.wait()
        pause = min(2 * pause, _LONGEST_PAUSE)
    return False


def _log(level: str, form: str) -> None:
    """Lines of the application are written like ours. At DEBUG only ours are, for drivers write messages there."""
    root = logging.getLogger()
    if root.handlers or log.handlers:
        return
    handler = LineHandler()
    handler.addFilter(MessageFields())
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root.addHandler(handler)
    root.setLevel(max(logging.getLevelNamesMapping()[level.upper()], logging.INFO))
    log.setLevel(level.upper())


def _listen(loop: asyncio.AbstractEventLoop, asked: asyncio.Event, reasons: list[str]) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        if reasons:
            # Outside the loop: a handler that never returns would keep the loop from running this.
            sys.stdout.flush()
            os._exit(128 + number)
        name = signal.Signals(number).name
        reasons.append(name)
        loop.call_soon_threadsafe(asked.set)
        with suppress(OSError):  # said from here, since a handler may block the loop, and without a buffer's lock
            os.write(2, f"sagabus: {name}, stopping; send it again to stop at once\n".encode())

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)


def _tell(happened: str, target: str, *, as_json: bool, **details: object) -> None:
    if as_json:
        emit_json({"event": happened, "bus": target, "at": time_text(SystemClock().now()), **details})
    else:
        shown = ", ".join(f"{name} {value}" for name, value in details.items() if not isinstance(value, list))
        click.echo(f"{printable(target)} {happened} ({shown})")
    sys.stdout.flush()

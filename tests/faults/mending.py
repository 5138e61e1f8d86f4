"""Programs that mend one thing each, as somebody on call does, and what they leave in the store."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from tests.faults.application import bus_at
from tests.faults.oracle import found_in
from tests.support.databases import Database

from sagabus import Bus, Context, Linear, MendRefused, RetryPolicy, Saga, event, handler, starts, timer
from sagabus.clock import SECOND

DAY = 24 * 60 * 60 * SECOND
LATER = RetryPolicy(backoff=Linear(timedelta(days=5), step=timedelta(0), cap=timedelta(days=5)), jitter=False)
KEY = "A"
WHY = {"reason": "a phone call", "by": "ann"}


@event("faults.mended")
class Begin:
    key: str


@event("faults.fails")
class Fail:
    number: int


class Kept(Saga, name="kept", key="key", history=True):
    key: str
    total: int = 0

    @starts
    def begin(self, message: Begin, ctx: Context) -> None:
        ctx.set_timer("end", after=timedelta(days=30))

    @timer("end")
    def end(self, ctx: Context) -> None:
        ctx.complete()


@handler("failing", retry=LATER)
def failing(message: Fail) -> None:
    raise ValueError("not before somebody has repaired it")


@handler("hopeless", retry=RetryPolicy(attempts=1), parks=True)
def hopeless(message: Begin) -> None:
    raise ValueError("never")


async def bury(url: str, incarnation: int) -> None:
    """A dead letter that parks its key."""
    async with bus_at(url, incarnation, hopeless) as bus:
        await bus.publish(Begin(key=KEY), partition_key=KEY)
        await bus.idle()


async def discard(url: str, incarnation: int) -> None:
    """Discard it, and say what came of it."""
    bus = bus_at(url, incarnation, hopeless)
    await bus.open(worker=False)
    (letter,) = await bus.dead_letters.list(status=None)
    print(f"result: {(await bus.dead_letters.discard(letter.id, **WHY)).value}")
    await bus.close()


ACTS: dict[str, Callable[[Bus, int], Awaitable[object]]] = {
    "saga.patch": lambda bus, _: bus.mend.patch(Kept, KEY, {"total": 7}, version=1, **WHY),
    "saga.cancel": lambda bus, _: bus.mend.cancel(Kept, KEY, version=1, **WHY),
    "saga.complete": lambda bus, _: bus.mend.complete(Kept, KEY, version=1, fields={"total": 9}, **WHY),
    "message.retry": lambda bus, position: bus.mend.retry_now(position, **WHY),
    "message.cancel": lambda bus, position: bus.mend.cancel_message(position, **WHY),
    "timer.move": lambda bus, _: bus.mend.move_timer(Kept, KEY, "end", after=timedelta(days=90), **WHY),
    "timer.cancel": lambda bus, _: bus.mend.cancel_timer(Kept, KEY, "end", **WHY),
    "subscription.pause": lambda bus, _: bus.mend.pause("failing", **WHY),
    "subscription.resume": lambda bus, _: bus.mend.resume("failing", **WHY),
}
"""By their words in the audit log."""
_FILLED: dict[str, object] = {
    "saga": [(1, False, True, 0)],
    "history": [(1, "faults.mended")],
    "waits": [("end", 0, 30), ("faults.fails", 1, 5), ("faults.mended", 0, 1)],
    "paused": [],
}
_NO_TIMER = [("faults.fails", 1, 5), ("faults.mended", 0, 1)]


def _second(act: str, *, completed: bool = False, timers: bool = False, total: int = 0) -> dict[str, object]:
    """What is told of the second version of the instance."""
    history = [(1, "faults.mended"), (2, f"sagabus.{act}")]
    waits = {} if timers else {"waits": _NO_TIMER}
    return {**_FILLED, "saga": [(2, completed, timers, total)], "history": history, **waits}


MENDED: dict[str, dict[str, object]] = {
    "saga.patch": _second("saga.patch", timers=True, total=7),
    "saga.cancel": _second("saga.cancel", completed=True),
    "saga.complete": _second("saga.complete", completed=True, total=9),
    "message.retry": {**_FILLED, "waits": [("end", 0, 30), ("faults.fails", 1, 0), ("faults.mended", 0, 1)]},
    "message.cancel": {**_FILLED, "waits": [("end", 0, 30), ("faults.fails", 1, 5)]},
    "timer.move": {**_FILLED, "waits": [("end", 0, 90), *_NO_TIMER]},
    "timer.cancel": _second("timer.cancel"),
    "subscription.pause": {**_FILLED, "paused": ["failing"]},
    "subscription.resume": _FILLED,
}
"""What is told of the store then, by `told`."""
MENDED_AGAIN = "timer.move"
"""What is no less right for being done twice: it says so by another entry, and all others refuse."""


async def fill(url: str, incarnation: int) -> None:
    """An instance with a timer, a message that waits for its retry, and a scheduled one."""
    async with bus_at(url, incarnation, Kept, failing) as bus:
        await bus.publish_many([Begin(key=KEY), Fail(number=1)])
        await bus.idle()
        await bus.publish(Begin(key="B"), delay=timedelta(days=1))


async def mend(url: str, incarnation: int, act: str, position: int) -> None:
    """Mend, or say that it is refused; nothing else is done."""
    bus = bus_at(url, incarnation, Kept, failing)
    await bus.open(worker=False)
    try:
        await ACTS[act](bus, position)
    except MendRefused as error:
        print(f"refused: {error}")
    await bus.close()


async def erase(url: str, incarnation: int) -> None:
    """Erase all of the instance's key, with what is not done."""
    bus = bus_at(url, incarnation, Kept, failing)
    await bus.open(worker=False)
    await bus.mend.erase(key=KEY, live=True, **WHY)
    await bus.close()


def position_for(database: Database, act: str) -> int:
    """Of the message that the act is about; 0 where it is about none."""
    wanted = {"message.retry": "faults.fails", "message.cancel": "faults.mended"}.get(act)
    found = found_in(database, "envelope", "position, message_type, timer")
    return next((position for position, kind, name in found if kind == wanted and name is None), 0)


def stored(database: Database) -> dict[str, object]:
    """All that mending can change, to the letter."""
    return {
        table: sorted(found_in(database, table), key=repr) for table in ("instance", "history", "envelope", "paused")
    }


def told(database: Database) -> dict[str, object]:
    """The same in words that are the same in every run: times in days from now."""
    now = time.time_ns() // 1_000
    instances = found_in(database, "instance", "version, completed_at IS NOT NULL, timers, state")
    waits = found_in(database, "envelope", "message_type, timer, attempt, due_at")
    return {
        "saga": [
            (version, bool(end), bool(timers), json.loads(state)["total"]) for version, end, timers, state in instances
        ],
        "history": sorted(found_in(database, "history", "version, message_type")),
        "waits": sorted(
            (timer or kind, attempt, max(round((due - now) / DAY), 0)) for kind, timer, attempt, due in waits
        ),
        "paused": [row[0] for row in found_in(database, "paused", "channel")],
    }


def verbs(database: Database) -> list[str]:
    """What the audit log says was done."""
    return sorted(row[0] for row in found_in(database, "audit", "verb"))

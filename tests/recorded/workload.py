"""An application that leaves something of everything in its store, and what has to come of it.

`leave` is run once for each release, when its store is recorded; `finish` on each recording by every release after it.
So what is declared here is only ever added to: a message or a saga of a recording has to be understood for ever.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Literal

from sagabus import (
    Bus,
    Context,
    Deduplication,
    Linear,
    RetryPolicy,
    Saga,
    Transition,
    event,
    handler,
    handles,
    starts,
    timer,
)
from sagabus.store import ReplayResult
from sagabus.testing import Harness

START = datetime(2030, 1, 1, tzinfo=UTC)
"""When the recorded application began to work."""
RECORDED = START + timedelta(days=8, minutes=10)
"""Shortly after it was killed: its lease has ended, and nothing that waits for its time is due."""
HOURLY = RetryPolicy(backoff=Linear(timedelta(hours=1), step=timedelta(0)), jitter=False)
ONCE = RetryPolicy(attempts=1)

present = SimpleNamespace(cured=False)
"""Whether what fails while recording works by now."""


@event("recorded.opened")
class Opened:
    account: str


@event("recorded.moved")
class Moved:
    account: str
    amount: int


@event("recorded.closed")
class Closed:
    account: str


@event("recorded.noted")
class Noted:
    key: str
    number: int


@event("recorded.tried")
class Tried:
    key: str
    number: int


@event("recorded.parked")
class Parked:
    key: str
    number: int


@event("recorded.broken")
class Broken:
    number: int


@event("recorded.charged")
class Charged:
    order: str
    number: int


@event("recorded.done")
class Done:
    what: str
    number: int


class Account(Saga, name="accounts", key="account", history=True):
    account: str
    status: Literal["open", "reminded", "closed"] = "open"
    moves: list[int] = field(default_factory=list)

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        ctx.set_timer("reminder", after=timedelta(hours=1))

    @handles
    def moved(self, message: Moved) -> None:
        self.moves.append(message.amount)

    @handles
    def closed(self, message: Closed, ctx: Context) -> None:
        self.status = "closed"
        ctx.complete()

    @timer("reminder")
    def remind(self) -> None:
        self.status = "reminded"


class Journal(Saga, name="journal", key="what"):
    """What handlers have done, in order: an effect that is lost, doubled or late shows."""

    what: str
    numbers: list[int] = field(default_factory=list)

    @starts
    def done(self, message: Done) -> None:
        self.numbers.append(message.number)


def _fail_or_tell(what: str, number: int, ctx: Context) -> None:
    if not present.cured:
        raise ValueError("not yet")
    ctx.publish(Done(what=what, number=number))


@handler("notes", key="key")
def note(message: Noted, ctx: Context) -> None:
    ctx.publish(Done(what=f"notes of {message.key}", number=message.number))


@handler("stubborn", key="key", retry=HOURLY)
def insist(message: Tried, ctx: Context) -> None:
    _fail_or_tell("stubborn", message.number, ctx)


@handler("parking", key="key", retry=ONCE, parks=True)
def park(message: Parked, ctx: Context) -> None:
    _fail_or_tell("parking", message.number, ctx)


@handler("fragile", retry=ONCE)
def drop(message: Broken, ctx: Context) -> None:
    _fail_or_tell("fragile", message.number, ctx)


@handler("charging", key="order", deduplication=Deduplication(field="order"))
def charge(message: Charged, ctx: Context) -> None:
    ctx.publish(Done(what="charging", number=message.number))


DEFINITIONS = (Account, Journal, note, insist, park, drop, charge)


async def leave(harness: Harness, url: str) -> None:
    """Work for a week and more, and be killed in the middle."""
    async with harness:
        await harness.publish(Opened(account="ancient"))
        await harness.publish(Closed(account="ancient"))
        await harness.advance(timedelta(days=8))
        await harness.bus.purge()
        await harness.publish(Opened(account="ancient"), message_id="late", sent_at=START)
        await _fill(harness)
        await _close_letters(harness)
        await harness._running.abandon()
        others = Bus(url, clock=harness.clock)
        await others.open(worker=False)
        await others.publish_many([(Noted(key=f"K{n % 3}", number=n), f"ready-{n}") for n in range(9)])
        await others.close()
        # As if it were gone: it gives nothing back.
        harness.bus._worker = harness.bus._housekeeping = None


async def _fill(harness: Harness) -> None:
    await harness.publish(Opened(account="A1"), message_id="opened-A1")
    await harness.publish(Moved(account="A1", amount=5))
    await harness.publish(Opened(account="A2"))
    await harness.publish(Closed(account="A2"))
    for amount in (1, 2):
        await harness.publish(Moved(account="A3", amount=amount))  # before its saga
    for number in (1, 2):
        await harness.publish(Tried(key="S", number=number))
        await harness.publish(Parked(key="P", number=number))
        await harness.publish(Charged(order="O1", number=number), message_id=f"charged-{number}")
    for number in (1, 2, 3):
        await harness.publish(Broken(number=number))
    await harness.publish(Noted(key="K0", number=100), delay=timedelta(hours=2))


async def _close_letters(harness: Harness) -> None:
    first, second, _ = await harness.dead_letters("fragile")
    await harness.bus.dead_letters.discard(first.id, reason="a test")
    present.cured = True
    await harness.bus.dead_letters.replay(second.id, reason="a test")
    await harness.idle()
    present.cured = False


async def finish(harness: Harness) -> dict[str, Any]:
    """Go on where the recorded application was killed, and do all there is; what has come of it."""
    present.cured = True
    async with harness:
        await harness.idle()
        again = await harness.publish(Opened(account="A1"), message_id="opened-A1")
        await harness.publish(Charged(order="O1", number=3))
        await harness.publish(Opened(account="A3"))
        await harness.advance(timedelta(hours=3))
        replayed = Counter(
            [await harness.bus.dead_letters.replay(each.id, reason="a test") for each in await harness.dead_letters()]
        )
        await harness.idle()
        accounts = await harness.bus.sagas.list(Account)
        return {
            "copy": dict(again.subscriptions),
            "replayed": dict(replayed),
            "accounts": {each.key: (each.status, each.completed, each.state.moves) for each in accounts},
            "last recorded": {key: _last(await harness.history(Account, key)) for key in ("A1", "A3")},
            "journal": {each.key: each.state.numbers for each in await harness.bus.sagas.list(Journal)},
            "letters": sorted((each.envelope.channel, each.reason) for each in await harness.dead_letters()),
            "waiting": {
                each.channel: each.ready + each.scheduled + each.timers + each.retrying + each.stashed + each.held
                for each in await harness.bus.counts()
            },
        }


def _last(history: list[Transition]) -> tuple[str | None, str | None, Any]:
    return history[-1].timer, history[-1].status, history[-1].state["moves"]


EXPECTED: dict[str, Any] = {
    "copy": {"accounts": "duplicate"},
    "replayed": {ReplayResult.DONE: 2, ReplayResult.TOO_OLD: 1},
    "accounts": {
        "A1": ("reminded", False, [5]),
        "A2": ("closed", True, []),
        "A3": ("reminded", False, [1, 2]),
    },
    "last recorded": {"A1": ("reminder", "reminded", [5]), "A3": ("reminder", "reminded", [1, 2])},
    "journal": {
        "charging": [1],
        "fragile": [2, 3],
        "notes of K0": [0, 3, 6, 100],
        "notes of K1": [1, 4, 7],
        "notes of K2": [2, 5, 8],
        "parking": [1, 2],
        "stubborn": [1, 2],
    },
    "letters": [("accounts", "too old: stamped before the de-duplication horizon")],
    "waiting": dict.fromkeys(("accounts", "charging", "fragile", "journal", "notes", "parking", "stubborn"), 0),
}

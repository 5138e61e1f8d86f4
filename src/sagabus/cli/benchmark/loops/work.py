"""What every hand-written loop does for a batch of messages: take them, load and change their sagas, send follow-ups.

Nothing of the engine is in it, no routing, retry, timer or isolation of failures: a ceiling, not a competitor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from sagabus.cli.benchmark.costs import Costs

BATCH = 100
SINGLE = 500
STEPS = 3
WARM_UP = 300
PROBES = 100
"""Messages at low load."""
PAUSE = 0.004
"""Seconds between two of them: long enough that nothing waits, and that processors and disks have come to rest."""


class Message(msgspec.Struct):
    """The body of every message."""

    order_id: str
    amount: int


class State(msgspec.Struct):
    """The state of an order."""

    order_id: str
    amount: int
    status: str = "awaiting_payment"
    steps: int = 0


class LoopFigures(msgspec.Struct, frozen=True):
    """What one round of the loop came to."""

    batched_per_second: float
    single_per_second: float
    single_latencies: list[float]
    """Seconds that each message took at low load, in a commit of its own."""
    costs: Costs
    """Of a message in a batch."""


Taken: TypeAlias = tuple[int, str, str, str, str, str | None]
"""position, message id, message type, key, body, conversation."""
Stored: TypeAlias = tuple[int, str]
"""version, state."""

# Message type: the follow-up, its channel, and the status that the step leads to.
_NEXT = {
    "bench.submitted": ("bench.capture", "orders", "awaiting_payment"),
    "bench.capture": ("bench.ship", "orders", "awaiting_shipment"),
    "bench.ship": ("bench.completed", "ledger", "completed"),
}
_message = msgspec.json.Decoder(Message).decode
_state = msgspec.json.Decoder(State).decode
_encode = msgspec.json.Encoder().encode


class Done(NamedTuple):
    """The rows that a batch comes to."""

    removed: list[int]
    saved: list[tuple[object, ...]]
    added: list[tuple[object, ...]]


def step(taken: Sequence[Taken], stored: Mapping[str, Stored], now: int) -> Done:
    """Handle one batch; every key stands in it once: an order's next message comes with the commit of the last."""
    done = Done([], [], [])
    for position, message_id, message_type, key, body, correlation_id in taken:
        message = _message(body)
        follow_up, channel, status = _NEXT[message_type]
        found = stored.get(key)
        version, state = (found[0], _state(found[1])) if found else (0, State(key, message.amount))
        state.status = status
        state.steps += 1
        ended = now if status == "completed" else None
        sent = _encode(Message(key, message.amount)).decode()
        sent_id, conversation = f"{message_id[:31]}{state.steps}", correlation_id or message_id
        done.removed.append(position)
        done.saved.append(("orders", key, version + 1, version, _encode(state).decode(), status, None, ended, now, now))
        done.added.append(
            (channel, 0, 0, sent_id, follow_up, key, sent, None, conversation, message_id, now, 0, None, None, 0, 0)
        )
    return done


async def rest(paced: list[float] | None, began: float | None = None) -> float:
    """Between two commits at low load: note what the last one took, and pause. When the next one begins."""
    if paced is not None:
        if began is not None:
            paced.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)
    return time.perf_counter()


def orders(name: str, sagas: int) -> list[tuple[object, ...]]:
    """The rows of so many orders that wait."""
    now = instant()
    rows: list[tuple[object, ...]] = []
    for number in range(sagas):
        key = f"{name}-{number}"
        body, message_id = _encode(Message(key, number)).decode(), f"{name:-<16}{number:016}"
        rows.append(
            ("orders", 0, 0, message_id, "bench.submitted", key, body, None, None, None, now, 0, None, None, 0, 0)
        )
    return rows


def instant() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000

"""Changing the number of lanes, and fencing them.

A change of the number sends every envelope to its new lane and fences in-flight work. `fence_all` only fences: a store
that lost commits needs no other number.
"""

from __future__ import annotations

from sagabus.envelope import lane_of
from sagabus.failpoint import hit
from sagabus.store.upkeep import Divided
from sagabus.stores.lane_shares import BEYOND_LOST
from sagabus.stores.sql import leasing
from sagabus.stores.sql.damage import readable
from sagabus.stores.sql.steps import Query, Steps
from sagabus.stores.suspicion import Suspicion, across, loud_of

_AT_ONCE = 2_000
"""How many envelopes one step reads, so that memory does not depend on the length of the queue."""


def divide(lanes: int, now: int) -> Steps[Divided]:
    """Divide every channel into another number of lanes, in the caller's open transaction.

    Publishing and committing lock the routing, and leasing locks lanes. This call waits for all of them, and they wait
    for it.
    """
    yield Query("lock_routing")
    yield Query("put_lanes", (lanes,))
    before: int = (yield Query("lanes_setting")).value
    if before == lanes:
        return Divided(before, lanes)
    channels = yield from _lock_all_lanes()
    hit("divide.begun")
    suspects: dict[str, Suspicion] = {}
    for channel in channels:
        suspects[channel] = yield from _suspects(channel, now)
    moved = yield from _move(lanes)
    for channel in channels:
        yield from _make_lanes(channel, lanes, suspects[channel])
    yield Query("set_lanes", (lanes,))
    yield Query("raise_routing", (1,))
    yield Query("raise_crew", (1,))
    hit("divide.before_commit")
    return Divided(before, lanes, moved)


def fence_all() -> Steps[int]:
    """Fence all lanes, in the caller's open transaction; returns their number.

    Lanes keep their owners: live workers stay alive, and a take-over finds what a crashed worker had in flight.
    """
    yield Query("lock_routing")
    yield from _lock_all_lanes()
    lanes = (yield Query("raise_epochs", (BEYOND_LOST,))).changed
    yield Query("raise_routing", (BEYOND_LOST,))
    yield Query("raise_crew", (BEYOND_LOST,))
    return lanes


def _lock_all_lanes() -> Steps[list[str]]:
    """Lock in the order in which leasing locks; returns the channels."""
    channels: list[str] = [row[0] for row in (yield Query("channels_with_lanes")).rows]
    for channel in channels:
        yield Query("lock_lanes", (channel,))
    return channels


def _suspects(channel: str, now: int) -> Steps[Suspicion]:
    """Up to which position crashed workers may have had envelopes of a channel in flight, over all lanes."""
    marks = (yield Query("marks_of_lanes", (channel,))).rows
    found = [Suspicion.of(until, keys) for _, until, keys in marks]
    for lane, is_abandoned, held, loud, *_ in (yield Query("free_lanes", (channel, now))).rows:
        if is_abandoned:
            found.append((yield from leasing.suspects(channel, lane, now, window=held, loud=loud_of(loud))))
    return across(found)


def _move(lanes: int) -> Steps[int]:
    """Send envelopes to their new lanes, a bounded number at once; returns how many moved."""
    moved = after = 0
    while found := (yield Query("page_of_lanes", (after, _AT_ONCE))).rows:
        after = found[-1][0]
        going = [(position, new) for position, lane, key in found if (new := lane_of(readable(key), lanes)) != lane]
        if going:
            yield Query("move_envelopes", rows=going)
            moved += len(going)
        hit("divide.moved")
    return moved


def _make_lanes(channel: str, lanes: int, suspicion: Suspicion) -> Steps[None]:
    """Make all lanes with one epoch that no lane of the channel ever had. Lane 0 always exists and has the maximum."""
    epoch: int = max(row[0] for row in (yield Query("marks_of_lanes", (channel,))).rows)
    yield from leasing.add_lanes(channel, lanes)
    yield Query("drop_lanes", (channel, lanes))
    yield Query("begin_lanes", (channel, epoch + 1, suspicion.until, suspicion.text))

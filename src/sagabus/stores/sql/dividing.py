"""The number of lanes, changed: every envelope goes to its new lane, and what is in anybody's hands is fenced off.

And lanes that begin anew where they are, in a store that knows of less than it did: then for that fence alone.
"""

from __future__ import annotations

from sagabus.envelope import lane_of
from sagabus.failpoint import hit
from sagabus.stores.lane_shares import BEYOND_LOST
from sagabus.stores.sql import leasing
from sagabus.stores.sql.damage import readable
from sagabus.stores.sql.steps import Query, Steps
from sagabus.stores.suspicion import Suspicion, across, loud_of
from sagabus.upkeep import Divided

_AT_ONCE = 2_000
"""Envelopes looked at together: the memory that this takes does not depend on how many there are."""


def divide(lanes: int, now: int) -> Steps[Divided]:
    """Divide every channel anew, in the caller's open transaction. Whoever sends or commits holds the routing, and
    whoever leases holds lanes: both are waited for, and wait.
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


def begin_anew() -> Steps[int]:
    """Have all lanes begin anew, in the caller's open transaction; how many there are.

    They keep their owners: those are as alive as before, and what the dead had in hand is found when it is taken over.
    """
    yield Query("lock_routing")
    yield from _lock_all_lanes()
    lanes = (yield Query("raise_epochs", (BEYOND_LOST,))).changed
    yield Query("raise_routing", (BEYOND_LOST,))
    yield Query("raise_crew", (BEYOND_LOST,))
    return lanes


def _lock_all_lanes() -> Steps[list[str]]:
    """In the order of those who lease; their channels."""
    channels: list[str] = [row[0] for row in (yield Query("channels_with_lanes")).rows]
    for channel in channels:
        yield Query("lock_lanes", (channel,))
    return channels


def _suspects(channel: str, now: int) -> Steps[Suspicion]:
    """Up to where envelopes of a channel may have been in the hands of the dead: they may come into any lane now."""
    marks = (yield Query("marks_of_lanes", (channel,))).rows
    found = [Suspicion.of(until, keys) for _, until, keys in marks]
    for lane, is_abandoned, held, loud, *_ in (yield Query("free_lanes", (channel, now))).rows:
        if is_abandoned:
            found.append((yield from leasing.suspects(channel, lane, now, window=held, loud=loud_of(loud))))
    return across(found)


def _move(lanes: int) -> Steps[int]:
    """Send envelopes to their new lanes, a bounded number at once; how many went."""
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
    """All with one epoch that no lane of the channel ever had: lane 0 is always there to know it by."""
    epoch: int = max(row[0] for row in (yield Query("marks_of_lanes", (channel,))).rows)
    yield from leasing.add_lanes(channel, lanes)
    yield Query("drop_lanes", (channel, lanes))
    yield Query("begin_lanes", (channel, epoch + 1, suspicion.until, suspicion.text))

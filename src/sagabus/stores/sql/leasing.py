"""Who owns which lanes: shared evenly among live workers, taken over from dead ones, fenced by epochs.

Each change of the workers, or of the lanes without an owner, raises a number that every fetch reads. So the others
learn at once that lanes must be shared again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sagabus.store import Lane
from sagabus.store.loud import Loud
from sagabus.store.running import Running
from sagabus.stores.lane_shares import Crew, knowledge, share_of
from sagabus.stores.process import own_version
from sagabus.stores.running_text import running_text
from sagabus.stores.sql.loud_keys import padded
from sagabus.stores.sql.steps import Query, Steps
from sagabus.stores.suspicion import Suspicion, keys_of, loud_of, loud_text


def add_lanes(channel: str, lanes: int) -> Steps[None]:
    """Make a channel's lanes unless it has them."""
    yield Query("add_lanes", rows=[(channel, lane) for lane in range(lanes)])


def lease(
    worker: str,
    channels: Sequence[str],
    now: int,
    *,
    duration: int,
    window: int,
    lanes: int,
    patient: bool = False,
    clock: Callable[[], int] | None = None,
    knows: Mapping[str, Sequence[str]] | None = None,
) -> Steps[list[Lane]]:
    """Renew, share out and take over, in the caller's open transaction; all lanes that the worker owns afterwards.

    `now`: when it was asked to. By the clock, a worker sees that it waited half a lease for this call. Others had to
    wait as well, so it takes no lane from them.
    """
    asked, (now, patient) = now, _after_waiting(clock, now, duration, patient=patient)
    types = {channel: knowledge((knows or {}).get(channel)) for channel in channels}
    if (yield from _renewed(worker, types, now, duration=duration, window=window)):
        return (yield from _owned(worker))
    is_new = not (yield Query("knows_worker", (worker,))).rows
    number = 0
    for channel in sorted(channels):
        # One worker at a time leases lanes of a channel: what is counted here must not change meanwhile.
        held = (yield Query("lock_lanes", (channel,))).rows
        now, patient = _after_waiting(clock, asked, duration, patient=patient)
        number = yield from _made(channel, number, lanes=lanes, are_there=bool(held))
        yield Query("alive", (worker, channel, now + duration, duration, types[channel], own_version()))
        share = yield from _due(worker, channel, now, lanes=number, knows=types[channel])
        shed = yield from _share(worker, channel, now, duration=duration, window=window, share=share, patient=patient)
        is_new = is_new or shed
    if (not patient and (yield from _forget_the_dead(now))) or is_new:
        yield Query("raise_crew", (1,))
    return (yield from _owned(worker))


def _made(channel: str, number: int, *, lanes: int, are_there: bool) -> Steps[int]:
    """How many lanes the channel has, once it has any."""
    if not are_there:
        yield Query("routing")  # held: there is nothing else to hold on to
        yield Query("put_lanes", (lanes,))
    if not number:
        # Not before: a change of the number of lanes locks all lanes of a channel.
        number = (yield Query("lanes_setting")).value or lanes
    if not are_there:
        yield from add_lanes(channel, number)
    return number


def _due(worker: str, channel: str, now: int, *, lanes: int, knows: str | None) -> Steps[int]:
    """How many lanes of a channel the worker should have."""
    crews = [Crew(*row) for row in (yield Query("live_crews", (channel, now, worker))).rows]
    return share_of(channel, lanes, knows, crews)


def _after_waiting(clock: Callable[[], int] | None, asked: int, duration: int, *, patient: bool) -> tuple[int, bool]:
    now = asked if clock is None else clock()
    return now, patient or now - asked > duration // 2


def _forget_the_dead(now: int) -> Steps[bool]:
    """Whether there were any. Last, and past rows that are locked. A worker that is late with its renewal locks its
    lanes and then its own row. A worker that locks them in the other order would wait for it, and it for that worker.
    """
    dead = (yield Query("dead_workers", (now,))).rows
    for worker, channel in dead:
        yield Query("forget_dead_worker", (worker, channel))
    return bool(dead)


def _renewed(worker: str, types: Mapping[str, str | None], now: int, *, duration: int, window: int) -> Steps[bool]:
    """Renew all at once if no lanes must be shared again: most of the time."""
    standing = (yield Query("standing", (worker, now))).rows
    crews: dict[tuple[str, int, int, int], list[Crew]] = {}
    for channel, lanes, owned, free, *crew in standing:
        crews.setdefault((channel, lanes, owned, free), []).append(Crew(*crew))
    if {channel for channel, *_ in crews} != set(types):
        return False
    if not all(_is_settled(*place, share_of(*place[:2], types[place[0]], found)) for place, found in crews.items()):
        return False
    if (yield Query("renew_worker", (worker, now + duration, duration))).changed != len(crews):
        return False  # taken for dead meanwhile
    # In the order in which others lock them, so that no two wait for one another.
    yield Query("lock_own", (worker,))
    yield Query("renew_all", (worker, now + duration, window, duration))
    return True


def _is_settled(channel: str, lanes: int, owned: int, free: int, share: int) -> bool:
    return owned == share or (owned < share and not free)


def _share(
    worker: str, channel: str, now: int, *, duration: int, window: int, share: int, patient: bool
) -> Steps[bool]:
    """Whether it gave lanes up."""
    owned: int = (yield Query("renew", (channel, worker, now + duration, window, duration))).changed
    if owned > share:
        yield Query("shed_lanes", (channel, worker, owned - share))
        return True
    free = (yield Query("free_lanes", (channel, now))).rows
    if patient:
        free = [row for row in free if not row[1]]
    wanted = free[: share - owned]
    abandoned = [row for row in wanted if row[1]]
    if len(abandoned) < len(wanted):
        left = len(wanted) - len(abandoned)
        yield Query("take_free", (channel, worker, now + duration, window, duration, left))
    for lane, _, held, loud, until, keys in abandoned:
        found = yield from suspects(channel, lane, now, window=held, loud=loud_of(loud))
        suspicion = Suspicion.of(until, keys).joined(found)
        marks = (suspicion.until, duration, suspicion.text)
        yield Query("take_lane", (channel, lane, worker, now + duration, window, *marks))
    return False


def renew(worker: str, now: int, *, duration: int) -> Steps[None]:
    """Renew what a worker still owns, in the caller's open transaction. Locked rows are skipped. This waits for no
    lock, so no circle of waiting can arise, and no worker takes over a locked lane meanwhile.
    """
    registrations = (yield Query("own_registrations", (worker,))).rows
    if registrations:
        yield Query("extend_registrations", (worker, now + duration, duration), [(row[0],) for row in registrations])
    places = (yield Query("own_places", (worker,))).rows
    if places:
        yield Query("extend_lanes", (worker, now + duration, duration), [(row[0], row[1]) for row in places])


def suspects(channel: str, lane: int, now: int, *, window: int, loud: Sequence[str]) -> Steps[Suspicion]:
    """What a dead owner of a lane may have had in flight, with its loud keys."""
    if not loud:
        return Suspicion((yield Query("suspects", (channel, lane, window, now))).value)
    until: int = (yield Query("suspects_past_loud", (channel, lane, window, now, *padded(loud)))).value
    keys: dict[str, int] = {}
    for key in loud:
        keys[key] = (yield Query("suspects_of_key", (channel, lane, window, key))).value
    return Suspicion(until, keys)


def note_loud(worker: str, loud: Sequence[Loud]) -> Steps[bool]:
    """Note loud keys, in the caller's open transaction; whether all lanes are the worker's as it knows them."""
    owned = {(lane.channel, lane.lane): lane.epoch for lane in (yield from _lock_own(worker))}
    if any(owned.get((each.channel, each.lane)) != each.epoch for each in loud):
        return False
    for each in loud:
        yield Query("note_loud", (each.channel, each.lane, loud_text(each.keys)))
    return True


def note_running(worker: str, running: Mapping[str, Sequence[Running]], now: int) -> Steps[None]:
    """Note which runs last, in the caller's open transaction."""
    for channel, runs in sorted(running.items()):
        yield Query("note_running", (worker, channel, running_text(runs, now)))


def leave(worker: str, keeping: Sequence[Lane], now: int, *, duration: int, window: int) -> Steps[None]:
    """Give back all lanes but some and count no longer, in the caller's open transaction."""
    owned = yield from _lock_own(worker)
    kept = {(lane.channel, lane.lane, lane.epoch) for lane in keeping}
    yield Query("forget_worker", (worker,))
    for lane in owned:
        if (lane.channel, lane.lane, lane.epoch) not in kept:
            yield Query("release_lane", (lane.channel, lane.lane, worker, lane.epoch))
    for channel in sorted({lane.channel for lane in keeping}):
        yield Query("renew", (channel, worker, now + duration, window, duration))
    yield Query("raise_crew", (1,))


def release(worker: str, lanes: Sequence[Lane] | None) -> Steps[None]:
    """Give lanes back, in the caller's open transaction."""
    yield from _lock_own(worker)
    if lanes is None:
        yield Query("release_all", (worker,))
        yield Query("forget_worker", (worker,))
    for lane in lanes or ():
        yield Query("release_lane", (lane.channel, lane.lane, worker, lane.epoch))
    yield Query("raise_crew", (1,))


def _owned(worker: str) -> Steps[list[Lane]]:
    owned = (yield Query("owned_lanes", (worker,))).rows
    return [Lane(channel, lane, epoch, until, keys_of(keys)) for channel, lane, epoch, until, keys in owned]


def _lock_own(worker: str) -> Steps[list[Lane]]:
    """In the order of `lease`, and before anything else, so that no two wait for one another."""
    for channel in sorted({lane.channel for lane in (yield from _owned(worker))}):
        yield Query("lock_lanes", (channel,))
    return (yield from _owned(worker))

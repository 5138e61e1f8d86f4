"""Which channel receives which message type: rows that all processes share; their version rises with each change."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sagabus.errors import ConfigurationError
from sagabus.failpoint import hit
from sagabus.store import Routing, Subscription
from sagabus.stores.sql import leasing
from sagabus.stores.sql.steps import Query, Steps

_decode = msgspec.json.Decoder(Subscription).decode


def read() -> Steps[Routing]:
    """The routing as the connection's transaction sees it."""
    meta = {row[0]: row[1] for row in (yield Query("meta")).rows}
    found = (yield Query("subscriptions")).rows
    paused = tuple(row[0] for row in (yield Query("paused")).rows)
    return Routing(meta["routing"], meta.get("lanes", 0), tuple(_decode(row[0]) for row in found), paused)


def register(subscriptions: Sequence[Subscription], lanes: int) -> Steps[Routing]:
    """Add subscriptions, in the caller's open transaction. If nothing is new, this waits for no other transaction.
    Transactions that have used the routing lock it, and may take long.
    """
    wanted = {(each.message_type, each.channel): msgspec.json.encode(each).decode() for each in subscriptions}
    known = yield from _known()
    if wanted.items() <= known.items() and (not wanted or (yield Query("lanes_setting")).value is not None):
        hit("register.before_commit")
        return (yield from read())
    yield Query("lock_routing")
    yield Query("put_lanes", (lanes,))
    lanes = (yield Query("lanes_setting")).value
    problems: list[str] = []
    for subscription in subscriptions:
        problem = yield from _taken(subscription)
        if problem:
            problems.append(problem)
    problems += _given_twice(subscriptions)
    if problems:
        raise ConfigurationError(*problems)
    known = yield from _known()
    changed = 0
    for subscription in sorted(subscriptions, key=lambda each: (each.channel, each.message_type)):
        place = (subscription.message_type, subscription.channel)
        if known.get(place) != wanted[place]:
            yield Query("put_subscription", (*place, wanted[place]))
            changed += 1
        yield from leasing.add_lanes(subscription.channel, lanes)
        # Always there, so that a transaction that relies on it can lock it.
        yield Query("raise_horizon", (subscription.channel, 0))
    if changed:
        yield from _raise()
    hit("register.before_commit")
    return (yield from read())


def unregister(channel: str, message_type: str) -> Steps[Routing]:
    """Remove one subscription, in the caller's open transaction."""
    yield Query("lock_routing")
    if (yield Query("drop_subscription", (channel, message_type))).changed:
        yield from _raise()
    return (yield from read())


def identity(fresh: int, *, renew: bool) -> Steps[int]:
    """The number of this store, in the caller's open transaction; the fresh one where it has none, or renews it."""
    yield Query("put_identity", (fresh,))
    if renew:
        yield Query("set_identity", (fresh,))
    return int((yield Query("identity")).value)


def known_identity(fresh: int) -> Steps[int]:
    """The same, without keeping the fresh one."""
    known = (yield Query("identity")).value
    return fresh if known is None else int(known)


def _raise() -> Steps[None]:
    """A new version, of which every worker hears with its next fetch."""
    yield Query("raise_routing", (1,))
    yield Query("raise_crew", (1,))


def _known() -> Steps[dict[tuple[str, str], str]]:
    return {(row[1], row[2]): row[0] for row in (yield Query("subscriptions")).rows}


def _given_twice(subscriptions: Sequence[Subscription]) -> list[str]:
    receivers: dict[str, set[str]] = {}
    for subscription in subscriptions:
        if subscription.kind == "command":
            receivers.setdefault(subscription.message_type, set()).add(subscription.channel)
    return [
        f"command {name!r} would have {len(channels)} receivers: {', '.join(sorted(channels))}; it must have one"
        for name, channels in receivers.items()
        if len(channels) > 1
    ]


def _taken(subscription: Subscription) -> Steps[str | None]:
    if subscription.kind != "command":
        return None
    other = (yield Query("other_receiver", (subscription.message_type, subscription.channel))).value
    if other is None:
        return None
    return (
        f"command {subscription.message_type!r} would have two receivers: {other!r} has it in this store, "
        f"{subscription.channel!r} asks for it; remove the old subscription first if it has moved"
    )

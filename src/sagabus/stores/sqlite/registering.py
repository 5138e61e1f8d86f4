"""Which channel receives which message type: rows that all processes share; their version rises with each change."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sagabus.errors import ConfigurationError
from sagabus.failpoint import hit
from sagabus.store import Routing, Subscription
from sagabus.stores.sqlite import leasing
from sagabus.stores.sqlite.driver import Driver, Statements

_decode = msgspec.json.Decoder(Subscription).decode
_PUT = """
INSERT INTO sagabus_subscription (message_type, channel, definition) VALUES (?1, ?2, ?3)
ON CONFLICT (message_type, channel) DO UPDATE SET definition = excluded.definition
WHERE definition <> excluded.definition
"""
_RISE = "UPDATE sagabus_meta SET value = value + 1 WHERE name = 'routing'"


def read(connection: Statements) -> Routing:
    """The routing as the connection's transaction sees it."""
    meta = {row[0]: row[1] for row in connection.execute("SELECT name, value FROM sagabus_meta")}
    found = connection.execute("SELECT definition FROM sagabus_subscription ORDER BY message_type, channel")
    return Routing(meta["routing"], meta.get("lanes", 0), tuple(_decode(row[0]) for row in found))


def register(connection: Driver, subscriptions: Sequence[Subscription], lanes: int) -> Routing:
    """Add subscriptions, in the caller's open transaction."""
    connection.execute(
        "INSERT INTO sagabus_meta (name, value) VALUES ('lanes', ?) ON CONFLICT (name) DO NOTHING", (lanes,)
    )
    lanes = connection.execute("SELECT value FROM sagabus_meta WHERE name = 'lanes'").get
    problems = [problem for subscription in subscriptions if (problem := _taken(connection, subscription))]
    problems += _given_twice(subscriptions)
    if problems:
        raise ConfigurationError(*problems)
    changed = 0
    for subscription in subscriptions:
        definition = msgspec.json.encode(subscription).decode()
        connection.execute(_PUT, (subscription.message_type, subscription.channel, definition))
        changed += connection.changes()
        leasing.add_lanes(connection, subscription.channel, lanes)
    if changed:
        connection.execute(_RISE)
    hit("register.before_commit")
    return read(connection)


def unregister(connection: Driver, channel: str, message_type: str) -> Routing:
    """Remove one subscription, in the caller's open transaction."""
    connection.execute(
        "DELETE FROM sagabus_subscription WHERE channel = ? AND message_type = ?", (channel, message_type)
    )
    if connection.changes():
        connection.execute(_RISE)
    return read(connection)


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


def _taken(connection: Driver, subscription: Subscription) -> str | None:
    if subscription.kind != "command":
        return None
    other: str | None = connection.execute(
        "SELECT channel FROM sagabus_subscription WHERE message_type = ? AND channel <> ?",
        (subscription.message_type, subscription.channel),
    ).get
    if other is None:
        return None
    return (
        f"command {subscription.message_type!r} would have two receivers: {other!r} has it in this store, "
        f"{subscription.channel!r} asks for it; remove the old subscription first if it has moved"
    )

"""Which messages that were sent a store has no record of: what a restored backup lacks, for example."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias

from sagabus.engine.routing import BROKER_IN, routes_stored
from sagabus.identity import accepted_id, check_id, may_be_derived, stamp_of
from sagabus.store import Inspection, Routing
from sagabus.store.inspection import MOST_IDS, RecordsSeen

RecordStatus: TypeAlias = Literal["recorded", "missing", "unknown"]
Sent: TypeAlias = str | tuple[str, str | None]
"""The id of a message that was sent, alone or with its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What the inbox of a store says about one message."""

    message_id: str
    message_type: str | None
    """None where it was not given."""
    subscription: str | None
    """None where no single subscription is meant: the type was not given, or nothing receives it."""
    status: RecordStatus
    reason: str | None
    """Why it is unknown."""


_OLD = "sent before the horizon: its record may be forgotten"
_NO_TIME = "the id carries no send time: its record may be forgotten"
_DERIVED = "the id may be that of a message that a handler sent: these have no record"
_UNGUARDED = "the subscription keeps no record of this type"
_MAYBE_UNGUARDED = "it may be of a type that is not de-duplicated: ask with its type"
_LATER = "another subscription has recorded it, and all do so at once: this one may have been made later"
_UNHEARD = "no subscription receives this type"
_NOT_RECEIVED = "the subscription does not receive this type"


class Question(NamedTuple):
    """What all ids of a call have in common."""

    channels: Sequence[str]
    """Those in which an id of an unknown type may be recorded."""
    subscription: str | None
    """Ask this one alone."""
    source: str | None
    """The service that sent them by a broker."""
    since: int | None
    """When those without a time in their id were sent, at the earliest."""


class _Asked(NamedTuple):
    message_id: str
    message_type: str | None
    stored: str
    """The id as this store records it."""
    stamp: int | None


class _Places:
    """Which channels record which types."""

    def __init__(self, routing: Routing, question: Question) -> None:
        self._table = routes_stored(routing)
        self._subscription, self._from_broker = question.subscription, question.source is not None
        only = None if question.subscription is None else {question.subscription}
        self._channels = question.channels
        unguarded: defaultdict[str, list[bool]] = defaultdict(list)
        for each in routing.subscriptions:
            if only is None or each.channel in only:
                unguarded[each.message_type].append(not each.deduplicated)
        self.may_leave_no_record = not self._from_broker and any(map(all, unguarded.values()))
        """Whether there is a type without a record in any of them. What comes from a broker always has one."""

    def of(self, message_type: str) -> dict[str, bool]:
        """The channels that receive a type, and whether each records its ids."""
        routes = self._table.by_type.get(message_type, ())
        found = {each.channel: each.guarded or self._from_broker for each in routes if not each.leaves}
        if not found and not self._from_broker:  # all of a message is accepted at once: one channel speaks for it
            found = {each.channel: each.guarded for each in self._table.leaving.of(message_type)}
        if self._subscription is None:
            return found
        return {name: guarded for name, guarded in found.items() if name == self._subscription}

    def absence(self, message_type: str) -> str:
        """Why no channel is there for a type."""
        return _UNHEARD if self._subscription is None or not self._table.by_type.get(message_type) else _NOT_RECEIVED

    def asked(self, message_type: str | None) -> Sequence[str]:
        """The channels in which a message of a type may be recorded."""
        if message_type is None:
            return self._channels
        extra = [BROKER_IN] if self._from_broker and self._subscription is None else []
        return [*(name for name, guarded in self.of(message_type).items() if guarded), *extra]


async def answers(
    inspect: Inspection, routing: Routing, sent: Iterable[Sent], question: Question
) -> tuple[Reconciled, ...]:
    """What the store says about each, in the order given. InvalidMessageId for what is no id."""
    asked = [_asked(each, question) for each in sent]
    places = _Places(routing, question)
    found: list[Reconciled] = []
    pending = iter(asked)
    while page := list(islice(pending, MOST_IDS)):
        seen = await _look(inspect, page, places)
        for each in page:
            found.extend(_judged(each, places, seen))
    return tuple(found)


def _asked(each: Sent, question: Question) -> _Asked:
    original, message_type = each if isinstance(each, tuple) else (each, None)
    check_id(original)
    stored = original if question.source is None else accepted_id(question.source, original)
    stamp = stamp_of(original)
    return _Asked(original, message_type, stored, question.since if stamp is None else stamp)


async def _look(inspect: Inspection, page: Sequence[_Asked], places: _Places) -> Mapping[str, RecordsSeen]:
    by_channel: defaultdict[str, list[str]] = defaultdict(list)
    for each in page:
        for channel in places.asked(each.message_type):
            by_channel[channel].append(each.stored)
    return {channel: await inspect.records(channel, ids) for channel, ids in by_channel.items()}


def _judged(asked: _Asked, places: _Places, seen: Mapping[str, RecordsSeen]) -> Iterator[Reconciled]:
    name = asked.message_type
    channels = places.asked(name)
    holders = [channel for channel in channels if asked.stored in seen[channel].recorded]
    if name is None or BROKER_IN in holders:
        yield from (_answer(asked, channel, "recorded") for channel in holders)
        if not holders:
            yield _unrecorded(asked, None, channels, seen, _MAYBE_UNGUARDED if places.may_leave_no_record else None)
        return
    receivers = places.of(name)
    for channel, guarded in receivers.items():
        if channel in holders:
            yield _answer(asked, channel, "recorded")
        else:
            objection = _UNGUARDED if not guarded else _LATER if holders else None
            yield _unrecorded(asked, channel, [channel], seen, objection)
    if not receivers:
        yield _answer(asked, None, "unknown", places.absence(name))


def _unrecorded(
    asked: _Asked,
    subscription: str | None,
    channels: Sequence[str],
    seen: Mapping[str, RecordsSeen],
    objection: str | None,
) -> Reconciled:
    """It is missing where nothing speaks against it: a doubt never reads as a loss."""
    if asked.stored == asked.message_id and may_be_derived(asked.stored):
        objection = objection or _DERIVED
    if objection is None and not channels:
        objection = _UNHEARD
    if objection is None and (asked.stamp or 0) < max(seen[channel].horizon for channel in channels):
        objection = _NO_TIME if asked.stamp is None else _OLD
    return _answer(asked, subscription, "missing" if objection is None else "unknown", objection)


def _answer(asked: _Asked, subscription: str | None, status: RecordStatus, reason: str | None = None) -> Reconciled:
    return Reconciled(
        message_id=asked.message_id,
        message_type=asked.message_type,
        subscription=subscription,
        status=status,
        reason=reason,
    )

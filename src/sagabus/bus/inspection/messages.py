"""Pages of stored messages and timers."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

from sagabus.bus.inspection.records import Kind, MessagePage, MessageRecord
from sagabus.clock import instant, moment
from sagabus.errors import UnknownName
from sagabus.store import Inspection
from sagabus.store.survey import BEGIN, Mark, Waiting, WaitingPage, Wanted

MOST = 10_000
"""The longest page."""
_TOO_LONG = 19
"""Digits: not every number of so many fits into a column."""


def wanted_of(
    *,
    subscription: str | None = None,
    kind: Kind | None = None,
    key: str | None = None,
    message_type: str | None = None,
    correlation_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    timers: bool = False,
    due_before: datetime | None = None,
) -> Wanted:
    """What a question is for; UnknownName for a kind that there is not, InvalidTime for a time without a zone."""
    if kind is not None and kind not in get_args(Kind):
        raise UnknownName("kind of waiting messages", kind, get_args(Kind))
    return Wanted(
        channel=subscription,
        key=key,
        why=kind,
        timers=timers,
        message_type=message_type,
        correlation_id=correlation_id,
        since=None if since is None else instant(since, "since"),
        until=None if until is None else instant(until, "until"),
        due_before=None if due_before is None else instant(due_before, "due_before"),
    )


async def page(inspect: Inspection, wanted: Wanted, after: str | None, limit: int) -> MessagePage:
    """One page; UnknownName for a subscription that nothing names, ValueError for a page that there cannot be."""
    if not 1 <= limit <= MOST:
        raise ValueError(f"a page has 1 to {MOST:,} messages, not {limit}")
    found = await inspect.waiting(wanted, after=_mark_of(after), limit=limit)
    if not found.found and wanted.channel is not None:
        known = await inspect.channels()
        if wanted.channel not in known:
            raise UnknownName("subscription", wanted.channel, known)
    return _page_of(found)


def is_number(text: str) -> bool:
    """Whether it reads as a number that every database can hold."""
    return text.isascii() and text.isdigit() and len(text) < _TOO_LONG


def _mark_of(after: str | None) -> Mark:
    if after is None:
        return BEGIN
    due_at, _, position = after.partition(".")
    if not is_number(due_at) or not is_number(position):
        raise ValueError(f"{after!r} is no place where a page begins: pass the `after` of the page before")
    return Mark(int(due_at), int(position))


def _page_of(found: WaitingPage) -> MessagePage:
    after = found.after
    return MessagePage(
        messages=tuple(map(record_of, found.found)),
        after=None if after is None else f"{after.due_at}.{after.position}",
        stopped=found.stopped,
    )


def record_of(waiting: Waiting) -> MessageRecord:
    """A stored envelope as people see it."""
    envelope = waiting.envelope
    return MessageRecord(
        subscription=envelope.channel,
        kind=_kind(waiting.why),
        message_id=envelope.message_id,
        message_type=envelope.message_type,
        timer=envelope.timer,
        key=envelope.partition_key,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        headers=dict(envelope.headers or {}),
        sent_at=moment(envelope.sent_at),
        due_at=moment(envelope.due_at) if envelope.due_at > 1 else None,
        attempts=envelope.attempt,
        deaths=envelope.deaths,
        first_failed_at=None if envelope.failed_at is None else moment(envelope.failed_at),
        lane=envelope.lane,
        position=envelope.position,
        damage=envelope.damage,
        worker=waiting.worker,
        running_since=None if waiting.since is None else moment(waiting.since),
    )


def _kind(why: str) -> Kind:
    for kind in get_args(Kind):
        if kind == why:
            found: Kind = kind
            return found
    raise AssertionError(why)

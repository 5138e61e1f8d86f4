"""Pages of the audit log, and the pauses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sagabus.bus.arguments import check_text
from sagabus.bus.inspection.masking import Masks
from sagabus.bus.inspection.records import AuditPage, AuditRecord, PauseRecord
from sagabus.clock import instant, moment
from sagabus.store.inspection import Inspection
from sagabus.store.mending import Audited, Paused, WantedAudits


def audits_wanted(
    subscription: str | None,
    *,
    target: str | None,
    by: str | None,
    since: datetime | None,
    until: datetime | None,
    after: int | None,
) -> WantedAudits:
    """Which entries a question is for; WrongType for what is no text, InvalidTime for a time without a zone."""
    check_text("bus.inspect.audit(...)", subscription=subscription, target=target, by=by)
    return WantedAudits(
        channel=subscription,
        target=target,
        by=by,
        since=None if since is None else instant(since, "since"),
        until=None if until is None else instant(until, "until"),
        before=after,
    )


async def audit_page(inspect: Inspection, wanted: WantedAudits, limit: int, *, masks: Masks | None) -> AuditPage:
    """A page of what operators have changed, and where the next one begins. Without masks, all values are shown."""
    found = await inspect.audits(
        channel=wanted.channel,
        target=wanted.target,
        by=wanted.by,
        since=wanted.since,
        until=wanted.until,
        before=wanted.before,
        limit=limit + 1,
    )
    shown = tuple(_record_of(each, masks) for each in found.entries[:limit])
    if len(found.entries) > limit:
        return AuditPage(entries=shown, after=shown[-1].id, stopped=False)
    return AuditPage(entries=shown, after=found.stopped_at, stopped=found.stopped_at is not None)


def pauses_of(found: Sequence[Paused]) -> dict[str, PauseRecord]:
    """The pauses by subscription."""
    return {each.channel: PauseRecord(since=moment(each.since), by=each.by, reason=each.reason) for each in found}


def _record_of(each: Audited, masks: Masks | None) -> AuditRecord:
    entry = each.entry
    before, after = _value(entry.before), _value(entry.after)
    if masks is not None:
        before, after = (masks.over_change(entry.verb, entry.channel, value) for value in (before, after))
    return AuditRecord(
        id=each.id,
        at=moment(each.at),
        by=entry.by,
        verb=entry.verb,
        subscription=entry.channel,
        target=entry.target,
        reason=entry.reason,
        before=before,
        after=after,
    )


def _value(text: str) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text

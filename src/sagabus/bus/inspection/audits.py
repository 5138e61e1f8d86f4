"""Pages of the audit log, and the pauses."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sagabus.bus.inspection.records import AuditPage, AuditRecord, PauseRecord
from sagabus.clock import moment
from sagabus.store.inspection import Inspection
from sagabus.store.mending import Audited, Paused


async def audit_page(
    inspect: Inspection, subscription: str | None, target: str | None, after: int | None, limit: int
) -> AuditPage:
    """A page of what operators have changed, and where the next one begins."""
    found = await inspect.audits(channel=subscription, target=target, before=after, limit=limit + 1)
    shown = tuple(map(_record_of, found.entries[:limit]))
    if len(found.entries) > limit:
        return AuditPage(entries=shown, after=shown[-1].id, stopped=False)
    return AuditPage(entries=shown, after=found.stopped_at, stopped=found.stopped_at is not None)


def pauses_of(found: Sequence[Paused]) -> dict[str, PauseRecord]:
    """The pauses by subscription."""
    return {each.channel: PauseRecord(since=moment(each.since), by=each.by, reason=each.reason) for each in found}


def _record_of(each: Audited) -> AuditRecord:
    entry = each.entry
    return AuditRecord(
        id=each.id,
        at=moment(each.at),
        by=entry.by,
        verb=entry.verb,
        subscription=entry.channel,
        target=entry.target,
        reason=entry.reason,
        before=_value(entry.before),
        after=_value(entry.after),
    )


def _value(text: str) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text

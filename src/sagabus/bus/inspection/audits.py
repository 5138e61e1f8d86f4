"""Pages of the audit log, and the pauses."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sagabus.bus.inspection.records import AuditRecord, PauseRecord
from sagabus.clock import moment
from sagabus.store.mending import Audited, Paused


def records_of(found: Sequence[Audited]) -> tuple[AuditRecord, ...]:
    """Stored entries as people see them."""
    return tuple(map(_record_of, found))


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

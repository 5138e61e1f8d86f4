"""What must hold among the rows of a store, and mending what may be mended without harm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from functools import partial
from shlex import quote
from typing import NamedTuple

from sagabus.bus.diagnosis.records import Finding, Severity
from sagabus.bus.diagnosis.subject import Looks, Subject, counted
from sagabus.store.examination import EXAMINED, MENDABLE, NAMED, Fault, FaultKind
from sagabus.text import span_text


class _Meaning(NamedTuple):
    """What a kind of fault means to people. `{key}` in a text stands for channel and key, `{time}` for a detail that is
    a time.
    """

    kind: str
    severity: Severity
    text: str
    command: str
    """Its words; what is about one key gets the key as well."""
    options: str = ""


_FIX = ("doctor", "--fix")
_MEANINGS: Mapping[FaultKind, _Meaning] = {
    FaultKind.ORPHAN_TIMER: _Meaning(
        "orphan-timer",
        "warning",
        "{key}: the timer {detail!r} is set, but there is no instance that it could wake",
        "sagas why",
    ),
    FaultKind.IDLE_TIMER: _Meaning(
        "idle-timer", "warning", "{key}: the instance has finished, and its timer {detail!r} is still set", *_FIX
    ),
    FaultKind.LOST_TIMER: _Meaning(
        "lost-timer",
        "error",
        "{key}: the instance relies on the timer {detail!r}, which is not stored",
        "sagas why",
    ),
    FaultKind.DANGLING_HOLD: _Meaning(
        "dangling-hold", "error", "{key}: messages wait for an earlier one that is no longer stored", *_FIX
    ),
    FaultKind.DANGLING_PARK: _Meaning(
        "dangling-park", "error", "{key}: the key is parked, and no open dead letter parks it", *_FIX
    ),
    FaultKind.EXPIRED_RECORD: _Meaning(
        "expired-record",
        "warning",
        "{channel}: de-duplication records below the horizon are kept for nothing ({count})",
        *_FIX,
    ),
    FaultKind.FUTURE_HORIZON: _Meaning(
        "future-horizon",
        "error",
        "{channel}: new messages are refused as too old for another {time}: a clock was ahead when records were purged",
        "dead-letters list",
        "--subscription {channel}",
    ),
    FaultKind.HISTORY_GAP: _Meaning(
        "history-gap", "warning", "{key}: the history goes from version {detail}", "sagas history"
    ),
    FaultKind.UNKNOWN_LANE: _Meaning(
        "unknown-lane",
        "error",
        "{channel}: no worker takes {messages} in lane {detail}, none of the store's: change the number of lanes",
        "lanes",
        "NUMBER",
    ),
    FaultKind.MISSING_LANE: _Meaning(
        "missing-lane",
        "error",
        "{channel}: {count} of its {detail} lanes are missing, so messages in them wait: change the number of lanes",
        "lanes",
        "NUMBER",
    ),
    FaultKind.COLLATION: _Meaning(
        "collation",
        "error",
        "{channel}: a column of ids does not compare by bytes ({detail}), so ids that differ may count as equal",
        "migrate",
        "--sql",
    ),
    FaultKind.MISSING_INDEX: _Meaning(
        "missing-index",
        "error",
        "the index {detail} is missing or unfinished, so workers and looks read whole tables, or fail: make it again",
        "migrate",
        "--sql",
    ),
}


async def _faults(subject: Subject, *, kind: FaultKind) -> AsyncIterator[Finding]:
    found = await subject.store.inspect.faults(kind)
    meaning = _MEANINGS[kind]
    for fault in found:
        can_fix = kind in MENDABLE
        if subject.fix and can_fix:
            await subject.store.mend(fault)
        yield Finding(
            kind=meaning.kind,
            severity=meaning.severity,
            where=fault.channel,
            text=meaning.text.format(**_words(fault)),
            command=_command(subject, meaning, fault),
            can_fix=can_fix,
            fixed=subject.fix and can_fix,
        )
    if len(found) == NAMED:
        text = f"there may be more than these {NAMED} of the kind {meaning.kind}: look again when they are mended"
        yield subject.finding("more", "note", "store", text)


def _words(fault: Fault) -> dict[str, str]:
    is_time = fault.kind is FaultKind.FUTURE_HORIZON
    more = "+" if fault.count == EXAMINED else ""
    return {
        "key": f"{fault.channel} {fault.key}",
        "channel": fault.channel if fault.kind is not FaultKind.COLLATION else f"{fault.channel} {fault.key}".strip(),
        "detail": fault.detail,
        "time": span_text(timedelta(microseconds=int(fault.detail))) if is_time else "",
        "count": f"{fault.count:,}{more}",
        "messages": f"{counted(fault.count, 'message')}{more}",
    }


def _command(subject: Subject, meaning: _Meaning, fault: Fault) -> str:
    about = (fault.channel, fault.key) if meaning.command.startswith("sagas") else ()
    return subject.command(meaning.command, *about, options=meaning.options.format(channel=quote(fault.channel)))


LOOKS: Looks = [(kind.value, partial(_faults, kind=kind)) for kind in FaultKind]

"""The transaction: outcomes become rows, each wholly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from sagabus.envelope import DeadLetter, Envelope
from sagabus.errors import UnsupportedCapability
from sagabus.outcome import (
    Admission,
    Claim,
    Completed,
    DeadLettered,
    Discarded,
    Effects,
    Marked,
    Outcome,
    RetryAt,
    Save,
    Settled,
    Stashed,
    Verdict,
)
from sagabus.refs import KeyLike
from sagabus.store import Batch, Capability
from sagabus.stores.memory.admission import admit, take
from sagabus.stores.memory.tables import InboxRow, Tables

ADAPTER = "the memory store (a sqlite store does)"

_COMMITTED = Settled(Verdict.COMMITTED)
_CLAIMED = {
    Admission.DUPLICATE: Settled(Verdict.DUPLICATE),
    Admission.COLLISION: Settled(Verdict.COLLISION),
    Admission.TOO_OLD: Settled(Verdict.TOO_OLD),
}


def settle(tables: Tables, batch: Batch, now: int) -> Sequence[Settled]:
    """Apply each outcome; undo those that fail, and drop what was built on them."""
    answers: list[Settled] = []
    failed: set[KeyLike] = set()
    for outcome in batch.outcomes:
        key = outcome.envelope.partition_key
        address = (outcome.envelope.channel, key) if key is not None else None
        if address in failed:
            answers.append(Settled(Verdict.DROPPED))
            continue
        savepoint = tables.journal.savepoint()
        answer = _settle_one(tables, batch, outcome, now)
        answers.append(answer)
        if answer.verdict is Verdict.COMMITTED:
            _note(tables, batch, outcome, now)
        else:
            tables.journal.rollback(savepoint)
            if address is not None:
                failed.add(address)
    return answers


def _settle_one(tables: Tables, batch: Batch, outcome: Outcome, now: int) -> Settled:
    stored = tables.queue.envelopes.get(outcome.envelope.position)
    if stored is None:
        return Settled(Verdict.GONE)
    if _is_fenced(tables, batch, outcome.envelope):
        return Settled(Verdict.FENCED)
    if not _is_as_seen(outcome, stored):
        return Settled(Verdict.GONE)
    if isinstance(outcome, Completed):
        return _complete(tables, batch, outcome, now)
    _MARKS[type(outcome)](tables, outcome, now)
    return _COMMITTED


def _note(tables: Tables, batch: Batch, outcome: Outcome, now: int) -> None:
    row = batch.journal.get(outcome.envelope.position)
    if row is not None and not isinstance(outcome, Marked):
        tables.note(row, now)


def _is_as_seen(outcome: Outcome, stored: Envelope) -> bool:
    seen = outcome.envelope
    if isinstance(outcome, Marked):
        return (
            stored.deaths > 0 if outcome.deaths < 0 else (stored.attempt, stored.deaths) == (seen.attempt, seen.deaths)
        )
    return not isinstance(outcome, RetryAt | Stashed) or stored.attempt == seen.attempt


def _is_fenced(tables: Tables, batch: Batch, envelope: Envelope) -> bool:
    lane = (envelope.channel, envelope.lane)
    if (epoch := batch.epochs.get(lane)) is None:
        return False
    row = tables.lanes.get(lane)
    return row is None or row.epoch != epoch


def _complete(tables: Tables, batch: Batch, outcome: Completed, now: int) -> Settled:
    envelope, effects = outcome.envelope, outcome.effects
    if effects.is_routed and batch.routing != tables.version:
        return Settled(Verdict.STALE_ROUTING)
    for claim in effects.claims:
        if (answer := _claim(tables, envelope, claim)) is not Admission.ACCEPTED:
            return _CLAIMED[answer]
    if effects.save is not None and not is_next(tables, effects.save):
        return Settled(Verdict.CONFLICT)
    if effects.statements:
        return Settled(Verdict.REFUSED, UnsupportedCapability(Capability.STATEMENTS.value, ADAPTER))
    tables.remove(envelope.position)
    refused = _apply(tables, envelope, effects, now)
    return Settled(Verdict.COMMITTED, refused=refused) if refused else _COMMITTED


def _claim(tables: Tables, envelope: Envelope, claim: Claim) -> Admission:
    return take(
        tables, envelope.channel, f"\x1f{claim.key}", InboxRow(claim.fingerprint, envelope.sent_at), envelope.sent_at
    )


def is_next(tables: Tables, save: Save) -> bool:
    """Whether it rests on the version that is stored."""
    row = tables.instances.get((save.saga, save.key))
    return save.base == (row.instance.version if row is not None else 0)


def _apply(tables: Tables, envelope: Envelope, effects: Effects, now: int) -> tuple[tuple[Envelope, Admission], ...]:
    for name in effects.cancelled:
        tables.cancel(envelope.channel, envelope.partition_key, name)
    answers = [(sent, admit(tables, sent, now)) for sent in effects.sent]
    if effects.save is not None:
        tables.save(effects.save, now)
        if effects.save.recorded:
            tables.record(envelope, effects.save, now)
        if effects.save.wakes:
            wake(tables, effects.save, now)
    return tuple((sent, answer) for sent, answer in answers if answer is not Admission.ACCEPTED)


def wake(tables: Tables, save: Save, now: int) -> None:
    """Make due what is stashed for an instance."""
    for waiting in tables.queue.stashed(save.saga, save.key):
        tables.queue.change(replace(waiting, stashed=False, due_at=max(now, 1)))


def _retry(tables: Tables, outcome: RetryAt, now: int) -> None:
    stored = tables.queue.envelopes[outcome.envelope.position]
    is_first = stored.failed_at is None or (outcome.counted > 0 and not stored.attempt)
    failed_at = now if outcome.failure is not None and is_first else stored.failed_at
    later = replace(
        stored,
        attempt=stored.attempt + outcome.counted,
        failed_at=failed_at,
        due_at=now + max(outcome.delay, 1),
        stashed=False,
        deaths=max(stored.deaths + outcome.deaths, 0),
        excused=stored.excused + outcome.excused,
    )
    tables.queue.change(later)
    if outcome.holds:
        tables.hold(later, later.position)
    else:
        tables.let_go(later)


def _mark(tables: Tables, outcome: Marked, now: int) -> None:
    stored = tables.queue.envelopes[outcome.envelope.position]
    tables.queue.change(replace(stored, deaths=stored.deaths + outcome.deaths))


def _stash(tables: Tables, outcome: Stashed, now: int) -> None:
    stored = tables.queue.envelopes[outcome.envelope.position]
    deaths = max(stored.deaths + outcome.deaths, 0)
    tables.queue.change(replace(stored, stashed=True, due_at=now + outcome.patience, deaths=deaths))
    tables.let_go(stored)


def _bury(tables: Tables, outcome: DeadLettered, now: int) -> None:
    envelope = replace(tables.remove(outcome.envelope.position), deaths=outcome.envelope.deaths)
    failure = outcome.failure
    letter = DeadLetter(
        id=0,
        envelope=envelope,
        reason=outcome.reason,
        cause=outcome.cause,
        error_type=failure.error_type if failure else None,
        error_text=failure.text if failure else None,
        traceback=failure.traceback if failure else None,
        attempts=outcome.envelope.attempt + (failure is not None),
        parked=outcome.parks,
    )
    tables.bury(letter, now)
    if outcome.parks:
        tables.hold(envelope, 0)


def _drop(tables: Tables, outcome: Discarded, now: int) -> None:
    tables.remove(outcome.envelope.position)


_MARKS: dict[type[Outcome], Callable[[Tables, Any, int], None]] = {
    RetryAt: _retry,
    Marked: _mark,
    Stashed: _stash,
    DeadLettered: _bury,
    Discarded: _drop,
}

"""The transaction: what runs of handlers ended in becomes rows.

First all outcomes together, with set-based statements whose counts must come out exactly; when one does not, everything
is rolled back and each outcome is applied singly under a savepoint, so that the one at fault is found and pays alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import apsw
import msgspec

from sagabus.envelope import Envelope
from sagabus.errors import StatementRefused, TransactionLost
from sagabus.failpoint import hit
from sagabus.outcome import (
    Attempted,
    Completed,
    DeadLettered,
    Outcome,
    RetryAt,
    Save,
    Settled,
    Stashed,
    Statement,
    Verdict,
)
from sagabus.store import Batch
from sagabus.stores.sqlite import appending, rows
from sagabus.stores.sqlite.driver import Driver
from sagabus.stores.sqlite.file import is_fatal

Check: TypeAlias = Callable[[str], None]

COMMITTED = Settled(Verdict.COMMITTED)
CLAIM = "\x1f"
"""In front of a claimed key: no message id contains it, so neither can be taken for the other."""

_HEAD = """
SELECT (SELECT value FROM sagabus_meta WHERE name = 'routing'),
(SELECT json_group_array(json_array(channel, lane, epoch)) FROM sagabus_lane)
"""
_ANY_HELD = "SELECT EXISTS (SELECT 1 FROM sagabus_held_key)"
_REMOVE = "DELETE FROM sagabus_envelope WHERE position IN (SELECT value FROM json_each(?1))"
_SAVE = rows.Values(
    10,
    """
INSERT INTO sagabus_instance
    (saga, key, version, read_version, state, status, timers, completed_at, created_at, updated_at)
SELECT * FROM {rows} WHERE column1 IS NOT NULL
AND (column4 = 0 OR EXISTS (SELECT 1 FROM sagabus_instance WHERE saga = column1 AND key = column2))
ON CONFLICT (saga, key) DO UPDATE SET version = excluded.version, read_version = excluded.read_version,
    state = excluded.state, status = excluded.status, timers = excluded.timers, completed_at = excluded.completed_at,
    updated_at = excluded.updated_at
WHERE sagabus_instance.version = excluded.read_version
""",
)
_CANCEL_ALL = """
DELETE FROM sagabus_envelope WHERE timer IS NOT NULL
AND (channel, partition_key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
"""
_HOLD = """
INSERT INTO sagabus_held_key (channel, partition_key, position) VALUES (?1, ?2, ?3)
ON CONFLICT (channel, partition_key) DO UPDATE SET position = excluded.position
WHERE position <> 0 OR excluded.position = 0
"""
_LET_GO = "DELETE FROM sagabus_held_key WHERE position IN (SELECT value FROM json_each(?1))"
_RETRY = """
UPDATE sagabus_envelope SET attempt = attempt + ?3, due_at = ?4, failed_at = coalesce(failed_at, ?5), stashed = 0
WHERE position = ?1 AND attempt = ?2
"""
_ATTEMPT = """
UPDATE sagabus_envelope SET attempt = attempt + 1, failed_at = coalesce(failed_at, ?3)
WHERE position = ?1 AND attempt = ?2
"""
_WAKE = """
UPDATE sagabus_envelope SET stashed = 0, due_at = 1
WHERE stashed = 1 AND (channel, partition_key) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
"""
_STASH = "UPDATE sagabus_envelope SET stashed = 1, due_at = ?3 WHERE position = ?1 AND attempt = ?2"

_decode_epochs = msgspec.json.Decoder(list[tuple[str, int, int]]).decode


class Lost(Exception):  # a signal between these functions, not an error
    """One of the outcomes at hand cannot commit."""

    def __init__(self, verdict: Verdict, error: BaseException | None = None) -> None:
        super().__init__(verdict)
        self.settled = Settled(verdict, error)


@dataclass(slots=True)
class _Plan:
    """The rows that a sequence of outcomes comes to, each table's once."""

    removed: list[int] = field(default_factory=list)
    first: dict[tuple[str, str], int] = field(default_factory=dict)
    last: dict[tuple[str, str], Save] = field(default_factory=dict)
    sent: list[Envelope] = field(default_factory=list)
    timers: dict[tuple[str, str | None], dict[str, Envelope]] = field(default_factory=dict)
    cancelled: dict[tuple[str, str | None, str], None] = field(default_factory=dict)
    woken: list[tuple[str, str]] = field(default_factory=list)
    finished: dict[tuple[str, str | None], None] = field(default_factory=dict)
    claims: list[tuple[str, str, str, int]] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    others: list[Outcome] = field(default_factory=list)


def settle(connection: Driver, batch: Batch, now: int, check: Check) -> list[Settled]:
    """Apply a batch inside the caller's open transaction; of outcomes that are not COMMITTED nothing remains in it."""
    hit("commit.begun")
    routing, lanes = connection.execute(_HEAD).get
    epochs = {(channel, lane): epoch for channel, lane, epoch in _decode_epochs(lanes)}
    stale = routing != batch.routing
    outcomes = batch.outcomes
    if not stale and all(epochs.get(place) == epoch for place, epoch in batch.epochs.items()):
        try:
            _under_savepoint(connection, outcomes, now, check)
        except Lost:
            pass  # somebody is at fault: find out who
        else:
            hit("commit.before_commit")
            return [COMMITTED] * len(outcomes)
    return _singly(connection, batch, epochs, now, check, stale=stale)


def _singly(
    connection: Driver,
    batch: Batch,
    epochs: dict[tuple[str, int], int],
    now: int,
    check: Check,
    *,
    stale: bool,
) -> list[Settled]:
    broken: set[tuple[str, str]] = set()
    answers: list[Settled] = []
    for outcome in batch.outcomes:
        envelope = outcome.envelope
        chain = (envelope.channel, envelope.partition_key) if envelope.partition_key is not None else None
        place = (envelope.channel, envelope.lane)
        fenced = place in batch.epochs and epochs.get(place) != batch.epochs[place]
        if chain is not None and chain in broken:
            answer = Settled(Verdict.DROPPED)
        else:
            answer = _one(connection, outcome, now, check, fenced=fenced, stale=stale)
        if answer.verdict is not Verdict.COMMITTED and chain is not None:
            broken.add(chain)
        answers.append(answer)
    hit("commit.before_commit")
    return answers


def _one(connection: Driver, outcome: Outcome, now: int, check: Check, *, fenced: bool, stale: bool) -> Settled:
    sends = isinstance(outcome, Completed) and outcome.effects.is_routed
    if fenced or (stale and sends):
        gone = not connection.execute(
            "SELECT count(*) FROM sagabus_envelope WHERE position = ?", (outcome.envelope.position,)
        ).get
        return Settled(Verdict.GONE if gone else Verdict.FENCED if fenced else Verdict.STALE_ROUTING)
    try:
        _under_savepoint(connection, (outcome,), now, check)
    except Lost as lost:
        return lost.settled
    return COMMITTED


def _under_savepoint(connection: Driver, outcomes: Sequence[Outcome], now: int, check: Check) -> None:
    connection.execute("SAVEPOINT sagabus_outcomes")
    try:
        _apply(connection, _plan(outcomes), now, check)
    except Lost:
        connection.execute("ROLLBACK TO sagabus_outcomes; RELEASE sagabus_outcomes")
        raise
    connection.execute("RELEASE sagabus_outcomes")


def _plan(outcomes: Sequence[Outcome]) -> _Plan:
    plan = _Plan()
    for outcome in outcomes:
        envelope = outcome.envelope
        if type(outcome) is not Completed and isinstance(outcome, (RetryAt, Attempted, Stashed)):
            plan.others.append(outcome)
            continue
        if envelope.timer is not None and _is_off(plan, envelope):
            raise Lost(Verdict.GONE)
        plan.removed.append(envelope.position)
        if isinstance(outcome, Completed):
            _plan_effects(plan, outcome)
        elif isinstance(outcome, DeadLettered):
            plan.others.append(outcome)
    return plan


def _is_off(plan: _Plan, timer: Envelope) -> bool:
    """Whether an earlier outcome of this plan has cancelled, replaced or outlived the timer at hand."""
    key, name = (timer.channel, timer.partition_key), timer.timer or ""
    return (*key, name) in plan.cancelled or name in plan.timers.get(key, {}) or key in plan.finished


def _plan_effects(plan: _Plan, outcome: Completed) -> None:
    envelope, effects = outcome.envelope, outcome.effects
    for name in effects.cancelled:
        key = (envelope.channel, envelope.partition_key)
        plan.timers.get(key, {}).pop(name, None)
        plan.cancelled[(*key, name)] = None
    for sent in effects.sent:
        if sent.timer is None:
            plan.sent.append(sent)
        else:
            plan.timers.setdefault((sent.channel, sent.partition_key), {})[sent.timer] = sent
    if effects.save is not None:
        _plan_save(plan, effects.save)
    if effects.statements:
        plan.statements.extend(effects.statements)
    for claim in effects.claims:
        plan.claims.append((envelope.channel, CLAIM + claim.key, claim.fingerprint.hex(), envelope.sent_at))


def _plan_save(plan: _Plan, save: Save) -> None:
    place = (save.saga, save.key)
    before = plan.last.get(place)
    if before is not None and before.version != save.base:
        raise Lost(Verdict.CONFLICT)
    plan.first.setdefault(place, save.base)
    plan.last[place] = save
    if save.wakes:
        plan.woken.append(place)
    if save.completed:
        plan.finished[place] = None
        plan.timers.pop(place, None)


def _apply(connection: Driver, plan: _Plan, now: int, check: Check) -> None:
    if plan.removed and rows.changed_by(connection, _REMOVE, plan.removed) != len(plan.removed):
        raise Lost(Verdict.GONE)
    hit("commit.removed")
    if plan.claims:
        _claim(connection, plan.claims)
    if plan.last:
        _save(connection, plan, now)
        hit("commit.saved")
    _cancel(connection, plan)
    for statement in plan.statements:
        _execute(connection, statement, check)
    hit("commit.statements_run")
    _send(connection, plan, now)
    if plan.removed and connection.execute(_ANY_HELD).get:
        connection.execute(_LET_GO, (rows.parameter(plan.removed),))
    for outcome in plan.others:
        _mark(connection, outcome, now)
        hit("commit.marked")
    if plan.woken:
        # Last: what was stashed by this very flush is among them.
        connection.execute(_WAKE, (rows.parameter(plan.woken),))


def _save(connection: Driver, plan: _Plan, now: int) -> None:
    saved = [
        (
            save.saga,
            save.key,
            save.version,
            plan.first[place],
            save.state.decode(),
            save.status,
            msgspec.json.encode(save.timers).decode() if save.timers else None,
            now if save.completed else None,
            now,
            now,
        )
        for place, save in plan.last.items()
    ]
    if _SAVE.execute(connection, saved) != len(saved):
        raise Lost(Verdict.CONFLICT)


def _cancel(connection: Driver, plan: _Plan) -> None:
    if plan.cancelled:
        appending.cancel_timers(connection, list(plan.cancelled))
    if plan.finished:
        connection.execute(_CANCEL_ALL, (rows.parameter(list(plan.finished)),))
        if connection.changes():
            appending.let_loose(connection, list(plan.finished))


def _send(connection: Driver, plan: _Plan, now: int) -> None:
    sent = plan.sent + [timer for timers in plan.timers.values() for timer in timers.values()]
    if sent:
        appending.append(connection, sent, now)
        hit("commit.sent_written")


def _claim(connection: Driver, claims: list[tuple[str, str, str, int]]) -> None:
    known = appending.recorded(connection, [claim[:2] for claim in claims])
    for channel, key, print_, _ in claims:
        before = known.get((channel, key))
        if before is not None:
            raise Lost(Verdict.DUPLICATE if before == print_ else Verdict.COLLISION)
        known[(channel, key)] = print_
    appending.REMEMBER.execute(connection, claims)
    # Read after the insert, in the transaction that also deletes below it: a record that expired bars its late copies.
    lowest = appending.horizons(connection)
    if any(stamp < lowest.get(channel, 0) for channel, _, _, stamp in claims):
        raise Lost(Verdict.TOO_OLD)


def _execute(connection: Driver, statement: Statement, check: Check) -> None:
    try:
        check(statement.sql)
        connection.execute(statement.sql, statement.parameters)
    except apsw.Error as error:
        if is_fatal(error):
            raise
        if not connection.in_transaction:
            # INSERT OR ROLLBACK, or RAISE(ROLLBACK) in a trigger: the work of all is gone.
            raise TransactionLost(f"a statement ended the transaction of all: {statement.sql[:80]!r}") from error
        raise Lost(Verdict.REFUSED, error) from error
    except (StatementRefused, TypeError, ValueError) as error:
        raise Lost(Verdict.REFUSED, error) from error


def _mark(connection: Driver, outcome: Outcome, now: int) -> None:
    envelope = outcome.envelope
    if isinstance(outcome, DeadLettered):
        _bury(connection, outcome, now)
        return
    if isinstance(outcome, RetryAt):
        failed_at = now if outcome.failure is not None else None
        due_at = now + max(outcome.delay, 1)
        connection.execute(_RETRY, (envelope.position, envelope.attempt, int(outcome.counted), due_at, failed_at))
    elif isinstance(outcome, Attempted):
        connection.execute(_ATTEMPT, (envelope.position, envelope.attempt, now))
    elif isinstance(outcome, Stashed):
        connection.execute(_STASH, (envelope.position, envelope.attempt, now + outcome.patience))
    if connection.changes() != 1:
        raise Lost(Verdict.GONE)
    if envelope.partition_key is not None and not isinstance(outcome, Attempted):
        hold = (envelope.channel, envelope.partition_key, envelope.position)
        if isinstance(outcome, RetryAt) and outcome.holds:
            connection.execute(_HOLD, hold)
        else:
            connection.execute(_LET_GO, (rows.parameter([envelope.position]),))


def _bury(connection: Driver, outcome: DeadLettered, now: int) -> None:
    envelope = outcome.envelope
    parks = outcome.parks and envelope.partition_key is not None
    appending.bury(connection, envelope, outcome.reason, now, outcome.failure, parked=parks)
    if parks:
        connection.execute(_HOLD, (envelope.channel, envelope.partition_key, 0))

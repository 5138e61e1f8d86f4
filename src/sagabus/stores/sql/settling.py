"""The transaction: what runs of handlers ended in becomes rows.

First all outcomes together, with set-based statements whose counts must come out exactly; when one does not, everything
is rolled back and each outcome is applied singly under a savepoint, so that the one at fault is found and pays alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sagabus.errors import StatementRefused
from sagabus.failpoint import hit
from sagabus.outcome import (
    Attempted,
    Completed,
    DeadLettered,
    Outcome,
    RetryAt,
    Settled,
    Stashed,
    Statement,
    Verdict,
)
from sagabus.store import Batch
from sagabus.stores.sql import appending
from sagabus.stores.sql.asking import Ask, AskUser, StatementFailed, Steps
from sagabus.stores.sql.planning import Lost, Plan, plan

Check: TypeAlias = Callable[[str], None]

COMMITTED = Settled(Verdict.COMMITTED)


def settle(batch: Batch, now: int, check: Check) -> Steps[list[Settled]]:
    """Apply a batch inside the caller's open transaction; of outcomes that are not COMMITTED nothing remains in it."""
    hit("commit.begun")
    heads = (yield Ask("head", rows=list(batch.epochs))).rows
    routing = heads[0][0] if heads else None
    epochs = {(channel, lane): epoch for _, channel, lane, epoch in heads}
    stale = routing != batch.routing
    outcomes = batch.outcomes
    if not stale and all(epochs.get(place) == epoch for place, epoch in batch.epochs.items()):
        try:
            yield from _under_savepoint(outcomes, now, check)
        except Lost:
            pass  # somebody is at fault: find out who
        else:
            hit("commit.before_commit")
            return [COMMITTED] * len(outcomes)
    return (yield from _singly(batch, epochs, now, check, stale=stale))


def _singly(
    batch: Batch, epochs: dict[tuple[str, int], int], now: int, check: Check, *, stale: bool
) -> Steps[list[Settled]]:
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
            answer = yield from _one(outcome, now, check, fenced=fenced, stale=stale)
        if answer.verdict is not Verdict.COMMITTED and chain is not None:
            broken.add(chain)
        answers.append(answer)
    hit("commit.before_commit")
    return answers


def _one(outcome: Outcome, now: int, check: Check, *, fenced: bool, stale: bool) -> Steps[Settled]:
    sends = isinstance(outcome, Completed) and outcome.effects.is_routed
    if fenced or (stale and sends):
        gone = not (yield Ask("is_stored", (outcome.envelope.position,))).value
        return Settled(Verdict.GONE if gone else Verdict.FENCED if fenced else Verdict.STALE_ROUTING)
    try:
        yield from _under_savepoint((outcome,), now, check)
    except Lost as lost:
        return lost.settled
    return COMMITTED


def _under_savepoint(outcomes: Sequence[Outcome], now: int, check: Check) -> Steps[None]:
    yield Ask("savepoint")
    try:
        yield from _apply(plan(outcomes), now, check)
    except Lost:
        yield Ask("rollback_to_savepoint")
        yield Ask("release_savepoint")
        raise
    yield Ask("release_savepoint")


def _apply(found: Plan, now: int, check: Check) -> Steps[None]:
    if found.removed:
        removed = yield Ask("remove", rows=[(position,) for position in found.removed])
        if removed.changed != len(found.removed):
            raise Lost(Verdict.GONE)
    hit("commit.removed")
    if found.claims:
        yield from _claim(found.claims)
    if found.last:
        yield from _save(found, now)
        hit("commit.saved")
    yield from _cancel(found)
    for statement in found.statements:
        yield from _execute(statement, check)
    hit("commit.statements_run")
    yield from _send(found, now)
    yield from _let_go(found)
    for outcome in found.others:
        yield from _mark(outcome, now)
        hit("commit.marked")
    if found.woken:
        # Last: what was stashed by this very flush is among them.
        yield Ask("wake", rows=found.woken)


def _let_go(found: Plan) -> Steps[None]:
    if found.removed and (yield Ask("any_held")).value:
        yield Ask("let_go", rows=[(position,) for position in found.removed])


def _save(found: Plan, now: int) -> Steps[None]:
    created, changed = found.saved(now)
    if created and (yield Ask("create_instances", rows=created)).changed != len(created):
        raise Lost(Verdict.CONFLICT)
    if changed and (yield Ask("change_instances", rows=changed)).changed != len(changed):
        raise Lost(Verdict.CONFLICT)


def _cancel(found: Plan) -> Steps[None]:
    if found.cancelled:
        yield from appending.cancel_timers(list(found.cancelled))
    if found.finished:
        finished = list(found.finished)
        if (yield Ask("cancel_all_timers", rows=finished)).changed:
            yield Ask("let_loose", rows=finished)


def _send(found: Plan, now: int) -> Steps[None]:
    sent = found.all_sent
    if sent:
        yield from appending.append(sent, now)
        hit("commit.sent_written")


def _claim(claims: list[tuple[str, str, str, int]]) -> Steps[None]:
    known = yield from appending.recorded([claim[:2] for claim in claims])
    for channel, key, print_, _ in claims:
        before = known.get((channel, key))
        if before is not None:
            raise Lost(Verdict.DUPLICATE if before == print_ else Verdict.COLLISION)
        known[(channel, key)] = print_
    yield from appending.remember(claims)
    # Read after the insert, in the transaction that also deletes below it: a record that expired bars its late copies.
    lowest = yield from appending.horizons(claim[0] for claim in claims)
    if any(stamp < lowest.get(channel, 0) for channel, _, _, stamp in claims):
        raise Lost(Verdict.TOO_OLD)


def _execute(statement: Statement, check: Check) -> Steps[None]:
    try:
        check(statement.sql)
        yield AskUser(statement.sql, statement.parameters)
    except StatementFailed as failed:
        raise Lost(Verdict.REFUSED, failed.error) from failed.error
    except (StatementRefused, TypeError, ValueError) as error:
        raise Lost(Verdict.REFUSED, error) from error


def _mark(outcome: Outcome, now: int) -> Steps[None]:
    envelope = outcome.envelope
    if isinstance(outcome, DeadLettered):
        yield from _bury(outcome, now)
        return
    marked = 0
    if isinstance(outcome, RetryAt):
        failed_at = now if outcome.failure is not None else None
        due_at = now + max(outcome.delay, 1)
        retry = (envelope.position, envelope.attempt, int(outcome.counted), due_at, failed_at)
        marked = (yield Ask("retry", retry)).changed
    elif isinstance(outcome, Attempted):
        marked = (yield Ask("attempt", (envelope.position, envelope.attempt, now))).changed
    elif isinstance(outcome, Stashed):
        marked = (yield Ask("stash", (envelope.position, envelope.attempt, now + outcome.patience))).changed
    if marked != 1:
        raise Lost(Verdict.GONE)
    if envelope.partition_key is not None and not isinstance(outcome, Attempted):
        if isinstance(outcome, RetryAt) and outcome.holds:
            yield Ask("hold", (envelope.channel, envelope.partition_key, envelope.position))
        else:
            yield Ask("let_go", rows=[(envelope.position,)])


def _bury(outcome: DeadLettered, now: int) -> Steps[None]:
    envelope = outcome.envelope
    parks = outcome.parks and envelope.partition_key is not None
    yield from appending.bury(envelope, outcome.reason, now, outcome.failure, parked=parks)
    if parks:
        yield Ask("hold", (envelope.channel, envelope.partition_key, 0))

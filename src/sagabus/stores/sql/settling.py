"""The transaction: what runs of handlers ended in becomes rows.

First all outcomes together, with set-based statements whose counts must come out exactly. If one does not, everything
is rolled back, and each outcome is applied singly under a savepoint. So only the one at fault fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TypeAlias

from sagabus.envelope import Envelope
from sagabus.errors import StatementRefused
from sagabus.failpoint import hit
from sagabus.outcome import (
    Admission,
    Completed,
    DeadLettered,
    Outcome,
    RetryAt,
    Settled,
    Stashed,
    Statement,
    Verdict,
)
from sagabus.refs import LaneLike
from sagabus.store import Batch, JournalRow
from sagabus.stores.sql import appending, rows
from sagabus.stores.sql.planning import Lost, Plan, plan
from sagabus.stores.sql.steps import Query, StatementFailed, Steps, UserQuery

Check: TypeAlias = Callable[[str], None]
Now: TypeAlias = Callable[[], int]
"""The store's clock. Sent messages are due from the moment when they are written. That is after the user's statements,
which may take long, and as near to the commit as possible.
"""
Rows: TypeAlias = Mapping[int, JournalRow]
"""The journal's row of each outcome that has one, by the position of its envelope."""
Refused: TypeAlias = list[tuple[Envelope, Admission]]

COMMITTED = Settled(Verdict.COMMITTED)


def settle(batch: Batch, now: Now, check: Check, *, whole: bool = False) -> Steps[list[Settled]]:
    """Apply a batch inside the caller's open transaction; of outcomes that are not COMMITTED nothing remains in it.

    `whole`: no savepoint keeps what was there before. Then Lost is raised where one outcome cannot commit, and the
    caller rolls the transaction back and begins again without it.
    """
    hit("commit.begun")
    heads = (yield Query("head", rows=list(batch.epochs))).rows
    routing = heads[0][0] if heads else None
    if routing != batch.routing:
        # Who waited for the routing's row has looked at the lanes before that.
        heads = (yield Query("head", rows=list(batch.epochs))).rows
    epochs = {(channel, lane): epoch for _, channel, lane, epoch in heads}
    moved = {place for place, epoch in batch.epochs.items() if epochs.get(place) != epoch}
    refused = _refused(batch.outcomes, moved, stale=routing != batch.routing)
    if not refused:
        found = yield from _all_or_each(batch.outcomes, batch.journal, now, check, whole=whole)
        hit("commit.before_commit")
        return found
    kept = [outcome for number, outcome in enumerate(batch.outcomes) if number not in refused]
    answers = iter((yield from _all_or_each(kept, batch.journal, now, check)))
    yield from _tell_gone(batch.outcomes, refused)
    hit("commit.before_commit")
    return [Settled(refused[number]) if number in refused else next(answers) for number in range(len(batch.outcomes))]


def _refused(outcomes: Sequence[Outcome], moved: set[LaneLike], *, stale: bool) -> dict[int, Verdict]:
    """Those that cannot commit whatever their rows say, and what rests on them: by their number in the batch."""
    refused: dict[int, Verdict] = {}
    if not moved and not stale:
        return refused
    broken: set[tuple[str, str | None]] = set()
    for number, outcome in enumerate(outcomes):
        chain = (outcome.envelope.channel, outcome.envelope.partition_key)
        if chain in broken:
            refused[number] = Verdict.DROPPED
        elif (outcome.envelope.channel, outcome.envelope.lane) in moved:
            refused[number] = Verdict.FENCED
        elif stale and isinstance(outcome, Completed) and outcome.effects.is_routed:
            refused[number] = Verdict.STALE_ROUTING
        if number in refused and chain[1] is not None:
            broken.add(chain)
    return refused


def _tell_gone(outcomes: Sequence[Outcome], refused: dict[int, Verdict]) -> Steps[None]:
    """An outcome whose message is no longer stored gets GONE."""
    asked = {n: outcomes[n].envelope.position for n, verdict in refused.items() if verdict is not Verdict.DROPPED}
    stored = (yield Query("which_stored", rows=[(position,) for position in asked.values()])).rows
    there = {position for (position,) in stored}
    refused.update((number, Verdict.GONE) for number, position in asked.items() if position not in there)


def _all_or_each(
    outcomes: Sequence[Outcome], journal: Rows, now: Now, check: Check, *, whole: bool = False
) -> Steps[list[Settled]]:
    if not outcomes:
        return []
    try:
        if whole:
            refused = yield from apply(plan(outcomes, journal), now, check)
        else:
            refused = yield from _under_savepoint(outcomes, journal, now, check)
    except Lost:
        if whole:
            raise
        return (yield from _singly(outcomes, journal, now, check))  # one is at fault: find out which
    return [_committed(outcome, refused) for outcome in outcomes] if refused else [COMMITTED] * len(outcomes)


def _committed(outcome: Outcome, refused: Refused) -> Settled:
    sent = {id(envelope) for envelope in outcome.effects.sent} if isinstance(outcome, Completed) else set[int]()
    return Settled(Verdict.COMMITTED, refused=tuple(each for each in refused if id(each[0]) in sent))


def _singly(outcomes: Sequence[Outcome], journal: Rows, now: Now, check: Check) -> Steps[list[Settled]]:
    broken: set[tuple[str, str | None]] = set()
    answers: list[Settled] = []
    for outcome in outcomes:
        chain = (outcome.envelope.channel, outcome.envelope.partition_key)
        answer = Settled(Verdict.DROPPED)
        if chain not in broken:
            answer = yield from _one(outcome, journal, now, check)
        if answer.verdict is not Verdict.COMMITTED and chain[1] is not None:
            broken.add(chain)
        answers.append(answer)
    return answers


def _one(outcome: Outcome, journal: Rows, now: Now, check: Check) -> Steps[Settled]:
    try:
        refused = yield from _under_savepoint((outcome,), journal, now, check)
    except Lost as lost:
        return lost.settled
    return _committed(outcome, refused) if refused else COMMITTED


def _under_savepoint(outcomes: Sequence[Outcome], journal: Rows, now: Now, check: Check) -> Steps[Refused]:
    yield Query("savepoint")
    try:
        refused = yield from apply(plan(outcomes, journal), now, check)
    except Lost:
        yield Query("rollback_to_savepoint")
        yield Query("release_savepoint")
        raise
    yield Query("release_savepoint")
    return refused


def apply(found: Plan, now: Now, check: Check) -> Steps[Refused]:
    """Make the rows of a plan; Lost, and the caller rolls back, where one of them does not come out."""
    if found.removed:
        removed = yield Query("remove", rows=found.removed_rows)
        if removed.changed != len(found.removed):
            raise Lost(Verdict.GONE)
    hit("commit.removed")
    if found.claims:
        yield from _claim(found.claims)
    if found.last:
        yield from _save(found, now())
    yield from _cancel(found)
    for statement in found.statements:
        yield from _execute(statement, check)
    hit("commit.statements_run")
    refused = yield from _send(found, now())
    yield from _let_go(found)
    yield from _count_deaths(found)
    for outcome in found.others:
        yield from _mark(outcome, now())
        hit("commit.marked")
    yield from _note(found, now())
    if found.woken:
        # Last: what was stashed by this very flush is among them.
        yield Query("wake", rows=found.woken)
    return refused


def _note(found: Plan, now: int) -> Steps[None]:
    if found.journal:
        yield Query("note_handled", rows=[rows.journal_row(row, now) for row in found.journal])


def _count_deaths(found: Plan) -> Steps[None]:
    for seen, positions in found.marked.items():
        marked = yield Query("mark", seen, rows=[(position,) for position in positions])
        if marked.changed != len(positions):
            raise Lost(Verdict.GONE)
    if found.unmarked:
        unmarked = yield Query("unmark", rows=[(position,) for position in found.unmarked])
        if unmarked.changed != len(found.unmarked):
            raise Lost(Verdict.GONE)


def _let_go(found: Plan) -> Steps[None]:
    if found.removed and (yield Query("any_held")).value:
        yield Query("let_go", rows=[(position,) for position in found.removed])


def _save(found: Plan, now: int) -> Steps[None]:
    created, changed = found.saved(now)
    if created and (yield Query("create_instances", rows=created)).changed != len(created):
        raise Lost(Verdict.CONFLICT)
    if changed and (yield Query("change_instances", rows=changed)).changed != len(changed):
        raise Lost(Verdict.CONFLICT)
    hit("commit.saved")
    if found.recorded:
        yield Query("record_history", rows=found.history(now))
        hit("commit.recorded")


def _cancel(found: Plan) -> Steps[None]:
    if found.cancelled:
        yield from appending.cancel_timers(list(found.cancelled))
    if found.finished:
        finished = list(found.finished)
        if (yield Query("cancel_all_timers", rows=finished)).changed:
            yield Query("let_loose", rows=finished)


def _send(found: Plan, now: int) -> Steps[Refused]:
    # Lane by lane, what is stored together is also fetched and removed together: a third fewer pages are written.
    sent = sorted(found.all_sent, key=_lane)
    if not sent:
        return []
    answers = yield from appending.append(sent, now)
    hit("commit.sent_written")
    if answers.count(Admission.ACCEPTED) == len(answers):
        return []
    return [
        (envelope, answer) for envelope, answer in zip(sent, answers, strict=True) if answer is not Admission.ACCEPTED
    ]


_lane = attrgetter("lane")


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
        yield UserQuery(statement.sql, statement.parameters)
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
        counts = (outcome.deaths, int(outcome.excused))
        first = None if envelope.attempt or not outcome.counted else failed_at
        retry = (envelope.position, envelope.attempt, outcome.counted, due_at, failed_at, *counts, first)
        marked = (yield Query("retry", retry)).changed
    elif isinstance(outcome, Stashed):
        stash = (envelope.position, envelope.attempt, now + outcome.patience, outcome.deaths)
        marked = (yield Query("stash", stash)).changed
    if marked != 1:
        raise Lost(Verdict.GONE)
    if envelope.partition_key is not None:
        if isinstance(outcome, RetryAt) and outcome.holds:
            yield Query("hold", (envelope.channel, envelope.partition_key, envelope.position))
        else:
            yield Query("let_go", rows=[(envelope.position,)])


def _bury(outcome: DeadLettered, now: int) -> Steps[None]:
    envelope = outcome.envelope
    parks = outcome.parks and envelope.partition_key is not None
    yield from appending.bury(envelope, outcome.cause, outcome.reason, now, failure=outcome.failure, parked=parks)
    if parks:
        yield Query("hold", (envelope.channel, envelope.partition_key, 0))

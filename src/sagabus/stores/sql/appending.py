"""The way in: envelopes become rows, copies by message id are dropped, everything in the caller's open transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple

from sagabus.envelope import Cause, Envelope, accepted_times
from sagabus.errors import StoreBusy, StoreError
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Failure
from sagabus.stores.sql import rows
from sagabus.stores.sql.steps import Made, Query, Steps
from sagabus.stores.texts import RawBody, as_held, body_text

COLLISION = "id collision: another message with this id was accepted before"
_ROUNDS = 100
_is_guarded = attrgetter("guarded")
TOO_OLD = "too old: stamped before the de-duplication horizon"
_REASONS = {Admission.COLLISION: (Cause.COLLISION, COLLISION), Admission.TOO_OLD: (Cause.TOO_OLD, TOO_OLD)}


class Raced(Exception):  # a signal between these modules, not an error
    """Another transaction recorded one of the same ids meanwhile: roll back and do it again, on what it has left."""


class Seen(NamedTuple):
    """What this transaction has read already of the ids of envelopes and of their channels."""

    known: dict[tuple[str, str], str]
    """The fingerprints that are recorded."""
    lowest: dict[str, int]
    """The horizons."""


def append(envelopes: Sequence[Envelope], now: int, seen: Seen | None = None) -> Steps[list[Admission]]:
    """Accept envelopes; one answer for each. The dead letters of refused ones are part of the same transaction."""
    answers = [Admission.ACCEPTED] * len(envelopes)
    accepted = envelopes
    if True in map(_is_guarded, envelopes):
        yield from _admit(envelopes, answers, now, seen)
        accepted = _accepted(envelopes, answers)
    try:
        yield from insert(accepted, now)
    except RawBody:
        yield from _hold_raw(envelopes, answers, now)
        yield from insert(_accepted(envelopes, answers), now)
    return answers


def _accepted(envelopes: Sequence[Envelope], answers: Sequence[Admission]) -> list[Envelope]:
    return [e for e, answer in zip(envelopes, answers, strict=True) if answer is Admission.ACCEPTED]


def _hold_raw(envelopes: Sequence[Envelope], answers: list[Admission], now: int) -> Steps[None]:
    """Hold those whose body is no text; the record of their ids stays, so that a copy is one."""
    for index, envelope in enumerate(envelopes):
        held = as_held(envelope) if answers[index] is Admission.ACCEPTED else None
        if held is not None:
            answers[index] = yield from _bury_raw(*held, now)


def _bury_raw(envelope: Envelope, reason: str, now: int) -> Steps[Admission]:
    yield from bury(envelope, Cause.DAMAGED, reason, now)
    return Admission.DAMAGED


def append_inside(envelopes: Sequence[Envelope], now: int) -> Steps[list[Admission]]:
    """Accept envelopes inside a transaction of the caller, which cannot begin again. After an error it is as it was
    before, if the database still can.
    """
    for rounds_left in range(_ROUNDS - 1, -1, -1):
        yield Query("savepoint")
        try:
            answers = yield from append(envelopes, now)
        except Exception as error:
            with suppress(StoreError):  # the first error says more
                yield Query("rollback_to_savepoint")
                yield Query("release_savepoint")
            if not isinstance(error, Raced):
                raise
            if not rounds_left:
                raise StoreBusy("another transaction's record of the same id cannot be seen from this one") from error
        else:
            yield Query("release_savepoint")
            return answers
    raise AssertionError("unreachable")


def append_at(
    envelopes: Sequence[Envelope], routing: int, now: int, *, inside: bool = False
) -> Steps[list[Admission] | None]:
    """As `append`, unless the routing has changed since the envelopes were addressed: then None, nothing is done.

    `inside` a transaction that has more in it, a race with another one costs a savepoint, not the transaction.
    """
    current = (yield Query("routing")).value
    return (yield from append_under(current, envelopes, routing, now, inside=inside))


def append_under(
    current: int | None,
    envelopes: Sequence[Envelope],
    routing: int,
    now: int,
    *,
    inside: bool = False,
    seen: Seen | None = None,
) -> Steps[list[Admission] | None]:
    """The same under a routing that was read in this transaction."""
    hit("append.begun")
    answers: list[Admission] | None = None
    if current == routing:
        answers = yield from append_inside(envelopes, now) if inside else append(envelopes, now, seen)
    hit("append.before_commit")
    return answers


def insert(envelopes: Sequence[Envelope], now: int) -> Steps[None]:
    """Store envelopes in order, timers in place of those they replace; no questions asked. RawBody, and nothing is
    written, where one of them has no text for its body.
    """
    if not envelopes:
        return
    plain = [each for each in envelopes if each.timer is None and each.due_at == 0 and each.delay <= 0]
    if len(plain) == len(envelopes):
        texts = [body_text(each.body) for each in envelopes]  # RawBody, before anything is written
        yield Query("insert_envelopes", rows=Made(rows.plain_row, envelopes, texts), envelopes=envelopes)
        hit("append.envelopes_written")
        return
    timers: dict[tuple[str, str | None, str], Envelope] = {}
    taken: list[tuple[object, ...]] = []
    for envelope in envelopes:
        if envelope.timer is not None:
            timers[(envelope.channel, envelope.partition_key, envelope.timer)] = envelope
        elif envelope.due_at == 0 and envelope.delay <= 0:
            taken.append(rows.envelope_row(envelope, 0, envelope.sent_at))
        else:
            taken.append(scheduled(envelope, now))
    if timers:
        taken.extend(scheduled(envelope, now) for envelope in timers.values())
        envelopes = [*[envelope for envelope in envelopes if envelope.timer is None], *timers.values()]
        yield from cancel_timers(list(timers))
    yield Query("insert_envelopes", rows=taken, envelopes=envelopes)
    hit("append.envelopes_written")


def cancel_timers(places: Sequence[tuple[str, str | None, str]]) -> Steps[None]:
    """Remove timers by channel, key and name; a key that one of them held back goes on."""
    if (yield Query("cancel_timers", rows=places)).changed:
        yield Query("let_loose", rows=[place[:2] for place in places])


def scheduled(envelope: Envelope, now: int) -> tuple[object, ...]:
    """The row of an envelope that is accepted now."""
    return rows.envelope_row(envelope, *accepted_times(envelope, now))


def inbox_row(envelope: Envelope, now: int) -> tuple[str, str, str, int]:
    """What is remembered of an envelope that is guarded."""
    return envelope.channel, envelope.message_id, rows.fingerprint(envelope), accepted_times(envelope, now)[1]


def bury(
    envelope: Envelope, cause: Cause, reason: str, now: int, *, failure: Failure | None = None, parked: bool = False
) -> Steps[None]:
    """Hold an envelope in the dead letters; the same message a second time reopens its letter."""
    yield Query(
        "bury",
        (
            envelope.channel,
            envelope.message_id,
            rows.fingerprint(envelope),
            rows.stored(envelope),
            body_text(envelope.body),
            rows.storable(reason),
            rows.storable(failure.error_type) if failure else None,
            rows.storable(failure.text) if failure else None,
            rows.storable(failure.traceback) if failure else None,
            envelope.attempt + 1 if failure else envelope.attempt,
            envelope.failed_at or now,
            now,
            1 if parked else 0,
            cause.value,
        ),
    )
    hit("dead_letter.written")


def recorded(asked: Sequence[tuple[str, str]]) -> Steps[dict[tuple[str, str], str]]:
    """The fingerprints recorded under those of the (channel, id) that were accepted before."""
    found = (yield Query("known", rows=asked)).rows
    return {(channel, message_id): print_ for channel, message_id, print_ in found}


def remember(records: Sequence[tuple[str, str, str, int]]) -> Steps[None]:
    """Record (channel, id, fingerprint, stamp); Raced when another transaction was quicker with one of them."""
    if (yield Query("remember", rows=records)).changed != len(records):
        raise Raced


def horizons(channels: Iterable[str]) -> Steps[dict[str, int]]:
    """The de-duplication horizon of each of the channels that has one; it stays there until the transaction ends."""
    asked = [(channel,) for channel in sorted(set(channels))]
    return {row[0]: row[1] for row in (yield Query("horizons", rows=asked)).rows}


def _admit(envelopes: Sequence[Envelope], answers: list[Admission], now: int, seen: Seen | None) -> Steps[None]:
    if seen is None:
        known = yield from recorded([(e.channel, e.message_id) for e in envelopes if e.guarded])
        lowest = yield from horizons(e.channel for e in envelopes if e.guarded)
    else:
        known, lowest = seen
    fresh: list[tuple[str, str, str, int]] = []
    for index, envelope in enumerate(envelopes):
        if not envelope.guarded:
            continue
        answer = answers[index] = _answer(envelope, known, lowest, fresh, now)
        if answer in _REASONS:
            held = as_held(envelope)
            if held is not None:
                answers[index] = yield from _bury_raw(*held, now)
            else:
                yield from bury(envelope, *_REASONS[answer], now)
    if fresh:
        yield from remember(fresh)
        hit("append.inbox_written")


def _answer(
    envelope: Envelope,
    known: dict[tuple[str, str], str],
    lowest: dict[str, int],
    fresh: list[tuple[str, str, str, int]],
    now: int,
) -> Admission:
    record = inbox_row(envelope, now)
    place, mine = record[:2], record[2]
    before = known.get(place)
    if before is not None:
        return Admission.DUPLICATE if before == mine else Admission.COLLISION
    if envelope.sent_at < lowest.get(envelope.channel, 0):
        return Admission.TOO_OLD
    known[place] = mine
    fresh.append(record)
    return Admission.ACCEPTED

"""What a sequence of outcomes comes to in rows, each table's once. Pure: no statement is run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import msgspec

from sagabus.envelope import Envelope
from sagabus.outcome import (
    Completed,
    DeadLettered,
    Effects,
    Marked,
    Outcome,
    RetryAt,
    Save,
    Settled,
    Stashed,
    Statement,
    Verdict,
)
from sagabus.store import JournalRow
from sagabus.stores.sql.steps import Made

CLAIM = "\x1f"
"""In front of a claimed key: no message id contains it, so neither can be taken for the other."""

_key, _saga = attrgetter("key"), attrgetter("saga")
_encode = msgspec.json.Encoder().encode

SavedRow = tuple[str, str, int, int, str, str | None, str | None, int | None, int, int, str | None]
RecordedRow = tuple[str, str, int, int, str, str, str | None, str | None, int, str, str | None]


def _single(value: object) -> tuple[object]:
    return (value,)


class Lost(Exception):  # a signal between these modules, not an error
    """One of the outcomes at hand cannot commit."""

    def __init__(self, verdict: Verdict, error: BaseException | None = None) -> None:
        super().__init__(verdict)
        self.settled = Settled(verdict, error)


@dataclass(slots=True)
class Plan:
    """The rows that a sequence of outcomes comes to, each table's once."""

    removed: list[int] = field(default_factory=list[int])
    first: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """The version that is stored of each instance that is saved several times."""
    last: dict[tuple[str, str], Save] = field(default_factory=dict[tuple[str, str], Save])
    sent: list[Envelope] = field(default_factory=list[Envelope])
    timers: dict[tuple[str, str | None], dict[str, Envelope]] = field(
        default_factory=dict[tuple[str, str | None], dict[str, Envelope]]
    )
    cancelled: dict[tuple[str, str | None, str], None] = field(default_factory=dict[tuple[str, str | None, str], None])
    recorded: list[tuple[Envelope, Save]] = field(default_factory=list[tuple[Envelope, Save]])
    """Each transition that is to be in the history, of several of one instance all."""
    woken: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    finished: dict[tuple[str, str | None], None] = field(default_factory=dict[tuple[str, str | None], None])
    claims: list[tuple[str, str, str, int]] = field(default_factory=list[tuple[str, str, str, int]])
    statements: list[Statement] = field(default_factory=list[Statement])
    marked: dict[tuple[int, int], list[int]] = field(default_factory=dict[tuple[int, int], list[int]])
    """Positions of suspects that were seen with so many attempts and deaths, before one more death is counted."""
    unmarked: list[int] = field(default_factory=list[int])
    """Positions of which a death is taken back."""
    journal: list[JournalRow] = field(default_factory=list[JournalRow])
    others: list[Outcome] = field(default_factory=list[Outcome])

    @property
    def removed_rows(self) -> Made:
        """The positions of what goes."""
        return Made(_single, self.removed)

    @property
    def all_sent(self) -> list[Envelope]:
        """Messages in the order of their sending, then the timers that stand at the end."""
        return self.sent + [timer for timers in self.timers.values() for timer in timers.values()]

    def saves(self) -> list[Save]:
        """The last save of each instance. By key, as the tables are: so a flush touches their pages in order, and two
        flushes lock their rows in one order.
        """
        found = sorted(self.last.values(), key=_key)
        found.sort(key=_saga)  # twice by one text is faster than once by two
        return found

    def base(self, save: Save) -> int:
        """The version that is stored of the instance of a last save."""
        return self.first.get((save.saga, save.key), save.base) if self.first else save.base

    def saved(self, now: int) -> tuple[Made, Made]:
        """The instances to create, and those to change."""
        saves, base = self.saves(), self.base

        def row(save: Save) -> SavedRow:
            version, shape = save.base + 1, save.shape
            return (
                save.saga,
                save.key,
                version,
                base(save),
                save.state.decode(),
                save.status,
                _encode(save.timers).decode() if save.timers else None,
                now if save.completed else None,
                now,
                now,
                None if shape is None else f"{version} {shape}",  # as `shape_text`
            )

        created, changed = [save for save in saves if not base(save)], [save for save in saves if base(save)]
        return Made(row, created), Made(row, changed)

    def history(self, now: int) -> list[RecordedRow]:
        """The transitions in the order in which they ran."""
        return [
            (
                save.saga,
                save.key,
                save.version,
                now,
                envelope.message_id,
                envelope.message_type,
                envelope.timer,
                save.status,
                int(save.completed),
                save.state.decode(),
                save.shape,
            )
            for envelope, save in self.recorded
        ]


def plan(outcomes: Sequence[Outcome], journal: Mapping[int, JournalRow]) -> Plan:
    """The rows of these outcomes, in the order in which they ran; raises Lost when one rests on what is not so.

    `journal`: their rows of the journal, by the position of the envelope.
    """
    found = Plan()
    removed, sent = found.removed, found.sent
    for outcome in outcomes:
        if type(outcome) is not Completed:
            _plan_other(found, outcome)
            continue
        envelope, effects = outcome.envelope, outcome.effects
        if envelope.timer is not None and _is_off(found, envelope):
            raise Lost(Verdict.GONE)
        removed.append(envelope.position)
        if effects.cancelled or effects.statements or effects.claims:
            _plan_rest(found, envelope, effects)
        for each in effects.sent:
            if each.timer is None:
                sent.append(each)
            else:
                found.timers.setdefault((each.channel, each.partition_key), {})[each.timer] = each
        if effects.save is not None:
            _plan_save(found, envelope, effects.save)
    found.journal = _journal_of(outcomes, journal) if journal else []
    return found


def _journal_of(outcomes: Sequence[Outcome], journal: Mapping[int, JournalRow]) -> list[JournalRow]:
    rows = (journal.get(each.envelope.position) for each in outcomes if type(each) is not Marked)
    return [row for row in rows if row is not None]


def _plan_other(found: Plan, outcome: Outcome) -> None:
    envelope = outcome.envelope
    if isinstance(outcome, (RetryAt, Marked, Stashed)):
        _plan_mark(found, outcome)
        return
    if envelope.timer is not None and _is_off(found, envelope):
        raise Lost(Verdict.GONE)
    found.removed.append(envelope.position)
    if isinstance(outcome, DeadLettered):
        found.others.append(outcome)


def _plan_mark(found: Plan, outcome: RetryAt | Marked | Stashed) -> None:
    envelope = outcome.envelope
    if not isinstance(outcome, Marked):
        found.others.append(outcome)
    elif outcome.deaths < 0:
        found.unmarked.append(envelope.position)
    else:
        found.marked.setdefault((envelope.attempt, envelope.deaths), []).append(envelope.position)


def _is_off(found: Plan, timer: Envelope) -> bool:
    """Whether an earlier outcome of this plan has cancelled, replaced or outlived the timer at hand."""
    key, name = (timer.channel, timer.partition_key), timer.timer or ""
    return (*key, name) in found.cancelled or name in found.timers.get(key, {}) or key in found.finished


def _plan_rest(found: Plan, envelope: Envelope, effects: Effects) -> None:
    """What few runs do. Before what the run sends: that may set again a timer that it has cancelled."""
    if effects.cancelled:
        _plan_cancelled(found, envelope, effects)
    found.statements.extend(effects.statements)
    for claim in effects.claims:
        found.claims.append((envelope.channel, CLAIM + claim.key, claim.fingerprint.hex(), envelope.sent_at))


def _plan_cancelled(found: Plan, envelope: Envelope, effects: Effects) -> None:
    key = (envelope.channel, envelope.partition_key)
    for name in effects.cancelled:
        found.timers.get(key, {}).pop(name, None)
        found.cancelled[(*key, name)] = None


def _plan_save(found: Plan, envelope: Envelope, save: Save) -> None:
    place = (save.saga, save.key)
    before = found.last.get(place)
    if before is not None:
        if before.version != save.base:
            raise Lost(Verdict.CONFLICT)
        found.first.setdefault(place, before.base)
    found.last[place] = save
    if save.wakes or save.completed or save.recorded:
        _plan_more(found, envelope, save)


def _plan_more(found: Plan, envelope: Envelope, save: Save) -> None:
    """What a save does besides writing the row of its instance."""
    place = (save.saga, save.key)
    if save.wakes:
        found.woken.append(place)
    if save.recorded:
        found.recorded.append((envelope, save))
    if save.completed:
        if save.leaves_timers:
            found.finished[place] = None
        found.timers.pop(place, None)

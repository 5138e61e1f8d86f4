"""Sets of rows as lines of text, for the two hot writes: the database takes them apart at half of what JSON costs it.

A unit separator stands between the fields of a row, a record separator between rows, a substitute for NULL. Rows with
one of these characters inside are not passed so: then there is no text, and the caller passes them in another way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from sagabus.envelope import Envelope, accepted_times
from sagabus.outcome import Save
from sagabus.store import JournalRow
from sagabus.stores.postgres.fragments import ENVELOPE, HISTORY, INSTANCE, JOURNAL
from sagabus.stores.sql.rows import JOURNAL_COLUMNS, fingerprint, headers_text, shape_text

_FIELD, _ROW, _NULL = "\x1f", "\x1e", "\x1a"
_RARE = ("due_at", "attempt", "stashed", "headers", "failed_at", "timer")
"""Columns of an envelope at the end of its line, or missing if all of them are 0 or NULL."""
_ZEROS = _RARE[:3]
_NOTHING = (0, 0, False, None, None, None)
_ENVELOPE = (
    *("channel", "lane", "message_id", "message_type", "partition_key", "body", "correlation_id", "causation_id"),
    *("sent_at", "hops", *_RARE),
)
_GIVEN = ("guarded", "fingerprint", "stamp", "origin", *_ENVELOPE)
_INSTANCE = ("saga", "key", "version", "read_version", "state", "status", "timers", "completed_at", "shape")
_HISTORY = ("saga", "key", "version", "message_id", "message_type", "timer", "status", "completed", "state", "shape")
_JOURNAL = tuple(name for name in JOURNAL_COLUMNS.split(", ") if name != "handled_at")

_GUARD = "guarded int, fingerprint text, stamp bigint, origin bigint"
_COLUMNS = [column.partition(" ") for column in f"{ENVELOPE}, {INSTANCE}, {HISTORY}, {JOURNAL}, {_GUARD}".split(", ")]
_KINDS = {name: kind for name, _, kind in _COLUMNS}


def envelopes(parameter: str) -> str:
    """The set of rows that `packed_envelopes` has put into a parameter."""
    return _taken_apart(parameter, _ENVELOPE)


def given(parameter: str) -> str:
    """The set of rows that `packed_given` has put into a parameter."""
    return _taken_apart(parameter, _GIVEN)


def instances(parameter: str) -> str:
    """The set of rows that `packed_saves` has put into a parameter."""
    return _taken_apart(parameter, _INSTANCE)


def transitions(parameter: str) -> str:
    """The set of rows that `packed_transitions` has put into a parameter."""
    return _taken_apart(parameter, _HISTORY)


def journal(parameter: str) -> str:
    """The set of rows that `packed_journal` has put into a parameter."""
    return _taken_apart(parameter, _JOURNAL)


def _taken_apart(parameter: str, names: Iterable[str]) -> str:
    values = ", ".join(f"{_value(number, name)} AS {name}" for number, name in enumerate(names, 1))
    # The OFFSET keeps a line from being split again for each of its fields.
    return f"""(SELECT {values} FROM (SELECT string_to_array(line, E'\\x1f', E'\\x1a') AS f
    FROM unnest(string_to_array({parameter}::text, E'\\x1e')) AS line OFFSET 0) AS lines)"""


def _value(number: int, name: str) -> str:
    kind = _KINDS[name]
    field = f"f[{number}]" if kind == "text" else f"f[{number}]::{kind}"
    return f"coalesce({field}, 0)" if name in _ZEROS else field


def packed_envelopes(found: Sequence[Envelope], now: int) -> str | None:
    """Envelopes that are accepted now."""
    lines = _Lines()
    return lines.text() if all(lines.add_envelope(envelope, now) for envelope in found) else None


def packed_given(found: Sequence[Envelope], now: int) -> str | None:
    """Envelopes from outside, each behind what is to be remembered of it."""
    lines = _Lines()
    return lines.text() if all(lines.add_envelope(envelope, now, guard=True) for envelope in found) else None


def packed_saves(saves: Iterable[tuple[int, Save]], now: int) -> str | None:
    """Instances, each with the version that it is to be saved over."""
    lines = _Lines()
    for base, save in saves:
        lines.add_save(base, save, now)
    return lines.text()


def packed_transitions(found: Iterable[tuple[Envelope, Save]]) -> str | None:
    """Transitions for the history, each behind the message that made it."""
    lines = _Lines()
    for envelope, save in found:
        lines.add_transition(envelope, save)
    return lines.text()


def packed_journal(found: Iterable[JournalRow]) -> str | None:
    """Rows of the journal."""
    lines = _Lines()
    for row in found:
        lines.add_handled(row)
    return lines.text()


class _Lines:
    """Lines, and how often each mark must stand in them: any more, and one of them is part of a value."""

    __slots__ = ("_fields", "_lines", "_nulls")

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._fields = 0
        self._nulls = 0

    def text(self) -> str | None:
        """All lines; None when they cannot be passed so."""
        text = _ROW.join(self._lines)
        marks = (text.count(_ROW), text.count(_FIELD), text.count(_NULL))
        expected = (max(len(self._lines) - 1, 0), self._fields, self._nulls)
        return text if marks == expected and "\0" not in text else None

    def add_envelope(self, envelope: Envelope, now: int, *, guard: bool = False) -> bool:
        """Whether its body is text."""
        due_at, sent_at = accepted_times(envelope, now)
        try:
            body = envelope.body.decode()
        except UnicodeDecodeError:
            return False
        line = (
            f"{envelope.channel}\x1f{envelope.lane}\x1f{envelope.message_id}\x1f{envelope.message_type}\x1f"
            f"{self._or_null(envelope.partition_key)}\x1f{body}\x1f{self._or_null(envelope.correlation_id)}\x1f"
            f"{self._or_null(envelope.causation_id)}\x1f{sent_at}\x1f{envelope.hops}"
        )
        self._fields += 9
        rare = (due_at, envelope.attempt, envelope.stashed, envelope.headers, envelope.failed_at, envelope.timer)
        if rare != _NOTHING:
            line += self._rare(envelope, due_at)
        if guard:
            line = self._guard(envelope, sent_at) + line
        self._lines.append(line)
        return True

    def add_save(self, base: int, save: Save, now: int) -> None:
        """An instance."""
        timers = msgspec.json.encode(save.timers).decode() if save.timers else None
        completed_at = str(now) if save.completed else None
        self._fields += 8
        self._lines.append(
            f"{save.saga}\x1f{save.key}\x1f{save.version}\x1f{base}\x1f{save.state.decode()}\x1f"
            f"{self._or_null(save.status)}\x1f{self._or_null(timers)}\x1f{self._or_null(completed_at)}\x1f"
            f"{self._or_null(shape_text(save))}"
        )

    def add_transition(self, envelope: Envelope, save: Save) -> None:
        """A transition."""
        self._fields += 9
        self._lines.append(
            f"{save.saga}\x1f{save.key}\x1f{save.version}\x1f{envelope.message_id}\x1f{envelope.message_type}\x1f"
            f"{self._or_null(envelope.timer)}\x1f{self._or_null(save.status)}\x1f{int(save.completed)}\x1f"
            f"{save.state.decode()}\x1f{self._or_null(save.shape)}"
        )

    def add_handled(self, row: JournalRow) -> None:
        """A row of the journal."""
        self._fields += 13
        version = None if row.version is None else str(row.version)
        self._lines.append(
            f"{row.correlation_id}\x1f{row.subscription}\x1f{row.message_id}\x1f{row.message_type}\x1f"
            f"{self._or_null(row.key)}\x1f{self._or_null(row.timer)}\x1f{self._or_null(row.causation_id)}\x1f"
            f"{row.sent_at}\x1f{row.attempt}\x1f{row.outcome}\x1f{self._or_null(row.error)}\x1f"
            f"{self._or_null(version)}\x1f{row.duration}\x1f{row.worker}"
        )

    def _rare(self, envelope: Envelope, due_at: int) -> str:
        self._fields += len(_RARE)
        failed_at = None if envelope.failed_at is None else str(envelope.failed_at)
        return (
            f"\x1f{due_at}\x1f{envelope.attempt}\x1f{int(envelope.stashed)}\x1f{self._or_null(headers_text(envelope))}"
            f"\x1f{self._or_null(failed_at)}\x1f{self._or_null(envelope.timer)}"
        )

    def _guard(self, envelope: Envelope, stamp: int) -> str:
        self._fields += 4
        if not envelope.guarded:
            self._nulls += 3
            return f"0\x1f{_NULL}\x1f{_NULL}\x1f{_NULL}\x1f"
        return f"1\x1f{fingerprint(envelope)}\x1f{stamp}\x1f{envelope.sent_at}\x1f"

    def _or_null(self, text: str | None) -> str:
        if text is None:
            self._nulls += 1
            return _NULL
        return text

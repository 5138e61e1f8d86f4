"""The dictionary that a store is compared with: the guarantees, written down as plainly as possible."""

from collections import Counter
from dataclasses import dataclass, field
from zlib import crc32

from sagabus.envelope import Envelope
from sagabus.outcome import Admission, DeadLettered, Effects, Marked, Outcome, RetryAt, Stashed

LANES = 2

Content = tuple[str, bytes]


@dataclass
class Row:
    """What the model knows of one stored message."""

    key: str
    sent_at: int
    due_at: int = 0
    attempt: int = 0
    deaths: int = 0
    is_timer: bool = False


@dataclass
class Letter:
    row: Row
    kind: str
    status: str = "open"
    parked: bool = False


@dataclass
class Model:
    """The store as the guarantees describe it."""

    stored: dict[Content, Row] = field(default_factory=dict)
    inbox: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    accepted: set[Content] = field(default_factory=set)
    effects: Counter[Content] = field(default_factory=Counter)
    withdrawn: set[Content] = field(default_factory=set)
    cancelled: set[Content] = field(default_factory=set)
    letters: dict[Content, Letter] = field(default_factory=dict)
    history: list[tuple[str, int, str, int]] = field(default_factory=list)
    versions: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    holds: dict[str, Content | None] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    horizon: int = 0

    def admit(self, content: Content, row: Row) -> Admission:
        known = self.inbox.get(content[0])
        if known is not None:
            return Admission.DUPLICATE if known[0] == content[1] else self.quarantine(content, row, Admission.COLLISION)
        if row.sent_at < self.horizon:
            return self.quarantine(content, row, Admission.TOO_OLD)
        self.inbox[content[0]] = (content[1], row.sent_at)
        self.stored[content] = row
        self.accepted.add(content)
        return Admission.ACCEPTED

    def quarantine(self, content: Content, row: Row, kind: Admission) -> Admission:
        self.bury(content, row, kind.value, parks=False)
        return kind

    def bury(self, content: Content, row: Row, kind: str, *, parks: bool) -> None:
        before = self.letters.get(content)
        still_parked = before is not None and before.parked and before.status == "open"
        self.letters[content] = Letter(row, kind, parked=parks or still_parked)

    def remove(self, content: Content) -> Row:
        row = self.stored.pop(content)
        self.hold(row.key, content, holds=False)
        return row

    def timers(self, key: str) -> list[Content]:
        return [content for content, row in self.stored.items() if row.is_timer and row.key == key]

    def withdraw_timers(self, key: str) -> None:
        for content in self.timers(key):
            self.remove(content)
            self.cancelled.add(content)

    def version_of(self, key: str) -> int:
        return self.versions.get(key, (0, None))[0]

    def take_effect(self, content: Content, effects: Effects, now: int) -> None:
        row = self.remove(content)
        assert content not in self.cancelled
        self.effects[content] += 1
        assert effects.save is not None
        sets_timer = any(each.timer for each in effects.sent)
        if effects.cancelled or effects.save.completed or sets_timer:
            self.withdraw_timers(row.key)
        self.versions[row.key] = (self.version_of(row.key) + 1, now if effects.save.completed else None)
        self.history.append((row.key, self.versions[row.key][0], content[0], now))
        for each in effects.sent:
            key = str(each.partition_key)
            if each.timer:
                self.stored[content_of(each)] = Row(key, now + each.delay, now + each.delay, is_timer=True)
            else:
                self.admit(content_of(each), Row(key, each.sent_at))

    def settle(self, outcome: Outcome, now: int) -> None:
        content = content_of(outcome.envelope)
        row = self.stored[content]
        match outcome:
            case RetryAt():
                row.attempt += 1
                row.deaths = max(row.deaths + outcome.deaths, 0)
                row.due_at = now + max(outcome.delay, 1)
                self.hold(row.key, content, holds=outcome.holds)
            case Marked():
                row.deaths += outcome.deaths
            case Stashed():
                row.deaths = max(row.deaths + outcome.deaths, 0)
                row.due_at = now + outcome.patience
                self.hold(row.key, content, holds=False)
            case DeadLettered():
                self.remove(content)
                self.bury(content, row, "died", parks=outcome.parks)
                if outcome.parks:
                    self.holds[row.key] = None
            case _:
                self.remove(content)
                self.withdrawn.add(content)

    def hold(self, key: str, content: Content, *, holds: bool) -> None:
        if holds:
            self.holds[key] = content
        elif self.holds.get(key, ()) == content:
            del self.holds[key]

    def due(self, lanes: set[int], now: int) -> set[Content]:
        return {
            content
            for content, row in self.stored.items()
            if row.due_at <= now and lane_of(row.key) in lanes and self.holds.get(row.key, content) == content
        }


def lane_of(key: str) -> int:
    return crc32(key.encode()) % LANES


def content_of(envelope: Envelope) -> Content:
    return envelope.message_id, envelope.body

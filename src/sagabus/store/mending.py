"""What an operator changes in a store, and what the audit log keeps of it. A part of the contract in `store`."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from sagabus.outcome import Save


class Entry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the audit log keeps of one change: who, what and why."""

    verb: str
    """Such as `saga.cancel`."""
    channel: str
    """The saga or subscription that it is about."""
    target: str
    """What was changed of it: the key of an instance, the id of a message or of a dead letter.

    A timer is named by the key and its own name behind that.
    """
    by: str
    """Who asked for it."""
    reason: str
    before: str = ""
    """JSON."""
    after: str = ""
    """JSON."""


class Audited(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One entry of the audit log."""

    id: int
    """Increasing in the order of the changes."""
    at: int
    """When the change was made, in microseconds since 1970 by the store's clock."""
    entry: Entry


def naming_key(key: str) -> str:
    """What stands in the `before` of an entry whose target is no key, if it is about this key."""
    return f'"key":{msgspec.json.encode(key).decode()}'


class WantedAudits(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Which entries of the audit log a look is for; None stands for any."""

    channel: str | None = None
    target: str | None = None
    """Their target, or the key of the message, the timer or the dead letter that they are about."""
    by: str | None = None
    since: int | None = None
    """Made at this instant or later."""
    until: int | None = None
    """Made before this instant."""
    before: int | None = None
    """Only ids less than this."""

    @property
    def is_filter(self) -> bool:
        """Whether entries have to be looked at to know whether they are wanted."""
        return any(each is not None for each in (self.target, self.by, self.since, self.until))

    def includes(self, each: Audited) -> bool:
        """Whether an entry is wanted."""
        entry = each.entry
        return (
            self.channel in {None, entry.channel}
            and (self.target in {None, entry.target} or naming_key(str(self.target)) in entry.before)
            and self.by in {None, entry.by}
            and (self.since is None or each.at >= self.since)
            and (self.until is None or each.at < self.until)
            and (self.before is None or each.id < self.before)
        )


class AuditsSeen(msgspec.Struct, frozen=True, gc=False):
    """Entries of the audit log, the latest first."""

    entries: tuple[Audited, ...]
    stopped_at: int | None = None
    """A filter stopped after SCANNED entries. Go on before this id."""


class ChangeInstance(msgspec.Struct, frozen=True, gc=False):
    """Make the next version of an instance, on top of the version that was seen."""

    save: Save
    cancelled: tuple[str, ...] = ()
    """Names of timers of the instance whose stored envelopes go."""


class RunNow(msgspec.Struct, frozen=True, gc=False):
    """Make a stored envelope due now."""

    position: int
    due_at: int
    """As it was seen, as for `Remove` and `Move`."""
    attempt: int


class Remove(msgspec.Struct, frozen=True, gc=False):
    """Remove a stored envelope without effect. If a worker has it in flight, that run has none either."""

    position: int
    due_at: int
    attempt: int


class Move(msgspec.Struct, frozen=True, gc=False):
    """Give a stored envelope another due time, and another position: if a worker has it in flight, that run is void."""

    position: int
    due_at: int
    attempt: int
    to: int
    """Microseconds since 1970."""


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Let no worker begin a message of a channel until it is resumed."""

    channel: str


class Resume(msgspec.Struct, frozen=True, gc=False):
    """End the pause of a channel."""

    channel: str


Mend: TypeAlias = ChangeInstance | RunNow | Remove | Move | Pause | Resume


class Edit(msgspec.Struct, frozen=True, gc=False):
    """Another message in the place of a dead letter's: it has another body, and so another id."""

    message_id: str
    body: bytes


class Paused(msgspec.Struct, frozen=True, gc=False):
    """A channel of which no worker begins a message."""

    channel: str
    since: int
    """Microseconds since 1970, by the store's clock."""
    by: str
    reason: str

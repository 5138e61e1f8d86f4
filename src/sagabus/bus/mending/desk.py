"""What all that mends stands on: the store, its clock, what is declared here, and the way into the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec

from sagabus.bus.inspection.waits import Definition
from sagabus.bus.mending.author import author, checked_reason
from sagabus.clock import Clock
from sagabus.codec.states import StateCodec
from sagabus.store import Store
from sagabus.store.mending import Entry, Mend


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A change that was made."""

    audit: int
    """The id of its entry in the audit log."""
    verb: str
    subscription: str
    target: str
    before: Mapping[str, object]
    """What it changed, as it was."""
    after: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A change that was asked for: what, why and by whom."""

    verb: str
    channel: str
    target: str
    reason: str
    by: str | None

    def entry(self, before: Mapping[str, object], after: Mapping[str, object]) -> Entry:
        """The entry of the audit log; ValueError without a reason."""
        texts = [msgspec.json.encode(each).decode() for each in (before, after)]
        return Entry(
            verb=self.verb,
            channel=self.channel,
            target=self.target,
            by=author(self.by),
            reason=checked_reason(self.reason),
            before=texts[0],
            after=texts[1],
        )


@dataclass(frozen=True, slots=True)
class Desk:
    """What a bus mends with."""

    store: Store
    clock: Clock
    check: Callable[[str], None]
    definitions: Mapping[str, Definition]
    states: StateCodec
    hear: Callable[[Store], Awaitable[None]]
    """Have this process know the routing of a store, pauses with it."""

    async def make(
        self, mend: Mend, order: Order, before: Mapping[str, object], after: Mapping[str, object]
    ) -> Mended | None:
        """Make a change; None where the store no longer has what it rests on."""
        audit = await self.store.change(mend, order.entry(before, after))
        if audit is None:
            return None
        return Mended(
            audit=audit,
            verb=order.verb,
            subscription=order.channel,
            target=order.target,
            before=before,
            after=after,
        )

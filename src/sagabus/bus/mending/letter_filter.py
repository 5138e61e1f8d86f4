"""Which dead letters are meant, and bounded looks for them: `bus.dead_letters` and its commands choose by them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from sagabus.clock import instant
from sagabus.envelope import Cause, DeadLetter
from sagabus.store import Store

STEP = 200
"""Letters of one query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters are meant; None stands for any."""

    subscription: str | None = None
    cause: Cause | None = None
    message_type: str | None = None
    text: str | None = None
    """Stands in their reason, error type or error text, in upper or lower case."""
    key: str | None = None
    correlation_id: str | None = None
    """Of their conversation. The message that began it is meant, too."""
    since: datetime | None = None
    """They failed last then or later."""
    until: datetime | None = None
    """They failed last before that."""

    def includes(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant; its subscription and its time are looked up by the store."""
        texts = (letter.reason, letter.error_type, letter.error_text)
        return (
            self.cause in {None, letter.cause}
            and self.message_type in {None, letter.envelope.message_type}
            and self.key in {None, letter.envelope.partition_key}
            and self.correlation_id in {None, letter.envelope.correlation_id, letter.envelope.message_id}
            and (self.text is None or any(self.text.casefold() in text.casefold() for text in texts if text))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """Dead letters by id, without their bodies and tracebacks."""

    letters: tuple[DeadLetter, ...]
    after: int | None
    """Where the next page begins; None at the end."""
    stopped: bool
    """A filter looked at 10,000 letters. There may be more behind `after`."""


class Chosen(TypedDict):
    """What the store itself looks up."""

    channel: str | None
    since: int | None
    until: int | None


def chosen_by(which: LetterFilter) -> Chosen:
    """The part of a filter that the store looks up; InvalidTime for a time without a zone."""
    return {
        "channel": which.subscription,
        "since": None if which.since is None else instant(which.since, "since"),
        "until": None if which.until is None else instant(which.until, "until"),
    }


@dataclass(frozen=True, slots=True)
class Heads:
    """One query: letters that the store finds, and how far it has looked."""

    letters: Sequence[DeadLetter]
    after: int
    stopped: bool
    """It has looked at 10,000 letters since the last stop, and there are more."""


async def heads(store: Store, which: LetterFilter, status: str | None, after: int) -> AsyncIterator[Heads]:
    """All letters that the store finds, a query at a time, without their bodies; no query looks at more than 10,000.

    It ends with the letter that is the last when it begins: others may come faster than its caller works.
    """
    inspect, asked = store.inspect, chosen_by(which)
    end = await inspect.last_letter()
    stop, last = await _stop(store, which, status, after), False
    while not last:
        before = end + 1 if stop is None else min(stop, end + 1)
        found = await inspect.dead_letters(**asked, status=status, after=after, before=before, limit=STEP, bodies=False)
        last = len(found) < STEP
        after = found[-1].id if found else after
        if last and stop is not None and stop <= end:
            after, last = stop - 1, False
            yield Heads(found, after, stopped=True)
            stop = await _stop(store, which, status, after)
        elif found:
            yield Heads(found, after, stopped=False)


async def page(store: Store, which: LetterFilter, status: str | None, after: int, limit: int) -> LetterPage:
    """One page. A look with a filter stops after 10,000 letters."""
    found: list[DeadLetter] = []
    async for each in heads(store, which, status, after):
        found += filter(which.includes, each.letters)
        if len(found) >= limit:
            return LetterPage(letters=tuple(found[:limit]), after=found[limit - 1].id, stopped=False)
        if each.stopped:
            return LetterPage(letters=tuple(found), after=each.after, stopped=True)
    return LetterPage(letters=tuple(found), after=None, stopped=False)


async def _stop(store: Store, which: LetterFilter, status: str | None, after: int) -> int | None:
    if which == LetterFilter():
        return None
    return await store.inspect.letter_stop(status=status, after=after)

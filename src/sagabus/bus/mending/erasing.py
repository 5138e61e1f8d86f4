"""All that is kept of a subject, looked for and erased in bounded steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sagabus.bus.arguments import check_text
from sagabus.bus.mending.author import author, checked_reason
from sagabus.errors import MendRefused
from sagabus.store import Store
from sagabus.store.erasing import FIRST, Live, Order, Place, Subject, Trace, pseudonym
from sagabus.store.mending import Entry

_ROUNDS = 10
"""After so many rounds that each found something, work for the subject keeps coming."""
_TRIES = 100
"""After so many steps at one place that each came too late, it is the same."""
_KEPT = 10_000
"""So many works are kept of a look."""
_NAMED = 100
"""So many works are named in an error, and then the number of the others."""
_LONG = 4
"""Characters of a key that is no common word in other letters."""
MOST_CONVERSATIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWork:
    """Work for a subject that is not done."""

    what: str
    """instance, or why a message waits: ready, running, scheduled, timer, retrying or stashed."""
    subscription: str
    name: str
    """Of a message its type and id, of a timer its name, of an instance its status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was erased of a subject; of a dry run, what there is of it."""

    counts: Mapping[str, int]
    """Rows by what they are; kinds without any are left out."""
    live: tuple[LiveWork, ...]
    """Of a dry run, what is not done: the first 10,000."""
    not_done: int
    """Of a dry run, how much that is."""
    audit: int | None
    """The id of the entry in the audit log; None of a dry run, and where nothing was stored."""


class Eraser:
    """Erases subjects in a store."""

    def __init__(self, store: Store, progress: Callable[[Mapping[str, int]], None] | None) -> None:
        self._store = store
        self._progress = progress
        self._counts: Counter[Trace] = Counter()
        self._audit: int | None = None

    async def look(self, subjects: Sequence[Subject]) -> Erased:
        """What there is of them."""
        live: list[Live] = []
        not_done = 0
        for subject in subjects:
            place: Place | None = FIRST
            while place is not None:
                found = await self._store.traces(subject, place)
                self._note(found.counts)
                live += found.live[: _KEPT - len(live)]
                not_done += len(found.live)
                place = found.next
        return self._made(live, not_done)

    async def erase(self, subjects: Sequence[Subject], entry: Entry, *, live: bool) -> Erased:
        """Round after round, until one finds nothing: work that was under way may have left something behind."""
        for _ in range(_ROUNDS):
            before = self._counts.total()
            for subject in subjects:
                await self._go_through(subject, entry, live=live)
            if self._counts.total() == before:
                return self._made()
        raise _busy()

    async def _go_through(self, subject: Subject, entry: Entry, *, live: bool) -> None:
        place: Place | None = FIRST
        tries = 0
        while place is not None and tries < _TRIES:
            order = Order(entry=entry, live=live, so_far=dict(self._counts), audit=self._audit)
            done = await self._store.erase(subject, place, order)
            self._note(done.counts)
            self._audit = done.audit
            if done.live:
                raise refusal(_works(done.live), len(done.live))
            tries = tries + 1 if done.next == place and not any(done.counts.values()) else 0
            place = done.next
        if place is not None:
            raise _busy()

    def _note(self, counts: Mapping[Trace, int]) -> None:
        self._counts.update(counts)
        if self._progress is not None:
            self._progress(self._named())

    def _named(self) -> dict[str, int]:
        return {trace.value: self._counts[trace] for trace in Trace if self._counts[trace]}

    def _made(self, live: Sequence[Live] = (), not_done: int = 0) -> Erased:
        return Erased(counts=self._named(), live=_works(live), not_done=not_done, audit=self._audit)


def _works(live: Sequence[Live]) -> tuple[LiveWork, ...]:
    return tuple(LiveWork(what=each.what, subscription=each.channel, name=each.name) for each in live)


def _busy() -> MendRefused:
    return MendRefused(
        "new work for this subject keeps coming: what there was until now is erased. "
        "Stop what sends it, or pause its subscriptions (`sagabus pause`), and erase again"
    )


def refusal(live: Sequence[LiveWork], count: int) -> MendRefused:
    """The error that names work that is not done."""
    works = [f"{each.what} of {each.subscription}{f' ({each.name})' if each.name else ''}" for each in live[:_NAMED]]
    more = f", and {count - len(works):,} more" if count > len(works) else ""
    return MendRefused(
        f"work for this subject is not done, and was not erased: {', '.join(works)}{more}. "
        "Let it end, or complete or cancel it first. `live=True` (`--live`) erases it as well"
    )


def subjects_of(key: str | None, correlation_ids: Sequence[str], channel: str | None) -> list[Subject]:
    """What a call names; ValueError for nothing, or for too much, and WrongType for what is no text."""
    call = "bus.mend.erase(...)"
    if isinstance(correlation_ids, str):
        raise TypeError(f"{call}: correlation_ids must be a list of ids, not one text: write [{correlation_ids!r}]")
    check_text(call, key=key)
    for each in correlation_ids:
        check_text(call, correlation_ids=each)
    if key is None and not correlation_ids:
        raise ValueError(f"{call}: give a key, or correlation ids")
    if "" in (key, *correlation_ids):
        raise ValueError(f"{call}: neither a key nor a correlation id is empty")
    if len(correlation_ids) > MOST_CONVERSATIONS:
        raise ValueError(
            f"{call}: at most {MOST_CONVERSATIONS} correlation ids at once, not {len(correlation_ids)}: "
            "call it again with the others"
        )
    of_key = [] if key is None else [Subject(key=key, channel=channel)]
    return of_key + [Subject(correlation_id=each, channel=channel, but=key) for each in dict.fromkeys(correlation_ids)]


def _case(text: str) -> re.RegexFlag:
    """A short key is also a word in other letters: "A" is one in "a phone call"."""
    return re.IGNORECASE if len(text) >= _LONG else re.NOFLAG


def entry_of(subjects: Sequence[Subject], reason: str, by: str | None) -> Entry:
    """The entry of the audit log, in which the subject stands as a digest; ValueError for words that name it."""
    who, why = author(by), checked_reason(reason)
    for each in subjects:
        for name, text in (("the reason", why), ("`by`", who)):
            if re.search(rf"(?<!\w){re.escape(each.text)}(?!\w)", text, _case(each.text)):
                raise ValueError(f"{name} names what is to be erased, and the audit log would keep it: leave it out")
    target = pseudonym(*(each.text for each in subjects))
    return Entry(
        verb="subject.erase", channel=subjects[0].channel or "", target=target, by=who, reason=why, before="{}"
    )

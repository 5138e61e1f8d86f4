"""`bus.dead_letters`: looks at dead letters, puts them back, edits or closes them; one by one, or many in steps."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

import msgspec

from sagabus.bus.arguments import check_number, check_text
from sagabus.bus.inspection.masking import Masks
from sagabus.bus.inspection.waits import Definition
from sagabus.bus.mending.author import author, checked_reason
from sagabus.bus.mending.letter_filter import Heads, LetterFilter, LetterPage, chosen_by, heads, page
from sagabus.bus.mending.values import discreetly, filled, json_of
from sagabus.bus.views import check_subscription
from sagabus.clock import moment
from sagabus.codec import JsonCodec
from sagabus.codec.masks import Mask
from sagabus.definitions.reaction import declared
from sagabus.envelope import Cause, DeadLetter, Envelope
from sagabus.errors import MendRefused, UnknownName
from sagabus.store import ReplayResult, Store
from sagabus.store.mending import Edit, Entry
from sagabus.store.survey import COUNTED

__all__ = ["BulkStep", "DeadLetters", "LetterFilter", "LetterGroup", "LetterGroups", "LetterPage"]

_STATUSES = ("open", "replayed", "discarded")
_CLOSES = (ReplayResult.DONE, ReplayResult.ALREADY_DONE)
_LONGEST_ID = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Open dead letters that have the same reason to be there."""

    subscription: str
    cause: Cause
    message_type: str
    error_type: str | None
    count: int
    parked_keys: int
    """How many keys wait for them."""
    first_id: int
    oldest: datetime
    """When the first of them failed last."""
    newest: datetime
    example: str
    """The reason of the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroups:
    """The open dead letters, grouped."""

    groups: tuple[LetterGroup, ...]
    at_least: bool
    """It looked at 10,000 letters: there may be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkStep:
    """What is done after one step of work on many letters."""

    after: int
    """The id of the last letter that was looked at: give it to go on from here."""
    results: Mapping[int, ReplayResult]
    """Of this step, by letter."""
    totals: Mapping[ReplayResult, int]
    """Of all steps so far."""
    freed_keys: int
    """How many parked keys they let go, of all steps so far."""


@dataclass(slots=True)
class _Tally:
    totals: Counter[ReplayResult] = field(default_factory=Counter[ReplayResult])
    keys: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def note(self, letter: DeadLetter, result: ReplayResult) -> None:
        self.totals[result] += 1
        if letter.parked and letter.envelope.partition_key is not None and result in _CLOSES:
            self.keys.add((letter.envelope.channel, letter.envelope.partition_key))


class DeadLetters:
    """Looks at dead letters, puts them back, or closes them. What is closed is in the audit log, in the same commit."""

    def __init__(self, store: Store, check: Callable[[str], None], definitions: Mapping[str, Definition]) -> None:
        self._store = store
        self._check = check
        self._definitions = definitions

    def knowing(self, definitions: Iterable[Definition]) -> DeadLetters:
        """The same for a bus that does not run these definitions; nothing is subscribed by it."""
        known = {**self._definitions, **{each.name: each for each in definitions}}
        return DeadLetters(self._store, self._check, known)

    async def list(
        self,
        subscription: str | None = None,
        *,
        status: str | None = "open",
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[DeadLetter]:
        """A page of dead letters by id; `status` None lists replayed and discarded ones too.

        `since` and `until`: only letters that failed last then or later, and before that. UnknownName for a
        subscription that nothing names, or a status that dead letters do not have; InvalidTime for a time without a
        zone.
        """
        self._check_look("bus.dead_letters.list(...)", subscription, status, after)
        which = LetterFilter(subscription=subscription, since=since, until=until)
        inspect, asked, found = self._store.inspect, chosen_by(which), builtins.list[DeadLetter]()
        place: int | None = after
        while place is not None and len(found) < limit:
            stop = None if which == LetterFilter() else await inspect.letter_stop(status=status, after=place)
            rest = limit - len(found)
            found += await inspect.dead_letters(**asked, status=status, after=place, before=stop, limit=rest)
            place = None if stop is None else stop - 1
        await self._check_found(which, found)
        return found

    async def page(
        self, which: LetterFilter, *, status: str | None = "open", after: int = 0, limit: int = 100
    ) -> LetterPage:
        """A page of the letters that are meant, by id, without their bodies and tracebacks: `get` has them.

        A filter looks at 10,000 letters of the status, so a page before the end may have less than `limit`, or none.
        Errors as for `list`.
        """
        self._check_look("bus.dead_letters.page(...)", which.subscription, status, after)
        found = await page(self._store, which, status, after, limit)
        await self._check_found(which, found.letters)
        return found

    async def get(self, letter: int, *, bodies: bool = True) -> DeadLetter | None:
        """One dead letter, whatever its status; None when there is none of that id.

        Without `bodies`, its body and traceback are left out.
        """
        self._check("bus.dead_letters.get(...)")
        check_number("bus.dead_letters.get(...)", letter=letter)
        return await self._store.inspect.dead_letter(letter, bodies=bodies)

    async def groups(
        self, subscription: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> LetterGroups:
        """The open dead letters by subscription, cause, message type and error, the largest group first.

        It looks at 10,000 letters. `since` and `until`, and errors, as for `list`.
        """
        self._check("bus.dead_letters.groups(...)")
        which = LetterFilter(subscription=subscription, since=since, until=until)
        found: dict[tuple[object, ...], builtins.list[DeadLetter]] = {}
        seen, more = 0, False
        async for each in self._heads(which, 0):
            seen += len(each.letters)
            for letter in each.letters:
                place = (letter.envelope.channel, letter.cause, letter.envelope.message_type, letter.error_type)
                found.setdefault(place, []).append(letter)
            if more := each.stopped or seen >= COUNTED:
                break
        groups = sorted(map(_group, found.values()), key=lambda each: (-each.count, each.first_id))
        return LetterGroups(groups=tuple(groups), at_least=more)

    async def replay(
        self, letter: int, *, force: bool = False, reason: str = "", by: str | None = None, dry_run: bool = False
    ) -> ReplayResult:
        """Deliver it once more under the same id. Twice is once: the second call answers ALREADY_DONE.

        TOO_OLD and COLLISION leave it where it is, because a copy may have taken effect; `force` overrules that. With
        `dry_run`, it only says what it would do, and needs no reason. ValueError without a reason.
        """
        self._check("bus.dead_letters.replay(...)")
        check_number("bus.dead_letters.replay(...)", letter=letter)
        if dry_run:
            return await self._store.replay(letter, force=force, dry=True)
        return await self._store.replay(letter, force=force, entry=_entry("replay", letter, reason, by))

    async def discard(self, letter: int, *, reason: str, by: str | None = None) -> ReplayResult:
        """Close it for good; a key that it parked goes on. ValueError without a reason."""
        self._check("bus.dead_letters.discard(...)")
        check_number("bus.dead_letters.discard(...)", letter=letter)
        return await self._store.discard(letter, entry=_entry("discard", letter, reason, by))

    async def edit(
        self, letter: int, body: Mapping[str, object], *, reason: str, by: str | None = None
    ) -> tuple[ReplayResult, str]:
        """Deliver a message with another body in its place, sent now; the result, and the id of that message.

        The id is derived from the letter's and the body, so twice is once. A header names the message in whose place it
        stands. MessageInvalid for a body that the declared class does not take, and MendRefused for a timer, or for
        another key: that would be another message. ValueError for what is no JSON, such as NaN. In a hidden field,
        "(hidden)" keeps the value; anywhere else it is refused, with MendRefused.
        """
        self._check("bus.dead_letters.edit(...)")
        check_number("bus.dead_letters.edit(...)", letter=letter)
        checked_reason(reason)
        found = await self._store.inspect.dead_letter(letter)
        if found is None:
            raise MendRefused(f"there is no dead letter {letter}: list them with `sagabus dead-letters list`")
        mask = Masks(self._definitions.values()).of_letter(found)
        body = self._filled(found, body, mask)
        text = json_of("body", body)
        with discreetly(mask, text):
            self._check_edit(found, body, text)
        edit = Edit(_edited_id(found.envelope.message_id, text), text)
        entry = msgspec.structs.replace(
            _entry("edit", letter, reason, by),
            before=_message_text(found.envelope, found.envelope.message_id, found.envelope.body),
            after=_message_text(found.envelope, edit.message_id, text),
        )
        return await self._store.replay(letter, edit=edit, entry=entry), edit.message_id

    async def replay_many(
        self,
        which: LetterFilter,
        *,
        force: bool = False,
        reason: str = "",
        by: str | None = None,
        after: int = 0,
        dry_run: bool = False,
    ) -> AsyncIterator[BulkStep]:
        """Replay open letters in steps, the oldest first, each letter in a commit of its own.

        It ends with the latest letter that there is when it begins: what comes meanwhile is left.
        Stopped at any point, what was done stays: begin again, or go on from the `after` of the last step.
        With `dry_run`, it only says what it would do, and needs no reason. ValueError without a reason.
        """
        self._check("bus.dead_letters.replay_many(...)")
        if not dry_run:
            checked_reason(reason)

        async def one(letter: int) -> ReplayResult:
            return await self.replay(letter, force=force, reason=reason, by=by, dry_run=dry_run)

        async for step in self._many(which, after, one):
            yield step

    async def discard_many(
        self, which: LetterFilter, *, reason: str, by: str | None = None, after: int = 0
    ) -> AsyncIterator[BulkStep]:
        """Discard open letters in steps, as `replay_many` does."""
        self._check("bus.dead_letters.discard_many(...)")
        checked_reason(reason)

        async def one(letter: int) -> ReplayResult:
            return await self.discard(letter, reason=reason, by=by)

        async for step in self._many(which, after, one):
            yield step

    async def _many(
        self, which: LetterFilter, after: int, one: Callable[[int], Awaitable[ReplayResult]]
    ) -> AsyncIterator[BulkStep]:
        tally = _Tally()
        async for each in self._heads(which, after):
            results: dict[int, ReplayResult] = {}
            for letter in filter(which.includes, each.letters):
                results[letter.id] = await one(letter.id)
                tally.note(letter, results[letter.id])
            yield BulkStep(after=each.after, results=results, totals=dict(tally.totals), freed_keys=len(tally.keys))

    async def _heads(self, which: LetterFilter, after: int) -> AsyncIterator[Heads]:
        """Open letters without their bodies: thousands of them may be long."""
        found: Sequence[DeadLetter] = ()
        async for each in heads(self._store, which, "open", after):
            found = found or each.letters[:1]
            yield each
        await self._check_found(which, found)

    def _check_look(self, call: str, subscription: object, status: str | None, after: object) -> None:
        self._check(call)
        check_text(call, subscription=subscription, status=status)
        check_number(call, after=after)
        if status is not None and status not in _STATUSES:
            raise UnknownName("status of dead letters", status, _STATUSES)

    async def _check_found(self, which: LetterFilter, found: Sequence[DeadLetter]) -> None:
        if not found and which.subscription is not None:
            await check_subscription(self._store, "subscription", which.subscription)

    def _filled(self, letter: DeadLetter, body: Mapping[str, object], mask: Mask) -> Mapping[str, object]:
        def stored() -> object:
            try:
                return msgspec.json.decode(letter.envelope.body)
            except ValueError:
                return None

        return filled("body", body, mask, stored, "sagabus dead-letters show")

    def _check_edit(self, letter: DeadLetter, body: Mapping[str, object], text: bytes) -> None:
        envelope = letter.envelope
        if envelope.damage is not None:
            raise MendRefused(f"the row of dead letter {letter.id} cannot be read ({envelope.damage}): discard it")
        if envelope.timer is not None:
            raise MendRefused(f"dead letter {letter.id} is a timer, which has no body: replay or discard it")
        definition = self._definitions.get(envelope.channel)
        reactions = () if definition is None else definition.reactions.get(envelope.message_type, ())
        if not reactions:
            return
        JsonCodec().admit(declared(reactions[0]), text)
        name = reactions[0].key_field
        if name is not None and str(body.get(name)) != envelope.partition_key:
            raise MendRefused(
                f"{name!r} is the key of {envelope.message_type} ({envelope.partition_key!r}), which an edited "
                "message keeps: publish another message instead, and discard this one"
            )


def _entry(verb: str, letter: int, reason: str, by: str | None) -> Entry:
    return Entry(
        verb=f"dead-letter.{verb}", channel="", target=str(letter), by=author(by), reason=checked_reason(reason)
    )


def _message_text(envelope: Envelope, message_id: str, body: bytes) -> str:
    """The type of the message says later which fields of the body are hidden."""
    kept = {"message_id": message_id, "message_type": envelope.message_type, "key": envelope.partition_key}
    if envelope.correlation_id is not None:
        kept["correlation_id"] = envelope.correlation_id  # by which an erasure of the conversation finds the entry
    return msgspec.json.encode({**kept, "body": body.decode(errors="replace")}).decode()


def _edited_id(message_id: str, body: bytes) -> str:
    return f"{message_id[:_LONGEST_ID]}~{blake2b(message_id.encode() + body, digest_size=8).hexdigest()}"


def _group(letters: list[DeadLetter]) -> LetterGroup:
    first, last = letters[0], max(letters, key=lambda each: each.last_failed_at)
    keys = {each.envelope.partition_key for each in letters if each.parked} - {None}
    return LetterGroup(
        subscription=first.envelope.channel,
        cause=first.cause,
        message_type=first.envelope.message_type,
        error_type=first.error_type,
        count=len(letters),
        parked_keys=len(keys),
        first_id=first.id,
        oldest=moment(min(each.last_failed_at for each in letters)),
        newest=moment(last.last_failed_at),
        example=last.reason,
    )

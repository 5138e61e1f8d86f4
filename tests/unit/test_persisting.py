"""One flush whose commits fail: who is not to blame is answered while the culprit is still being tried."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest
from tests.support.subscription import SUBSCRIPTION

from sagabus import StoreUnavailable, TransactionLost
from sagabus.clock import Clock
from sagabus.engine.committer import Committer
from sagabus.engine.flush import Entry
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.routing import LiveRouting
from sagabus.engine.runner_pool import RunnerPool
from sagabus.engine.settlement import Aftermath
from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Effects, Settled, Statement, Verdict
from sagabus.refs import LaneRef
from sagabus.store import Batch, Routing
from sagabus.testing import ManualClock

COMMITTED, REFUSED, DROPPED = Verdict.COMMITTED, Verdict.REFUSED, Verdict.DROPPED
FENCED, CONFLICT, STALE = Verdict.FENCED, Verdict.CONFLICT, Verdict.STALE_ROUTING
OF_THE_USER = (Statement("SELECT 1", ()),)


class Impatient:
    """A clock that lets every pause pass at once."""

    def __init__(self) -> None:
        self._clock = ManualClock()

    def now(self) -> int:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def call_after(self, seconds: float, callback: Callable[[], object]) -> Any:
        return asyncio.get_running_loop().call_soon(callback)


Script = Callable[[list[str]], Awaitable[Sequence[Settled] | None]]


class Scripted:
    """A store whose commits come to what a test says; what it says nothing about is committed."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.commits: list[list[str]] = []
        self.version = 1
        self.failing_reads = 0

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        names = [outcome.envelope.message_id for outcome in batch.outcomes if outcome.envelope.message_id]
        if names:
            self.commits.append(names)
        return await self._script(names) or [Settled(COMMITTED)] * len(names)

    async def routing(self) -> Routing:
        if self.failing_reads:
            self.failing_reads -= 1
            raise StoreUnavailable
        self.version += 1
        return Routing(self.version, 1, ())

    def execute_check(self, sql: str, parameters: object) -> None: ...


class Rig:
    """A committer on a scripted store, and what it told."""

    def __init__(self, script: Script, clock: Clock | None = None) -> None:
        self.store: Any = Scripted(script)
        self.routing = LiveRouting({})
        self.told: list[list[tuple[str, Verdict]]] = []
        self.errors: dict[str, BaseException | None] = {}
        self.mailboxes: dict[str, Mailbox] = {}
        self.versions: list[int] = []
        books: Any = self
        leases: Any = None
        clock = clock or Impatient()
        self.committer = Committer(self.store, self.routing, clock, RunnerPool(1), settlement=books, leases=leases)

    def add(self, *names: str, statements: Iterable[str] = ()) -> None:
        """Outcomes by name; the letter is their key, and those after a `-` have none."""
        for position, name in enumerate(names):
            key = None if name.startswith("-") else name[0]
            mailbox = self.mailboxes.get(name[0]) if key else None
            mailbox = mailbox or Mailbox(SUBSCRIPTION, key, LaneRef("taker", 0), 1)
            self.mailboxes[name if key is None else name[0]] = mailbox
            envelope = Envelope(message_id=name, message_type="t", body=b"", channel="taker", position=position)
            effects = Effects(statements=OF_THE_USER if name in statements else ())
            self.committer.add(mailbox, Completed(envelope, effects))

    def open(self) -> dict[str, int]:
        """How many outcomes of each mailbox were not told of."""
        return {name: mailbox.unflushed for name, mailbox in self.mailboxes.items() if mailbox.unflushed}

    def settle(self, entries: Sequence[Entry], given: Sequence[Settled], seconds: float) -> Aftermath:
        answers = list(zip(entries, given, strict=True))
        self.told.append([(entry.outcome.envelope.message_id, answer.verdict) for entry, answer in answers])
        self.versions.append(self.routing.table.version)
        self.errors |= {entry.outcome.envelope.message_id: answer.error for entry, answer in answers}
        return Aftermath({}, [], has_moved=False)

    def forget(self, entries: Sequence[Entry]) -> None: ...


def losing(culprit: str) -> Script:
    """A script by which every commit with this outcome in it costs the connection."""

    async def script(names: list[str]) -> None:
        if culprit in names:
            raise StoreUnavailable

    return script


def flat(told: list[list[tuple[str, Verdict]]]) -> list[tuple[str, Verdict]]:
    return [answer for share in told for answer in share]


def test_a_flush_that_commits_is_answered_at_once_and_in_its_order() -> None:
    async def main() -> Rig:
        rig = Rig(losing("nobody"))
        rig.add("a1", "b1", "a2", "-1")
        await rig.committer.stop(20)
        return rig

    rig = asyncio.run(main())

    assert rig.told == [[("a1", COMMITTED), ("b1", COMMITTED), ("a2", COMMITTED), ("-1", COMMITTED)]]
    assert rig.store.commits == [["a1", "b1", "a2", "-1"]]
    assert rig.open() == {}


@pytest.mark.parametrize("culprit", ["a1", "d1", "h1"])
def test_neighbours_before_and_behind_are_answered_while_the_culprit_is_still_being_tried(culprit: str) -> None:
    async def main() -> tuple[Rig, list[tuple[str, Verdict]], dict[str, int]]:
        reached, go_on = asyncio.Event(), asyncio.Event()
        alone = 0

        async def script(names: list[str]) -> None:
            nonlocal alone
            alone += names == [culprit]
            if alone == 2:
                reached.set()
                await go_on.wait()
            if culprit in names:
                raise StoreUnavailable

        rig = Rig(script)
        rig.add(*(f"{letter}1" for letter in "abcdefgh"), statements=[culprit])
        await reached.wait()
        so_far, still_open = flat(rig.told), rig.open()
        go_on.set()
        await rig.committer.stop(20)
        return rig, so_far, still_open

    rig, so_far, still_open = asyncio.run(main())

    assert sorted(so_far) == [(f"{letter}1", COMMITTED) for letter in "abcdefgh" if letter != culprit[0]]
    assert still_open == {culprit[0]: 1}
    assert flat(rig.told)[-1] == (culprit, REFUSED)
    assert isinstance(rig.errors[culprit], TransactionLost)
    assert rig.store.commits.count([culprit]) == 3
    assert rig.open() == {}


@pytest.mark.parametrize("is_outage", [True, False])
def test_the_worker_is_ready_while_the_store_refuses_one_outcome_and_takes_others(is_outage: bool) -> None:
    async def main() -> tuple[Rig, list[bool | None]]:
        answers: list[bool | None] = []

        async def script(names: list[str]) -> None:
            answers.append(rig.committer.health().answers)
            if "a1" in names or (is_outage and len(answers) < 12):
                raise StoreUnavailable

        rig = Rig(script)
        rig.add("a1", "b1", statements=["a1"])
        await rig.committer.stop(20)
        return rig, answers

    rig, answers = asyncio.run(main())

    assert (False in answers) == is_outage
    assert rig.committer.health().answers is None
    assert sorted(flat(rig.told)) == [("a1", REFUSED), ("b1", COMMITTED)]


def test_what_was_built_on_the_culprit_is_answered_with_it_and_never_tried() -> None:
    async def main() -> Rig:
        rig = Rig(losing("b2"))
        rig.add("b1", "a1", "b2", "c1", "b3", "a2", "b4", statements=["b2"])
        await rig.committer.stop(20)
        return rig

    rig = asyncio.run(main())

    assert rig.told[-1] == [("b2", REFUSED), ("b3", DROPPED), ("b4", DROPPED)]
    assert dict(flat(rig.told[:-1])) == dict.fromkeys(("a1", "a2", "b1", "c1"), COMMITTED)
    first, *rest = rig.store.commits
    assert first == ["b1", "a1", "b2", "c1", "b3", "a2", "b4"]
    assert not any({"b3", "b4"} & set(names) for names in rest if "b2" not in names)


def test_what_another_share_lost_takes_with_it_what_was_built_on_it() -> None:
    async def main() -> Rig:
        async def script(names: list[str]) -> Sequence[Settled] | None:
            if len(names) > 2:
                raise StoreUnavailable
            return [Settled(CONFLICT if name == "a1" else COMMITTED) for name in names]

        rig = Rig(script)
        rig.add("a1", "b1", "a2", "c1", "d1", "a3")
        await rig.committer.stop(20)
        return rig

    rig = asyncio.run(main())

    (with_it,) = [share for share in rig.told if ("a1", CONFLICT) in share]
    assert with_it[-2:] == [("a2", DROPPED), ("a3", DROPPED)]
    assert sorted(name for name, _ in flat(rig.told)) == ["a1", "a2", "a3", "b1", "c1", "d1"]


def test_messages_without_a_key_are_built_on_nothing() -> None:
    async def main() -> Rig:
        rig = Rig(losing("-2"))
        rig.add("-1", "-2", "-3", statements=["-2"])
        await rig.committer.stop(20)
        return rig

    rig = asyncio.run(main())

    assert sorted(flat(rig.told)) == [("-1", COMMITTED), ("-2", REFUSED), ("-3", COMMITTED)]


def test_two_culprits_are_both_found_and_each_pays_alone() -> None:
    async def main() -> Rig:
        async def script(names: list[str]) -> None:
            if {"b1", "e1"} & set(names):
                raise StoreUnavailable

        rig = Rig(script)
        rig.add(*(f"{letter}1" for letter in "abcdefgh"), statements=["b1", "e1"])
        await rig.committer.stop(20)
        return rig

    rig = asyncio.run(main())

    answers = flat(rig.told)
    assert dict(answers) == {f"{letter}1": REFUSED if letter in "be" else COMMITTED for letter in "abcdefgh"}
    assert [verdict for _, verdict in answers[-2:]] == [REFUSED] * 2
    assert len(answers) == 8


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_rows_that_cannot_be_written_cost_their_own_message_only_and_few_commits(count: int) -> None:
    async def main() -> Rig:
        async def script(names: list[str]) -> None:
            if "-0" in names:
                raise ValueError("cannot be written")

        rig = Rig(script)
        rig.add(*(f"-{n}" for n in reversed(range(count))))
        await rig.committer.stop(20)
        return rig

    rig = asyncio.run(main())

    assert dict(flat(rig.told)) == {f"-{n}": REFUSED if n == 0 else COMMITTED for n in range(count)}
    assert isinstance(rig.errors["-0"], ValueError)
    assert len(rig.store.commits) <= 25


def test_a_cancellation_fences_only_what_was_not_answered() -> None:
    async def main() -> Rig:
        reached = asyncio.Event()

        async def script(names: list[str]) -> None:
            if len(names) > 2:
                raise StoreUnavailable
            if "c1" in names:
                reached.set()
                await asyncio.Event().wait()

        rig = Rig(script)
        rig.add("a1", "b1", "c1", "d1", "e1", "f1")
        await reached.wait()
        rig.add("a2")
        await rig.committer.stop(0)
        return rig

    rig = asyncio.run(main())

    answers = flat(rig.told)
    assert len(answers) == len(dict(answers)) == 6
    assert {name for name, verdict in answers if verdict is COMMITTED} == {"a1"}
    assert {name for name, verdict in answers if verdict is FENCED} == {"b1", "c1", "d1", "e1", "f1"}


def test_a_new_routing_is_known_before_a_share_learns_that_its_own_was_old() -> None:
    async def main() -> Rig:
        async def script(names: list[str]) -> Sequence[Settled] | None:
            if len(names) > 2:
                raise StoreUnavailable
            return [Settled(STALE)] * len(names) if "a1" in names else None

        rig = Rig(script)
        rig.add("a1", "b1", "c1", "d1")
        await rig.committer.stop(20)
        return rig

    rig = asyncio.run(main())

    assert len(rig.told) > 1
    assert rig.versions == [2] * len(rig.told)


def test_a_database_that_is_lost_before_the_new_routing_is_read_changes_no_answer() -> None:
    async def main() -> Rig:
        async def script(names: list[str]) -> Sequence[Settled] | None:
            return [Settled(STALE), Settled(COMMITTED)] if names == ["a1", "b1"] else None

        rig = Rig(script)
        rig.store.failing_reads = 2
        rig.add("a1", "b1")
        await rig.committer.stop(20)
        return rig

    rig = asyncio.run(main())

    assert rig.told == [[("a1", STALE), ("b1", COMMITTED)]]
    assert rig.versions == [2]


def test_an_outcome_that_finishes_meanwhile_waits_for_the_next_flush_and_can_be_withdrawn() -> None:
    async def main() -> tuple[Rig, list[str]]:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def script(names: list[str]) -> None:
            if len(names) > 2:
                raise StoreUnavailable
            if "c1" in names:
                reached.set()
                await go_on.wait()

        rig = Rig(script)
        rig.add("a1", "b1", "c1", "d1")
        await reached.wait()
        rig.add("a2", "b2")
        mailbox = rig.mailboxes["a"]
        withdrawn = rig.committer.withdraw([mailbox])[mailbox]
        go_on.set()
        await rig.committer.stop(20)
        return rig, [envelope.message_id for envelope in withdrawn]

    rig, withdrawn = asyncio.run(main())

    assert withdrawn == ["a2"]
    assert flat(rig.told)[-1] == ("b2", COMMITTED)
    assert rig.open() == {}

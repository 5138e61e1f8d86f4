"""What was in flight when a worker died: counted first, side by side after one death, alone after two."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Noted

from sagabus import Context, RetryPolicy, Settings, handler
from sagabus.envelope import LANES, Cause, lane_of
from sagabus.outcome import Marked, Settled
from sagabus.store import Batch, Running
from sagabus.testing import Harness

LEASE = timedelta(seconds=10)
SECOND = timedelta(seconds=1)


class Room:
    """A handler whose runs wait inside until the gate is open."""

    def __init__(self, name: str = "room", **options: Any) -> None:
        self.inside: list[str] = []
        self.begun: list[str] = []
        self.attempts: list[int] = []
        self.most = 0
        self.gate = asyncio.Event()
        self.killers: set[str] = set()

        @handler(name, key="key", **options)
        async def enter(message: Noted, ctx: Context) -> None:
            self.inside.append(f"{message.key}{message.number}")
            self.begun.append(f"{message.key}{message.number}")
            self.attempts.append(ctx.attempt)
            self.most = max(self.most, len(self.inside))
            await (asyncio.Event() if message.key in self.killers else self.gate).wait()
            self.inside.remove(f"{message.key}{message.number}")

        self.handler = enter

    def clear(self) -> None:
        for noted in (self.inside, self.begun, self.attempts):
            noted.clear()
        self.most = 0

    async def crash(self, bus: Harness) -> None:
        """Kill the worker, and let the next one take over."""
        await bus.crash(takeover=False)
        self.clear()
        bus.clock.advance(2 * LEASE)


def marks_of(bus: Harness) -> list[int]:
    """How many messages each commit marks from now on."""
    found: list[int] = []
    commit = bus.bus.store.commit

    async def noted(batch: Batch) -> Sequence[Settled]:
        if number := sum(isinstance(outcome, Marked) for outcome in batch.outcomes):
            found.append(number)
        return await commit(batch)

    bus.bus.store.commit = noted  # type: ignore[method-assign]  # of this one object
    return found


async def deaths(bus: Harness) -> list[int]:
    """Of each message of the room that is stored."""
    return sorted(each.deaths for each in await bus.bus.store.inspect.envelopes("room", limit=1000))


async def test_after_one_death_they_run_side_by_side_in_groups_that_are_counted_first(on_database: MakeHarness) -> None:
    room = Room()
    async with on_database(room.handler, settings=Settings(concurrency=4)) as bus:
        await bus.bus.publish_many([Noted(key=key) for key in "ABCDEFGHIJ"])
        await until(lambda: len(room.inside) == 4)
        await room.crash(bus)
        marks = marks_of(bus)
        await until(lambda: len(room.inside) == 4)
        counted = await deaths(bus)
        room.gate.set()
        await bus.idle()

        assert counted == [0] * 6 + [1] * 4
        assert sum(marks) == 10
        assert marks[0] == 4
        assert room.most == 4
        assert set(room.attempts) == {1}
        assert bus.bus.statistics["room", "completed"] == 10


async def test_one_commit_marks_a_whole_group(on_database: MakeHarness) -> None:
    room = Room()
    async with on_database(room.handler) as bus:
        await bus.bus.publish_many([Noted(key=f"k{n % 80}", number=n) for n in range(100)])
        await until(lambda: len(room.inside) == 80)
        await bus.crash(takeover=False)
        room.clear()
        marks = marks_of(bus)
        bus.clock.advance(2 * LEASE)
        await until(lambda: len(room.inside) == 80)
        room.gate.set()
        await bus.idle()

        assert sum(marks) == 100
        assert len(marks) <= 16  # as many as there were fetches at most


async def test_messages_of_another_subscription_are_not_held_up(on_database: MakeHarness) -> None:
    room, other = Room(), Room("other")
    other.gate.set()
    async with on_database(room.handler, other.handler, settings=Settings(concurrency=4)) as bus:
        await bus.bus.publish_many([Noted(key=key) for key in "ABC"])
        await until(lambda: len(room.inside) == 3)
        await room.crash(bus)
        await until(lambda: len(room.inside) == 3)
        other.clear()
        await bus.publish(Noted(key="fresh"), wait=False)
        await until(lambda: other.begun == ["fresh0"])
        room.gate.set()
        await bus.idle()


async def test_later_messages_of_a_suspects_key_wait(on_database: MakeHarness) -> None:
    room = Room()
    async with on_database(room.handler, settings=Settings(concurrency=2)) as bus:
        await bus.bus.publish_many([Noted(key=key, number=n) for n in range(5) for key in "AB"])
        await until(lambda: len(room.inside) == 2)
        await room.crash(bus)
        await bus.bus.publish_many([Noted(key=key, number=n) for n in range(5, 8) for key in "AB"])
        await until(lambda: len(room.inside) == 2)
        room.gate.set()
        await bus.idle()

        for key in "AB":
            assert [each for each in room.begun if each[0] == key] == [f"{key}{n}" for n in range(8)]


async def test_after_two_deaths_each_runs_alone_and_nothing_else_begins(on_database: MakeHarness) -> None:
    room, other = Room(), Room("other")
    other.gate.set()
    async with on_database(room.handler, other.handler) as bus:
        await bus.bus.publish_many([Noted(key=key) for key in "ABC"])
        for _ in range(2):
            await until(lambda: len(room.inside) == 3)
            await room.crash(bus)
        await until(lambda: len(room.inside) == 1)
        counted = await deaths(bus)
        other.clear()
        await bus.publish(Noted(key="fresh"), wait=False)
        await until(lambda: bus.bus._worker.suspects.waiting >= 3)
        begun = list(other.begun)
        room.gate.set()
        await bus.idle()

        assert counted == [1, 1, 2]
        assert (begun, other.begun) == ([], ["fresh0"])
        assert room.most == 1
        assert await bus.dead_letters() == []


async def test_why_says_that_a_worker_runs_something_alone(on_database: MakeHarness) -> None:
    room, other = Room(), Room("other")
    other.gate.set()
    async with on_database(room.handler, other.handler) as bus:
        await bus.publish(Noted(key="A"), wait=False)
        for _ in range(2):
            await until(lambda: len(room.inside) == 1)
            await room.crash(bus)
        await until(lambda: len(room.inside) == 1)
        await bus.publish(Noted(key="fresh"), wait=False)
        inspect = bus.bus.inspect
        (suspect,) = (await inspect.messages("room", key="A")).messages
        (worker,) = await inspect.workers()
        run = Running(suspect.message_id, suspect.message_type, "A", 5_000_000, suspect.position)
        await bus.bus.store.note_running(worker.worker, {"room": [run]})
        found = await inspect.why("other", "fresh")
        room.gate.set()
        await bus.idle()

    alone = f"{suspect.message_type} {suspect.message_id} of room runs alone there"
    (sentence,) = found.sentences
    assert sentence.endswith(
        f" of worker {worker.worker}. {alone}, because workers have died 2 times while that was in flight: "
        "nothing else begins meanwhile."
    )


async def test_between_two_lone_runs_everything_else_has_as_long(on_database: MakeHarness) -> None:
    room, other = Room(), Room("other")
    other.gate.set()
    async with on_database(room.handler, other.handler) as bus:
        await bus.bus.publish_many([Noted(key=key) for key in "AB"])
        for _ in range(2):
            await until(lambda: len(room.inside) == 2)
            await room.crash(bus)
        await until(lambda: len(room.inside) == 1)
        other.clear()
        bus.clock.advance(3 * SECOND)
        room.gate.set()
        await until(lambda: not room.inside)
        await bus.publish(Noted(key="meanwhile"), wait=False)
        await until(lambda: other.begun == ["meanwhile0"])
        bus.clock.advance(2 * SECOND)
        begun = set(room.begun)
        bus.clock.advance(SECOND)
        await until(lambda: {"A0", "B0"} <= set(room.begun))

        assert len(begun & {"A0", "B0"}) == 1


async def test_a_killer_is_dead_after_three_deaths_and_its_neighbours_are_done(on_database: MakeHarness) -> None:
    room = Room()
    room.killers.add("kill")
    async with on_database(room.handler) as bus:
        await bus.bus.publish_many([Noted(key=key) for key in ("A", "kill", "B")])
        for inside in (3, 3):
            await until(lambda n=inside: len(room.inside) == n)
            await room.crash(bus)
        room.gate.set()
        await until(lambda: room.inside == ["kill0"])
        await room.crash(bus)
        await bus.idle()

        (letter,) = await bus.dead_letters()
        assert (letter.cause, letter.attempts, letter.envelope.deaths) == (Cause.WORKER_DIED, 0, 3)
        assert "died 3 times" in letter.reason
        assert await deaths(bus) == []
        assert "kill0" not in room.begun


async def test_a_policy_says_how_many_deaths_are_too_many(on_database: MakeHarness) -> None:
    room = Room(retry=RetryPolicy(attempts=1, deaths=2))
    room.killers.add("kill")
    async with on_database(room.handler) as bus:
        await bus.bus.publish_many([Noted(key=key) for key in ("A", "kill")])
        await until(lambda: len(room.inside) == 2)
        room.gate.set()
        await until(lambda: room.inside == ["kill0"])
        await room.crash(bus)
        await until(lambda: room.inside == ["kill0"])
        await room.crash(bus)
        await bus.idle()

        (letter,) = await bus.dead_letters()
        assert letter.envelope.deaths == 2


async def test_a_death_is_no_failed_attempt(on_database: MakeHarness) -> None:
    """One counter for both once made a dead letter of a message with some failures by a single crash."""
    runs: list[int] = []
    gate = asyncio.Event()

    @handler("room", retry=RetryPolicy(attempts=4, jitter=False))
    async def fail(message: Noted, ctx: Context) -> None:
        runs.append(ctx.attempt)
        if ctx.attempt < 4:
            raise ValueError
        await gate.wait()

    async with on_database(fail) as bus:
        await bus.publish(Noted(key="A"))
        for wait in (1, 2):
            await bus.advance(wait * SECOND)
        bus.clock.advance(4 * SECOND)
        await until(lambda: runs == [1, 2, 3, 4])
        await bus.crash(takeover=False)
        gate.set()
        bus.clock.advance(2 * LEASE)
        await bus.idle()

        assert runs == [1, 2, 3, 4, 4]
        assert await bus.dead_letters() == []


async def test_a_run_that_fails_has_not_died(on_database: MakeHarness) -> None:
    runs = Counter[str]()

    @handler("room", key="key", retry=RetryPolicy(attempts=9, jitter=False))
    async def fail(message: Noted) -> None:
        runs[message.key] += 1
        if runs[message.key] == 1:
            await asyncio.Event().wait()
        raise ValueError

    async with on_database(fail) as bus:
        await bus.bus.publish_many([Noted(key=key) for key in "AB"])
        await until(lambda: runs.total() == 2)
        await bus.crash()

        (first, second) = await bus.bus.store.inspect.envelopes("room")
        assert {(each.attempt, each.deaths) for each in (first, second)} == {(1, 0)}
        assert bus.bus._worker.hand.marked == {}


async def test_what_a_graceful_stop_leaves_has_not_died(on_database: MakeHarness) -> None:
    room = Room()
    settings = Settings(concurrency=2, grace=timedelta(0))
    async with on_database(room.handler, settings=settings) as bus:
        await bus.bus.publish_many([Noted(key=key, number=n) for n in range(2) for key in "ABC"])
        await until(lambda: len(room.inside) == 2)
        await room.crash(bus)
        await until(lambda: len(room.inside) == 2)
        counted = await deaths(bus)
        await bus.bus.close()
        room.clear()
        await bus.bus.open()
        await until(lambda: len(room.inside) == 2)
        after = await deaths(bus)
        room.gate.set()
        await bus.idle()

        assert counted == after == [0, 0, 0, 0, 1, 1]
        assert len(room.begun) == 6


async def test_what_a_lost_lease_leaves_has_not_died(on_database: MakeHarness) -> None:
    """The first lives all the while: what it marked was no death, although another one runs it now."""
    room, theirs = Room(), Room()
    async with on_database(room.handler) as first:
        # In a lane that the second keeps when the first comes back for its share: they give up the highest.
        key = next(key for key in "ABCDEFGHIJ" if lane_of(key, LANES) < LANES // 2)
        await first.publish(Noted(key=key), wait=False)
        await until(lambda: len(room.inside) == 1)
        await room.crash(first)
        await until(lambda: len(room.inside) == 1)
        first.bus._worker.intake.abandon().pop().cancel()  # a frozen process renews nothing
        first.clock.advance(3 * LEASE)
        async with on_database(theirs.handler, clock=first.clock) as second:
            await until(lambda: len(theirs.inside) == 1)
            counted = await deaths(second)
            await first.bus._worker.intake.renew_when_due()
            await until(lambda: first.bus._worker.hand.marked == {})
            await until(lambda: not first.bus._worker.suspects.at_work)
            after = await deaths(second)
            room.gate.set()
            theirs.gate.set()
            await second.idle()

            assert (counted, after) == ([2], [1])
            assert await second.dead_letters() == []

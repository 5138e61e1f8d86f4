"""What waits to be committed is taken back in one look, however many keys a lane that is lost had in hand."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from tests.support.subscription import SUBSCRIPTION, stored

from sagabus.clock import SystemClock
from sagabus.engine.committer import Committer
from sagabus.engine.flush import Entry
from sagabus.engine.group_commit import LARGEST_FLUSH, LARGEST_FLUSH_BYTES, GroupCommit, fitting
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.runner_pool import RunnerPool
from sagabus.engine.settlement import Aftermath
from sagabus.outcome import Completed, Effects, Settled, Verdict
from sagabus.refs import LaneRef
from sagabus.store import Batch

MANY = 20_000


class Table:
    version = 1


class RoutingToNobody:
    table = Table()


class SlowStore:
    """Does not answer until it is let."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.committed: list[int] = []

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        self.asked.set()
        await self.answer.wait()
        self.committed += [outcome.envelope.position for outcome in batch.outcomes]
        return [Settled(Verdict.COMMITTED)] * len(batch.outcomes)


class Books:
    """Notes what is settled."""

    def __init__(self) -> None:
        self.settled: list[int] = []

    def settle(self, entries: Sequence[Entry], answers: Sequence[Settled], seconds: float) -> Aftermath:
        self.settled += [entry.outcome.envelope.position for entry in entries]
        return Aftermath({}, [], has_moved=False)

    def forget(self, entries: Sequence[Entry]) -> None: ...


def outcome(position: int) -> Completed:
    return Completed(stored(position), Effects())


def test_the_outcomes_of_very_many_keys_are_taken_back_at_once() -> None:
    asyncio.run(take_back_very_many())


async def take_back_very_many() -> None:
    store: Any = SlowStore()
    routing: Any = RoutingToNobody()
    books: Any = Books()
    leases: Any = None
    committer = Committer(
        store,
        routing,
        SystemClock(),
        RunnerPool(1),
        settlement=books,
        leases=leases,
    )
    mailboxes = [Mailbox(SUBSCRIPTION, f"k{number}", LaneRef("taker", number % 16), 1) for number in range(MANY + 2)]
    committer.add(mailboxes[0], outcome(0))
    await store.asked.wait()  # in flight from here on
    for number in range(1, MANY + 2):
        committer.add(mailboxes[number], outcome(number))

    began = time.process_time()
    back = committer.withdraw(mailboxes[: MANY + 1])
    elapsed = time.process_time() - began

    assert elapsed < 2.0  # a look at everything for each key would take a minute
    assert back[mailboxes[0]] == []
    assert [envelope.position for found in back.values() for envelope in found] == list(range(1, MANY + 1))
    assert all(mailbox.unflushed == 0 for mailbox in mailboxes[1 : MANY + 1])
    store.answer.set()
    await committer.stop(20)
    assert store.committed == books.settled == [0, MANY + 1]


def test_what_is_written_together_is_bounded_in_bytes_and_is_one_at_least() -> None:
    sizes = [LARGEST_FLUSH_BYTES - 1, 1, 1, 2 * LARGEST_FLUSH_BYTES]

    assert fitting(sizes, int) == 2
    assert fitting(sizes[2:], int) == 1
    assert fitting(sizes[3:], int) == 1
    assert fitting([0] * (LARGEST_FLUSH + 1), int) == LARGEST_FLUSH


def test_a_group_commit_that_is_cancelled_before_its_first_step_does_not_block_the_next_one() -> None:
    asyncio.run(cancel_before_the_first_step())


async def cancel_before_the_first_step() -> None:
    flushed: list[list[int]] = []
    given_up: list[list[int]] = []

    async def flush(items: list[int]) -> None:
        flushed.append(items)

    group = GroupCommit[int](flush, given_up.append)
    group.add(1)
    mine = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is not mine:
            task.cancel()
    await group.drain(20)

    group.add(2)
    await group.drain(20)

    assert (given_up, flushed) == ([[1]], [[2]])

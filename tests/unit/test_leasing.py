"""What leases cost in statements: a renewal, made every second by every worker, the same for any number of channels."""

import pytest
from tests.support.statement_counter import StatementCounter

from sagabus.store import Lane
from sagabus.stores.sql import leasing

SECOND = 1_000_000
LANES = 16


def lease(counter: StatementCounter, worker: str, channels: list[str], now: int) -> list[Lane]:
    return counter.run(leasing.lease(worker, channels, now, duration=10 * SECOND, window=5, lanes=LANES))


def test_a_worker_that_waited_half_a_lease_takes_over_no_lane() -> None:
    """Whatever held it up has held up the others as well: they could not renew."""
    counter = StatementCounter()
    first = lease(counter, "one", ["a"], SECOND)
    waits = {"clock": lambda: 31 * SECOND, "window": 5, "lanes": LANES, "duration": 10 * SECOND}

    assert counter.run(leasing.lease("two", ["a"], 2 * SECOND, **waits)) == []
    assert lease(counter, "one", ["a"], 32 * SECOND) == first[: LANES // 2]
    assert counter.run(leasing.lease("three", ["a"], 30 * SECOND, **waits)) != []


@pytest.mark.parametrize("channels", [["a"], [f"c{n}" for n in range(30)]])
def test_a_renewal_with_nothing_to_share_is_a_few_statements(channels: list[str]) -> None:
    counter = StatementCounter()
    first = lease(counter, "w", channels, SECOND)
    counter.asked.clear()

    again = lease(counter, "w", channels, 2 * SECOND)

    assert again == first
    assert len(again) == LANES * len(channels)
    assert counter.asked.total() <= 5


def test_free_lanes_are_taken_by_one_statement_for_each_channel() -> None:
    counter = StatementCounter()

    taken = lease(counter, "w", ["a", "b"], SECOND)

    assert len(taken) == 2 * LANES
    assert counter.asked["take_free"] == 2
    assert counter.asked["take_lane"] == 0


def test_the_dead_are_forgotten_once_the_lanes_are_held() -> None:
    """Who is late with its renewal takes the two in this order: in the other one each would wait for the other."""
    counter = StatementCounter()
    lease(counter, "one", ["a", "b"], SECOND)
    counter.asked.clear()

    lease(counter, "two", ["a", "b"], 30 * SECOND)

    order = list(counter.asked)
    assert order.index("lock_lanes") < order.index("dead_workers") < order.index("forget_dead_worker")
    assert counter.asked["forget_dead_worker"] == 2


def test_a_renewal_sees_who_came_and_who_died() -> None:
    counter = StatementCounter()
    lease(counter, "one", ["a"], SECOND)
    lease(counter, "two", ["a"], SECOND)

    shared = lease(counter, "one", ["a"], 2 * SECOND), lease(counter, "two", ["a"], 2 * SECOND)
    alone = lease(counter, "one", ["a"], 30 * SECOND)

    assert [len(lanes) for lanes in shared] == [LANES // 2, LANES // 2]
    assert len(alone) == LANES

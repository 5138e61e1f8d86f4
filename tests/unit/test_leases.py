"""How much of each lane a worker may have in hand: never more than the store knows of, should the worker die."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from tests.support.subscription import SUBSCRIPTION, stored

from sagabus import Settings, StoreUnavailable
from sagabus.engine.in_flight import InFlight
from sagabus.engine.leases import SMALLEST_WINDOW, Leases
from sagabus.engine.renewal import RenewalThread
from sagabus.engine.routing import LiveRouting
from sagabus.store import Lane, Routing
from sagabus.testing import ManualClock

LANES = 16
PREFETCH = 1600


class Store:
    """Gives the lanes it is told to give, and knows the window that it was told."""

    def __init__(self) -> None:
        self.lanes = LANES
        self.away = False
        self.known: int | None = None
        self.patient = False
        self.version = 1
        self.asked = 0
        self.meanwhile: Callable[[], object] = lambda: None

    async def lease(self, worker: str, channels: Sequence[str], *, window: int, **terms: Any) -> list[Lane]:
        if self.away:
            raise StoreUnavailable("away")
        self.known, self.patient = window, bool(terms["patient"])
        self.meanwhile()
        return [Lane("taker", lane, epoch=1, suspect_until=0) for lane in range(self.lanes)]

    async def routing(self) -> Routing:
        self.asked += 1
        return Routing(self.version, LANES, ())


class Rig:
    def __init__(self) -> None:
        self.store: Any = Store()
        self.clock = ManualClock()
        self.routing = LiveRouting({})
        self.routing.learn(Routing(1, LANES, ()))
        self.hand = InFlight({"taker": SUBSCRIPTION}, SMALLEST_WINDOW)
        self.leases = Leases(
            "w",
            self.store,
            self.routing,
            self.clock,
            self.hand,
            definitions={"taker": SUBSCRIPTION},
            settings=Settings(prefetch=PREFETCH),
        )

    def renew(self, lanes: int) -> tuple[int, int | None]:
        """The window that the worker goes by afterwards, and that of which the store knows."""
        self.store.lanes = lanes
        asyncio.run(self.leases.renew())
        return self.hand.lane_window, self.store.known

    def fill(self, lane: int, number: int) -> None:
        for position in range(1, number + 1):
            envelope = stored(position, lane)
            self.hand.take(envelope, self.hand.mailbox(envelope))


def test_a_worker_alone_shares_its_prefetch_among_all_lanes() -> None:
    assert Rig().renew(LANES) == (100, 100)


def test_with_few_lanes_each_may_have_more_once_the_store_knows() -> None:
    rig = Rig()
    assert rig.renew(4) == (100, 100)  # nobody knew how many there would be
    assert rig.renew(4) == (400, 400)


def test_the_window_covers_what_is_in_flight_though_less_is_to_come() -> None:
    rig = Rig()
    rig.renew(4)
    rig.renew(4)
    rig.fill(2, 350)
    assert rig.renew(16) == (400, 400)
    assert rig.renew(16) == (100, 350)


def test_a_window_that_the_store_does_not_know_is_not_used() -> None:
    rig = Rig()
    rig.renew(4)
    rig.store.away = True
    with pytest.raises(StoreUnavailable):
        rig.renew(4)
    assert rig.hand.lane_window == 100


def test_what_changed_before_the_first_fetch_is_heard_of_at_the_next_renewal() -> None:
    """The first number of the crew says nothing of what had changed by then."""
    rig = Rig()
    rig.renew(LANES)
    rig.store.version = 2
    rig.leases.note_crew(7)
    due = rig.leases.are_due
    for _ in range(3):
        rig.renew(LANES)

    assert not due  # all workers begin at once, and would all lease twice
    assert rig.routing.table.version == 2
    assert rig.store.asked == 1


def test_what_is_said_while_a_renewal_is_under_way_is_for_the_next_one() -> None:
    rig = Rig()
    rig.renew(LANES)
    rig.store.meanwhile = lambda: setattr(rig.leases, "refresh", True)
    rig.renew(LANES)

    assert rig.leases.are_due


class Thread:
    """Renews while the event loop cannot."""

    def __init__(self, *, is_cut_off: bool) -> None:
        self.is_cut_off = is_cut_off

    def note(self, moment: float) -> None: ...


@pytest.mark.parametrize("is_cut_off", [True, False])
def test_a_blocked_loop_whose_thread_could_not_renew_either_takes_no_lane_from_others(is_cut_off: bool) -> None:
    rig = Rig()
    rig.renew(LANES)
    rig.leases._thread = cast("RenewalThread", Thread(is_cut_off=is_cut_off))
    rig.clock.advance(2 * Settings().lease)
    rig.renew(LANES)

    assert rig.store.patient is is_cut_off

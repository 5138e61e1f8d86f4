"""When a thread renews the leases of a worker: only while its event loop does not, and not for ever."""

import asyncio
import threading
from datetime import timedelta

import pytest

from sagabus import StoreUnavailable
from sagabus.clock import SystemClock
from sagabus.engine.renewal import RenewalThread
from sagabus.testing import ManualClock

LEASE, LIMIT = 10.0, 600.0
SHORT = 0.1


class Keeper:
    """Counts, and fails while it is told to."""

    def __init__(self, lease: float = LEASE) -> None:
        self.lease = lease
        self.renewals = 0
        self.away = False
        self.renewed, self.closed = threading.Event(), threading.Event()

    def renew(self, worker: str, *, duration: int, within: float) -> None:
        assert (worker, duration) == ("w", int(self.lease * 1_000_000))
        assert within <= max(self.lease / 4, 1)
        if self.away:
            raise StoreUnavailable("away")
        self.renewals += 1
        self.renewed.set()

    def close(self) -> None:
        self.closed.set()


class Rig:
    def __init__(self) -> None:
        self.clock, self.keeper = ManualClock(), Keeper()
        self.thread = RenewalThread("w", self.keeper, self.clock, lease=LEASE, limit=LIMIT)
        self.thread.note(self.clock.monotonic())

    def passes(self, seconds: float, *, step: float = 0.1) -> None:
        """Let time pass as the thread sees it: it looks when it has said that it would."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(timedelta(seconds=min(max(self.thread.until_due(), step), seconds)))
            self.thread.renew_when_due()


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_while_the_event_loop_renews_the_thread_does_nothing(rig: Rig) -> None:
    for _ in range(60):
        rig.clock.advance(timedelta(seconds=1))
        rig.thread.note(rig.clock.monotonic())
        rig.thread.renew_when_due()

    assert rig.keeper.renewals == 0


def test_it_looks_no_oftener_than_twice_in_a_lease_while_the_event_loop_renews(rig: Rig) -> None:
    assert rig.thread.until_due() == pytest.approx(LEASE / 2)


def test_once_the_event_loop_is_late_the_thread_renews_several_times_in_a_lease(rig: Rig) -> None:
    rig.passes(10 * LEASE)

    assert 20 <= rig.keeper.renewals <= 45


def test_a_renewal_that_fails_is_tried_again_well_before_the_lease_ends(rig: Rig) -> None:
    rig.keeper.away = True
    rig.passes(0.7 * LEASE)
    rig.keeper.away = False
    rig.passes(0.1 * LEASE)

    assert rig.keeper.renewals == 1


def test_a_store_that_does_not_let_the_thread_renew_has_cut_it_off_until_either_renews(rig: Rig) -> None:
    rig.keeper.away = True
    rig.passes(0.9 * LEASE)
    was_cut_off = rig.thread.is_cut_off
    rig.thread.note(rig.clock.monotonic())
    after_the_loop = rig.thread.is_cut_off

    rig.passes(0.9 * LEASE)
    rig.keeper.away = False
    rig.passes(LEASE / 4)

    assert (was_cut_off, after_the_loop, rig.thread.is_cut_off) == (True, False, False)


def test_an_event_loop_that_is_dead_for_good_loses_its_leases(rig: Rig) -> None:
    rig.passes(LIMIT + LEASE)
    before = rig.keeper.renewals
    rig.passes(LIMIT)

    assert rig.keeper.renewals == before
    assert rig.thread.has_given_up


def test_an_event_loop_that_comes_back_is_waited_for_again(rig: Rig) -> None:
    rig.passes(LIMIT + LEASE)
    before = rig.keeper.renewals
    rig.thread.note(rig.clock.monotonic())
    rig.passes(LEASE)

    assert rig.keeper.renewals > before
    assert not rig.thread.has_given_up


def test_it_renews_while_its_event_loop_is_blocked_and_ends_with_its_worker() -> None:
    keeper = Keeper(SHORT)
    thread = RenewalThread("w", keeper, SystemClock(), lease=SHORT, limit=LIMIT)

    async def block() -> None:
        await thread.start()
        assert keeper.renewed.wait(20)
        await thread.stop(20)
        await thread.stop(20)

    asyncio.run(block())

    assert keeper.closed.is_set()


def test_it_ends_with_its_event_loop() -> None:
    keeper = Keeper(SHORT)
    thread = RenewalThread("w", keeper, SystemClock(), lease=SHORT, limit=LIMIT)

    async def begin() -> None:
        await thread.start()

    asyncio.run(begin())

    assert keeper.closed.wait(20)

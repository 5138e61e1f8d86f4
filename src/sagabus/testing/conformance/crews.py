"""Workers of several releases side by side: lanes go to those that know most, and no message stays with another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sagabus.outcome import Verdict
from sagabus.store import Lane
from sagabus.testing.conformance.trial import (
    BILLING,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
    epochs,
)

OLD, NEW = ("a",), ("a", "b")
Known = Sequence[str] | None


async def shares(trial: Trial, *workers: tuple[str, Known], seconds: int = 30) -> Mapping[str, int]:
    """How many lanes each has once they have leased by turns until nothing changes."""
    found: dict[str, int] = {}
    for name, knows in workers * 3:
        found[name] = len(await trial.lease(name, knows=knows, seconds=seconds))
    return found


class CrewConformance(StoreSuite):
    """`lease` of workers that say which message types they know."""

    @conformance
    async def test_a_worker_that_knows_less_gives_up_all_its_lanes(self, trial: Trial) -> None:
        lanes = trial.routing.lanes

        assert await shares(trial, ("w1", OLD)) == {"w1": lanes}
        assert await shares(trial, ("w1", OLD), ("w2", NEW)) == {"w1": 0, "w2": lanes}
        assert await shares(trial, ("w1", OLD), ("w2", NEW), ("w3", OLD), ("w4", NEW)) == {
            "w1": 0,
            "w2": lanes / 2,
            "w3": 0,
            "w4": lanes / 2,
        }

    @conformance
    async def test_it_takes_lanes_again_when_the_others_have_gone_or_died(self, trial: Trial) -> None:
        lanes = trial.routing.lanes
        await shares(trial, ("w1", OLD), ("w2", NEW))
        await trial.store.release("w2")
        assert await shares(trial, ("w1", OLD)) == {"w1": lanes}

        await shares(trial, ("w1", OLD), ("w2", NEW), seconds=5)
        trial.wait(4)
        await trial.lease("w1", knows=OLD, seconds=5)
        trial.wait(3)

        assert await shares(trial, ("w1", OLD), seconds=5) == {"w1": lanes}

    @conformance
    async def test_the_same_types_in_another_order_are_the_same(self, trial: Trial) -> None:
        half = trial.routing.lanes / 2

        assert await shares(trial, ("w1", ("a", "b")), ("w2", ("b", "a", "b"))) == {"w1": half, "w2": half}

    @conformance
    async def test_no_worker_gives_up_lanes_while_one_does_not_say_what_it_knows(self, trial: Trial) -> None:
        found = await shares(trial, ("w1", OLD), ("w2", NEW), ("w3", None))

        assert sum(found.values()) == trial.routing.lanes
        assert min(found.values()) >= trial.routing.lanes // 3

    @conformance
    async def test_of_two_that_each_know_one_more_the_later_release_works(self, trial: Trial) -> None:
        lanes = trial.routing.lanes
        await shares(trial, ("w1", ("a", "b")), ("w2", ("a", "c")))

        assert await shares(trial, ("w1", ("a", "b")), ("w2", ("a", "c"))) == {"w1": 0, "w2": lanes}
        # A worker of the earlier release that was started again changes nothing.
        assert await shares(trial, ("w1", ("a", "b")), ("w2", ("a", "c")), ("w3", ("a", "b"))) == {
            "w1": 0,
            "w2": lanes,
            "w3": 0,
        }

    @conformance
    async def test_each_channel_goes_by_itself(self, trial: Trial) -> None:
        workers = {"w1": {ORDERS: OLD, BILLING: NEW}, "w2": {ORDERS: NEW, BILLING: OLD}}
        owned: dict[str, Sequence[Lane]] = {}
        for name in ("w1", "w2") * 3:
            owned[name] = await trial.store.lease(
                name, (ORDERS, BILLING), duration=30 * SECOND, window=10, knows=workers[name]
            )

        assert [{lane.channel for lane in lanes} for lanes in owned.values()] == [{BILLING}, {ORDERS}]
        assert {len(lanes) for lanes in owned.values()} == {trial.routing.lanes}

    @conformance
    async def test_the_next_fetch_shows_who_came_and_who_gave_up_lanes(self, trial: Trial) -> None:
        await trial.lease("w1", knows=OLD)
        before = await trial.crew()
        await trial.lease("w2", knows=NEW)
        joined = await trial.crew()
        await trial.lease("w1", knows=OLD)

        assert len({before, joined, await trial.crew()}) == 3

    @conformance
    async def test_the_former_owner_is_fenced_off_and_leaves_no_suspects(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        old = epochs(await trial.lease("w1", knows=OLD))

        await shares(trial, ("w1", OLD), ("w2", NEW))

        assert {lane.suspect_until for lane in await trial.lease("w2", knows=NEW)} == {0}
        assert await trial.commit(completed(stored), epochs=old) == [Verdict.FENCED]

    @conformance
    async def test_what_each_worker_knows_can_be_looked_up(self, trial: Trial) -> None:
        await shares(trial, ("w1", OLD), ("w2", NEW), ("w3", None), ("w4", ()))

        seen = await trial.store.inspect.workers()

        assert {each.worker: each.knows for each in seen} == {
            "w1": frozenset(OLD),
            "w2": frozenset(NEW),
            "w3": None,
            "w4": frozenset(),
        }

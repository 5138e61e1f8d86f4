"""What is handed to workers: everything due, once its turn has come, in order."""

from __future__ import annotations

from sagabus.envelope import Cause, Envelope
from sagabus.outcome import DeadLettered, RetryAt, Stashed
from sagabus.store import Cursor
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    FAILURE,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
)


class FetchingConformance(StoreSuite):
    """`fetch`: what is due, per lane in order, bounded, and nothing that has to wait."""

    @conformance
    async def test_an_empty_store_has_nothing_due(self, trial: Trial) -> None:
        fetched = await trial.fetch()

        assert (fetched.envelopes, fetched.next_due_in) == ((), None)

    @conformance
    async def test_envelopes_of_a_lane_come_in_the_order_of_acceptance(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(20)))

        assert list((await trial.fetch()).envelopes) == stored

    @conformance
    async def test_fetching_takes_nothing_away(self, trial: Trial) -> None:
        await trial.accept_one()

        assert (await trial.fetch()).envelopes == (await trial.fetch()).envelopes

    @conformance
    async def test_a_cursor_leaves_out_what_was_handed_out_before(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(5)))
        assert list((await trial.fetch(limit=3)).envelopes) == stored[:3]

        fetched = await trial.fetch(after=stored[2].position)

        assert list(fetched.envelopes) == stored[3:]

    @conformance
    async def test_each_lane_is_bounded_and_loses_nothing_by_it(self, trial: Trial) -> None:
        stored = await trial.accept(*(trial.envelope(f"m{i}") for i in range(7)))
        lane, after = trial.lane_of("A1"), 0
        seen: list[Envelope] = []

        while found := (await trial.store.fetch([Cursor(ORDERS, lane, after)], 3)).envelopes:
            assert len(found) <= 3
            seen.extend(found)
            after = seen[-1].position

        assert seen == stored

    @conformance
    async def test_what_came_due_is_bounded_too(self, trial: Trial) -> None:
        await trial.accept(*(trial.envelope(f"m{i}", delay=SECOND + i) for i in range(7)))
        trial.wait(2)

        fetched = await trial.fetch(limit=3)

        assert [each.message_id for each in fetched.envelopes] == ["m0", "m1", "m2"]

    @conformance
    async def test_one_full_lane_takes_nothing_from_another(self, trial: Trial) -> None:
        keys = {trial.lane_of(f"k{i}"): f"k{i}" for i in range(100)}
        first, second = list(keys.values())[:2]
        await trial.accept(*(trial.envelope(f"m{i}", first) for i in range(5)), trial.envelope("other", second))

        fetched = await trial.fetch(limit=2)

        assert sorted(each.message_id for each in fetched.envelopes) == ["m0", "m1", "other"]

    @conformance
    async def test_only_the_lanes_asked_for_are_looked_at(self, trial: Trial) -> None:
        lane = trial.lane_of("A1")
        await trial.accept(trial.envelope("m1"), trial.envelope("m1", channel=BILLING))

        others = [Cursor(ORDERS, each, 0) for each in range(trial.routing.lanes) if each != lane]

        assert (await trial.store.fetch(others, 100)).envelopes == ()
        assert (await trial.store.fetch([], 100)).envelopes == ()
        assert [each.channel for each in (await trial.fetch()).envelopes] == [ORDERS]

    @conformance
    async def test_nothing_comes_before_it_is_due(self, trial: Trial) -> None:
        await trial.accept_one(delay=MINUTE)

        trial.wait(59.999999)
        assert await trial.due_ids() == []

        trial.wait(0.000001)
        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_it_says_how_long_until_the_next_is_due(self, trial: Trial) -> None:
        await trial.accept(trial.envelope("m1", "A1", delay=2 * MINUTE), trial.envelope("m2", "B2", delay=MINUTE))

        trial.wait(15)

        assert (await trial.fetch()).next_due_in == 45 * SECOND
        assert (await trial.fetch(channel=BILLING)).next_due_in is None

    @conformance
    async def test_what_is_due_already_is_not_the_next(self, trial: Trial) -> None:
        await trial.accept(trial.envelope("m1", delay=MINUTE), trial.envelope("m2", delay=2 * MINUTE))

        trial.wait(60)

        assert (await trial.fetch()).next_due_in == MINUTE

    @conformance
    async def test_what_came_due_comes_with_every_fetch_whatever_the_cursor(self, trial: Trial) -> None:
        await trial.accept_one("m1", delay=SECOND)
        later = await trial.accept_one("m2")
        await trial.fetch()
        trial.wait(1)

        for _ in range(2):
            fetched = await trial.fetch(after=later.position)

            assert [each.message_id for each in fetched.envelopes] == ["m1"]

    @conformance
    async def test_a_lane_is_in_order_of_position_whatever_was_scheduled(self, trial: Trial) -> None:
        await trial.accept(trial.envelope("m1"), trial.envelope("m2", delay=SECOND), trial.envelope("m3"))
        trial.wait(1)

        fetched = await trial.fetch()

        assert [each.message_id for each in fetched.envelopes] == ["m1", "m2", "m3"]

    @conformance
    async def test_a_retry_holds_back_its_own_key_only(self, trial: Trial) -> None:
        first = await trial.accept_one("m1", "A1")
        await trial.accept(
            trial.envelope("m2", "A1"),
            trial.envelope("m3", "B2"),
            trial.envelope("m4", None, lane=first.lane),
            trial.envelope("m5", "A1", channel=BILLING),
        )

        assert await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE)) == [COMMITTED]

        assert await trial.due_ids() == ["m3", "m4"]
        assert await trial.due_ids(BILLING) == ["m5"]

    @conformance
    async def test_what_holds_its_key_comes_itself_when_it_is_due(self, trial: Trial) -> None:
        first, _ = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE))

        trial.wait(60)

        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_a_parked_dead_letter_holds_back_all_of_its_key(self, trial: Trial) -> None:
        first, _ = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))

        await trial.commit(DeadLettered(cause=Cause.FAILED, envelope=first, reason="no", parks=True))
        await trial.accept(trial.envelope("m3"), trial.envelope("m4", "B2"))

        assert await trial.due_ids() == ["m4"]

    @conformance
    async def test_held_envelopes_do_not_use_up_the_bound(self, trial: Trial) -> None:
        first = await trial.accept_one("m1")
        await trial.accept(*(trial.envelope(f"m{i}") for i in range(2, 10)))
        await trial.accept_one("other", None, lane=first.lane)

        await trial.commit(RetryAt(envelope=first, delay=MINUTE, failure=FAILURE))

        assert [each.message_id for each in (await trial.fetch(limit=2)).envelopes] == ["other"]

    @conformance
    async def test_a_stashed_envelope_comes_only_when_its_patience_has_ended(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(Stashed(stored, MINUTE))

        assert await trial.due_ids() == []

        trial.wait(60)
        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_what_was_settled_does_not_come_again(self, trial: Trial) -> None:
        stored = await trial.accept_one(delay=SECOND)
        trial.wait(1)

        await trial.commit(completed(stored))

        fetched = await trial.fetch()
        assert (fetched.envelopes, fetched.next_due_in) == ((), None)

    @conformance
    async def test_a_long_backlog_is_worked_off_completely(self, trial: Trial) -> None:
        await trial.append(*(trial.envelope(f"m{i}", f"k{i % 50}") for i in range(1000)))
        seen: list[str] = []

        while found := (await trial.fetch(limit=10)).envelopes:
            assert set(await trial.commit(*(completed(each) for each in found))) == {COMMITTED}
            seen.extend(each.message_id for each in found)

        assert sorted(seen) == sorted(f"m{i}" for i in range(1000))

"""`inspect.records`: which message ids a channel has accepted, and since when it has forgotten none."""

from __future__ import annotations

import pytest

from sagabus.envelope import Cause
from sagabus.outcome import DeadLettered
from sagabus.store import Retention
from sagabus.store.inspection import MOST_IDS, RecordsSeen
from sagabus.testing.conformance.trial import (
    BILLING,
    DAY,
    ORDERS,
    StoreSuite,
    Trial,
    claim,
    completed,
    conformance,
)


class RecordConformance(StoreSuite):
    """A record that is not there means that nothing was accepted, from the horizon on."""

    @conformance
    async def test_what_waits_what_was_handled_and_what_is_dead_has_a_record(self, trial: Trial) -> None:
        waiting, handled, dead = await trial.accept(*(trial.envelope(each, each) for each in ("m1", "m2", "m3")))
        await trial.commit(completed(handled), DeadLettered(envelope=dead, reason="no", cause=Cause.FAILED))

        seen = await trial.store.inspect.records(ORDERS, [waiting.message_id, "m2", "m3", "m4"])

        assert seen == RecordsSeen(frozenset({"m1", "m2", "m3"}), 0)

    @conformance
    async def test_each_channel_has_its_own_records_and_ids_are_compared_by_bytes(self, trial: Trial) -> None:
        await trial.append(trial.envelope("m1"), trial.envelope("M2", channel=BILLING), trial.envelope("é"))

        asked = ["m1", "M1", "m1 ", "m2", "M2", "é", "e\u0301", "e", "%", "m_", "'", ""]

        assert (await trial.store.inspect.records(ORDERS, asked)).recorded == {"m1", "é"}
        assert (await trial.store.inspect.records(BILLING, asked)).recorded == {"M2"}
        assert await trial.store.inspect.records("absent", asked) == RecordsSeen(frozenset())

    @conformance
    async def test_a_claimed_key_is_no_message_id(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one("m1"), claims=(claim("m2"),)))

        assert (await trial.store.inspect.records(ORDERS, ["m1", "m2"])).recorded == {"m1"}

    @conformance
    async def test_what_a_handler_sends_has_no_record(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one("m1"), sent=(trial.envelope("s1", guarded=False),)))

        assert await trial.stored_ids() == ["s1"]
        assert (await trial.store.inspect.records(ORDERS, ["s1"])).recorded == frozenset()

    @conformance
    async def test_a_record_that_was_forgotten_is_below_the_horizon(self, trial: Trial) -> None:
        old = await trial.accept_one("m1")
        trial.wait(2 * 86_400)
        young = await trial.accept_one("m2")
        await trial.store.purge([Retention(ORDERS, DAY)], 100)

        seen = await trial.store.inspect.records(ORDERS, ["m1", "m2"])

        assert seen.recorded == {"m2"}
        assert old.sent_at < seen.horizon <= young.sent_at
        assert (await trial.store.inspect.records(BILLING, ["m1"])).horizon == 0

    @conformance
    async def test_a_look_is_for_so_many_ids_and_changes_nothing(self, trial: Trial) -> None:
        await trial.append(*(trial.envelope(f"m{number}", f"k{number}") for number in range(0, MOST_IDS, 2)))
        asked = [f"m{number}" for number in range(MOST_IDS)]

        first, second = [await trial.store.inspect.records(ORDERS, asked) for _ in range(2)]

        assert first == second == RecordsSeen(frozenset(asked[::2]))
        assert (await trial.store.inspect.records(ORDERS, ["m0", "m0"])).recorded == {"m0"}
        assert (await trial.store.inspect.records(ORDERS, [])).recorded == frozenset()
        with pytest.raises(ValueError, match="at most 1,000 message ids, not 1,001"):
            await trial.store.inspect.records(ORDERS, [*asked, "more"])

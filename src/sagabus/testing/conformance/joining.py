"""The transactional outbox: messages inside a transaction that the caller opened, and what survives the process."""

from __future__ import annotations

import pytest

from sagabus.errors import NoOpenTransaction, SagaBusError, StoreError, UnsupportedCapability, WrongDatabase
from sagabus.outcome import Admission
from sagabus.store import Capability
from sagabus.testing.conformance.trial import (
    COMMITTED,
    SUBSCRIPTIONS,
    StoreSuite,
    Trial,
    completed,
    conformance,
    save,
)


class JoinConformance(StoreSuite):
    """`join`: the caller's transaction decides; refused where the store has no database to share."""

    begin = "BEGIN IMMEDIATE"
    """How the user's connection begins."""

    @conformance
    async def test_a_store_that_cannot_join_says_so(self, trial: Trial) -> None:
        with pytest.raises(UnsupportedCapability):
            trial.store.join(object())

    @conformance
    async def test_messages_share_the_fate_of_the_callers_transaction(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        await self.make_user_table()
        connection = await self.native_connection()
        for name, end in (("kept", "COMMIT"), ("lost", "ROLLBACK")):
            await self.execute(connection, self.begin)
            await self.execute(connection, self.insert_row, (name,))
            assert list(trial.store.join(connection).append([trial.envelope(name)])) == [Admission.ACCEPTED]
            assert name not in await trial.stored_ids()
            await self.execute(connection, end)
        await self.disconnect(connection)

        assert list(await self.user_rows()) == ["kept"]
        assert await trial.due_ids() == ["kept"]
        assert await trial.append(trial.envelope("kept"), trial.envelope("lost")) == [
            Admission.DUPLICATE,
            Admission.ACCEPTED,
        ]

    @conformance
    async def test_copies_and_collisions_are_told_apart_as_ever(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        connection = await self.native_connection()
        await self.execute(connection, self.begin)

        joined = trial.store.join(connection)
        answers = joined.append(
            [trial.envelope("m1"), trial.envelope("m2", body=b"other"), trial.envelope("m3"), trial.envelope("m3")]
        )
        again = joined.append([trial.envelope("m3")])

        await self.execute(connection, "COMMIT")
        await self.disconnect(connection)
        assert list(answers) == [
            Admission.DUPLICATE,
            Admission.COLLISION,
            Admission.ACCEPTED,
            Admission.DUPLICATE,
        ]
        assert list(again) == [Admission.DUPLICATE]
        assert await trial.stored_ids() == ["m1", "m2", "m3"]
        assert len(await trial.letters()) == 1

    @conformance
    async def test_fields_survive_the_callers_driver(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        sent = [
            trial.envelope("m1", headers={"ä": "🎉"}, body=bytes(range(1, 128)) * 1600, correlation_id="c'1"),
            trial.envelope("m2", None, body=b""),
            trial.envelope("m3", delay=60_000_000),
        ]
        connection = await self.native_connection()
        await self.execute(connection, self.begin)
        trial.store.join(connection).append(sent)
        await self.execute(connection, "COMMIT")
        await self.disconnect(connection)

        stored = await trial.stored()

        assert [each.body for each in stored] == [each.body for each in sent]
        assert [each.headers for each in stored] == [{"ä": "🎉"}, None, None]
        assert [each.partition_key for each in stored] == ["A1", None, "A1"]
        assert stored[2].due_at == trial.clock.now() + 60_000_000

    @conformance
    async def test_the_joined_transaction_sees_the_routing(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        connection = await self.native_connection()
        await self.execute(connection, self.begin)

        routing = trial.store.join(connection).routing()

        await self.execute(connection, "ROLLBACK")
        await self.disconnect(connection)
        assert (routing.version, routing.lanes) == (trial.routing.version, trial.routing.lanes)
        assert set(routing.subscriptions) == set(SUBSCRIPTIONS)

    @conformance
    async def test_without_an_open_transaction_joining_is_refused(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        connection = await self.native_connection()

        with pytest.raises(NoOpenTransaction):
            trial.store.join(connection)

        await self.execute(connection, self.begin)
        joined = trial.store.join(connection)
        await self.execute(connection, "COMMIT")
        with pytest.raises(NoOpenTransaction):
            joined.append([trial.envelope()])
        await self.disconnect(connection)
        assert await trial.stored() == []

    @conformance
    async def test_a_connection_to_another_database_is_refused(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        connection = await self.strange_connection()

        with pytest.raises(WrongDatabase):
            trial.store.join(connection)

        await self.disconnect(connection)


class LifeConformance(StoreSuite):
    """`open` and `close`, several processes' worth of handles, and what a new one finds."""

    @conformance
    async def test_opening_and_closing_twice_is_harmless(self, trial: Trial) -> None:
        await trial.store.open()
        await trial.accept_one()
        await trial.store.close()
        await trial.store.close()

    @conformance
    async def test_what_was_accepted_and_committed_survives_the_handle(self, trial: Trial) -> None:
        if not trial.has(Capability.DURABLE):
            return
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        await trial.commit(completed(first, save=save(), sent=(trial.envelope("s1"), trial.timer())))
        before = await trial.stored()
        await trial.store.close()

        trial.store = await self.same_store(trial.clock)
        await trial.store.open()

        assert await trial.stored() == before
        assert await trial.instance() is not None
        assert (await trial.store.routing()) == trial.routing
        assert await trial.append(trial.envelope("m1")) == [Admission.DUPLICATE]
        assert await trial.commit(completed(second)) == [COMMITTED]
        await trial.store.close()

    @conformance
    async def test_handles_on_one_store_see_each_others_commits(self, trial: Trial) -> None:
        if not trial.has(Capability.SHARED):
            return
        other = await self.same_store(trial.clock)
        await other.open()
        stored = await trial.accept_one()

        assert [each.message_id for each in await other.inspect.envelopes("orders")] == ["m1"]
        await trial.commit(completed(stored))
        assert list(await other.inspect.envelopes("orders")) == []
        assert await other.append([trial.envelope("m1")], trial.routing.version) == [Admission.DUPLICATE]
        await other.close()

    @conformance
    async def test_a_closed_store_that_is_durable_takes_nothing(self, trial: Trial) -> None:
        if not trial.has(Capability.DURABLE):
            return
        await trial.store.close()

        with pytest.raises(SagaBusError) as caught:
            await trial.append(trial.envelope())

        assert isinstance(caught.value, StoreError)

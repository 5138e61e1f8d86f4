"""The transactional outbox: messages inside a transaction that the caller opened, and what survives the process."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from sagabus.envelope import Envelope
from sagabus.errors import NoOpenTransaction, SagaBusError, StoreError, UnsupportedCapability, WrongDatabase
from sagabus.outcome import Admission
from sagabus.store import Capability, Routing
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    SUBMITTED,
    SUBSCRIPTIONS,
    StoreSuite,
    Trial,
    completed,
    conformance,
    save,
)


class JoinConformance(StoreSuite):
    """`join`: the caller's transaction decides; refused where the store has no database to share.

    Run it once for each kind of connection that the store joins. Override `native_connection` and `strange_connection`.
    Override how to run a statement, and how to begin and end a transaction, if that is not done by SQL.
    """

    begin = "BEGIN IMMEDIATE"
    """How the user's connection begins."""
    begins_by_itself = False
    """Its first statement begins a transaction: there is never none."""

    async def begin_native(self, connection: Any) -> None:
        """Begin a transaction on the user's connection."""
        await self.execute(connection, self.begin)

    async def end_native(self, connection: Any, *, commits: bool) -> None:
        """Commit the user's transaction, or roll it back."""
        await self.execute(connection, "COMMIT" if commits else "ROLLBACK")

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
        for name, commits in (("kept", True), ("lost", False)):
            await self.begin_native(connection)
            await self.execute(connection, self.insert_row, (name,))
            assert await joined_append(trial, connection, trial.envelope(name)) == [Admission.ACCEPTED]
            assert name not in await trial.stored_ids()
            await self.end_native(connection, commits=commits)
        await self.disconnect(connection)

        assert list(await self.user_rows()) == ["kept"]
        assert await trial.due_ids() == ["kept"]
        assert await trial.append(trial.envelope("kept"), trial.envelope("lost")) == [
            Admission.DUPLICATE,
            Admission.ACCEPTED,
        ]

    @conformance
    async def test_copies_and_collisions_are_recognised_as_usual(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        await trial.accept(trial.envelope("m1"), trial.envelope("m2"))
        connection = await self.native_connection()
        await self.begin_native(connection)

        joined = trial.store.join(connection)
        sent = [trial.envelope("m1"), trial.envelope("m2", body=b"other"), trial.envelope("m3"), trial.envelope("m3")]
        answers = await settled(joined.append(sent))
        again = await settled(joined.append([trial.envelope("m3")]))

        await self.end_native(connection, commits=True)
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
    async def test_a_raw_body_is_held_inside_the_callers_transaction_too(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        connection = await self.native_connection()
        await self.begin_native(connection)

        raw = [trial.envelope("m1", body=b'"\xff"'), trial.envelope("m2", body=b'"\0"')]
        answers = await joined_append(trial, connection, *raw, trial.envelope("m3"))

        await self.end_native(connection, commits=True)
        await self.disconnect(connection)
        assert answers == [Admission.DAMAGED, Admission.DAMAGED, Admission.ACCEPTED]
        assert await trial.stored_ids() == ["m3"]
        assert [each.envelope.message_id for each in await trial.letters()] == ["m1", "m2"]

    @conformance
    async def test_fields_survive_the_callers_driver(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        sent = [
            trial.envelope("m1", headers={"ä": "🎉"}, body=bytes(range(1, 128)) * 1600, correlation_id="c'1"),
            trial.envelope("100%s {m2} $1 ?1", None, body=b""),
            trial.envelope("m3", delay=60_000_000),
        ]
        connection = await self.native_connection()
        await self.begin_native(connection)
        await joined_append(trial, connection, *sent)
        await self.end_native(connection, commits=True)
        await self.disconnect(connection)

        stored = await trial.stored()

        assert [each.message_id for each in stored] == [each.message_id for each in sent]
        assert [each.body for each in stored] == [each.body for each in sent]
        assert [each.headers for each in stored] == [{"ä": "🎉"}, None, None]
        assert [each.partition_key for each in stored] == ["A1", None, "A1"]
        assert stored[2].due_at == trial.clock.now() + 60_000_000

    @conformance
    async def test_many_are_appended_in_order(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        names = [f"m{number:03}" for number in range(300)]
        connection = await self.native_connection()
        await self.begin_native(connection)

        answers = await joined_append(trial, connection, *(trial.envelope(name) for name in names))

        await self.end_native(connection, commits=True)
        await self.disconnect(connection)
        assert set(answers) == {Admission.ACCEPTED}
        assert await trial.stored_ids() == names

    @conformance
    async def test_a_timer_replaces_the_one_before(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        await trial.accept_one("t1", timer="payment", delay=1, guarded=False)
        connection = await self.native_connection()
        await self.begin_native(connection)

        await joined_append(trial, connection, trial.envelope("t2", timer="payment", delay=1, guarded=False))

        await self.end_native(connection, commits=True)
        await self.disconnect(connection)
        assert await trial.stored_ids() == ["t2"]

    @conformance
    async def test_the_joined_transaction_sees_the_routing(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        connection = await self.native_connection()
        await self.begin_native(connection)

        routing = await settled(trial.store.join(connection).routing())

        await self.end_native(connection, commits=False)
        await self.disconnect(connection)
        assert (routing.version, routing.lanes) == (trial.routing.version, trial.routing.lanes)
        assert set(routing.subscriptions) == set(SUBSCRIPTIONS)

    @conformance
    async def test_a_later_transaction_sees_a_routing_that_changed(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        connection = await self.native_connection()
        seen: list[Routing] = []
        for _ in range(2):
            await self.begin_native(connection)
            seen.append(await settled(trial.store.join(connection).routing()))
            await self.end_native(connection, commits=False)
            await trial.store.unregister(BILLING, SUBMITTED)
        await self.disconnect(connection)

        assert [len(routing.subscriptions) for routing in seen] == [2, 1]
        assert seen[0].version < seen[1].version

    @conformance
    async def test_a_store_that_is_not_open_can_be_joined(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        closed = await self.same_store(trial.clock)
        connection = await self.native_connection()
        await self.begin_native(connection)

        joined = closed.join(connection)
        routing = await settled(joined.routing())
        answers = await settled(joined.append([trial.envelope("m1")]))

        await self.end_native(connection, commits=True)
        await self.disconnect(connection)
        assert (routing, list(answers)) == (trial.routing, [Admission.ACCEPTED])
        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_without_an_open_transaction_joining_is_refused(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN) or self.begins_by_itself:
            return
        connection = await self.native_connection()

        with pytest.raises(NoOpenTransaction):
            trial.store.join(connection)

        await self.begin_native(connection)
        joined = trial.store.join(connection)
        await self.end_native(connection, commits=True)
        with pytest.raises(NoOpenTransaction):
            await settled(joined.append([trial.envelope()]))
        await self.disconnect(connection)
        assert await trial.stored() == []

    @conformance
    async def test_a_connection_that_begins_by_itself_holds_back_what_is_appended(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN) or not self.begins_by_itself:
            return
        connection = await self.native_connection()
        for name, commits in (("lost", False), ("kept", True)):
            assert await joined_append(trial, connection, trial.envelope(name)) == [Admission.ACCEPTED]
            assert await trial.stored() == []
            await self.end_native(connection, commits=commits)
        await self.disconnect(connection)

        assert await trial.stored_ids() == ["kept"]

    @conformance
    async def test_a_connection_to_another_database_is_refused(self, trial: Trial) -> None:
        if not trial.has(Capability.JOIN):
            return
        connection = await self.strange_connection()

        with pytest.raises(WrongDatabase):
            await joined_append(trial, connection, trial.envelope())

        await self.disconnect(connection)


async def settled(answer: Any) -> Any:
    """The answer of a connection that gives it at once, or that has to be awaited."""
    return await answer if inspect.isawaitable(answer) else answer


async def joined_append(trial: Trial, connection: object, *envelopes: Envelope) -> list[Admission]:
    """Join the transaction and append."""
    return list(await settled(trial.store.join(connection).append(envelopes)))


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

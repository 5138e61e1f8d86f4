"""The unit of work, and the user's own SQL: one commit with the message, or nothing at all."""

from __future__ import annotations

import pytest

from sagabus.errors import SagaBusError, StatementRefused, StoreError, UnsupportedCapability
from sagabus.outcome import Admission, Statement, Verdict
from sagabus.store import Batch, Capability, Store
from sagabus.store.connection import AsyncConnection, Connection
from sagabus.testing.conformance.trial import (
    COMMITTED,
    StoreSuite,
    Trial,
    completed,
    conformance,
    save,
)


def lends(store: Store, kind: type | None) -> bool:
    """Whether the store says that it lends its transaction as this type."""
    try:
        store.check_lending(kind)
    except UnsupportedCapability:
        return False
    return True


REFUSED = (
    *("COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT s", "commit", " /* well */ COMMIT", "COMMIT; BEGIN", "END"),
    *("CREATE TABLE other (id TEXT)", "DROP TABLE ledger", "ALTER TABLE ledger ADD COLUMN extra TEXT"),
    *("DELETE FROM sagabus_envelope", "UPDATE sagabus_instance SET version = 7", "SELECT * FROM sagabus_inbox"),
)
"""What only the bus may do inside its transaction."""


class UnitConformance(StoreSuite):
    """`transaction()`: messages, an outcome and the user's rows, together."""

    @conformance
    async def test_what_a_unit_appends_is_there_once_it_commits(self, trial: Trial) -> None:
        async with trial.store.transaction() as unit:
            assert await unit.append([trial.envelope("m1")], trial.routing.version) == [Admission.ACCEPTED]
            assert await trial.stored() == []
            assert list(await unit.commit()) == []

        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_leaving_a_unit_without_a_commit_leaves_nothing(self, trial: Trial) -> None:
        async with trial.store.transaction() as unit:
            await unit.append([trial.envelope("m1")], trial.routing.version)

        assert await trial.stored() == []
        assert await trial.append(trial.envelope("m1")) == [Admission.ACCEPTED]

    @conformance
    async def test_an_error_inside_a_unit_leaves_nothing_and_comes_out(self, trial: Trial) -> None:
        with pytest.raises(ZeroDivisionError):
            async with trial.store.transaction() as unit:
                await unit.append([trial.envelope("m1")], trial.routing.version)
                raise ZeroDivisionError

        assert await trial.stored() == []
        assert await trial.append(trial.envelope("m2")) == [Admission.ACCEPTED]

    @conformance
    async def test_a_unit_sees_the_copies_it_appended_itself(self, trial: Trial) -> None:
        await trial.accept_one("m0")
        async with trial.store.transaction() as unit:
            first = await unit.append([trial.envelope("m0"), trial.envelope("m1")], trial.routing.version)
            second = await unit.append([trial.envelope("m1"), trial.envelope("m2")], trial.routing.version)
            await unit.commit()

        assert first == [Admission.DUPLICATE, Admission.ACCEPTED]
        assert second == [Admission.DUPLICATE, Admission.ACCEPTED]
        assert await trial.stored_ids() == ["m0", "m1", "m2"]

    @conformance
    async def test_a_unit_appends_nothing_with_a_routing_of_the_past(self, trial: Trial) -> None:
        async with trial.store.transaction() as unit:
            assert await unit.append([trial.envelope()], trial.routing.version - 1) is None
            await unit.commit()

        assert await trial.stored() == []

    @conformance
    async def test_an_outcome_commits_with_the_unit(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        batch = Batch([completed(stored, save=save(), sent=(trial.envelope("s1"),))], trial.routing.version, {})

        async with trial.store.transaction() as unit:
            assert [each.verdict for each in await unit.commit(batch)] == [COMMITTED]

        assert await trial.stored_ids() == ["s1"]
        assert await trial.instance() is not None

    @conformance
    async def test_an_outcome_that_fails_takes_the_whole_unit_with_it(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        batch = Batch([completed(stored, save=save(7))], trial.routing.version, {})

        async with trial.store.transaction() as unit:
            await unit.append([trial.envelope("m2")], trial.routing.version)
            assert [each.verdict for each in await unit.commit(batch)] == [Verdict.CONFLICT]

        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_a_unit_that_was_left_cannot_be_used(self, trial: Trial) -> None:
        async with trial.store.transaction() as unit:
            pass

        with pytest.raises(StoreError):
            await unit.append([trial.envelope()], trial.routing.version)
        with pytest.raises(StoreError):
            await unit.commit()

    @conformance
    async def test_a_unit_commits_once(self, trial: Trial) -> None:
        async with trial.store.transaction() as unit:
            await unit.commit()
            with pytest.raises(StoreError):
                await unit.commit()


class ConnectionConformance(StoreSuite):
    """`Unit.connection`: the open transaction, guarded; refused where there is none."""

    @conformance
    async def test_a_store_without_a_connection_says_so(self, trial: Trial) -> None:
        async with trial.store.transaction() as unit:
            if trial.has(Capability.CONNECTION):
                assert unit.connection is not None
            else:
                with pytest.raises(UnsupportedCapability):
                    _ = unit.connection

    @conformance
    async def test_the_connections_rows_share_the_units_fate(self, trial: Trial) -> None:
        if not trial.has(Capability.CONNECTION):
            return
        await self.make_user_table()
        for name, commits in (("kept", True), ("lost", False)):
            async with trial.store.transaction() as unit:
                await self.execute(unit.connection, self.insert_row, (name,))
                await unit.append([trial.envelope(name)], trial.routing.version)
                if commits:
                    await unit.commit()

        assert list(await self.user_rows()) == ["kept"]
        assert await trial.stored_ids() == ["kept"]

    @conformance
    async def test_the_connections_rows_go_with_an_outcome_that_fails(self, trial: Trial) -> None:
        if not trial.has(Capability.CONNECTION):
            return
        await self.make_user_table()
        stored = await trial.accept_one()

        async with trial.store.transaction() as unit:
            await self.execute(unit.connection, self.insert_row, ("lost",))
            await unit.commit(Batch([completed(stored, save=save(7))], trial.routing.version, {}))

        assert list(await self.user_rows()) == []

    @conformance
    async def test_the_connection_refuses_what_only_the_bus_may_do(self, trial: Trial) -> None:
        if not trial.has(Capability.CONNECTION):
            return
        await self.make_user_table()
        async with trial.store.transaction() as unit:
            await self.execute(unit.connection, self.insert_row, ("kept",))
            for sql in REFUSED:
                with pytest.raises(StatementRefused):
                    await self.execute(unit.connection, sql)
            await unit.commit()

        assert list(await self.user_rows()) == ["kept"]

    @conformance
    async def test_the_connection_is_of_no_use_after_its_unit(self, trial: Trial) -> None:
        if not trial.has(Capability.CONNECTION):
            return
        await self.make_user_table()
        async with trial.store.transaction() as unit:
            connection = unit.connection
            await unit.commit()
            with pytest.raises(SagaBusError):
                await self.execute(connection, self.insert_row, ("late",))
        with pytest.raises(SagaBusError):
            await self.execute(connection, self.insert_row, ("later",))

        assert list(await self.user_rows()) == []

    @conformance
    async def test_it_lends_what_it_says_it_lends_and_nothing_else(self, trial: Trial) -> None:
        with pytest.raises(UnsupportedCapability):
            trial.store.check_lending(int)
        if not trial.has(Capability.CONNECTION):
            with pytest.raises(UnsupportedCapability):
                trial.store.check_lending(None)
            return
        await self.make_user_table()
        kinds = [kind for kind in (None, Connection, AsyncConnection) if lends(trial.store, kind)]
        for number, kind in enumerate(kinds):
            async with trial.store.transaction() as unit:
                lent = await unit.lend(kind)
                await self.execute(lent.handle, self.insert_row, (str(number),))
                await lent.settle()
                with pytest.raises(SagaBusError):
                    await self.execute(lent.handle, self.insert_row, ("late",))
                await unit.commit()

        assert None in kinds
        assert list(await self.user_rows()) == [str(number) for number in range(len(kinds))]

    @conformance
    async def test_what_was_lent_goes_with_a_unit_that_does_not_commit(self, trial: Trial) -> None:
        if not trial.has(Capability.CONNECTION):
            return
        await self.make_user_table()
        for settles in (True, False):
            async with trial.store.transaction() as unit:
                lent = await unit.lend(None)
                await self.execute(lent.handle, self.insert_row, ("lost",))
                if settles:
                    await lent.settle()

        assert list(await self.user_rows()) == []

    @conformance
    async def test_a_failed_statement_of_the_user_may_be_caught(self, trial: Trial) -> None:
        if not trial.has(Capability.CONNECTION):
            return
        await self.make_user_table()
        async with trial.store.transaction() as unit:
            await self.execute(unit.connection, self.insert_row, ("one",))
            with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
                await self.execute(unit.connection, self.insert_row, ("one",))
            try:
                await unit.commit()
            except StoreError:
                assert list(await self.user_rows()) == []  # wholly or not at all; either is honest
            else:
                assert list(await self.user_rows()) == ["one"]


class StatementConformance(StoreSuite):
    """`Effects.statements`: the user's SQL in the shared commit."""

    def insert(self, name: str) -> Statement:
        """One row of the user's."""
        return Statement(self.insert_row, (name,))

    @conformance
    async def test_statements_commit_with_their_message_or_are_refused(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        if trial.has(Capability.STATEMENTS):
            await self.make_user_table()

        answer = (await trial.settle(completed(stored, save=save(), statements=(self.insert("one"),))))[0]

        if trial.has(Capability.STATEMENTS):
            assert answer.verdict is COMMITTED
            assert list(await self.user_rows()) == ["one"]
        else:
            assert answer.verdict is Verdict.REFUSED
            assert isinstance(answer.error, UnsupportedCapability)
            assert (await trial.stored_ids(), await trial.instance()) == (["m1"], None)

    @conformance
    async def test_checking_a_statement_is_refused_where_there_are_none(self, trial: Trial) -> None:
        if trial.has(Capability.STATEMENTS):
            await self.make_user_table()
            trial.store.execute_check(self.insert_row, ("one",))
            assert list(await self.user_rows()) == []
        else:
            with pytest.raises(UnsupportedCapability):
                trial.store.execute_check(self.insert_row, ("one",))

    @conformance
    async def test_a_failing_statement_anywhere_costs_only_its_message(self, trial: Trial) -> None:
        if not trial.has(Capability.STATEMENTS):
            return
        await self.make_user_table()
        await trial.commit(completed(await trial.accept_one("first"), statements=(self.insert("taken"),)))
        for place in (0, 10, 19):
            stored = await trial.accept(*(trial.envelope(f"{place}-{i}", f"k{i}") for i in range(20)))
            names = ["taken" if i == place else f"{place:02}-{i:02}" for i in range(20)]
            outcomes = [
                completed(
                    each, save=save(key=f"{place}-{i}"), statements=(self.insert(names[i] + "+"), self.insert(names[i]))
                )
                for i, each in enumerate(stored)
            ]

            answers = await trial.settle(*outcomes)

            assert [i for i, answer in enumerate(answers) if answer.verdict is not COMMITTED] == [place]
            assert answers[place].verdict is Verdict.REFUSED
            assert answers[place].error is not None
            assert await trial.stored_ids() == [f"{place}-{place}"]
            assert await trial.instance(f"{place}-{place}") is None
            await trial.commit(completed(stored[place]))

        assert "taken+" not in await self.user_rows()

    @conformance
    async def test_statements_of_a_message_that_lost_leave_nothing(self, trial: Trial) -> None:
        if not trial.has(Capability.STATEMENTS):
            return
        await self.make_user_table()
        stored = await trial.accept_one()

        assert await trial.commit(completed(stored, save=save(7), statements=(self.insert("lost"),))) == [
            Verdict.CONFLICT
        ]

        assert list(await self.user_rows()) == []

    @conformance
    async def test_a_statement_that_only_the_bus_may_run_is_refused_early_and_late(self, trial: Trial) -> None:
        if not trial.has(Capability.STATEMENTS):
            return
        await self.make_user_table()
        other = await trial.accept_one("other", "B2")
        for i, sql in enumerate(REFUSED):
            stored = await trial.accept_one(f"m{i}", f"k{i}")
            with pytest.raises(StatementRefused):
                trial.store.execute_check(sql, ())

            answers = await trial.settle(completed(stored, statements=(self.insert(f"m{i}"), Statement(sql, ()))))

            assert [answer.verdict for answer in answers] == [Verdict.REFUSED], sql
            assert isinstance(answers[0].error, StatementRefused), sql

        assert list(await self.user_rows()) == []
        assert await trial.commit(completed(other)) == [COMMITTED]

"""One asyncpg connection, and what its errors mean."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from sagabus.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    TransactionLost,
)
from sagabus.outcome import Parameters
from sagabus.stores.postgres.driver import asyncpg
from sagabus.stores.postgres.fragments import BORN, NOW
from sagabus.stores.sql.dialect import Ready
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.steps import Answer, Query, StatementFailed, UserQuery, causes
from sagabus.stores.texts import unstorable

_KINDS: tuple[tuple[tuple[str, ...], type[StoreError]], ...] = (
    (("40001", "40P01", "55P03", "57014"), StoreBusy),
    (("53100", "53200", "53400"), StoreFull),
    (("25006",), StoreReadOnly),
    (("08", "57P", "53300", "25P03", "25P04", "28", "3D000", "XX", "58"), StoreUnavailable),
)
"""SQLSTATEs, whole or by their beginning; message texts change with the server's language."""
_NO_RIGHT = "42501"
_TAKEN = "42P07"
# A COMMIT that waits for its replica would be left half done: on this server, and not on that.
_END = f"""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND {BORN} = $2 AND wait_event IS DISTINCT FROM 'SyncRep'"""
_CUT_OFF = "SyncRepWaitForLSN"
"""The warning by which a server reports that a commit's wait for its replica was cancelled."""
_CANCELLED = "57014"
"""By the operator, or by statement_timeout: of our statements the work is repeated; a user's may just be too slow."""


def kind_of(sqlstate: str) -> type[StoreError] | None:
    """What an error of the database as a whole is called here; None for any other."""
    return next((kind for beginnings, kind in _KINDS if sqlstate.startswith(beginnings)), None)


def translated_error(error: BaseException, place: str) -> StoreError | None:
    """The store's error for a driver's error that is of the database as a whole; None for any other."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, asyncpg.PostgresError):
        kind = kind_of(str(getattr(error, "sqlstate", None) or ""))
        return kind(f"{place}: {error}", store=place) if kind is not None else None
    if isinstance(error, (asyncpg.InterfaceError, OSError, EOFError, asyncpg.InternalClientError)):
        return StoreUnavailable(f"{place}: {error or type(error).__name__}", store=place)
    return None


_OLDEST_TRANSACTION = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - began) * 1000000), 0)::bigint FROM (
    SELECT xact_start AS began FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    UNION ALL SELECT prepared FROM pg_prepared_xacts WHERE database = current_database()
) AS open
"""


class PostgresLink:
    """See `sagabus.stores.sql.link.Link`."""

    def __init__(
        self, native: Any, statements: Mapping[str, Ready], place: str, *, born: str = "", timeline: int = 0
    ) -> None:
        self.native = native
        self.number: int = native.get_server_pid()
        """Of its server process."""
        self.born = born
        """When its server process began, which tells it from any other that is given its number."""
        self.timeline = timeline
        """Of its server's history; 0 if that is not known."""
        self._statements = statements
        self._place = place
        self._is_alone = False
        """A commit has happened on this server, and perhaps on no other."""
        native.add_log_listener(self._heard)

    @property
    def usable(self) -> bool:
        """Connected, and in no transaction."""
        return not self.native.is_closed() and not self.native.is_in_transaction()

    async def answer(self, ask: Query | UserQuery) -> Answer:
        """Run one statement."""
        if isinstance(ask, UserQuery):
            return await self._user(ask)
        statement = self._statements[ask.name]
        parameters = statement.parameters(ask)
        with self._translated():
            if statement.gives:
                return Answer(await self.native.fetch(statement.sql, *parameters))
            return Answer((), _changed(await self.native.execute(statement.sql, *parameters)))

    async def run_hot(self, sql: str, parameters: Sequence[object]) -> Sequence[Any]:
        """Run a statement that is a transaction by itself. Returns its rows; none if it divided by zero on purpose."""
        with self._translated():
            try:
                rows: Sequence[Any] = await self.native.fetch(sql, *parameters)
            except asyncpg.DivisionByZeroError:
                return ()
        self._check_replicated()
        return rows

    async def query(self, sql: str, parameters: Parameters) -> Sequence[tuple[Any, ...]]:
        """Run one statement of the user's on the open transaction; its rows."""
        try:
            rows: Sequence[Any] = await self.native.fetch(sql, *_by_place(parameters))
        except Exception as error:
            if (ours := self.store_error(error)) is not None:
                raise ours from error
            raise
        return [tuple(row) for row in rows]

    def store_error(self, error: BaseException) -> StoreError | None:
        """The store's error for one of the driver's that is of the database as a whole."""
        # Of others the driver says by the same class that the connection is lost, and that parameters do not fit.
        other = [each for each in causes(error) if getattr(each, "sqlstate", None) != _CANCELLED]
        mine = (each for each in other if self.native.is_closed() or isinstance(each, asyncpg.PostgresError))
        found = next((found for each in mine if (found := translated_error(each, self._place))), None)
        if found is None and self.native.is_closed():
            # Whatever came of it, such as what a library says of a transaction that it knows to have failed before.
            return StoreUnavailable(f"{self._place}: the connection has ended: {error}", store=self._place)
        return found

    async def run_script(self, script: str) -> None:
        """Run several statements."""
        with self._translated():
            await self.native.execute(script)

    async def begin(self) -> None:
        """Begin, at the level that the shared logic is made for; read-only, where the operator has made that so."""
        with self._translated():
            await self.native.execute("BEGIN ISOLATION LEVEL READ COMMITTED")

    async def commit(self) -> None:
        """Commit; a failed transaction answers COMMIT with ROLLBACK, and without an error."""
        with self._translated():
            status = await self.native.execute("COMMIT")
        if status != "COMMIT":
            raise TransactionLost(f"{self._place}: the transaction had failed and was rolled back", store=self._place)
        self._check_replicated()

    async def rollback(self) -> None:
        """Roll back."""
        with self._translated():
            await self.native.execute("ROLLBACK")

    async def now(self) -> int:
        """The database's clock."""
        with self._translated():
            instant: int = await self.native.fetchval(f"SELECT {NOW}")
            return instant

    async def oldest_transaction(self) -> int | None:
        """Of clients, and of those that are prepared. Of other users' the server may not tell."""
        with self._translated():
            found: int = await self.native.fetchval(_OLDEST_TRANSACTION)
            return found

    def terminate(self) -> None:
        """Cut the connection."""
        self.native.terminate()

    async def end(self, cut: Link) -> None:
        """Have the server end a connection that was cut."""
        if isinstance(cut, PostgresLink) and cut.born:
            await self.query(_END, (cut.number, cut.born))

    async def close(self) -> None:
        """Say goodbye."""
        await self.native.close()

    async def _user(self, ask: UserQuery) -> Answer:
        try:
            await self.native.fetch(ask.sql, *_by_place(ask.parameters))
        except Exception as error:
            if (ours := self.store_error(error)) is not None:
                raise ours from error
            raise StatementFailed(error) from error
        return Answer()

    def _heard(self, _: object, notice: Any) -> None:
        # Said by a warning, in the server's language; the name of its function is the same in every one.
        self._is_alone = self._is_alone or notice.server_source_function == _CUT_OFF

    def _check_replicated(self) -> None:
        """A failover would lose what only this server has: it is neither done nor undone. The repetition takes a lock
        by which it waits for the replica, too.
        """
        if self._is_alone:
            self._is_alone = False
            text = "a commit was cut off while it waited for its replica: it may be on this server only"
            raise StoreUnavailable(f"{self._place}: {text}", store=self._place)

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError) as error:
            self._raise(error)

    def _raise(self, error: Exception) -> NoReturn:
        if isinstance(error.__cause__, UnicodeEncodeError):  # a parameter: nothing was sent
            raise unstorable(error.__cause__, self._place) from error
        ours = translated_error(error, self._place)
        if ours is None and getattr(error, "sqlstate", None) == _NO_RIGHT:
            ours = StoreUnavailable(f"{self._place}: {error}; grant the user its rights", store=self._place)
        elif ours is None and getattr(error, "sqlstate", None) == _TAKEN:
            text = f"{error}, and is not the bus's: choose another prefix (?prefix=…) or schema (?schema=…)"
            ours = StoreCorrupt(f"{self._place}: {text}", store=self._place)
        elif ours is None and (getattr(error, "sqlstate", None) or "").startswith(("42", "3F")):
            ours = StoreUnavailable(f"{self._place}: the bus's tables are not as they were left: {error}")
        raise ours or StoreError(f"{self._place}: {type(error).__name__}: {error}", store=self._place) from error


class PooledLink(PostgresLink):
    """The same behind a transaction pooler, where only a transaction is sure to stay with one server process. It is not
    ended at the server, because its number is the pooler's.
    """

    async def answer(self, ask: Query | UserQuery) -> Answer:
        """Run one statement, in a transaction of its own unless there is one."""
        if self.native.is_in_transaction():
            return await super().answer(ask)
        await self.begin()
        try:
            answer = await super().answer(ask)
        except BaseException:
            await self._undo()
            raise
        await self.commit()
        return answer

    async def run_hot(self, sql: str, parameters: Sequence[object]) -> Sequence[Any]:
        """Run a statement in a separate transaction; returns its rows, or none if it divided by zero on purpose."""
        await self.begin()
        try:
            rows = await super().run_hot(sql, parameters)
        except BaseException:
            await self._undo()
            raise
        if rows:
            await self.commit()
        else:
            await self.rollback()
        return rows

    async def now(self) -> int:
        """The database's clock."""
        await self.begin()
        try:
            return await super().now()
        finally:
            await self._undo()

    async def oldest_transaction(self) -> int | None:
        """The same through a pooler."""
        await self.begin()
        try:
            return await super().oldest_transaction()
        finally:
            await self._undo()

    async def _undo(self) -> None:
        try:
            await self.rollback()
        except StoreError:
            self.terminate()


def _by_place(parameters: Parameters) -> Sequence[object]:
    if isinstance(parameters, Mapping):
        raise TypeError("PostgreSQL takes parameters by place: write $1, $2 … and pass a sequence")
    return parameters


def _changed(status: str) -> int:
    """The number of rows in a command tag, such as `INSERT 0 5`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0

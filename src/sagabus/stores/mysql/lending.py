"""What a MySQL or MariaDB store lends: asyncmy's connection, guarded, and SQLAlchemy's session over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from sagabus.errors import StatementRefused
from sagabus.stores.mysql.driver import asyncmy_cursors
from sagabus.stores.sql.lenders import DriverLender
from sagabus.stores.sql.lending import Gate
from sagabus.stores.sql.sessions import Engines
from sagabus.stores.sql.vetting import vet_for_library

Check = Callable[[str], None]

_TELLS = frozenset(
    [
        *("affected_rows", "character_set_name", "connected", "escape", "escape_string", "get_autocommit"),
        *("get_host_info", "get_server_info", "get_transaction_status", "insert_id", "literal", "thread_id"),
    ]
)


class LentConnection:
    """An `asyncmy.Connection` without what is not the handler's to do."""

    def __init__(self, native: Any, gate: Gate, check: Check) -> None:
        self._native = native
        self._gate = gate
        self._check = check

    def cursor(self, cursor: Any = None) -> Any:
        """A cursor, of the class asked for, that looks at each statement first."""
        self._gate.check()
        kind = _guarded(cursor or asyncmy_cursors.Cursor, self._admit)
        return self._native.cursor(kind)

    async def prepare(self, sql: str) -> Any:
        """A prepared statement."""
        await self._admit(sql)
        return await self._native.prepare(sql)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _TELLS:
            return getattr(self._native, name)
        raise StatementRefused(f"{name}() of a connection that is lent for one transaction is the bus's own")

    async def _admit(self, sql: str) -> None:
        self._gate.check()
        self._check(sql)


def _guarded(kind: Any, admit: Callable[[str], Awaitable[None]]) -> Any:
    async def execute(self: Any, query: str, args: Any = None) -> Any:
        await admit(query)
        return await kind.execute(self, query, args)

    async def executemany(self: Any, query: str, args: Any) -> Any:
        await admit(query)
        return await kind.executemany(self, query, args)

    async def callproc(self: Any, procname: str, args: Any = ()) -> Any:
        raise StatementRefused(f"the procedure {procname} may end the transaction, which is the bus's own")

    return type(kind.__name__, (kind,), {"execute": execute, "executemany": executemany, "callproc": callproc})


class StandIn(LentConnection):
    """The same for SQLAlchemy, which believes that it owns the connection. The first statement begins a savepoint, and
    SQLAlchemy commits or rolls back that one.
    """

    def __init__(self, native: Any, gate: Gate, check: Check) -> None:
        super().__init__(native, gate, partial(vet_for_library, check=check))
        self._began = False

    async def commit(self) -> None:
        """Release the savepoint."""
        if self._began:
            self._began = False
            await self._run("RELEASE SAVEPOINT sagabus_session")

    async def rollback(self) -> None:
        """Roll back to the savepoint."""
        if self._began:
            self._began = False
            await self._run("ROLLBACK TO SAVEPOINT sagabus_session")
            await self._run("RELEASE SAVEPOINT sagabus_session")

    async def autocommit(self, _: object) -> None:
        """Nothing: the transaction is ours."""

    async def ping(self, **_: object) -> None:
        """Nothing: the connection is ours."""

    async def ensure_closed(self) -> None:
        """Nothing: the connection is ours."""

    def close(self) -> None:
        """Nothing: the connection is ours."""

    async def _admit(self, sql: str) -> None:
        await super()._admit(sql)
        if not self._began:
            await self._run("SAVEPOINT sagabus_session")
            self._began = True

    async def _run(self, sql: str) -> None:
        cursor = self._native.cursor(asyncmy_cursors.Cursor)
        await cursor.execute(sql)


def lender(check: Check) -> DriverLender:
    """What can be lent of a MySQL or MariaDB store."""
    return DriverLender(
        "asyncmy",
        ("Connection",),
        lambda link, gate: LentConnection(link.native, gate, check),
        Engines("mysql+asyncmy://", lambda link, gate: StandIn(link.native, gate, check)),
    )

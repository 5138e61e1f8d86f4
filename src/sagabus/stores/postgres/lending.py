"""What a PostgreSQL store lends: asyncpg's connection, guarded, and SQLAlchemy's session over it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from sagabus.errors import StatementRefused
from sagabus.stores.postgres.savepoint import Savepoint
from sagabus.stores.postgres.standing_in import Decoders, decoding
from sagabus.stores.sql.guard import GuardedLink
from sagabus.stores.sql.lending import Gate, Lender, Loan, NativeLoan
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.sessions import CONNECTION, SESSION, Engines, SqlalchemyLoan, is_sqlalchemy
from sagabus.stores.sql.vetting import vet_for_library

Check = Callable[[str], None]

_RUNS = frozenset(
    ["execute", "executemany", "fetch", "fetchrow", "fetchval", "fetchmany", "prepare", "cursor", "copy_from_query"]
)
"""Calls whose first argument is a statement."""
_COPIES = frozenset(["copy_from_table", "copy_to_table", "copy_records_to_table"])
"""Calls whose first argument is a table."""
_TELLS = frozenset(["is_closed", "is_in_transaction", "get_server_pid", "get_server_version", "get_settings"])


class LentConnection:
    """An `asyncpg.Connection` whose transactions are savepoints, without what is not the handler's to do."""

    def __init__(self, native: Any, gate: Gate, check: Check, prefix: str) -> None:
        self._native = native
        self._gate = gate
        self._check = check
        self._prefix = prefix

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Savepoint:
        """A savepoint, which is what asyncpg makes of a transaction inside another."""
        if isolation not in (None, "read_committed") or readonly or deferrable:
            raise StatementRefused("the transaction is the bus's, and so is its isolation level: READ COMMITTED")
        self._gate.check()
        return Savepoint(self._native)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _RUNS:
            return partial(self._run, name)
        if name in _COPIES:
            return partial(self._copy, name)
        if name in _TELLS:
            return getattr(self._native, name)
        raise StatementRefused(f"{name}() of a connection that is lent for one transaction is the bus's own")

    def _run(self, name: str, /, query: str, *arguments: Any, **options: Any) -> Any:
        self._gate.check()
        self._check(query)
        return getattr(self._native, name)(query, *arguments, **options)

    def _copy(self, name: str, /, table_name: str, **options: Any) -> Any:
        self._gate.check()
        if table_name.lower().startswith(self._prefix.lower()):
            raise StatementRefused(f"the table {table_name} is the bus's own")
        return getattr(self._native, name)(table_name, **options)


class StandIn(LentConnection):
    """The same for SQLAlchemy, which takes it for its own. What it wants done to JSON is done here: a codec of the
    connection's would stay on it for everybody.
    """

    def __init__(self, native: Any, gate: Gate, check: Check, prefix: str) -> None:
        super().__init__(native, gate, partial(vet_for_library, check=check), prefix)
        self._decoders: Decoders = {}

    async def prepare(self, query: str, **options: Any) -> Any:
        """A statement whose JSON is read as SQLAlchemy reads it."""
        return decoding(await self._run("prepare", query, **options), self._decoders)

    async def set_type_codec(self, typename: str, *, decoder: Callable[[bytes], Any], **_: object) -> None:
        """Remember how SQLAlchemy reads a type; what it writes is text already."""
        self._decoders[typename] = decoder

    async def reload_schema_state(self) -> None:
        """Have the driver look at the schema again."""
        await self._native.reload_schema_state()

    async def close(self, **_: object) -> None:
        """Nothing: the connection is ours."""

    def terminate(self) -> None:
        """Nothing: the connection is ours."""


class AsyncpgLoan(NativeLoan):
    """asyncpg's connection."""

    def __init__(self, handle: GuardedLink, link: Link, check: Check, prefix: str) -> None:
        super().__init__(handle, link)
        self._gate = Gate()
        self._lent = LentConnection(link.native, self._gate, check, prefix)

    @property
    def handle(self) -> LentConnection:
        """What the handler is given."""
        return self._lent

    async def _give(self) -> None:
        """It is there."""

    async def _take(self) -> None:
        self._gate.is_open = False

    async def _drop(self) -> None:
        self._gate.is_open = False


class PostgresLender(Lender):
    """asyncpg's types and SQLAlchemy's beside our own."""

    kinds: ClassVar[tuple[str, ...]] = (*Lender.kinds, "asyncpg.Connection", SESSION, CONNECTION)

    def __init__(self, check: Check, prefix: str) -> None:
        self._check = check
        self._prefix = prefix
        self._engines = Engines("postgresql+asyncpg://", self._stand_in)

    def can(self, kind: type | None) -> bool:
        """Whether the type can be lent."""
        return super().can(kind) or (kind is not None and (_is_asyncpg(kind) or is_sqlalchemy(kind)))

    def loan(self, kind: type | None, link: Link, handle: GuardedLink) -> Loan:
        """The open transaction of a connection as that type, to be begun."""
        if kind is not None and is_sqlalchemy(kind):
            return SqlalchemyLoan(handle, link, kind, self._engines)
        if kind is not None and _is_asyncpg(kind):
            return AsyncpgLoan(handle, link, self._check, self._prefix)
        return super().loan(kind, link, handle)

    def _stand_in(self, link: Link, gate: Gate) -> StandIn:
        return StandIn(link.native, gate, self._check, self._prefix)


def _is_asyncpg(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "asyncpg" and kind.__qualname__ in ("Connection", "PoolConnectionProxy")

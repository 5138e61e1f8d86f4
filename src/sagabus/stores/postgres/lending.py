"""What a PostgreSQL store lends: asyncpg's connection, guarded, and SQLAlchemy's session over it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from sagabus.errors import StatementRefused
from sagabus.stores.postgres.link import PooledLink
from sagabus.stores.postgres.savepoint import Savepoint
from sagabus.stores.postgres.standing_in import Decoders, decoding
from sagabus.stores.sql.lenders import DriverLender
from sagabus.stores.sql.lending import Gate
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.sessions import Engines
from sagabus.stores.sql.vetting import is_own, vet_for_library

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
        if is_own(table_name, self._prefix):
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


def lender(check: Check, prefix: str) -> DriverLender:
    """What can be lent of a PostgreSQL store."""
    engines = Engines("postgresql+asyncpg://", lambda link, gate: StandIn(link.native, gate, check, prefix), _options)
    return DriverLender(
        "asyncpg",
        ("Connection", "PoolConnectionProxy"),
        lambda link, gate: LentConnection(link.native, gate, check, prefix),
        engines,
    )


def _options(link: Link) -> dict[str, Any]:
    """Behind a pooler, a statement prepared in one transaction is not there in the next, and its name may be."""
    if not isinstance(link, PooledLink):
        return {}
    return {"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: f"sagabus_{uuid4().hex}"}

"""The user's SQL inside our transaction, kept from ending it, changing the schema or touching our tables.

The database itself does the checking. It asks its authorizer about every action of a statement while it prepares it. So
nothing is parsed here, and no spelling gets past.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import apsw

from sagabus.errors import StatementRefused, StoreError, TransactionLost
from sagabus.outcome import Parameters
from sagabus.stores.sqlite.driver import Driver, described
from sagabus.stores.sqlite.file import is_fatal, translated

_READS = {apsw.SQLITE_SELECT, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE}
_TABLE_ACTIONS = {apsw.SQLITE_READ, apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE}
_PREFIX = "sagabus_"
_LOOK_AGAIN = 0.01
"""An interrupt that comes before its statement begins does nothing."""


def permitted(action: int, first: str | None) -> bool:
    """Whether a user's statement may do this: rows of the user's own tables, and nothing else."""
    if action in _READS:
        return True
    if action not in _TABLE_ACTIONS:
        return False
    if action == apsw.SQLITE_READ:
        return not (first or "").lower().startswith(_PREFIX)
    return not (first or "").lower().startswith((_PREFIX, "sqlite_"))


class Authorizer:
    """Watches one connection; strict only while a user's statement is being prepared."""

    def __init__(self, connection: Driver) -> None:
        self.strict = False
        self.refused: str | None = None
        connection.authorizer = self._decide

    def _decide(
        self, action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> int:
        if not self.strict or permitted(action, first):
            return apsw.SQLITE_OK
        name = str(apsw.mapping_authorizer_function[action]).removeprefix("SQLITE_")
        self.refused = f"{name} {first or ''}".strip()
        return apsw.SQLITE_DENY


class GuardedConnection:
    """The open transaction as a handler sees it: `execute`, and rows back at once.

    Transaction control, schema changes, PRAGMA, ATTACH and the library's own tables raise StatementRefused; the commit
    is the bus's. After the handler it is closed and every call raises TransactionLost, also from an abandoned thread.
    No statement of it may run in what this connection does next.
    """

    def __init__(self, connection: Driver, authorizer: Authorizer, check: Callable[[str], None]) -> None:
        self._connection: Driver | None = connection
        self._check = check
        self._authorizer = authorizer
        self._turn = threading.Lock()
        self.ended_by: StoreError | None = None
        """What the database gave the transaction up for, if it did."""

    def execute(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Run one statement in the transaction; its rows. The driver's errors (a constraint, say) come through."""
        return self._run(sql, lambda connection: connection.execute(sql, parameters, can_cache=False))

    def executemany(self, sql: str, parameters: Sequence[Parameters]) -> list[tuple[Any, ...]]:
        """Run one statement once for each set of parameters."""
        return self._run(sql, lambda connection: connection.executemany(sql, parameters, can_cache=False))

    def close(self) -> None:
        """Take the transaction away from all who kept the handle; a statement that runs in a thread is cut short."""
        connection, self._connection = self._connection, None
        while not self._turn.acquire(timeout=_LOOK_AGAIN):
            if connection is not None:
                connection.interrupt()
        self._turn.release()

    def _run(self, sql: str, call: Callable[[Driver], Any]) -> list[tuple[Any, ...]]:
        with self._turn:
            return self._run_alone(sql, call)

    def _run_alone(self, sql: str, call: Callable[[Driver], Any]) -> list[tuple[Any, ...]]:
        connection = self._connection
        if connection is None or not connection.in_transaction:
            raise TransactionLost("the transaction of this handle has ended") from self.ended_by
        # The whole text before any of it runs: the first of two must not have happened when the second is refused.
        self._check(sql)
        self._authorizer.refused = None
        self._authorizer.strict = True
        try:
            rows: list[tuple[Any, ...]] = call(connection).fetchall()
        except apsw.AuthError as error:
            raise refusal(self._authorizer.refused, sql) from error
        except apsw.Error as error:
            if is_fatal(error):
                self._lost(error)
            raise
        finally:
            self._authorizer.strict = False
        return rows

    def _lost(self, error: apsw.Error) -> NoReturn:
        # Of the database as a whole (full, say), so not the message's fault, even when user code hides it and goes on.
        try:
            with translated("the open transaction"):
                raise error
        except StoreError as mapped:
            self.ended_by = mapped
            raise


class StatementChecker:
    """Says whether a buffered statement could run in the commit: prepares it on its own connection, each text once."""

    def __init__(self, connection: Driver) -> None:
        self.connection = connection
        self._authorizer = Authorizer(connection)
        self._passed: set[str] = set()
        self._lock = threading.Lock()

    def check(self, sql: str) -> None:
        """Raise StatementRefused, or the driver's error for a statement that does not prepare (syntax, no table)."""
        if sql in self._passed:
            return
        with self._lock:  # asked by handlers, and by the writing thread
            self._authorizer.refused = None
            self._authorizer.strict = True
            try:
                found = described(self.connection, sql)
            except apsw.AuthError as error:
                raise refusal(self._authorizer.refused, sql) from error
            finally:
                self._authorizer.strict = False
        if found.query_remaining:
            raise StatementRefused(f"one statement at a time, please: {sql[:80]!r} has more", statement=sql)
        if len(self._passed) < _REMEMBERED:
            self._passed.add(sql)


_REMEMBERED = 1000


def refusal(action: str | None, sql: str) -> StatementRefused:
    """The error for a statement that does what only the bus may do."""
    return StatementRefused(
        f"not allowed inside the bus's transaction: {action or 'this statement'} (in {sql[:80]!r}); "
        "begin, commit, rollback, schema changes and the sagabus_ tables are the bus's own",
        statement=sql,
    )

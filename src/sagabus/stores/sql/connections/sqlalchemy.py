"""SQLAlchemy 2: its sessions and connections, plain and awaited.

Statements run through the connection of the session, never through the driver's. SQLAlchemy begins the driver's
transactions itself, at the first statement that it sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagabus.errors import UnsupportedCapability
from sagabus.stores.sql.connections.native import (
    MYSQL,
    POSTGRES,
    SQLITE,
    AwaitedNative,
    PlainNative,
    failed,
    no_transaction,
)
from sagabus.stores.sql.dialect import DOLLARS, PERCENTS, QUESTION_MARKS, Style
from sagabus.stores.sql.steps import Answer

_DATABASES = {"postgresql": POSTGRES, "mysql": MYSQL, "mariadb": MYSQL, "sqlite": SQLITE}
_STYLES: dict[str, Style] = {
    "numeric_dollar": DOLLARS,
    "format": PERCENTS,
    "pyformat": PERCENTS,
    "qmark": QUESTION_MARKS,
}
_OURS = {"stream_results": False, "no_parameters": False, "yield_per": None}
"""Options that the user may have set for statements of another kind."""


class SqlalchemyNative(PlainNative):
    """A `Session` (or `scoped_session`) or a `Connection`; they begin by themselves."""

    classes = frozenset({("sqlalchemy", "Session"), ("sqlalchemy", "scoped_session"), ("sqlalchemy", "Connection")})

    def __init__(self, native: Any) -> None:
        super().__init__(native() if type(native).__name__ == "scoped_session" else native)
        self._session = self._native if hasattr(self._native, "get_bind") else None
        dialect = self._dialect()
        name = str(dialect.name)
        self.database = _DATABASES.get(name, name)
        style = _STYLES.get(dialect.paramstyle)
        if style is None:
            raise UnsupportedCapability(f"joining a transaction of SQLAlchemy's driver {dialect.driver!r}", "the bus")
        self.style = style

    def check(self) -> None:
        session = self._session
        if session is None:
            if self._native.closed:
                raise no_transaction("the SQLAlchemy connection", "it is closed")
        elif not session.is_active:
            raise failed("the SQLAlchemy session")
        elif not session.autobegin and not session.in_transaction():
            raise no_transaction("the SQLAlchemy session", "call its `begin()`")

    def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        connection = self._native if self._session is None else self._session.connection()
        if self.database == SQLITE:
            _begin_on_sqlite(connection)
        elif _commits_each(connection):
            raise no_transaction("the SQLAlchemy connection", "its isolation level is AUTOCOMMIT")
        with connection.exec_driver_sql(sql, tuple(parameters), execution_options=_OURS) as result:
            return Answer(result.fetchall() if result.returns_rows else (), result.rowcount)

    def _dialect(self) -> Any:
        if self._session is None:
            return self._native.dialect
        try:
            return self._session.get_bind().dialect
        except Exception as error:
            raise UnsupportedCapability(
                f"joining a SQLAlchemy session that is bound to no one engine ({error}): "
                "hand over the connection, `session.connection(...)`",
                "the bus",
            ) from error


class SqlalchemyAsyncNative(AwaitedNative):
    """An `AsyncSession` (or `async_scoped_session`) or an `AsyncConnection`; they begin by themselves."""

    classes = frozenset(
        {("sqlalchemy", "AsyncSession"), ("sqlalchemy", "async_scoped_session"), ("sqlalchemy", "AsyncConnection")}
    )

    def __init__(self, native: Any) -> None:
        super().__init__(native() if type(native).__name__ == "async_scoped_session" else native)
        inner = self._native.sync_session if hasattr(self._native, "sync_session") else self._native.sync_connection
        if inner is None:
            raise no_transaction("the SQLAlchemy connection", "it has not been started")
        self._plain = SqlalchemyNative(inner)
        self.database = self._plain.database
        self.style = self._plain.style

    def check(self) -> None:
        self._plain.check()

    async def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        def plainly(_: object) -> Answer:
            return self._plain.run(sql, parameters, gives=gives)

        answer: Answer = await self._native.run_sync(plainly)
        return answer


def _commits_each(connection: Any) -> bool:
    """Whether the driver commits each statement, whatever SQLAlchemy calls a transaction."""
    detect = getattr(connection.dialect, "detect_autocommit_setting", None)
    if detect is None:  # before SQLAlchemy 2.0.43
        return bool(connection.get_isolation_level() == "AUTOCOMMIT")
    return bool(detect(connection.connection.dbapi_connection))


def _begin_on_sqlite(connection: Any) -> None:
    """Have SQLite itself begin: its drivers tell it only of the first write, and what was read before is not held."""
    if connection.connection.driver_connection.in_transaction:
        return
    if not connection.in_transaction():
        connection.exec_driver_sql("SELECT 1").close()  # SQLAlchemy begins; the user may have it say so to SQLite
    driver = connection.connection.driver_connection
    if driver.in_transaction:
        return
    if driver.isolation_level is None or getattr(driver, "autocommit", -1) is True:
        raise no_transaction("the SQLAlchemy connection", "its isolation level is AUTOCOMMIT")
    connection.exec_driver_sql("BEGIN IMMEDIATE").close()

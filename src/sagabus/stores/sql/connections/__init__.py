"""The connections that users open and whose transactions the bus can join, one module for each make."""

from __future__ import annotations

from sagabus.stores.sql.connections.asyncpg import AsyncpgConnection
from sagabus.stores.sql.connections.django import DjangoConnection
from sagabus.stores.sql.connections.mysql import AsyncmyConnection, PymysqlConnection
from sagabus.stores.sql.connections.native import MYSQL, POSTGRES, SQLITE, AwaitedNative, Native, PlainNative
from sagabus.stores.sql.connections.psycopg import PsycopgAsyncConnection, PsycopgConnection
from sagabus.stores.sql.connections.sqlalchemy import SqlalchemyAsyncNative, SqlalchemyNative
from sagabus.stores.sql.connections.sqlite import AiosqliteConnection, ApswConnection, Sqlite3Connection

__all__ = ["MYSQL", "POSTGRES", "SQLITE", "AwaitedNative", "Native", "PlainNative", "adopt"]

_KINDS: tuple[type[AwaitedNative | PlainNative], ...] = (
    SqlalchemyNative,
    SqlalchemyAsyncNative,
    DjangoConnection,
    PsycopgConnection,
    PsycopgAsyncConnection,
    AsyncpgConnection,
    PymysqlConnection,
    AsyncmyConnection,
    Sqlite3Connection,
    ApswConnection,
    AiosqliteConnection,
)


def adopt(native: object) -> AwaitedNative | PlainNative | None:
    """The connection in the clothes that joining needs; None for an object of no make that is known."""
    classes = {(cls.__module__.partition(".")[0], cls.__qualname__) for cls in type(native).__mro__}
    for kind in _KINDS:
        if classes & kind.classes:
            return kind(native)
    return None

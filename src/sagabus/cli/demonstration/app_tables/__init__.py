"""The application's side of each database, one module for each, loaded when it is used."""

from __future__ import annotations

from sagabus.cli.demonstration.app_table import Database, Room
from sagabus.url import POSTGRES, parsed, scheme_of

SCHEMES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")
"""Where a demonstration can play: what several processes can share."""


def database_at(url: str) -> Database:
    """The database of a store's URL, not connected to yet."""
    scheme = scheme_of(url)
    if scheme == "sqlite":
        from sagabus.cli.demonstration.app_tables.sqlite import SqliteDatabase

        return SqliteDatabase(url)
    if scheme in POSTGRES:
        from sagabus.cli.demonstration.app_tables.postgres import PostgresDatabase

        return PostgresDatabase(url)
    from sagabus.cli.demonstration.app_tables.mysql import MysqlDatabase

    return MysqlDatabase(url)


def room_at(url: str, name: str) -> Room | None:
    """A room of this name, not made yet; None where the URL names a place itself, as that of a file does."""
    found = parsed(url)
    if found.scheme == "sqlite" or {"schema", "prefix"} & dict(found.options).keys():
        return None
    if found.scheme in POSTGRES:
        from sagabus.cli.demonstration.app_tables.postgres import PostgresRoom

        return PostgresRoom(url, name)
    from sagabus.cli.demonstration.app_tables.mysql import MysqlRoom

    return MysqlRoom(url, name)

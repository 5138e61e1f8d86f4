"""The application's side of each database, one module for each, loaded when it is used."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from sagabus.cli.demonstration.app_table import Database, Room

SCHEMES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")
"""Where a demonstration can play: what several processes can share."""


def database_at(url: str) -> Database:
    """The database of a store's URL, not connected to yet."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from sagabus.cli.demonstration.app_tables.sqlite import SqliteDatabase

        return SqliteDatabase(url)
    if scheme in ("postgresql", "postgres"):
        from sagabus.cli.demonstration.app_tables.postgres import PostgresDatabase

        return PostgresDatabase(url)
    from sagabus.cli.demonstration.app_tables.mysql import MysqlDatabase

    return MysqlDatabase(url)


def room_at(url: str, name: str) -> Room | None:
    """A room of this name, not made yet; None where the URL names a place itself, as that of a file does."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite" or {"schema", "prefix"} & dict(parse_qsl(parts.query, keep_blank_values=True)).keys():
        return None
    if parts.scheme in ("postgresql", "postgres"):
        from sagabus.cli.demonstration.app_tables.postgres import PostgresRoom

        return PostgresRoom(url, name)
    from sagabus.cli.demonstration.app_tables.mysql import MysqlRoom

    return MysqlRoom(url, name)

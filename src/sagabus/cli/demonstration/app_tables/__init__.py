"""The application's side of each database, one module for each, loaded when it is used."""

from __future__ import annotations

from urllib.parse import quote

from sagabus.cli.demonstration.app_table import Database, Room
from sagabus.url import POSTGRES, parsed, scheme_of, with_option

SCHEMES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")
"""Where a demonstration can play: what several processes can share."""
_BUS = "sagabus_"
"""What the names of the bus's own tables begin with, behind the prefix of the application's."""


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


def place_of(url: str, service: str) -> str:
    """The part of a place for one of several services: a file next to the named one, a schema, or a prefix of tables.

    Without a service that is the place itself.
    """
    if not service:
        return url
    found = parsed(url)
    options = dict(found.options)
    if found.scheme == "sqlite":
        folder, slash, name = url.rpartition("/")
        stem, dot, kind = name.rpartition(".")
        return f"{folder}{slash}{stem}-{service}{dot}{kind}" if stem else f"{url}-{service}"
    if found.scheme in POSTGRES:
        return with_option(url, "schema", quote(f"{options.get('schema', 'demo')}_{service}", safe=""))
    prefix = options.get("prefix", "demo_").removesuffix(_BUS)
    return with_option(url, "prefix", quote(f"{prefix}{service}_{_BUS}", safe=""))

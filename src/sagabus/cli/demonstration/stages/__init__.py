"""The application's side of each database, one module for each, loaded when it is used."""

from __future__ import annotations

from urllib.parse import urlsplit

from sagabus.cli.demonstration.stage import Database, Room
from sagabus.cli.output import Refused

SCHEMES = ("sqlite", "postgresql", "postgres", "mysql")
"""Where a demonstration can play: what several processes can share."""


def database_at(url: str) -> Database:
    """The database of a store's URL, not connected to yet."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from sagabus.cli.demonstration.stages.sqlite import SqliteDatabase

        return SqliteDatabase(url)
    if scheme in ("postgresql", "postgres"):
        from sagabus.cli.demonstration.stages.postgres import PostgresDatabase

        return PostgresDatabase(url)
    raise Refused(f"no demonstration is known for {scheme!r}")


def room_at(url: str, name: str) -> Room | None:
    """A room of this name, not made yet; None where the URL names a place itself, as that of a file does."""
    if urlsplit(url).scheme in ("postgresql", "postgres"):
        from sagabus.cli.demonstration.stages.postgres import PostgresRoom, names_a_place

        return None if names_a_place(url) else PostgresRoom(url, name)
    return None

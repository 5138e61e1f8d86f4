"""A release to come, whose schema has one more migration: a column in every table, and an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from sagabus import Bus
from sagabus.stores.mysql import schema as mysql
from sagabus.stores.postgres import schema as postgres
from sagabus.stores.sql.dialect import TABLES
from sagabus.stores.sql.migrating import Migration
from sagabus.stores.sqlite import schema as sqlite

NEXT = sqlite.LATEST + 1
OF_BUS = [table for table in TABLES if table != "schema_version"]


def next_one() -> list[str]:
    """The statements of the migration; tables in braces."""
    added = [f"ALTER TABLE {{{table}}} ADD COLUMN later INTEGER DEFAULT 7 NOT NULL" for table in OF_BUS]
    return [*added, "CREATE INDEX later_index ON {envelope} (later)"]


def text(statements: Sequence[str]) -> str:
    return ";\n".join(statements) + ";\n"


@contextmanager
def release_to_come() -> Iterator[None]:
    """Whatever is opened inside is of that release; what is open already stays as it is."""
    own = text(next_one()).format_map({table: f"sagabus_{table}" for table in OF_BUS})
    with (
        patch.object(sqlite, "MIGRATIONS", (*sqlite.MIGRATIONS, Migration.of(NEXT, own))),
        patch.object(postgres, "_TEMPLATES", (*postgres._TEMPLATES, (NEXT, text(next_one())))),
        patch.object(mysql, "_TEMPLATES", (*mysql._TEMPLATES, (NEXT, text(next_one())))),
    ):
        yield


async def upgrade(url: str) -> None:
    """A process of that release, which starts and stops."""
    with release_to_come():
        bus = Bus(url)
        await bus.open(worker=False)
        await bus.close()

"""Scenarios run on every kind of store, and as plain coroutines: no plugin, no waiting."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.conftest import Take
from tests.support import waiting
from tests.support.databases import SERVERS, Database

from sagabus.testing import Harness, ManualClock

MakeHarness = Callable[..., Harness]
PATIENCE = 60.0
"""Servers are others' as well, and may be busy."""


@pytest.fixture(params=["memory", "sqlite", *SERVERS])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store."""
    return str(request.param)


@pytest.fixture
def harness(kind: str, take: Take) -> MakeHarness:
    """Makes a harness on each kind of store."""
    store = None if kind == "memory" else take(kind).url

    def make(*definitions: Any, **options: Any) -> Harness:
        return Harness(*definitions, **{"store": store, "patience": PATIENCE, **options})

    return make


@pytest.fixture(params=["sqlite", *SERVERS])
def database(request: pytest.FixtureRequest, take: Take) -> Database:
    """Each kind of database, with a ledger of the user's in it."""
    database = take(request.param)
    database.make()
    return database


@pytest.fixture
def on_database(database: Database) -> MakeHarness:
    """Makes a harness on a database: for what only a database can do."""

    def make(*definitions: Any, **options: Any) -> Harness:
        return Harness(*definitions, store=database.url, patience=PATIENCE, **options)

    return make


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a SQLite bus keeps its rows."""
    return tmp_path / "bus.db"


@pytest.fixture
def on_file(file: Path) -> MakeHarness:
    """Makes a harness on a SQLite file: for what only a database can do."""

    def make(*definitions: Any, **options: Any) -> Harness:
        return Harness(*definitions, store=file, **options)

    return make


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def until(holds: Callable[[], bool]) -> None:
    """Let others run until something holds."""
    await waiting.until(holds, PATIENCE, every=0.001)


def table(file: Path, *statements: str) -> None:
    """Create tables of the user's own; by default the ledger."""
    connection = apsw.Connection(str(file))
    for statement in statements or ("CREATE TABLE IF NOT EXISTS ledger (id TEXT, amount INTEGER CHECK (amount >= 0))",):
        connection.execute(statement)
    connection.close()


def rows(file: Path, sql: str = "SELECT id, amount FROM ledger ORDER BY rowid") -> list[tuple[Any, ...]]:
    """What is committed in the user's tables."""
    connection = apsw.Connection(str(file))
    found = connection.execute(sql).fetchall()
    connection.close()
    return found

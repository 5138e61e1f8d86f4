"""Databases for tests, made for the first test that needs them and emptied after each; and where the time went."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.support.databases import Database, ServerDatabase, SqliteDatabase, server_database
from tests.support.fork_server import ForkServer, shared
from tests.support.sampling import mark_other_server, mark_shares
from tests.support.temporary import in_memory
from tests.support.time_spent import TimeSpent

# A property says what holds, not how fast: by default an example of more than 0.2 s fails, on whatever machine.
settings.register_profile("sagabus", deadline=None)
settings.load_profile("sagabus")

Take = Callable[[str], Database]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slowest", type=int, default=0, metavar="NUMBER", help="print so many, and the time per folder")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    in_memory()
    if slowest := config.getoption("slowest"):
        config.pluginmanager.register(TimeSpent(slowest))


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_shares(items)
    mark_other_server(items)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines, each in an event loop of its own: no plugin, no waiting."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


def pytest_sessionfinish() -> None:
    if shared.cache_info().currsize:
        shared().close()


@pytest.fixture(scope="session")
def fork_server() -> ForkServer:
    """Children without the time that an interpreter takes to start."""
    return shared()


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, ServerDatabase]]:
    """Tables on each server."""
    made: dict[str, ServerDatabase] = {}
    yield made
    for database in made.values():
        database.close()


@pytest.fixture
def take(servers: dict[str, ServerDatabase], tmp_path: Path) -> Iterator[Take]:
    """Gives an empty place for a bus, by kind."""
    taken: list[Database] = []

    def take(kind: str) -> Database:
        if kind == "sqlite":
            taken.append(SqliteDatabase(tmp_path / "bus.db"))
        else:
            taken.append(servers.setdefault(kind, servers.get(kind) or server_database(kind)))
        return taken[-1]

    yield take
    for database in taken:
        database.clear()

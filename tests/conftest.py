"""Databases for tests, made for the first test that needs them and emptied after each; and where the time went."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.grounds import Ground, ServerGround, SqliteGround, server_ground
from tests.support.time_spent import TimeSpent

Take = Callable[[str], Ground]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slowest", type=int, default=0, metavar="NUMBER", help="print so many, and the time per folder")


def pytest_configure(config: pytest.Config) -> None:
    if slowest := config.getoption("slowest"):
        config.pluginmanager.register(TimeSpent(slowest))


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, ServerGround]]:
    """Tables on each server."""
    made: dict[str, ServerGround] = {}
    yield made
    for ground in made.values():
        ground.close()


@pytest.fixture
def take(servers: dict[str, ServerGround], tmp_path: Path) -> Iterator[Take]:
    """Gives an empty place for a bus, by kind."""
    taken: list[Ground] = []

    def take(kind: str) -> Ground:
        if kind == "sqlite":
            taken.append(SqliteGround(tmp_path / "bus.db"))
        else:
            taken.append(servers.setdefault(kind, servers.get(kind) or server_ground(kind)))
        return taken[-1]

    yield take
    for ground in taken:
        ground.clear()

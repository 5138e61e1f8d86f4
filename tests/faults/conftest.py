import asyncio
import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Take
from tests.faults.application import TABLES
from tests.faults.nursery import Nursery
from tests.faults.oracle import check_undisturbed, left_by
from tests.grounds import SERVERS, Ground, fresh_ground

from sagabus import failpoint

ORDERS = "tests.faults.application:orders"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(params=["sqlite", *SERVERS])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of database."""
    return str(request.param)


@pytest.fixture
def ground(kind: str, take: Take) -> Ground:
    """A place for a bus in each kind of database."""
    return take(kind)


@pytest.fixture
def orders(ground: Ground) -> Ground:
    """The same with the tables that the orders of `application` are recorded in."""
    ground.make(*TABLES)
    return ground


class Undisturbed:
    """What a run without faults leaves, by the kind of database and by the program."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self._nursery = nursery
        self._folder = folder
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def on(self, kind: str, program: str = ORDERS) -> dict[str, Any]:
        if (kind, program) not in self._known:
            with fresh_ground(kind, self._folder) as ground:
                ground.make(*TABLES)
                end = self._nursery.run(program, ground.url, 0)
                assert end.code == 0, end.log
                self._known[kind, program] = left_by(ground)
        return self._known[kind, program]


@pytest.fixture(scope="session")
def without_faults(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(nursery, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def undisturbed(kind: str, without_faults: Undisturbed) -> dict[str, Any]:
    """What a run without faults leaves."""
    left = without_faults.on(kind)
    check_undisturbed(left)
    return left


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoint.arm(None)


class Heard(logging.Handler):
    """What the library says, and a way to wait until it says it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    async def until(self, part: str) -> str:
        async with asyncio.timeout(20):
            while not (found := [line for line in self.lines if part in line]):  # noqa: ASYNC110  # said in a thread, perhaps
                await asyncio.sleep(0.002)
        return found[0]


@contextmanager
def listening() -> Iterator[Heard]:
    logger = logging.getLogger("sagabus")
    handler = Heard()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as heard:
        yield heard

import asyncio
import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.faults.nursery import Nursery
from tests.faults.oracle import check_undisturbed, left_by, prepare

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


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "orders.db"
    prepare(path)
    return path


@pytest.fixture(scope="session")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run without faults leaves."""
    path = tmp_path_factory.mktemp("undisturbed") / "orders.db"
    prepare(path)
    end = nursery.run(ORDERS, path, 0)
    assert end.code == 0, end.log
    left = left_by(path)
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

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Take
from tests.faults.application import prepare
from tests.faults.oracle import check_undisturbed, left_by
from tests.support import certificates as certifying
from tests.support.brokers import LABS, Lab
from tests.support.databases import SERVERS, Database, fresh_database
from tests.support.fork_server import ForkServer
from tests.support.waiting import until

from sagabus import failpoint

ORDERS = "tests.faults.application:orders"


@pytest.fixture(params=["sqlite", *SERVERS])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of database."""
    return str(request.param)


@pytest.fixture
def database(kind: str, take: Take) -> Database:
    """A place for a bus in each kind of database."""
    return take(kind)


@pytest.fixture
def orders(database: Database) -> Database:
    """The same with the tables that the orders of `application` are recorded in."""
    prepare(database)
    return database


class Undisturbed:
    """What a run without faults leaves, by the kind of database and by the program."""

    def __init__(self, fork_server: ForkServer, folder: Path) -> None:
        self._fork_server = fork_server
        self._folder = folder
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def on(self, kind: str, program: str = ORDERS) -> dict[str, Any]:
        if (kind, program) not in self._known:
            with fresh_database(kind, self._folder) as database:
                prepare(database)
                end = self._fork_server.run(program, database.url, 0)
                assert end.code == 0, end.log
                self._known[kind, program] = left_by(database)
        return self._known[kind, program]


@pytest.fixture(scope="session")
def without_faults(fork_server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(fork_server, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def undisturbed(kind: str, without_faults: Undisturbed) -> dict[str, Any]:
    """What a run without faults leaves."""
    left = without_faults.on(kind)
    check_undisturbed(left)
    return left


@pytest.fixture(params=LABS, ids=lambda lab: lab.__name__)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Each kind of broker. A test that leaves a connection open fails itself, and not one that runs later."""
    found: Lab = request.param()
    yield found
    gc.collect()


@pytest.fixture
def two_stores(tmp_path: Path) -> list[str]:
    """Of two services: of the books, and of the shop."""
    return [f"sqlite:///{tmp_path}/{service}.db" for service in ("books", "shop")]


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """Where keys and certificates are."""
    with certifying.made() as folder:
        yield folder


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
        await until(lambda: any(part in line for line in self.lines))  # said in a thread, perhaps
        return next(line for line in self.lines if part in line)


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

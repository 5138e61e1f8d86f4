"""`sagabus run` beside a database that is not there yet."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

pytestmark = pytest.mark.acceptance

SAGABUS = [sys.executable, "-m", "sagabus"]
SHOP = """
from sagabus import Bus, event, handler

@event("shop.opened")
class Opened:
    door: str

@handler("doorman")
def greet(message: Opened) -> None:
    pass

bus = Bus({url!r}, greet)
"""


@pytest.fixture(params=[PrivatePostgres, PrivateMariaDB])
def stopped(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    with request.param() as server:
        server.stop()
        yield server


@pytest.fixture
def worker(stopped: PrivateServer, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "shop.py").write_text(SHOP.format(url=stopped.url))
    command = [*SAGABUS, "run", "shop:bus"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield running
    running.kill()
    running.communicate()


def first_complaint(worker: subprocess.Popen[str]) -> str:
    assert worker.stderr is not None
    return worker.stderr.readline()


def test_a_worker_begins_when_its_database_comes(stopped: PrivateServer, worker: subprocess.Popen[str]) -> None:
    assert "cannot open the store, trying again" in first_complaint(worker)

    stopped.start()

    assert worker.stdout is not None
    assert worker.stdout.readline().startswith("shop:bus started")
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert worker.returncode == 0


def test_a_worker_that_waits_for_its_database_can_be_stopped(worker: subprocess.Popen[str]) -> None:
    assert "cannot open the store, trying again" in first_complaint(worker)

    worker.send_signal(signal.SIGTERM)

    out, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert out.startswith("shop:bus stopped")

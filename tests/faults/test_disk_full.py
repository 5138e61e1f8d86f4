"""No room left: nothing is half done, nobody is blamed, and the work goes on as soon as there is room."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from tests.faults.conftest import Heard
from tests.faults.files import prepare, query

from sagabus import Bus, Connection, Context, RetryPolicy, Settings, event, failpoint, handler
from sagabus.cli import main
from sagabus.errors import StoreFull, TransactionLost
from sagabus.stores.sqlite import SqliteStore

TABLES = "CREATE TABLE ledger (step TEXT, number INTEGER, attempt INTEGER, filling BLOB)"
INSERT = "INSERT INTO ledger VALUES (?, ?, ?, zeroblob(?))"
ONCE = RetryPolicy(attempts=1, transient_for=timedelta(0))
LARGE = 60_000

pytestmark = pytest.mark.faults


@event("full.task")
class Task:
    number: int
    filling: str = ""


@handler("buffered", retry=ONCE)
def buffered(message: Task, ctx: Context) -> None:
    ctx.execute(INSERT, ("before", message.number, ctx.attempt, 0))
    ctx.execute(INSERT, ("large", message.number, ctx.attempt, LARGE))
    ctx.execute(INSERT, ("after", message.number, ctx.attempt, 0))


@handler("open", retry=ONCE)
def with_connection(message: Task, ctx: Context, connection: Connection) -> None:
    connection.execute(INSERT, ("before", message.number, ctx.attempt, 0))
    connection.execute(INSERT, ("large", message.number, ctx.attempt, LARGE))
    connection.execute(INSERT, ("after", message.number, ctx.attempt, 0))


swallowed: list[str] = []


@handler("swallowing", retry=ONCE)
def swallowing(message: Task, ctx: Context, connection: Connection) -> None:
    """Whatever goes wrong is ignored, and the rest done all the same."""
    for step, size in (("before", 0), ("large", LARGE), ("after", 0)):
        try:
            connection.execute(INSERT, (step, message.number, ctx.attempt, size))
        except (StoreFull, TransactionLost) as error:
            swallowed.append(type(error).__name__)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    prepare(tmp_path / "full.db", TABLES)
    return tmp_path / "full.db"


def make_bus(store: Path, *handlers: object) -> Bus:
    return Bus(f"sqlite:///{store}", *handlers, settings=Settings(lanes=1))


async def kinds(store: Path) -> list[tuple[str, str, str | None]]:
    bus = make_bus(store, buffered)
    await bus.open(worker=False)
    found = [(each.kind, each.severity, each.command) for each in (await bus.doctor()).findings]
    await bus.close()
    return found


@contextmanager
def no_room(bus: Bus, pages: int = 6) -> Iterator[None]:
    """The file may grow by a few pages only, as on a disk that is all but full."""
    assert isinstance(bus.store, SqliteStore)
    connections: list[apsw.Connection] = [bus.store._write_connection, bus.store._unit_connection]
    used = connections[0].execute("PRAGMA page_count").get
    for connection in connections:
        connection.execute(f"PRAGMA max_page_count = {used + pages}")
    try:
        yield
    finally:
        for connection in connections:
            connection.execute("PRAGMA max_page_count = 1000000")


def steps(store: Path) -> list[tuple[str, int, int]]:
    return sorted(query(store, "SELECT step, number, attempt FROM ledger"))


def check_done_once(store: Path, *numbers: int) -> None:
    assert steps(store) == sorted((step, number, 1) for step in ("before", "large", "after") for number in numbers)
    assert query(store, "SELECT * FROM sagabus_dead_letter") == []
    assert query(store, "SELECT * FROM sagabus_envelope") == []


async def test_a_publisher_gets_an_error_and_may_repeat_the_call(store: Path) -> None:
    bus = make_bus(store, buffered)
    await bus.open(worker=False)
    with no_room(bus), pytest.raises(StoreFull):
        await bus.publish(Task(number=1, filling="x" * LARGE), message_id="t1")
    assert query(store, "SELECT * FROM sagabus_inbox") == query(store, "SELECT * FROM sagabus_envelope") == []

    receipt = await bus.publish(Task(number=1, filling="x" * LARGE), message_id="t1")

    assert receipt.status == "accepted"
    await bus.close()


async def test_a_commit_waits_for_room_and_counts_no_attempt(store: Path, heard: Heard) -> None:
    async with make_bus(store, buffered) as bus:
        with no_room(bus):
            await bus.publish_many([(Task(number=n), f"t{n}") for n in (1, 2)])
            await heard.until("cannot commit")
            assert steps(store) == []

        await bus.idle(20)

    check_done_once(store, 1, 2)


@pytest.mark.parametrize("careless", [with_connection, swallowing], ids=["raising", "swallowing"])
async def test_a_transaction_that_the_database_gave_up_leaves_nothing(
    careless: object, store: Path, heard: Heard
) -> None:
    swallowed.clear()
    async with make_bus(store, careless) as bus:
        with no_room(bus):
            await bus.publish(Task(number=1), message_id="t1")
            await heard.until("t1")
            assert steps(store) == []
        async with bus.transaction():
            pass  # nobody is in the middle of one
        while query(store, "SELECT * FROM sagabus_envelope"):
            await bus._worker.progress(0.1)  # type: ignore[union-attr]  # it waits a second before it tries again

    check_done_once(store, 1)


async def test_code_that_ignores_the_full_disk_is_kept_from_writing_on(store: Path, heard: Heard) -> None:
    """SQLite ends the transaction by itself; without the check, `after` would commit alone."""
    swallowed.clear()
    async with make_bus(store, swallowing) as bus:
        with no_room(bus):
            await bus.publish(Task(number=1), message_id="t1")
            await heard.until("t1")

    assert swallowed[:2] == ["StoreFull", "TransactionLost"]
    assert steps(store) == []


async def test_a_full_disk_while_fetching_is_waited_out(store: Path) -> None:
    failpoint.arm("fetch.fetched=raise:StoreFull@1")
    async with make_bus(store, buffered) as bus:
        await bus.publish(Task(number=1), message_id="t1")

        await bus.idle(20)

    check_done_once(store, 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte; only the superuser can make one."""
    mount_point = tmp_path / "small"
    mount_point.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mount_point)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"cannot mount here: {made.stderr.decode().strip()}")
    yield mount_point
    subprocess.run(["umount", str(mount_point)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


async def test_a_disk_that_is_really_full(small_disk: Path, heard: Heard) -> None:
    store = small_disk / "full.db"
    prepare(store, TABLES)
    async with make_bus(store, buffered) as bus:
        await bus.publish(Task(number=0), message_id="t0")
        await bus.idle(20)
        failpoint.arm("handle.entered=sleep:0.05")  # so that the disk is full before the run ends
        await bus.publish(Task(number=1), message_id="t1")
        fill(small_disk / "rubbish")
        await heard.until("cannot commit")
        health = await bus.health()
        assert (health.is_healthy, health.is_ready) == (True, False)
        assert any("cannot commit: StoreFull" in wait for wait in health.parts["worker"].waits)
        with pytest.raises(StoreFull):
            await bus.publish(Task(number=2, filling="x" * LARGE), message_id="t2")
        (small_disk / "rubbish").unlink()

        assert (await bus.publish(Task(number=2), message_id="t2")).accepted
        await bus.idle(20)
        assert (await bus.health()).is_ready

    check_done_once(store, 0, 1, 2)


async def problems(store: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `sagabus health` says."""
    assert await asyncio.to_thread(main, ["health", "--store", f"sqlite:///{store}"]) == 1
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("problem: ")]


async def test_the_doctor_and_the_health_command_name_the_full_disk_before_they_ask_for_workers(
    small_disk: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = small_disk / "full.db"
    prepare(full, TABLES)
    async with make_bus(full, buffered):
        fill(small_disk / "rubbish")
        first, *_ = await kinds(full)
        told, *_ = await problems(full, capsys)

    assert first == ("disk-full", "error", f"df -h {small_disk}")
    assert told.startswith("problem: the disk of the store has only ")
    assert "disk-full" not in {kind for kind, _, _ in await kinds(store)}


async def test_a_file_that_cannot_be_opened_for_lack_of_room_is_no_mere_error_of_the_disk(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = small_disk / "full.db"
    prepare(full, TABLES)
    async with make_bus(full, buffered):
        pass
    fill(small_disk / "rubbish")

    (told,) = await problems(full, capsys)
    with pytest.raises(StoreFull, match="its disk is full"):
        await make_bus(full, buffered).open()

    assert told.endswith("its disk is full: make room")
    (small_disk / "rubbish").unlink()
    async with make_bus(full, buffered) as bus:
        assert (await bus.health()).is_ready

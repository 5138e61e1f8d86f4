"""The SQLite file and its neighbours: permissions, other connections in the same process, what cannot be opened."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import apsw
import pytest
from tests.scenarios.conftest import MakeHarness, table
from tests.scenarios.shop import Noted, OrderSaga, OrderSubmitted, Tally, capture

from sagabus import Bus, SchemaTooNew, StoreCorrupt, StoreReadOnly, StoreUnavailable
from sagabus.testing import Harness


async def test_only_its_owner_may_read_it(on_file: MakeHarness, file: Path) -> None:
    before = os.umask(0)
    try:
        async with on_file(Tally) as bus:
            await bus.publish(Noted(key="A"))
            modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in file.parent.iterdir()}
    finally:
        os.umask(before)

    assert "bus.db" in modes
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("module", [sqlite3, apsw])
async def test_connections_of_others_come_and_go_and_nothing_is_lost(
    on_file: MakeHarness, file: Path, module: object
) -> None:
    connect = sqlite3.connect if module is sqlite3 else apsw.Connection
    async with on_file(Tally) as bus:
        for number in range(20):
            await bus.publish(Noted(key="A", number=number))
            native = connect(str(file))
            native.execute("SELECT count(*) FROM sagabus_envelope").fetchall()
            native.close()
        during = await bus.saga(Tally, "A")
    async with Harness(Tally, store=file) as later:
        after = await later.saga(Tally, "A")

    assert during == after == Tally(key="A", numbers=list(range(20)))


async def test_closed_while_the_bus_writes_it_takes_nothing_along(on_file: MakeHarness, file: Path) -> None:
    table(file)
    async with on_file(OrderSaga, capture) as bus:
        for number in range(10):
            native = sqlite3.connect(file)
            native.execute("INSERT INTO ledger VALUES ('x', 1)")
            native.commit()
            await bus.publish(OrderSubmitted(order_id=f"A{number}", total=1), wait=False)
            native.close()
        await bus.idle()
        await bus.crash()
    async with Harness(OrderSaga, capture, store=file) as later:
        records = await later.bus.sagas.list(OrderSaga)

    assert [(record.status, record.version) for record in records] == [("paid", 2)] * 10
    check = sqlite3.connect(file)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


async def test_copied_after_closing_the_file_is_complete(on_file: MakeHarness, file: Path) -> None:
    async with on_file(Tally) as bus:
        await bus.publish(Noted(key="A", number=7))
    copy = file.with_name("copy.db")
    shutil.copyfile(file, copy)

    async with Harness(Tally, store=copy) as later:
        assert await later.saga(Tally, "A") == Tally(key="A", numbers=[7])


async def opening(path: Path) -> BaseException | None:
    bus = Bus(f"sqlite:///{path}", Tally)
    try:
        await bus.open()
    except Exception as error:  # noqa: BLE001  # looked at by the test
        return error
    await bus.close()
    return None


def contents(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture
def diary(file: Path) -> Path:
    for name in ("diary", "again"):
        file.with_name(name).write_bytes(b"dear diary, " * 1000)
    return file.with_name("diary")


async def test_what_is_no_database_is_left_alone(diary: Path) -> None:
    error = await opening(diary)

    assert isinstance(error, StoreCorrupt)
    assert contents(diary) == contents(diary.with_name("again"))


async def test_paths_that_cannot_be_are_named(file: Path) -> None:
    errors = [await opening(file.parent / "no" / "where.db"), await opening(file.parent)]

    assert [type(error) for error in errors] == [StoreUnavailable] * 2
    assert all(str(file.parent) in str(error) for error in errors)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
async def test_a_read_only_file_is_named(on_file: MakeHarness, file: Path) -> None:
    async with on_file(Tally):
        pass
    os.chmod(file, 0o400)  # noqa: PTH101  # once, and nobody waits

    assert isinstance(await opening(file), StoreReadOnly)


async def test_a_newer_schema_is_refused(on_file: MakeHarness, file: Path) -> None:
    async with on_file(Tally):
        pass
    table(
        file, "INSERT INTO sagabus_schema_version SELECT 999, checksum, applied_at FROM sagabus_schema_version LIMIT 1"
    )

    error = await opening(file)

    assert isinstance(error, SchemaTooNew)
    assert error.found == 999

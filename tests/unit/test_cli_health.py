"""`sagabus health` tells from the store alone whether work gets done, and makes nothing."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.conftest import Take

from sagabus import Bus, RetryPolicy, event, handler
from sagabus.cli import main
from sagabus.store import Running
from sagabus.stores.sqlite import SqliteStore

MODULE = """
from tests.unit.test_cli_health import answer, sweep
from sagabus import Bus

bus = Bus({url!r}, answer, sweep)
memory = Bus("memory:", answer)
"""


@event("health.knocked")
class Knocked:
    door: str


@handler("porter", key="door")
def answer(message: Knocked) -> None: ...


@handler("sweeper", key="door")
def sweep(message: Knocked) -> None: ...


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def url(request: pytest.FixtureRequest, take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty store, with a module beside it that has a bus on it."""
    url = take(request.param).url
    yield from module_on(url, tmp_path, monkeypatch)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "house.db"
    for _ in module_on(f"sqlite:///{path}", tmp_path, monkeypatch):
        yield path


def module_on(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (folder / "second_house.py").write_text(MODULE.format(url=url))
    monkeypatch.chdir(folder)
    yield url
    sys.modules.pop("second_house", None)
    if str(folder) in sys.path:
        sys.path.remove(str(folder))


def health(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    code = main(["health", *options, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_store_with_a_worker_for_each_subscription_is_healthy(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> Any:
        async with Bus(url, answer, sweep) as bus:
            await bus.publish(Knocked(door="D1"))
            await bus.idle()
            return await asyncio.to_thread(health, capsys, "second_house:bus")

    code, told = asyncio.run(work())

    assert (code, told["healthy"], told["problems"]) == (0, True, [])
    assert [(each["subscription"], each["workers"], each["ready"]) for each in told["subscriptions"]] == [
        ("porter", 1, 0),
        ("sweeper", 1, 0),
    ]
    assert told["schema"]


def test_a_subscription_without_a_worker_and_one_that_nobody_registered(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def publish() -> None:
        web = Bus(url, answer)
        await web.open(worker=False)
        await web.publish(Knocked(door="D1"))
        await web.close()

    asyncio.run(publish())
    code, told = health(capsys, "second_house:bus", "--max-age", "0")
    _, of_store = health(capsys, "--store", url)

    assert code == 1
    served, age, registered = told["problems"]
    assert served == "no live worker serves porter: start one"
    assert age.startswith("porter: a message has been ready for ")
    assert registered.startswith("sweeper is not registered")
    assert of_store["problems"] == [served]


def test_lanes_without_a_worker_and_dead_letters_that_came_just_now_are_shown(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @handler("porter", key="door", retry=RetryPolicy(attempts=1))
    def fail(message: Knocked) -> None:
        raise ValueError(message.door)

    async def work() -> Any:
        async with Bus(url, fail, sweep) as bus:
            await bus.publish_many([Knocked(door="D1"), Knocked(door="D2")])
            await bus.idle()
            working = await asyncio.to_thread(health, capsys, "second_house:bus")
        return working, await asyncio.to_thread(health, capsys, "second_house:bus")

    working, left = asyncio.run(work())
    found = [
        [(each["free_lanes"], each["recent_dead"]) for each in told["subscriptions"]] for _, told in (working, left)
    ]

    assert found == [[(0, 2), (0, 0)], [(16, 2), (16, 0)]]


def test_a_store_that_is_not_there_is_a_problem_and_stays_absent(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = health(capsys, "second_house:bus")

    assert (code, told["healthy"]) == (1, False)
    assert "no such file" in told["problems"][0]
    assert not file.exists()


def test_a_schema_of_another_release_is_a_problem_and_is_not_migrated(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(opened_once(file))
    newest = SqliteStore(file).newest_version()
    with apsw.Connection(str(file)) as connection:
        connection.execute("DELETE FROM sagabus_schema_version WHERE version = ?", (newest,))
    connection.close()

    code, told = health(capsys, "second_house:bus")

    assert code == 1
    (problem,) = told["problems"]
    assert problem.startswith(f"the schema has version {newest - 1}, and this release works with {newest}: start a ")
    monkeypatch.setattr(SqliteStore, "newest_version", lambda self: newest - 2)
    assert health(capsys, "second_house:bus")[1]["problems"][0].endswith("upgrade sagabus here")


async def opened_once(file: Path) -> None:
    async with Bus(f"sqlite:///{file}", answer, sweep):
        pass


def test_a_store_that_stays_silent_is_a_problem_in_time(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(self: SqliteStore) -> str | None:
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr(SqliteStore, "absence", silent)
    code, told = health(capsys, "second_house:bus", "--within", "0.05")

    assert (code, told["problems"]) == (1, ["the store did not answer within 0.05 s"])


def test_a_server_that_is_away_is_a_problem_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["health", "--store", "postgresql://shop:hush@127.0.0.1:1/shop"])
    out = capsys.readouterr().out

    assert code == 1
    assert out.startswith("problem: the store does not answer: ")
    assert "hush" not in out


@pytest.mark.usefixtures("file")
def test_a_bus_in_memory_cannot_be_asked_from_outside(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "second_house:memory"]) == 2
    assert "only that process can say" in capsys.readouterr().err


def test_people_read_a_table_and_the_problems(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(opened_once(file))

    assert main(["health", "second_house:bus"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *("SUBSCRIPTION", "WORKERS", "FREE_LANES", "READY", "RUNNING", "OLDEST_AGE", "DEAD", "RECENT_DEAD", "PAUSED")
    ]
    assert lines[-1] == "problem: no live worker serves sweeper: start one"


async def test_a_message_that_runs_is_not_said_to_be_ready(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with Bus(f"sqlite:///{file}", answer, sweep) as bus:
        (worker,) = await bus.inspect.workers()
        await bus.mend.pause("porter", reason="nobody begins it", by="ann")
        await bus.publish(Knocked(door="front"))
        (message,) = (await bus.inspect.messages("porter")).messages
        run = Running(message.message_id, message.message_type, "front", 90_000_000, message.position)
        await bus.store.note_running(worker.worker, {"porter": [run]})
        code, told = await asyncio.to_thread(health, capsys, "second_house:bus", "--max-age", "60")

    (porter,) = [each for each in told["subscriptions"] if each["subscription"] == "porter"]
    assert (porter["ready"], porter["running"], porter["oldest_age"]) == (0, 1, 0)
    assert code == 1
    assert told["problems"][0].startswith("porter: a handler has been running for 9")

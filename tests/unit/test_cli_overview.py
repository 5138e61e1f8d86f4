"""`sagabus status` and `sagabus workers`, on every kind of database."""

import asyncio
import json
from importlib.metadata import version
from typing import Any

import pytest
from tests.conftest import Take

from sagabus import Bus, RetryPolicy, event, handler
from sagabus.cli import main
from sagabus.store import Running


@event("cli.rang")
class Rang:
    door: str


@handler("butler", key="door", retry=RetryPolicy(attempts=1))
def answer(message: Rang) -> None:
    if message.door == "D1":
        raise ValueError("no such door")


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def url(request: pytest.FixtureRequest, take: Take) -> str:
    found = take(request.param).url
    asyncio.run(work(found))
    return found


async def work(url: str) -> None:
    async with Bus(url, answer) as bus:
        await bus.publish_many([Rang(door="D1"), Rang(door="D2")])
        await bus.idle()
    await bus.open(worker=False)
    await bus.publish(Rang(door="D3"))
    await bus.close()


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(list(arguments)) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_status_counts_what_waits_and_what_is_dead(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "status", "--store", url, "--json")

    (butler,) = found["subscriptions"]
    assert (butler["subscription"], butler["messages"]) == ("butler", ["cli.rang"])
    assert (butler["ready"], butler["waiting"], butler["dead"], butler["workers"]) == (1, 1, 1, 0)
    assert 0 <= butler["oldest_age"] < 60
    assert [(each["cause"], each["count"]) for each in found["dead_letters"]] == [("failed", 1)]
    assert (found["workers"], found["lanes"]) == ([], 16)
    assert sum(found["sizes"].values()) > 0


def test_status_for_people_says_which_lanes_have_no_worker(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", url]) == 0

    said = capsys.readouterr()
    assert "butler" in said.out
    assert "16 lanes of butler have no worker: start one with `sagabus run`" in said.err


async def test_workers_are_listed_with_their_lanes(take: Take) -> None:
    async with Bus(take("sqlite").url, answer) as bus:
        (worker,) = await bus.inspect.workers()

    assert dict(worker.lanes) == {"butler": 16}
    assert worker.version == version("sagabus")
    assert worker.heartbeat_age < worker.lease


def test_no_worker_is_an_empty_list(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "workers", "--store", url, "--json") == []
    assert main(["workers", "--store", url]) == 0


async def test_runs_that_last_are_listed_with_their_worker(take: Take, capsys: pytest.CaptureFixture[str]) -> None:
    url = take("sqlite").url
    async with Bus(url, answer) as bus:
        (worker,) = await bus.inspect.workers()
        runs = [Running("m1", "cli.rang", "D1\x1b[31m", 125_000_000, 7), Running("m2", "cli.rang", None, 1_500_000, 8)]
        await bus.store.note_running(worker.worker, {"butler": runs})
        assert await asyncio.to_thread(main, ["workers", "--store", url]) == 0
        shown = capsys.readouterr().out
        assert await asyncio.to_thread(main, ["workers", "--store", url, "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)

    assert f"{worker.worker}: 2 runs longer than a second" in shown
    assert "2 min 5 s" in shown
    assert "D1\\x1b[31m" in shown
    assert (found["running"], [each["message_id"] for each in found["runs"]]) == (2, ["m1", "m2"])

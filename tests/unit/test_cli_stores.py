"""`sagabus lanes` and `sagabus subscriptions`, on every kind of database."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Take

from sagabus import Bus, RetryPolicy, Saga, command, event, handler, starts
from sagabus.cli import main


@event("cli.rang")
class Rang:
    door: str


@command("cli.open")
class Open:
    door: str


@handler("butler", key="door")
def answer(message: Rang | Open) -> None:
    """Nothing."""


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def url(request: pytest.FixtureRequest, take: Take) -> str:
    url = take(request.param).url
    asyncio.run(publish(url))
    return url


async def publish(url: str) -> None:
    bus = Bus(url, answer)
    await bus.open(worker=False)
    await bus.publish_many([Rang(door=f"D{number}") for number in range(8)])
    await bus.close()


async def work_off(url: str) -> None:
    async with Bus(url, answer) as bus:
        await bus.idle()


async def receivers(url: str) -> list[str]:
    async with Bus(url) as bus:
        return sorted(each.message_type for each in (await bus.store.routing()).subscriptions)


HOUSEHOLD = """
from sagabus import Bus, event, handler

@event("cli.rang")
class Rang:
    door: str

@handler("butler", key="door")
def answer(message: Rang) -> None:
    pass

bus = Bus("{url}", answer)
"""


class Stay(Saga, name="stays", key="door", retry=RetryPolicy(attempts=1)):
    door: str

    @starts
    def rang(self, message: Rang) -> None:
        if self.door == "D2":
            raise ValueError


async def leave_behind(url: str) -> None:
    async with Bus(url, Stay, answer) as bus:
        await bus.publish_many([Rang(door=f"D{number}") for number in range(3)])
        await bus.idle()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    return (code, *capsys.readouterr())


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--json")[1])


def test_the_number_of_lanes_is_shown_and_changed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "lanes", "--store", url) == (0, "16 lanes\n", "")

    changed = run(capsys, "lanes", "64", "--store", url)

    assert changed[0] == 0
    assert changed[1].startswith("16 lanes became 64; ")
    assert run(capsys, "lanes", "64", "--store", url)[1] == "64 lanes already: nothing to do\n"
    assert run_json(capsys, "lanes", "--store", url) == {"before": 64, "lanes": 64, "moved": 0}
    assert run_json(capsys, "lanes", "1", "--store", url)["lanes"] == 1


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5", "²"])
def test_what_is_no_number_of_lanes_is_refused(number: str, take: Take, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "lanes", "--store", take("sqlite").url, "--", number)

    assert (code, out) == (2, "")
    assert "is no number of lanes" in err


def test_an_unused_store_has_no_number_yet(take: Take, capsys: pytest.CaptureFixture[str]) -> None:
    url = take("sqlite").url
    run(capsys, "migrate", "--store", url)

    assert run(capsys, "lanes", "--store", url)[1].startswith("no lanes yet")
    assert run(capsys, "lanes", "--fence", "--store", url) == (0, "no lanes yet: nothing to fence\n", "")


def test_all_lanes_are_fenced(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "lanes", "--fence", "--store", url)

    assert (code, out) == (0, "16 lanes fenced; in-flight work is rejected and redelivered\n")
    assert run_json(capsys, "lanes", "--fence", "--store", url) == {"fenced": 16}
    assert run(capsys, "lanes", "--store", url)[1] == "16 lanes\n"


def test_fencing_does_not_change_the_number_of_lanes(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "lanes", "8", "--fence", "--store", url)

    assert (code, out) == (2, "")
    assert "give --fence or a number, not both" in err
    assert run(capsys, "lanes", "--store", url)[1] == "16 lanes\n"


def test_subscriptions_are_listed_with_what_waits(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed = run_json(capsys, "subscriptions", "list", "--store", url)

    each = {"subscription": "butler", "waiting": 8, "dead": 0}
    assert listed == [
        each | {"message": "cli.open", "kind": "command"},
        each | {"message": "cli.rang", "kind": "event"},
    ]
    assert "SUBSCRIPTION" in run(capsys, "subscriptions", "list", "--store", url)[1]


def test_a_subscription_with_messages_is_not_removed_unless_forced(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "subscriptions", "remove", "--store", url, "butler")
    assert (code, out) == (1, "")
    assert "8 messages wait there" in err
    assert "--force" in err
    assert asyncio.run(receivers(url)) == ["cli.open", "cli.rang"]

    code, out, err = run(capsys, "subscriptions", "remove", "--store", url, "butler", "--force", "--yes")

    assert (code, out.splitlines()[0]) == (0, "butler no longer receives cli.open")
    assert "8 messages wait there" in err
    assert asyncio.run(receivers(url)) == []


def test_one_message_of_a_subscription_is_removed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(work_off(url))

    told = run_json(capsys, "subscriptions", "remove", "--store", url, "butler", "cli.open", "--yes")

    unused = {"declared_by": None, "workers": 0, "waiting": 0, "dead": 0, "instances": 0}
    assert told == {"subscription": "butler", "removed": ["cli.open"], **unused}
    assert asyncio.run(receivers(url)) == ["cli.rang"]


def test_a_removal_is_confirmed_first(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(work_off(url))

    code, out, err = run(capsys, "subscriptions", "remove", "--store", url, "butler")

    assert (code, out) == (1, "")
    assert "add --yes" in err
    assert asyncio.run(receivers(url)) == ["cli.open", "cli.rang"]


def test_a_subscription_that_a_live_worker_serves_is_not_removed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(work_off(url))

    async def remove() -> Any:
        async with Bus(url, answer):
            words = ("subscriptions", "remove", "--store", url, "butler", "--yes")
            return await asyncio.to_thread(run_json, capsys, *words)

    found = asyncio.run(remove())

    assert (found["removed"], found["workers"]) == ([], 1)
    assert asyncio.run(receivers(url)) == ["cli.open", "cli.rang"]


def test_a_subscription_that_the_named_bus_declares_is_not_removed(
    url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(work_off(url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "household.py").write_text(HOUSEHOLD.format(url=url))
    monkeypatch.delitem(sys.modules, "household", raising=False)

    found = run_json(capsys, "subscriptions", "remove", "household:bus", "butler", "--yes")

    assert (found["removed"], found["declared_by"]) == ([], "household:bus")
    assert asyncio.run(receivers(url)) == ["cli.open", "cli.rang"]


def test_what_a_removal_cuts_off_is_listed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(leave_behind(url))

    found = run_json(capsys, "subscriptions", "remove", "--store", url, "stays", "--yes")

    assert (found["removed"], found["instances"], found["dead"]) == (["cli.rang"], 2, 1)


def test_what_is_not_there_cannot_be_removed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for names, meant in ((["buttler"], "butler"), (["butler", "cli.rung"], "cli.rang")):
        code, out, err = run(capsys, "subscriptions", "remove", "--store", url, *names)

        assert (code, out) == (1, "")
        assert f"did you mean {meant}?" in err
        assert "known: " in err

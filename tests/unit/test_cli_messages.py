"""`sagabus messages` and `sagabus timers`, on every kind of database."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import click
import pytest
from tests.conftest import Take
from tests.support.waiting import until

from sagabus import Bus, Context, Saga, event, handler, starts, timer
from sagabus.cli import main
from sagabus.cli.text import MOMENT


@event("cli.rang")
class Rang:
    door: str


@handler("butler", key="door")
def answer(message: Rang) -> None:
    """Nothing."""


class Guest(Saga, name="guests", key="door"):
    door: str

    @starts
    def rang(self, message: Rang, ctx: Context) -> None:
        ctx.set_timer("tea", after=timedelta(hours=int(self.door[1:])))

    @timer("tea")
    def tea(self, ctx: Context) -> None:
        ctx.complete()


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def url(request: pytest.FixtureRequest, take: Take) -> str:
    found = take(request.param).url
    asyncio.run(prepare(found))
    return found


async def prepare(url: str) -> None:
    async with Bus(url, Guest) as bus:
        await bus.publish_many([Rang(door="D2"), Rang(door="D1")])
        await bus.idle()
    bus = Bus(url, answer)
    await bus.open(worker=False)
    await bus.publish(Rang(door="D3"), message_id="third", correlation_id="visit")
    await bus.publish(Rang(door="D4"), message_id="fourth", delay=timedelta(hours=1))
    await bus.close()


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(list(arguments)) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def ids(found: Any) -> list[str]:
    return [each["message_id"] for each in found["messages"]]


def test_messages_are_listed_by_subscription_kind_and_key(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    of_butler = printed(capsys, "messages", "butler", "--store", url, "--json")
    scheduled = printed(capsys, "messages", "--store", url, "--kind", "scheduled", "--key", "D4", "--json")
    visit = printed(capsys, "messages", "--store", url, "--correlation", "visit", "--message", "cli.rang", "--json")

    assert (ids(of_butler), of_butler["after"], of_butler["stopped"]) == (["third", "fourth"], None, False)
    assert [each["kind"] for each in of_butler["messages"]] == ["ready", "scheduled"]
    assert {each["subscription"] for each in scheduled["messages"]} == {"butler", "guests"}
    assert ids(visit) == ["third", "third"]


def test_pages_go_on_where_the_one_before_ended(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = printed(capsys, "messages", "butler", "--store", url, "--limit", "1", "--json")
    second = printed(capsys, "messages", "butler", "--store", url, "--after", first["after"], "--json")

    assert (ids(first), ids(second)) == (["third"], ["fourth"])


def test_times_are_filters(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ids(printed(capsys, "messages", "butler", "--store", url, "--until", "1h", "--json")) == []
    assert ids(printed(capsys, "messages", "butler", "--store", url, "--since", "1h", "--json")) == ["third", "fourth"]


def test_timers_are_listed_with_the_next_one_first(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "timers", "guests", "--store", url, "--json")
    one = printed(capsys, "timers", "--key", "D2", "--store", url, "--json")

    assert [(each["key"], each["timer"], each["kind"]) for each in found["messages"]] == [
        ("D1", "tea", "timer"),
        ("D2", "tea", "timer"),
    ]
    assert [each["key"] for each in one["messages"]] == ["D2"]


def test_timers_are_narrowed_to_those_due_before_an_instant(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = printed(capsys, "timers", "guests", "--store", url, "--json")["messages"]

    def due_before(when: str) -> list[str]:
        found = printed(capsys, "timers", "--due-before", when, "--store", url, "--json")
        return [each["key"] for each in found["messages"]]

    assert due_before(second["due_at"]) == ["D1"]
    assert due_before(first["due_at"]) == []
    assert due_before("3650d") == ["D1", "D2"]
    assert main(["timers", "--due-before", "2026-01-01T00:00:00", "--store", url]) == 2
    assert "with its zone" in capsys.readouterr().err


def test_people_see_whole_ids_and_how_to_go_on(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["messages", "butler", "--store", url, "--limit", "1"]) == 0

    said = capsys.readouterr()
    assert said.out.splitlines()[1].endswith("third")
    assert "There may be more: --after 0." in said.err


def test_a_subscription_that_nothing_names_is_not_found(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["messages", "buttler", "--store", url]) == 1
    assert "butler" in capsys.readouterr().err
    assert main(["messages", "--after", "yesterday", "--store", url]) == 2


@pytest.mark.parametrize("text", ["2026-11-29T09:41:00Z", "2026-11-29T09:41:00+00:00"])
def test_a_moment_is_a_time_with_its_zone(text: str) -> None:
    assert MOMENT.convert(text, None, None) == datetime(2026, 11, 29, 9, 41, tzinfo=UTC)


def test_what_counts_as_sent_when_it_is_due_shows_no_time_of_sending(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["messages", "--store", url]) == 0

    header, *rows = (re.split(r" {2,}", line) for line in capsys.readouterr().out.splitlines())
    kind, sent = header.index("KIND"), header.index("SENT")
    assert {row[kind]: row[sent] == "-" for row in rows} == {"ready": False, "scheduled": True, "timer": True}


def test_a_moment_may_be_so_long_ago() -> None:
    assert abs(datetime.now(UTC) - timedelta(minutes=15) - MOMENT.convert("15min", None, None)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "text",
    ["2026-11-29T09:41:00", "soon", "-5min", "5 parsecs", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        MOMENT.convert(text, None, None)


def test_why_says_it_in_sentences_and_as_a_record(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sagas", "why", "guests", "D1", "--store", url]) == 0
    said = capsys.readouterr().out.splitlines()
    found = printed(capsys, "sagas", "why", "guests", "D1", "--store", url, "--json")

    assert said[0].startswith("guests D1 has been waiting for ")
    assert said[1].startswith("Its timer 'tea' is due in ")
    assert (found["exists"], found["version"], found["expects"]) == (True, 1, None)
    assert [each["timer"] for each in found["messages"]] == ["tea"]
    assert len(found["sentences"]) == len(said)


def test_why_is_not_found_where_nothing_is_stored(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sagas", "why", "guests", "D9", "--store", url]) == 1
    assert capsys.readouterr().out == "No saga instance is stored for guests D9; a handler has none.\n"
    assert main(["sagas", "why", "gests", "D9", "--store", url]) == 1


async def test_what_runs_is_shown_with_its_worker_and_since_when(
    take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    url, going = take("sqlite").url, asyncio.Event()

    @handler("butler", key="door")
    async def wait(message: Rang) -> None:
        await going.wait()

    async def run(*arguments: str) -> list[str]:
        assert await asyncio.to_thread(main, [*arguments, "--store", url]) == 0
        return capsys.readouterr().out.splitlines()

    async with Bus(url, wait) as bus:
        (worker,) = await bus.inspect.workers()
        await bus.publish(Rang(door="D1"), message_id="first")
        await until(partial(runs, bus))
        listed = await run("messages", "--kind", "running")
        said = [*await run("conversation", "first"), *await run("sagas", "why", "butler", "D1")]
        found = json.loads((await run("messages", "--json"))[-1])["messages"][0]
        status = json.loads((await run("status", "--json"))[-1])["subscriptions"][0]
        going.set()

    assert listed[1].split()[:2] == ["butler", "running"]
    assert listed[-1].split()[1:] == [worker.worker, "butler", "first"]
    assert sum(worker.worker in line for line in said) == 2
    assert (found["kind"], found["worker"]) == ("running", worker.worker)
    assert found["running_since"] == listed[-1].split()[0]
    assert (status["running"], status["ready"], status["waiting"]) == (1, 0, 1)


async def runs(bus: Bus) -> bool:
    (worker,) = await bus.inspect.workers()
    return bool(worker.runs)

"""`sagabus conversation`, on every kind of database."""

import asyncio
import json

import pytest
from tests.conftest import Take

from sagabus import Bus, Context, Saga, Settings, command, event, handler, starts
from sagabus.cli import main


@event("talk.rang")
class Rang:
    door: str


@command("talk.serve")
class Serve:
    door: str


class Guest(Saga, name="guests", key="door"):
    door: str

    @starts
    def rang(self, message: Rang, ctx: Context) -> None:
        ctx.send(Serve(door=self.door))


@handler("kitchen")
def serve(message: Serve) -> None:
    """Nothing."""


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def url(request: pytest.FixtureRequest, take: Take) -> str:
    found = take(request.param).url
    asyncio.run(prepare(found))
    return found


async def prepare(url: str) -> None:
    async with Bus(url, Guest, serve, settings=Settings(journal="all")) as bus:
        await bus.publish(Rang(door="D1"), message_id="visit")
        await bus.idle()


def test_it_is_shown_in_order_of_time_with_its_causes(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conversation", "visit", "--store", url]) == 0

    head, first, second, instance = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["AT", "WHAT", "SUBSCRIPTION", "MESSAGE"]
    assert first.split()[1:5] == ["completed", "guests", "talk.rang", "D1"]
    assert second.split()[1:4] == ["completed", "kitchen", "talk.serve"]
    assert second.index("talk.serve") == first.index("talk.rang") + 2
    assert instance == "guests D1 is live (version 1)."


def test_its_json_has_every_entry_and_the_page_goes_on(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conversation", "visit", "--store", url, "--limit", "1", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert main(["conversation", "visit", "--store", url, "--after", first["after"], "--json"]) == 0
    second = json.loads(capsys.readouterr().out.splitlines()[-1])

    (began,), (caused,) = first["entries"], second["entries"]
    assert (began["kind"], began["what"], began["message_id"], began["is_saga"]) == ("run", "completed", "visit", True)
    assert (caused["causation_id"], caused["subscription"], caused["is_saga"]) == ("visit", "kitchen", False)
    assert (second["after"], second["missing"]) == (None, [])


def test_of_what_is_not_stored_it_says_why_it_may_be_missing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conversation", "nobody", "--store", url]) == 1

    assert "The journal has no handled message of it" in capsys.readouterr().err


def test_a_place_that_no_page_printed_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conversation", "visit", "--store", url, "--after", "1.2"]) == 2
    assert main(["conversation", "--store", url]) == 2

    assert "is no place" in capsys.readouterr().err

"""`sagabus erase`, in this process, on a store with work in it."""

import asyncio
import io
import json
import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.test_cli_mending import Cli

from sagabus import Bus, Context, Saga, Settings, event, handles, starts, timer
from sagabus.cli import main

WHY = ("--why", "request 118", "--by", "ann")


@event("erase.opened")
class Opened:
    key: str


@event("erase.closed")
class Closed:
    key: str


class Case(Saga, name="cases", key="key", history=True):
    key: str
    status: str = "open"

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        ctx.set_timer("late", after=timedelta(hours=5))

    @handles
    def closed(self, message: Closed, ctx: Context) -> None:
        ctx.complete()

    @timer("late")
    def late(self, ctx: Context) -> None: ...


async def fill(url: str) -> None:
    async with Bus(url, Case, settings=Settings(journal="all")) as bus:
        for key in ("done", "live"):
            await bus.publish(Opened(key=key), correlation_id=f"talk-{key}")
        await bus.publish(Closed(key="done"))
        await bus.idle(10)


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    url = f"sqlite:///{tmp_path}/cases.db"
    asyncio.run(fill(url))
    monkeypatch.setattr(sys.modules[__name__], "bus", Bus(url, Case), raising=False)
    capsys.readouterr()
    return Cli(capsys, url)


HERE = f"{__name__}:bus"


def test_without_yes_it_only_counts(cli: Cli) -> None:
    for _ in range(2):
        code, out = cli.run("erase", HERE, "--key", "done")
        assert (code, [line.split("  ")[0] for line in out.splitlines()]) == (
            0, ["WHAT", "saga instances", "steps of histories", "rows of the journal"],
        )  # fmt: skip
        assert "nothing was erased: add --yes" in cli.err


def test_it_erases_what_has_ended_and_says_what_it_does_not_reach(cli: Cli) -> None:
    code, out = cli.run("erase", HERE, "--key", "done", *WHY, "--yes")

    assert (code, out.splitlines()[-1]) == (0, "audit log: 1")
    assert "copies in brokers" in cli.err
    code, out = cli.run("erase", HERE, "--key", "done", *WHY, "--yes")
    assert (code, out) == (1, "")
    assert "nothing of this is stored" in cli.err
    assert cli.data("audit", HERE)[0]["reason"] == "request 118"


def test_what_is_not_done_is_listed_and_refused(cli: Cli) -> None:
    code, out = cli.run("erase", HERE, "--key", "live")
    assert code == 0
    assert [line.split() for line in out.splitlines()[-2:]] == [
        ["timer", "cases", "late"], ["instance", "cases", "open"],
    ]  # fmt: skip

    code, out = cli.run("erase", HERE, "--key", "live", *WHY, "--yes")
    assert (code, out) == (1, "")
    assert "timer of cases (late), instance of cases (open)" in cli.err
    assert "--live" in cli.err

    assert cli.run("erase", HERE, "--key", "live", "--live", *WHY, "--yes")[0] == 0


def test_as_data_it_says_the_same(cli: Cli) -> None:
    found = cli.data("erase", HERE, "--key", "live", "--saga", "cases")

    assert found == {
        "dry_run": True,
        "counts": {
            "messages and timers": 1, "saga instances": 1, "steps of histories": 1, "rows of the journal": 1,
        },
        "live": [
            {"what": "timer", "subscription": "cases", "name": "late"},
            {"what": "instance", "subscription": "cases", "name": "open"},
        ],
        "not_done": 2,
        "audit": None,
    }  # fmt: skip
    code, out = cli.run("erase", HERE, "--key", "nobody", "--json")
    assert (code, json.loads(out)["counts"]) == (1, {})


def test_a_conversation_is_erased_by_its_id_and_the_timers_that_it_set_stay(cli: Cli) -> None:
    found = cli.data("erase", HERE, "--correlation", "talk-live", "--live", *WHY, "--yes")

    assert found["counts"] == {"messages and timers": 1, "rows of the journal": 1}
    assert "late" in cli.run("timers", HERE)[1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "give --key KEY, or --correlation ID"),
        (("--key", "a", "--yes"), "give --why TEXT"),
        (("--key", "a", "--why", "for a", "--yes"), "the reason names what is to be erased"),
        (("--key", "a", "b"), "unexpected argument b"),
    ],
)
def test_what_is_typed_wrongly_is_refused(cli: Cli, words: tuple[str, ...], text: str) -> None:
    code, _ = cli.run("erase", HERE, *words)

    assert code == 2
    assert text in cli.err


def test_the_name_of_a_saga_that_there_is_not_is_refused(cli: Cli) -> None:
    assert cli.run("erase", HERE, "--key", "done", "--saga", "case")[0] == 1
    assert "did you mean cases" in cli.err


class Screen(io.StringIO):
    """A terminal to which a command writes all that it says."""

    def isatty(self) -> bool:
        return True

    @property
    def said(self) -> str:
        """All of it, without the codes that the terminal obeys."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


@pytest.mark.parametrize(
    ("words", "next_said"),
    [
        (("--key", "done"), " what "),
        (("--key", "done", *WHY, "--yes"), " what "),
        (("--key", "live", *WHY, "--yes"), "sagabus: work for this subject"),
        (("--key", "live", "--saga", "case"), "sagabus: "),
        (("--key", "done", "--json"), '{"dry_run"'),
        (("--key", "nobody"), "nothing of this is stored"),
    ],
)
def test_what_follows_the_progress_begins_a_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], next_said: str
) -> None:
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    for name in ("stdout", "stderr"):  # here, and in no fixture: pytest sets them when a test begins
        monkeypatch.setattr(sys, name, screen)

    main(["erase", HERE, *words])

    before, _, _ = screen.said.partition(next_said)
    assert next_said in screen.said
    assert "erasing" in before or "counting" in before
    assert before.rstrip(" ")[-1] in "\r\n"

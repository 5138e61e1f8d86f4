"""The commands that mend, and `sagabus audit`, in this process, on a store with work in it."""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sagabus import Bus, Context, Linear, RetryPolicy, Saga, event, handler, starts, timer
from sagabus.cli import main

SAYS = ("--reason", "a call", "--by", "ann", "--yes")


@event("cli.begun")
class Begun:
    key: str


@event("cli.charged")
class Charge:
    key: str


class Job(Saga, name="jobs", key="key"):
    key: str
    amount: int = 0
    status: str = "open"

    @starts
    def begun(self, message: Begun, ctx: Context) -> None:
        ctx.set_timer("late", after=timedelta(hours=5))

    @timer("late")
    def late(self, ctx: Context) -> None: ...


@handler("charges", retry=RetryPolicy(attempts=5, backoff=Linear(timedelta(hours=1)), jitter=False))
def charge(message: Charge) -> None:
    raise ConnectionError("no line")


class Cli:
    """Runs commands and keeps what they printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], store: str) -> None:
        self._capsys, self.store = capsys, store
        self.err = ""

    def run(self, *words: str) -> tuple[int, str]:
        code = main([*words])
        shown = self._capsys.readouterr()
        self.err = shown.err
        return code, shown.out

    def data(self, *words: str) -> Any:
        code, out = self.run(*words, "--json")
        assert code == 0, self.err
        return json.loads(out)


async def fill(url: str) -> None:
    async with Bus(url, Job, charge) as bus:
        await bus.publish(Begun(key="a"))
        await bus.publish(Charge(key="c"))
        await bus.idle(10)
        await bus.publish(Begun(key="later"), delay=timedelta(hours=1), message_id="m-later")


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    url = f"sqlite:///{tmp_path}/jobs.db"
    asyncio.run(fill(url))
    monkeypatch.setattr(sys.modules[__name__], "bus", Bus(url, Job, charge), raising=False)
    capsys.readouterr()
    return Cli(capsys, url)


PLACE = f"{__name__}:bus"


def test_it_says_first_what_it_will_do_and_does_nothing_without_yes(cli: Cli) -> None:
    code, _ = cli.run("sagas", "cancel", PLACE, "jobs", "a", "--version", "1", "--reason", "a call")

    assert code == 2
    assert "this would cancel jobs a at version 1: add --yes to do it" in cli.err
    assert cli.data("sagas", "show", PLACE, "jobs", "a")["completed"] is False


def test_an_instance_is_patched_and_ended_and_the_log_says_so(cli: Cli) -> None:
    patched = cli.data("sagas", "patch", PLACE, "jobs", "a", '{"amount": 7}', "--version", "1", *SAYS)
    assert patched["before"]["fields"] == {"amount": 0}
    code, out = cli.run("sagas", "complete", PLACE, "jobs", "a", "--version", "2", *SAYS, "--set", '{"status":"done"}')
    assert (code, "patch" in cli.err) == (0, False)
    assert "complete jobs a at version 2" in cli.err
    assert out.startswith("saga.complete jobs a: version: 2 -> 3, status: open -> done")

    shown = cli.data("sagas", "show", PLACE, "jobs", "a")
    assert (shown["completed"], shown["status"], shown["state"]["amount"]) == (True, "done", 7)
    entries = cli.data("audit", PLACE, "jobs")
    assert [(each["verb"], each["by"], each["target"]) for each in entries] == [
        ("saga.complete", "ann", "a"),
        ("saga.patch", "ann", "a"),
    ]
    code, out = cli.run("audit", PLACE, "--target", "a", "--limit", "1")
    assert (code, out.splitlines()[0].split()[:3]) == (0, ["ID", "AT", "BY"])
    assert f"--after {entries[0]['id']}" in cli.err


def test_the_log_is_narrowed_to_who_changed_something_and_when(cli: Cli) -> None:
    cli.data("sagas", "patch", PLACE, "jobs", "a", '{"amount": 7}', "--version", "1", *SAYS)
    cli.data("sagas", "complete", PLACE, "jobs", "a", "--version", "2", "--reason", "done", "--by", "bob", "--yes")
    last, first = cli.data("audit", PLACE)

    assert cli.data("audit", PLACE, "--by", "ann") == [first]
    assert cli.data("audit", PLACE, "jobs", "--since", last["at"]) == [last]
    assert cli.data("audit", PLACE, "--until", last["at"]) == [first]
    assert cli.data("audit", PLACE, "--since", "1h") == [last, first]
    assert cli.data("audit", PLACE, "--until", "1h", "--by", "ann") == []
    code, _ = cli.run("audit", PLACE, "--since", "2026-01-01T00:00:00")
    assert code == 2


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("sagas", "cancel", PLACE, "jobs", "a", "--version", "9"), 1, "jobs a has version 1 now, not 9"),
        (("sagas", "cancel", PLACE, "jobs", "b", "--version", "1"), 1, "jobs has no instance 'b'"),
        (("sagas", "cancel", PLACE, "jops", "b", "--version", "1"), 1, "did you mean jobs?"),
        (("sagas", "patch", PLACE, "jobs", "a", '{"x": 1}', "--version", "1"), 1, "jobs has no field 'x'"),
        (("sagas", "patch", PLACE, "jobs", "a", '{"amount": "x"}', "--version", "1"), 2, "amount"),
        (("sagas", "patch", PLACE, "jobs", "a", "amount", "--version", "1"), 2, "is no JSON"),
        (("sagas", "patch", PLACE, "jobs", "a", "[]", "--version", "1"), 2, "write a JSON object of fields"),
        (("mend", "retry-now", PLACE, "999999"), 1, "no message stands at position 999999"),
        (("mend", "retry-now", PLACE, "x"), 2, "give the POSITION of one message"),
        (("mend", "cancel-timer", PLACE, "jobs", "a", "early"), 1, "jobs a has no timer 'early'; set are: late"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(cli: Cli, words: tuple[str, ...], code: int, text: str) -> None:
    found, _ = cli.run(*words, *SAYS)

    assert found == code
    assert text in cli.err
    assert cli.data("audit", PLACE) == []


def test_messages_and_timers_are_mended_by_what_the_lists_show(cli: Cli) -> None:
    (retrying,) = cli.data("messages", PLACE, "--kind", "retrying")["messages"]
    (scheduled,) = cli.data("messages", PLACE, "--kind", "scheduled")["messages"]

    assert cli.run("mend", "retry-now", PLACE, str(retrying["position"]), *SAYS)[0] == 0
    assert cli.run("mend", "cancel-message", PLACE, str(scheduled["position"]), *SAYS)[0] == 0
    assert cli.run("mend", "move-timer", PLACE, "jobs", "a", "late", "--to", "2d", *SAYS)[0] == 0
    assert "move the timer late of jobs a to " in cli.err

    assert [each["kind"] for each in cli.data("messages", PLACE)["messages"]] == ["ready", "timer"]
    assert cli.run("mend", "cancel-timer", PLACE, "jobs", "a", "late", *SAYS)[0] == 0
    assert cli.data("timers", PLACE)["messages"] == []
    verbs = [each["verb"] for each in cli.data("audit", PLACE)]
    assert verbs == ["timer.cancel", "timer.move", "message.cancel", "message.retry"]


def test_what_waits_for_a_removed_subscription_is_cancelled(cli: Cli) -> None:
    assert cli.run("mend", "cancel-all", PLACE, "jobs", *SAYS)[0] == 1
    assert "jobs receives cli.begun: `sagabus subscriptions remove --force jobs` ends that first" in cli.err
    assert cli.run("subscriptions", "remove", PLACE, "jobs", "--force", "--yes")[0] == 0
    place = ("mend", "cancel-all", "--store", cli.store, "jobs")

    assert cli.run(*place, "--why", "gone", "--yes") == (0, "cancelled 2 of what waited in jobs\n")
    assert cli.data(*place, *SAYS) == {"subscription": "jobs", "cancelled": 0}
    assert [each for each in cli.data("messages", PLACE)["messages"] if each["subscription"] == "jobs"] == []
    assert {each["reason"] for each in cli.data("audit", PLACE)} == {"gone"}


def test_a_paused_subscription_is_seen_everywhere_until_it_goes_on(cli: Cli) -> None:
    assert cli.run("pause", PLACE, "jobs", *SAYS)[0] == 0
    code, out = cli.run("status", PLACE)
    assert (code, out.splitlines()[2].split()[-1]) == (0, "yes")
    assert "jobs is paused by ann since " in cli.err
    assert cli.data("status", PLACE)["subscriptions"][1]["paused"]["reason"] == "a call"
    _, out = cli.run("sagas", "why", PLACE, "jobs", "a")
    assert out.startswith("jobs is paused by ann since ")
    _, out = cli.run("health", PLACE)
    assert out.splitlines()[2].split()[-1] == "yes"
    assert cli.run("pause", PLACE, "jobs", *SAYS)[0] == 1
    assert cli.run("resume", PLACE, "jobs", *SAYS)[0] == 0
    assert cli.run("resume", PLACE, "jobs", *SAYS)[0] == 1
    assert "jobs is not paused; paused are: none" in cli.err
    assert [each["verb"] for each in cli.data("audit", PLACE)] == ["subscription.resume", "subscription.pause"]

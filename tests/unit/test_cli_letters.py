"""`sagabus dead-letters` and `sagabus sagas`, in this process, on a store with something in it."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sagabus import Bus, Context, RetryPolicy, Saga, event, handler, handles, starts
from sagabus.bus.mending.letters import DeadLetters
from sagabus.cli import main
from sagabus.stores.sql import rows
from sagabus.stores.sql.inspecting import SqlInspection

WHY = ("--why", "a test")
HOSTILE = "\x1b[2J"


@event("asked")
class Asked:
    key: str


@event("answered")
class Answered:
    key: str


class Talk(Saga, name="talk", key="key"):
    key: str
    status: str = "open"

    @starts
    def asked(self, message: Asked, ctx: Context) -> None: ...

    @handles(when="open")
    def answered(self, message: Answered, ctx: Context) -> None:
        self.status = "closed"


@handler("fussy", retry=RetryPolicy(attempts=1))
def fussy(message: Asked) -> None:
    raise ValueError(f"no {message.key} please")


@handler("sleepy", key="key", retry=RetryPolicy(attempts=1))
def sleepy(message: Answered) -> None:
    raise LookupError("asleep")


async def fill(url: str) -> None:
    async with Bus(url, Talk, fussy, sleepy) as bus:
        for key in ("a", "b", f"c{HOSTILE}"):
            await bus.publish(Asked(key=key), message_id=f"ask-{key[0]}")
        await bus.publish(Answered(key="a"), message_id="answer-a", headers={"h": HOSTILE})
        await bus.idle(10)


class Cli:
    """Runs commands on one store and keeps what they printed."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._capsys = capsys
        self.err = ""

    def run(self, *words: str) -> tuple[int, str]:
        code = main([*words, "--store", self.url])
        shown = self._capsys.readouterr()
        self.err = shown.err
        return code, shown.out

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json")[1].splitlines()[-1])

    def ids(self, *words: str) -> list[int]:
        return [letter["id"] for letter in self.json("dead-letters", "list", *words)]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    asyncio.run(fill("sqlite:///store.db"))
    return Cli("sqlite:///store.db", capsys)


def test_letters_are_listed_by_subscription_reason_state_and_page(cli: Cli) -> None:
    every = cli.ids()

    assert len(every) == 4
    assert len(cli.ids("--subscription", "fussy")) == 3
    assert len(cli.ids("--reason", "LOOKUPERROR")) == 1
    assert len(cli.ids("--reason", "no b")) == 1
    assert cli.ids("--status", "replayed") == []
    assert cli.ids("--status", "all") == every
    assert cli.ids("--limit", "2") == every[:2]
    assert cli.ids("--after", str(every[1])) == every[2:]
    code, shown = cli.run("dead-letters", "list", "--subscription", "sleepy")
    header, letter = (line.split() for line in shown.splitlines())
    assert (code, header[3], letter[3]) == (0, "KEY", "a")


def test_a_cut_list_says_how_to_go_on(cli: Cli) -> None:
    code, shown = cli.run("dead-letters", "list", "--limit", "3")

    assert code == 0
    assert len(shown.splitlines()) == 4
    assert "--after 3" in cli.err


def test_every_view_of_a_letter_says_its_cause(cli: Cli) -> None:
    first, *_ = cli.ids()

    assert {letter["cause"] for letter in cli.json("dead-letters", "list")} == {"failed"}
    assert cli.json("dead-letters", "show", str(first))["cause"] == "failed"
    assert "CAUSE" in cli.run("dead-letters", "list")[1].splitlines()[0]


def test_a_letter_is_shown_whole_and_cannot_touch_the_terminal(cli: Cli) -> None:
    hostile = cli.ids("--reason", "no c")[0]

    code, shown = cli.run("dead-letters", "show", str(hostile), "--reveal")

    assert code == 0
    assert "\x1b" not in shown
    assert "no c\\x1b[2J please" in shown
    assert '{"key":"c\\u001b[2J"}' in shown
    assert "Traceback (most recent call last):\n" in shown


def test_json_has_the_message_as_data(cli: Cli) -> None:
    found = cli.json("dead-letters", "show", str(cli.ids("--subscription", "sleepy")[0]), "--reveal")

    assert found["body"] == {"key": "a"}
    assert found["headers"] == {"h": HOSTILE}
    assert found["error_type"] == "LookupError"


def test_an_id_that_is_not_there_is_exit_code_1(cli: Cli) -> None:
    assert cli.run("dead-letters", "show", "99") == (1, "")
    assert cli.run("dead-letters", "replay", "99", *WHY)[0] == 1
    assert cli.run("dead-letters", "discard", "99", *WHY)[0] == 1


def test_replaying_twice_is_once_and_never_an_error(cli: Cli) -> None:
    assert cli.run("dead-letters", "replay", "1", *WHY) == (0, "ID  RESULT\n1   done\n")
    assert cli.run("dead-letters", "replay", "1", *WHY) == (0, "ID  RESULT\n1   was already done\n")
    assert cli.ids("--status", "replayed") == [1]


def test_what_was_discarded_is_not_said_to_be_replayed(cli: Cli) -> None:
    assert cli.run("dead-letters", "discard", "2", *WHY)[0] == 0

    assert cli.run("dead-letters", "replay", "2", "1", *WHY) == (1, "ID  RESULT\n2   was discarded before\n1   done\n")
    assert cli.json("dead-letters", "discard", "1", *WHY)["not_done"] == 1


def test_many_are_counted_and_need_a_yes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.run("dead-letters", "replay", "--all", "--subscription", "fussy", *WHY)[0] == 2
    assert "this would replay 3 dead letters: add --yes to do it" in cli.err
    assert len(cli.ids()) == 4

    found = cli.json("dead-letters", "replay", "--all", "--subscription", "fussy", "--yes", *WHY)

    assert (found["chosen"], found["not_done"], found["counts"]) == (3, 0, {"done": 3})
    assert "replay 3 dead letters" in cli.err
    assert len(cli.ids()) == 1


@pytest.mark.parametrize(("answer", "left", "code"), [(True, 3, 0), (False, 4, 1)])
def test_at_a_terminal_it_asks(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, *, answer: bool, left: int, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n" if answer else "n\n"))

    assert cli.run("dead-letters", "discard", "--reason", "asleep", *WHY)[0] == code
    assert "discard 1 dead letter?" in cli.err
    assert len(cli.ids()) == left


def test_nothing_chosen_is_nothing_to_do(cli: Cli) -> None:
    assert cli.run("dead-letters", "replay", "--reason", "no such text", *WHY) == (0, "no dead letter matches\n")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["replay"], "no dead letters chosen"),
        (["replay", "--subscription", "fussy"], "no dead letters chosen"),
        (["replay", "1", "--all"], "either IDs"),
        (["discard", "1", "--reason", "x"], "either IDs"),
        (["replay", "one"], "one is not the ID"),
        (["replay", "1"], "give --why TEXT: the audit log keeps why you do it"),
        (["discard", "--all"], "give --why TEXT: the audit log keeps why you do it"),
        (["replay", "1", "--why", " "], "'--why': must not be empty"),
        (["discard", "1", "--why", "\udcff"], "'--why': has half a character"),
        (["replay", "1", "--key", "a"], "either IDs"),
        (["replay", "-1"], "No such option"),
        (["show", "1", "2"], "the ID of one dead letter"),
        (["list", "extra"], "unexpected argument extra"),
        (["list", "--limit", "0"], "--limit"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(cli: Cli, words: list[str], why: str) -> None:
    code, shown = cli.run("dead-letters", *words)

    assert (code, shown) == (2, "")
    assert why in cli.err


def test_sagas_are_listed_by_name_status_and_page(cli: Cli) -> None:
    def keys(*words: str) -> list[str]:
        return [found["key"] for found in cli.json("sagas", "list", *words)]

    assert keys() == ["a", "b", f"c{HOSTILE}"]
    assert keys("talk", "--status", "closed") == ["a"]
    assert keys("talk", "--after", "a", "--limit", "1") == ["b"]
    assert cli.run("sagas", "list", "unknown")[0] == 1
    assert "There may be more of talk: --after a" in (cli.run("sagas", "list", "--limit", "1"), cli.err)[1]


def test_live_instances_are_listed_by_how_long_they_have_not_changed(cli: Cli) -> None:
    def keys(*words: str) -> list[str]:
        return [found["key"] for found in cli.json("sagas", "list", "talk", *words)]

    assert keys("--unchanged-for", "0") == ["a", "b", f"c{HOSTILE}"]
    assert keys("--unchanged-for", "0", "--after", "b") == [f"c{HOSTILE}"]
    assert keys("--unchanged-for", "86400") == keys("--unchanged-for", "1d") == []
    assert cli.run("sagas", "list", "unknown", "--unchanged-for", "1")[0] == 1
    assert (
        "There may be more of talk: --after a"
        in (
            cli.run("sagas", "list", "talk", "--unchanged-for", "0", "--limit", "1"),
            cli.err,
        )[1]
    )
    assert keys("--unchanged-for", "0", "--status", "closed") == ["a"]
    assert keys("--unchanged-for", "0", "--status", "gone") == []
    assert HOSTILE not in cli.run("sagas", "list", "talk", "--unchanged-for", "0")[1]


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "-1", "1e13", "1e300", "soon", "-1h", "3m"])
@pytest.mark.parametrize(
    "words", ["sagas list --unchanged-for", "doctor --max-age", "health --max-age", "health --within"]
)
def test_a_duration_that_there_cannot_be_is_refused_in_a_sentence(cli: Cli, words: str, seconds: str) -> None:
    code, shown = cli.run(*words.split(), seconds)

    assert (code, shown) == (2, "")
    assert "Invalid value for" in cli.err


def test_a_saga_is_shown_with_its_state(cli: Cli) -> None:
    code, shown = cli.run("sagas", "show", "talk", f"c{HOSTILE}")

    assert code == 0
    assert "\x1b" not in shown
    assert "status:     open\n" in shown
    assert cli.json("sagas", "show", "talk", "a", "--reveal")["state"] == {"key": "a", "status": "closed"}


def test_a_saga_that_is_not_there_is_exit_code_1(cli: Cli) -> None:
    assert cli.run("sagas", "show", "talk", "z") == (1, "")
    assert "talk has no instance z" in cli.err


class Terminal:
    """A person's keyboard."""

    def __init__(self, text: str) -> None:
        self._lines = iter(text.splitlines(keepends=True))

    def readline(self, *_: object) -> str:
        return next(self._lines, "")

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "words",
    [
        ("dead-letters", "list", "--after", str(2**63)),
        ("dead-letters", "list", "--limit", str(2**63 - 1)),
        ("sagas", "history", "orders", "A1", "--after", str(2**63)),
        ("sagas", "history", "orders", "A1", "--limit", str(2**63 - 1)),
    ],
)
def test_a_number_that_no_database_has_is_refused_by_name(words: tuple[str, ...], cli: Cli) -> None:
    code, out = cli.run(*words)

    assert (code, out) == (2, "")
    assert words[-2] in cli.err


def test_groups_say_what_the_letters_have_in_common(cli: Cli) -> None:
    code, out = cli.run("dead-letters", "groups")
    assert code == 0
    assert out.splitlines()[1].split()[:4] == ["3", "fussy", "failed", "asked"]

    code, out = cli.run("dead-letters", "groups", "fussy", "--json")
    (group,) = json.loads(out)["groups"]
    assert (group["count"], group["error_type"], group["first_id"]) == (3, "ValueError", 1)
    assert cli.run("dead-letters", "groups", "fuzzy")[0] == 1


def test_a_dry_run_counts_what_a_replay_would_do(cli: Cli) -> None:
    code, out = cli.run("dead-letters", "replay", "--cause", "failed", "--dry-run", "--json")

    assert (code, json.loads(out)["counts"]) == (0, {"done": 4})
    assert len(json.loads(cli.run("dead-letters", "list", "--json")[1])) == 4


def test_interrupted_it_says_how_far_it_came_and_goes_on_from_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    discard = DeadLetters.discard

    async def interrupted(self: DeadLetters, letter: int, **words: Any) -> Any:
        if letter == 3:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        return await discard(self, letter, **words)

    with monkeypatch.context() as patched:
        patched.setattr(DeadLetters, "discard", interrupted)
        assert cli.run("dead-letters", "discard", "--all", "--yes", *WHY)[0] == 130
    assert "stopped after 2 of 4 dead letters; run it again, or go on with --after 2" in cli.err
    assert cli.ids() == [3, 4]

    assert cli.json("dead-letters", "discard", "--all", "--yes", *WHY)["counts"] == {"done": 2}


def test_an_edit_of_a_closed_letter_names_no_message(cli: Cli) -> None:
    words = ("--reason", "fixed", "--yes")

    assert cli.json("dead-letters", "edit", "1", '{"key": "x"}', *words)["message_id"] is not None
    again = cli.json("dead-letters", "edit", "1", '{"key": "y"}', *words)
    assert (again["result"], again["message_id"]) == ("was already done", None)


def test_letters_are_chosen_by_type_key_and_cause(cli: Cli) -> None:
    sleepy = cli.ids("--subscription", "sleepy")

    assert len(sleepy) == 1
    assert cli.ids("--key", "a") == cli.ids("--message", "answered") == sleepy
    assert cli.ids("--key", "a", "--message", "asked") == cli.ids("--cause", "permanent") == []
    (conversation,) = {cli.json("dead-letters", "show", str(each))["correlation_id"] for each in sleepy}
    assert set(sleepy) <= set(cli.ids("--correlation", conversation))
    assert cli.ids("--correlation", "another") == []
    assert cli.json("dead-letters", "discard", "--all", "--correlation", "another", "--yes", *WHY)["chosen"] == 0
    assert cli.json("dead-letters", "discard", "--all", "--key", "A", "--yes", *WHY)["chosen"] == 0
    assert cli.json("dead-letters", "discard", "--all", "--message", "answered", "--yes", *WHY)["chosen"] == 1
    assert len(cli.ids()) == 3


def test_letters_are_chosen_by_when_they_failed_last(cli: Cli) -> None:
    with closing(sqlite3.connect("store.db")) as database, database:
        database.execute("UPDATE sagabus_dead_letter SET last_failed_at = last_failed_at - 7200000000 WHERE id < 3")
        database.execute("UPDATE sagabus_dead_letter SET last_failed_at = 1767225600000000 WHERE id = 1")

    assert cli.ids("--since", "1h") == [3, 4]
    assert cli.ids("--until", "1h") == [1, 2]
    assert cli.ids("--since", "3h", "--until", "1h") == [2]
    assert cli.ids("--since", "2026-01-01T00:00:00Z", "--until", "2026-01-01T00:00:00.000001Z") == [1]
    assert cli.ids("--until", "2026-01-01T00:00:00Z") == []
    groups = cli.json("dead-letters", "groups", "--until", "1h")["groups"]
    assert [each["count"] for each in groups] == [2]
    assert cli.json("dead-letters", "replay", "--all", "--since", "1h", "--dry-run")["chosen"] == 2
    assert cli.json("dead-letters", "discard", "--all", "--until", "1h", "--yes", *WHY)["counts"] == {"done": 2}
    assert cli.ids() == [3, 4]
    assert cli.run("dead-letters", "discard", "3", "--since", "1h", "--yes", *WHY)[0] == 2
    assert cli.run("dead-letters", "list", "--since", "2026-01-01")[0] == 2


@pytest.mark.parametrize("choice", [["--subscription", "sleepy"], ["--key", "a"], ["--since", "3h"]])
def test_a_filter_on_a_full_store_says_where_it_stopped(choice: list[str], cli: Cli) -> None:
    with closing(sqlite3.connect("store.db")) as database, database:
        database.execute("""
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
INSERT INTO sagabus_dead_letter (channel, message_id, fingerprint, status, envelope, body, reason, attempts,
    last_failed_at, parked) SELECT channel, n, fingerprint, status, envelope, body, reason, attempts, 1, 0
FROM sagabus_dead_letter, n WHERE id = 1""")

    found = cli.ids(*choice)

    assert 4 in found
    assert max(found) == 4
    assert "The filter looked at 10,000 dead letters. There may be more: --after 10000" in cli.err
    assert cli.ids(*choice, "--after", "10000") == []
    assert cli.err == ""
    assert cli.json("dead-letters", "replay", "--all", *choice, "--dry-run")["chosen"] == len(found)


@pytest.mark.parametrize("words", [["list"], ["replay", "--all", "--dry-run"]], ids=["list", "choice"])
def test_letters_are_chosen_without_their_bodies(words: list[str], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    dead_letters = SqlInspection.dead_letters

    async def noted(self: SqlInspection, **asks: Any) -> Any:
        asked.append(asks.get("bodies", True))
        return await dead_letters(self, **asks)

    monkeypatch.setattr(SqlInspection, "dead_letters", noted)

    assert cli.run("dead-letters", *words)[0] == 0
    assert asked == [False]


@pytest.mark.parametrize(
    ("words", "once"),
    [(("replay", "--dry-run"), True), (("replay", "--yes", *WHY), True), (("discard", "--yes", *WHY), False)],
    ids=["dry run", "replay", "discard"],
)
@pytest.mark.parametrize("which", [("--all",), ("1", "2", "3", "4")], ids=["all", "ids"])
def test_each_body_is_read_once_where_it_is_wanted(
    which: tuple[str, ...], words: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch, *, once: bool
) -> None:
    read, letter_of = list[int](), rows.letter_of

    def noted(row: Any) -> Any:
        found = letter_of(row)
        read.extend([found.id] * bool(found.envelope.body))
        return found

    monkeypatch.setattr(rows, "letter_of", noted)

    assert cli.run("dead-letters", words[0], *which, *words[1:])[0] == 0
    assert read == ([1, 2, 3, 4] if once else [])


def test_what_is_done_to_letters_is_in_the_audit_log(cli: Cli) -> None:
    words = ("--why", "fixed", "--by", "ann", "--yes")
    assert cli.run("dead-letters", "discard", "--cause", "failed", "--after", "1", *words)[0] == 0
    code, out = cli.run(
        "dead-letters", "edit", "1", '{"key": "a"}', "--reason", "fixed", "--by", "ann", "--yes", "--json"
    )
    assert (code, json.loads(out)["result"]) == (0, "done")

    entries = json.loads(cli.run("audit", "--json")[1])
    assert [(each["verb"], each["by"], each["target"]) for each in entries] == [
        ("dead-letter.edit", "ann", "1"),
        ("dead-letter.discard", "ann", "4"),
        ("dead-letter.discard", "ann", "3"),
        ("dead-letter.discard", "ann", "2"),
    ]
    assert cli.run("dead-letters", "edit", "1", "[]", "--reason", "x", "--yes")[0] == 2

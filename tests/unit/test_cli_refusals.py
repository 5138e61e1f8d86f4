"""What commands refuse: in one line that names the thing and the way out, with the right code, and nothing is done."""

import asyncio
from pathlib import Path

import apsw
import pytest
from tests.conftest import Take

from sagabus import Bus, Settings, event, handler
from sagabus.cli import main
from sagabus.stores.sqlite import SqliteStore


@event("cli.rang")
class Rang:
    door: str


@handler("butler", key="door")
def answer(message: Rang) -> None: ...


def silent() -> Bus:
    return Bus("sqlite:///house.db", answer)


def writing() -> Bus:
    return Bus("sqlite:///house.db", answer, settings=Settings(journal="all"))


HERE = __name__
LOOKS = (
    *(["status"], ["workers"], ["messages"], ["timers"], ["sagas", "list"], ["sagas", "why", "butler", "D1"]),
    *(
        ["conversation", "first"],
        ["dead-letters", "list"],
        ["dead-letters", "groups"],
        ["audit"],
        ["reconcile", "/dev/null"],
    ),
    *(["subscriptions", "list"], ["lanes"], ["pause", "butler", "--reason", "x", "--yes"]),
)


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a message."""
    monkeypatch.chdir(tmp_path)
    asyncio.run(prepare())
    return tmp_path / "house.db"


async def prepare(url: str = "sqlite:///house.db") -> None:
    bus = Bus(url, answer)
    await bus.open(worker=False)
    await bus.publish(Rang(door="D1"), message_id="first")
    await bus.close()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(list(arguments))
    return code, capsys.readouterr().err


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_a_look_at_an_older_schema_migrates_nothing(
    look: list[str], house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = SqliteStore(house).newest_version()
    with apsw.Connection(str(house)) as connection:
        connection.execute("DELETE FROM sagabus_schema_version WHERE version = ?", (newest,))
    connection.close()

    code, told = refused(capsys, *look, "--store", "sqlite:///house.db")

    assert code == 2
    assert f"sqlite:///house.db: the schema has version {newest - 1}, and this release works with {newest}" in told
    assert "run `sagabus migrate`" in told
    assert asyncio.run(SqliteStore(house).versions()) == list(range(1, newest))


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_the_memory_of_another_process_is_not_shown_as_an_empty_store(
    look: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = refused(capsys, *look, "--store", "memory:")

    assert (code, "only that process can look into it" in told) == (2, True)


MENDS = (
    *(["pause", "butler"], ["resume", "butler"], ["mend", "retry-now", "1"], ["mend", "cancel-message", "1"]),
    ["mend", "cancel-all", "butler"],
    *(["mend", "cancel-timer", "s", "k", "t"], ["mend", "move-timer", "s", "k", "t", "--to", "2h"]),
    *(["sagas", "cancel", "s", "k", "--version", "1"], ["sagas", "complete", "s", "k", "--version", "1"]),
    *(["dead-letters", "edit", "1", "{}"],),
)


@pytest.mark.parametrize("mend", MENDS, ids=" ".join)
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--reason", " "], "'--reason' / '--why': must not be empty"),
        (["--reason", "x" * 2001], "'--reason' / '--why': must have at most 2000 characters, not 2001"),
        (["--reason", "x", "--by", ""], "'--by': must not be empty"),
        (
            ["--reason", "a \udcff"],
            "'--reason' / '--why': has half a character ('\\udcff') at 2: write it as text in UTF-8",
        ),
        (
            ["--reason", "x", "--by", "\ud83d"],
            "'--by': has half a character ('\\ud83d') at 0: write it as text in UTF-8",
        ),
    ],
    ids=["no reason", "a long reason", "nobody", "half a reason", "half a name"],
)
def test_who_and_why_say_something(
    mend: list[str], words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = refused(capsys, *mend, *words, "--yes", "--store", "sqlite:///house.db")

    assert (code, f"Invalid value for {problem}" in told) == (2, True)


@pytest.mark.parametrize(
    "look",
    [["messages"], ["dead-letters", "list"], ["dead-letters", "groups"], ["reconcile", "/dev/null"]],
    ids=" ".join,
)
def test_a_time_before_all_years_is_refused(look: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, told = refused(capsys, *look, "--since", "999999d", "--store", "sqlite:///house.db")

    assert (code, "999999d is no time" in told) == (2, True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": {"b": [NaN]}}', "a.b[0]: NaN and Infinity have no form in JSON"),
        ('{"a": 1e999}', "a: NaN and Infinity have no form in JSON"),
        ('{"a": "\\ud800"}', "a text has half a character ('\\ud800')"),
        ('{"\\ud800": 1}', "a text has half a character ('\\ud800')"),
        ('{"a": "\udcff"}', "a text has half a character ('\\udcff')"),
        ('{"a": 1' + "0" * 5_000 + "}", "is no JSON: Exceeds the limit"),
        ('{"a": ' + "[" * 99_999 + "]" * 99_999 + "}", "is no JSON: maximum recursion depth"),
        ('{"a": 1', "is no JSON: Expecting"),
        ("[]", "JSON object"),
    ],
    ids=["NaN", "infinity", "half", "half a name", "bytes", "long", "deep", "cut", "list"],
)
@pytest.mark.parametrize(
    "mend",
    [
        ["dead-letters", "edit", "--store=sqlite:///house.db", "--reason=x", "--yes", "1"],
        ["sagas", "patch", "--store=sqlite:///house.db", "--version=1", "--reason=x", "--yes", "s", "k"],
        ["sagas", "cancel", "--store=sqlite:///house.db", "--version=1", "--reason=x", "--yes", "s", "k", "--set"],
    ],
    ids=["edit", "patch", "set"],
)
def test_what_has_no_form_in_json_is_refused(
    mend: list[str], text: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = refused(capsys, *mend, text)

    assert code == 2
    assert problem in told


@pytest.mark.parametrize("place", ["0.99999999999999999999", f"{2**63}.1", "-1.2", "1", "٣.١"])
def test_a_place_that_no_page_has_is_refused(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["messages"], ["timers"], ["conversation", "first"]):
        code, told = refused(capsys, *command, f"--after={place}", "--store", "sqlite:///house.db")

        assert (code, "is no place: give what the page before has printed" in told) == (2, True)


def test_an_unknown_conversation_is_said_to_be_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = refused(capsys, "conversation", f"{HERE}:writing", "nowhere")
    _, of_silent = refused(capsys, "conversation", f"{HERE}:silent", "first")

    assert code == 1
    assert "Nothing is stored of nowhere: the id of its first message is wanted." in told
    assert "none has been handled, or the retention has passed" in told
    assert 'Settings(journal="all") has a bus write them' in of_silent
    assert "Nothing is stored" not in of_silent


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
def test_a_store_that_no_bus_has_opened_is_looked_at(kind: str, take: Take, capsys: pytest.CaptureFixture[str]) -> None:
    url = take(kind).url
    assert main(["migrate", "--store", url]) == 0
    for look in LOOKS:
        expected = 1 if look[0] in {"conversation", "pause"} or look[1:2] == ["why"] else 0
        assert (look, main([*look, "--store", url])) == (look, expected)
    assert main(["messages", "--key", "A1", "--store", url]) == 0
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
def test_half_a_character_is_refused_in_the_same_words_by_all(
    kind: str, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    url, half = take(kind).url, "a\udcff"
    asyncio.run(prepare(url))
    for look in (
        *(["sagas", "list", half], ["sagas", "list", "s", "--after", half], ["sagas", "show", half, "k"]),
        *(["sagas", "history", "s", half], ["sagas", "why", "s", half], ["messages", "--correlation", half]),
        *(["messages", half], ["timers", half], ["conversation", half], ["audit", "--target", half]),
        *(["dead-letters", "groups", half], ["dead-letters", "list", "--subscription", half]),
        *(["pause", half, "--reason", "x", "--yes"], ["mend", "cancel-timer", half, "k", "t", "--reason=x", "--yes"]),
    ):
        code, told = refused(capsys, *look, "--store", url)

        assert (look, code) == (look, 2)
        assert "a text contains '\\udcff', half of a character: no database can keep it" in told


def test_a_folder_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = refused(capsys, "status", "--store", f"sqlite:///{tmp_path}")

    assert (code, told) == (2, f"sagabus: {tmp_path} is a folder; name a file in it\n")

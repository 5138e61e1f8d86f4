"""`sagabus reconcile`, on every kind of database: what is printed, and how little of a long list is kept."""

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import Take

from sagabus import Bus, event, handler
from sagabus.bus.inspection.inspector import Inspector
from sagabus.cli import main, reconciling
from sagabus.clock import SystemClock
from sagabus.errors import StoreUnavailable
from sagabus.identity import SystemIdentity, accepted_id

IDENTITY = SystemIdentity(SystemClock())


@event("cli.rang")
class Rang:
    door: str


@handler("butler", key="door")
def answer(message: Rang) -> None:
    """Nothing."""


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def url(request: pytest.FixtureRequest, take: Take) -> str:
    found = take(request.param).url
    asyncio.run(publish(found, "known"))
    return found


@pytest.fixture
def here(tmp_path: Path) -> str:
    found = f"sqlite:///{tmp_path / 'house.db'}"
    asyncio.run(publish(found, "known"))
    return found


async def publish(url: str, *ids: str) -> None:
    bus = Bus(url, answer)
    await bus.open(worker=False)
    await bus.publish_many([(Rang(door="D1"), each) for each in ids])
    await bus.close()


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command on a file with these bytes: the exit code, stdout and stderr."""

    def run(content: bytes, *arguments: str) -> tuple[int, str, str]:
        path = tmp_path / "ids"
        path.write_bytes(content)
        code = main(["reconcile", str(path), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_what_the_store_lacks_is_listed_and_counted(url: str, told: Any) -> None:
    lost = IDENTITY.new_id()
    text = f"known\n\n{lost}\tcli.rang\nknown\tcli.sang\n".encode()

    code, out, err = told(text, "--store", url)
    as_json = json.loads(told(text, "--store", url, "--json", "--all")[1])
    alone = told(b"known\r\n", "--store", url, "--subscription", "butler")

    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (1, "")
    assert lines[1][:4] == ["missing", lost, "cli.rang", "butler"]
    assert lines[2][:4] == ["unknown", "known", "cli.sang", "-"]
    assert out.splitlines()[3:] == ["3 ids: 1 unknown, 1 missing, 1 recorded"]
    assert [each["status"] for each in as_json["found"]] == ["recorded", "missing", "unknown"]
    assert as_json["counts"] == {"ids": 3, "recorded": 1, "missing": 1, "unknown": 1, "invalid": 0}
    assert alone == (0, "1 id: 0 unknown, 0 missing, 1 recorded\n", "")


def test_a_doubt_is_no_loss(here: str, told: Any) -> None:
    code, out, _ = told(b"known\n0123456789abcdef0123456789abcdef\n", "--store", here)

    assert code == 0
    assert out.splitlines()[-1] == "2 ids: 1 unknown, 0 missing, 1 recorded"


def test_lines_without_an_id_are_named_and_the_others_are_asked(here: str, told: Any) -> None:
    long, much = b"x" * 10_000, b"y" * 201
    text = b"\xef\xbb\xbfknown\n \x07\n" + long + b"\n\xff\nknown\n" + much + b"\n"

    code, out, err = told(text, "--store", here, "--json")

    *named, last = err.splitlines()
    assert code == 2
    assert [each.partition(":")[0] for each in named] == ["line 2", "line 3", "line 4", "line 6"]
    assert last == "sagabus: 4 lines held no message id, and were not asked"
    assert json.loads(out)["counts"] == {"ids": 2, "recorded": 2, "missing": 0, "unknown": 0, "invalid": 4}


def test_complaints_have_an_end(here: str, told: Any) -> None:
    code, _, err = told(b"\x07\n" * 2_500, "--store", here)

    assert code == 2
    assert len(err.splitlines()) == 102
    assert "2500 lines held no message id" in err


def test_options_are_about_all_lines(here: str, told: Any) -> None:
    asyncio.run(publish(here, accepted_id("till", "theirs")))

    assert told(b"theirs\n", "--store", here, "--source", "till")[0] == 0
    assert told(b"theirs\n", "--store", here, "--source", "bank")[0] == 1
    assert told(b"mine\n", "--store", here, "--since", "1h", "--message", "cli.rang")[0] == 1
    assert told(b"mine\n", "--store", here, "--message", "cli.sang")[0] == 0
    assert told(b"mine\n", "--store", here, "--subscription", "buttler")[0] == 1
    assert told(b"mine\n")[0] == 2


def test_ids_come_from_stdin_where_no_file_is_named(
    here: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"known")))

    assert main(["reconcile", "--store", here]) == 0
    assert capsys.readouterr().out == "1 id: 0 unknown, 0 missing, 1 recorded\n"


def test_a_file_that_is_not_there_is_one_line(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", "/nowhere/ids", "--store", here]) == 2
    assert capsys.readouterr().err == "sagabus: /nowhere/ids: No such file or directory\n"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_page_is_shown_before_the_next_one_is_read(
    form: list[str], here: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However long a list is, no more than a page of it is in memory."""
    order: list[str] = []

    class Lines(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            order.append("read")
            return super().readline(size)

    ask = Inspector.reconcile

    async def asking(self: Inspector, sent: Sequence[str], **wanted: Any) -> Any:
        order.append(f"ask {len(sent)}")
        return await ask(self, sent, **wanted)

    monkeypatch.setattr(Inspector, "reconcile", asking)
    text = b"".join(f"{IDENTITY.new_id()}\n".encode() for _ in range(2_500))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Lines(text)))

    assert main(["reconcile", "--store", here, *form]) == 1

    out = capsys.readouterr().out
    assert [each for each in order if each != "read"] == ["ask 1000", "ask 1000", "ask 500"]
    assert [order[:1001].count("read"), order[1001:2002].count("read")] == [1000, 1000]
    assert reconciling._PAGE == 1_000
    if form:
        assert json.loads(out)["counts"]["missing"] == len(json.loads(out)["found"]) == 2_500
    else:
        assert out.splitlines()[-1] == "2500 ids: 0 unknown, 2500 missing, 0 recorded"


def test_json_is_printed_whole_or_not_at_all(here: str, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, calls = Inspector.reconcile, list[int]()

    async def fails_later(self: Inspector, sent: Sequence[str], **wanted: Any) -> Any:
        calls.append(len(sent))
        if len(calls) == 2:
            raise StoreUnavailable("the database has gone")
        return await ask(self, sent, **wanted)

    text = b"".join(f"{IDENTITY.new_id()}\n".encode() for _ in range(1_500))
    monkeypatch.setattr(Inspector, "reconcile", fails_later)

    assert told(text, "--store", here, "--json") == (2, "", "sagabus: the database has gone\n")
    assert calls == [1_000, 500]


def test_much_json_waits_on_a_disk(here: str, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "_IN_MEMORY", 1_000)
    text = b"".join(f"{IDENTITY.new_id()}\n".encode() for _ in range(100))

    code, out, _ = told(text, "--store", here, "--json")

    assert (code, len(json.loads(out)["found"])) == (1, 100)

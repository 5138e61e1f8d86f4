"""`sagabus doctor`: findings with their commands, an exit code for monitoring, and nothing changed without --fix."""

import asyncio
import json
import shlex
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.conftest import Take
from tests.unit.test_cli_health import Knocked, answer, file, module_on, opened_once, sweep, url

from sagabus import Bus
from sagabus.cli import main
from sagabus.cli.main import root
from sagabus.stores.sqlite import SqliteStore

__all__ = ["Take", "file", "module_on", "url"]

HOUSE = "second_house:bus"


def doctor(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    code = main(["doctor", *options, "--json"])
    return code, json.loads(capsys.readouterr().out)


def kinds(told: Any) -> list[str]:
    """Without what databases of tests are set to."""
    return [each["kind"] for each in told["findings"] if each["kind"] != "durability"]


def test_a_store_at_work_is_well(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> Any:
        async with Bus(url, answer, sweep) as bus:
            await bus.publish(Knocked(door="D1"))
            await bus.idle()
            return await asyncio.to_thread(doctor, capsys, HOUSE)

    code, told = asyncio.run(work())

    assert kinds(told) == []
    assert told["unknown"] == []
    assert code == (1 if told["findings"] else 0)


def test_findings_name_commands_that_there_are(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def publish() -> None:
        web = Bus(url, answer)
        await web.open(worker=False)
        await web.publish(Knocked(door="D1"))
        await web.close()

    asyncio.run(publish())
    code, told = doctor(capsys, HOUSE, "--max-age", "0")

    assert (code, told["well"]) == (1, False)
    assert sorted(kinds(told)) == ["no-worker", "old-backlog", "unregistered"]
    for command in (each["command"] for each in told["findings"] if each["command"]):
        program, name, *arguments = shlex.split(command)
        assert program == "sagabus"
        assert name in root.list_commands(None)  # type: ignore[arg-type]  # it needs no context
        assert HOUSE in arguments


def test_an_address_with_a_password_is_never_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(opened_once(file))

    assert main(["doctor", "--store", f"sqlite:///{file}"]) == 1
    assert "sagabus run MODULE:BUS" in capsys.readouterr().out
    assert main(["doctor", "--store", "postgresql://me:secret@127.0.0.1:1/shop"]) == 2
    assert "secret" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_command_names_no_other_store_than_the_one_that_was_given(
    kind: str, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    database = take(kind)

    async def publish() -> None:
        bus = Bus(database.url, answer)
        await bus.open(worker=False)
        await bus.publish(Knocked(door="D1"))
        await bus.close()

    asyncio.run(publish())
    code = main(["doctor", "--store", database.url, "--max-age", "0"])
    said = capsys.readouterr().out
    _, told = doctor(capsys, "--store", database.url, "--max-age", "0")
    commands = [each["command"] for each in told["findings"] if "--store" in (each["command"] or "")]

    assert code == 1
    assert commands
    assert [each for each in commands if "--store URL" not in each] == []
    assert "In these commands, URL stands for the one that you have given" in said


def test_a_fault_is_told_with_its_command_and_mended_on_demand(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(opened_once(file))
    with apsw.Connection(str(file)) as connection:
        connection.execute("INSERT INTO sagabus_held_key VALUES ('porter', 'D1', 99)")
    connection.close()

    assert main(["doctor", HOUSE]) == 1
    said = capsys.readouterr().out
    assert main(["doctor", HOUSE, "--fix"]) == 1  # no worker is there all the same
    mended = capsys.readouterr().out
    main(["doctor", HOUSE])

    assert "error: porter D1: messages wait for an earlier one that is no longer stored\n" in said
    assert f"  sagabus doctor {HOUSE} --fix\n" in said
    assert "fixed: porter D1: messages wait" in mended
    assert "porter D1" not in capsys.readouterr().out


def test_a_schema_of_another_release_is_an_error_and_is_not_migrated(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(opened_once(file))
    newest = SqliteStore(file).newest_version()
    with apsw.Connection(str(file)) as connection:
        connection.execute("DELETE FROM sagabus_schema_version WHERE version = ?", (newest,))
    connection.close()

    for _ in range(2):
        code, told = doctor(capsys, HOUSE)
        assert (code, kinds(told)) == (1, ["schema"])
        assert told["unknown"] == ["the rest: it needs the tables"]


def test_what_is_in_the_memory_of_a_process_cannot_be_examined_by_another_one(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "second_house:memory"]) == 2
    assert "only that process can examine it" in capsys.readouterr().err

"""Commands on servers whose password stands in a file, and what they say while it is wrong."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
from tests.support.guarded import GuardedDatabase, guarded
from tests.support.guarded_brokers import KINDS, guarded_broker

from sagabus.cli import main

SECRET, WRONG = "right-5ecret", "wrong-5ecret"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "password"
    found.write_text(SECRET + "\n")
    return found


@pytest.fixture(params=["postgres", "mysql"])
def database(request: pytest.FixtureRequest) -> GuardedDatabase:
    found = guarded(request.param)
    found.change(SECRET)
    return found


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code, and all that was printed, which has no password in it."""
    code = main(list(arguments))
    found = "".join(capsys.readouterr())
    assert SECRET not in found
    assert WRONG not in found
    return code, found


def test_each_command_reads_it(database: GuardedDatabase, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = database.url(f"password_file={file}")

    for command in (["migrate"], ["subscriptions", "list"], ["status"], ["lanes"], ["dead-letters", "list"]):
        code, text = said(capsys, *command, "--store", url)
        assert code == 0, text


def test_demo_and_bench_read_it(database: GuardedDatabase, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = database.url(f"password_file={file}")
    url = url.replace(f"schema={database.name}&search_path={database.name}&", "")
    if database.kind == "postgres":
        database.run(f"GRANT CREATE ON DATABASE postgres TO {database.user}")
    else:
        database.run(f"GRANT ALL ON *.* TO {database.user}@'127.0.0.1'")

    for command in (["demo", "--orders", "10", "--kills", "0"], ["bench", "--sagas", "10", "--rounds", "1"]):
        code, text = said(capsys, *command, "--store", url)
        assert code == 0, text


@pytest.mark.parametrize("kind", KINDS)
async def test_so_they_do_on_brokers(kind: str, file: Path) -> None:
    broker = await guarded_broker(kind)
    try:
        await broker.change(SECRET)
        url = broker.url().partition("prefix=")[0] + f"password_file={file}"
        for command in (["demo", "--orders", "10", "--kills", "0"], ["bench", "--sagas", "10", "--rounds", "1"]):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sagabus", *command, "--transport", url), stdout=PIPE, stderr=STDOUT
            )
            text, _ = await process.communicate()
            assert process.returncode == 0, text.decode()
            assert SECRET not in text.decode()
    finally:
        await broker.close()


def test_what_is_wrong_is_said_by_the_doctor_and_by_health(
    database: GuardedDatabase, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = database.url(f"password_file={file}")
    assert said(capsys, "migrate", "--store", url)[0] == 0

    file.write_text(WRONG)
    for command in ("doctor", "health"):
        code, text = said(capsys, command, "--store", url)
        assert code != 0
        assert database.refusal in text
    file.unlink()
    for command in ("doctor", "health"):
        code, text = said(capsys, command, "--store", url)
        assert code == 2
        assert "the file of the option password_file cannot be read" in text
        assert str(file) not in text

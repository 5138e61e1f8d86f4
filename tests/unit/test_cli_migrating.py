"""`sagabus migrate MODULE:BUS` registers who receives what, before anything is published."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Take

from sagabus import Bus, event, handler
from sagabus.cli import main

MODULE = """
from tests.unit.test_cli_migrating import answer
from sagabus import Bus

bus = Bus({url!r}, answer)
"""


@event("cli.knocked")
class Knocked:
    door: str


@handler("porter", key="door")
def answer(message: Knocked) -> None: ...


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def url(request: pytest.FixtureRequest, take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty store, with a module beside it that has a bus on it."""
    url = take(request.param).url
    (tmp_path / "first_house.py").write_text(MODULE.format(url=url))
    monkeypatch.chdir(tmp_path)
    yield url
    sys.modules.pop("first_house", None)
    sys.path.remove(str(tmp_path))


def migrate(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    code = main(["migrate", *options, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_is_published_before_the_first_worker_waits_for_it(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = migrate(capsys, "first_house:bus")

    async def publish() -> str:
        web = Bus(url)
        await web.open(worker=False)
        status = (await web.publish(Knocked(door="D1"))).status
        await web.close()
        return status

    assert (code, told["registered"]) == (0, ["porter: cli.knocked"])
    assert asyncio.run(publish()) == "accepted"


def test_twice_registers_nothing_new_and_a_store_alone_registers_nothing(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = migrate(capsys, "--store", url)[1]
    first, second = (migrate(capsys, "first_house:bus")[1] for _ in range(2))

    assert alone["registered"] == second["registered"] == []
    assert first["applied"] == []
    assert first["registered"] == ["porter: cli.knocked"]

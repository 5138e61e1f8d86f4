"""A process killed while it changes the number of lanes: it is the old one or the new one then, for everything."""

import asyncio
from typing import Any

import pytest
from tests.conftest import Take
from tests.support.bad_programs import Task
from tests.support.fork_server import ForkServer

from sagabus import Bus, handler
from sagabus.envelope import lane_of
from sagabus.failpoint import NAMES

PROGRAM = "tests.support.bad_programs:divide"
COUNT = 30
NEW = 5

pytestmark = pytest.mark.faults

seen: list[int] = []


@handler("sorted", key="number")
def note(message: Task) -> None:
    seen.append(message.number)


async def fill(url: str) -> int:
    """Messages for many keys, in a store whose lanes nobody has chosen; their number."""
    bus = Bus(url, note)
    await bus.open(worker=False)
    await bus.publish_many([Task(number=number) for number in range(COUNT)])
    lanes = (await bus.store.routing()).lanes
    await bus.close()
    return lanes


async def work_off(url: str) -> None:
    async with Bus(url, note) as bus:
        await bus.idle()


def lanes_by_what_is_stored(database: Any) -> int:
    """The one number that everything in the store agrees on."""
    ((lanes,),) = database.of_bus("meta", "value", "WHERE name = 'lanes'")
    assert len(database.of_bus("lane", "lane", "WHERE channel = 'sorted'")) == lanes
    keys = [(str(number), lane_of(str(number), lanes)) for number in range(COUNT)]
    stored = [(_text(key), lane) for key, lane in database.of_bus("envelope", "partition_key, lane")]
    assert sorted(stored) == sorted(keys)
    return int(lanes)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("divide.")])
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
def test_killed_while_dividing_the_number_is_the_old_or_the_new(
    kind: str, name: str, take: Take, fork_server: ForkServer
) -> None:
    database = take(kind)
    old = asyncio.run(fill(database.url))
    seen.clear()

    assert fork_server.run(PROGRAM, database.url, NEW, failpoints=f"{name}=kill9").killed

    assert lanes_by_what_is_stored(database) == (NEW if name == "divide.after_commit" else old)
    asyncio.run(work_off(database.url))
    assert sorted(seen) == list(range(COUNT))
    assert database.of_bus("envelope") == []

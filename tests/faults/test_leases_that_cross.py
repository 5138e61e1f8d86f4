"""A worker that is late with its renewal, and one that takes it for dead at the same moment: neither waits for both."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.support.databases import SERVERS, ServerDatabase
from tests.support.lock_waits import one_waits

from sagabus.clock import SECOND
from sagabus.store import Subscription
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.postgres import PostgresStore
from sagabus.stores.sql import leasing
from sagabus.testing import ManualClock

pytestmark = pytest.mark.faults

STORES = {"postgres": PostgresStore, "mysql": MysqlStore}
TERMS = {"duration": 10 * SECOND, "window": 5}


async def to_the_end(steps: Any, question: Any, link: Any) -> Any:
    """The rest of a transaction that was begun by hand."""
    while True:
        answer = await link.answer(question)
        try:
            question = steps.send(answer)
        except StopIteration as end:
            await link.commit()
            return end.value


@pytest.mark.parametrize("kind", list(SERVERS), indirect=True)
async def test_a_late_renewal_and_its_heir_do_not_wait_for_each_other(
    database: ServerDatabase, monkeypatch: Any
) -> None:
    clock = ManualClock()
    late, heir = (STORES[database.kind](database.url, clock=clock, lanes=4) for _ in range(2))
    undone: list[object] = []

    async def undo(link: Any) -> None:
        undone.append(link)
        await type(heir)._undo(link)

    monkeypatch.setattr(heir, "_undo", undo)
    await late.open()
    await heir.open()
    await late.register([Subscription(message_type="x", channel="orders", kind="event")])
    await late.lease("late", ["orders"], **TERMS)
    clock.advance(timedelta(seconds=9))
    link = await late._connect()
    await link.begin()
    steps = leasing.lease("late", ["orders", "refunds"], clock.now(), lanes=4, **TERMS)
    question: Any = next(steps)
    while question.name != "alive":
        question = steps.send(await link.answer(question))
    clock.advance(timedelta(seconds=2))
    inheriting = asyncio.create_task(heir.lease("heir", ["orders"], **TERMS))
    await one_waits(database, "lane")

    held = await to_the_end(steps, question, link)
    shared = await inheriting
    link.terminate()
    await late.close()
    await heir.close()
    assert (len(held), len(shared), undone) == (8, 0, [])

"""A store that has gone back in time has all lanes begin anew, while workers run: each effect is there once, in order.

What this is for, on a server that has lost something, is in `tests/faults/test_failover.py`.
"""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Noted, Tally
from tests.scenarios.when_the_number_of_lanes_is_changed import KEYS, changed_while_a_handler_runs, numbers_of
from tests.scenarios.when_two_workers_share_a_store import glances, lanes

from sagabus import Bus, handler
from sagabus.store import Retention
from sagabus.testing import ManualClock


async def test_what_a_handler_does_at_that_moment_is_done_once(harness: MakeHarness) -> None:
    await changed_while_a_handler_runs(harness, lambda store: store.fence_all())


async def test_order_is_kept_and_lanes_stay_where_they_are(on_database: MakeHarness, clock: ManualClock) -> None:
    sent = 0
    async with on_database(Tally, clock=clock) as first, on_database(Tally, clock=clock) as second:
        await glances(clock, first, second)
        for publisher in (first, second, first, second):
            sent += 1
            await publisher.bus.publish_many([Noted(key=key, number=sent) for key in KEYS])
            await asyncio.gather(first.bus.store.fence_all(), glances(clock, first, second, number=4))
        await first.idle()
        await second.idle()

        assert (lanes(first), lanes(second)) == (8, 8)
        assert await numbers_of(first) == {key: list(range(1, sent + 1)) for key in KEYS}


async def test_a_copy_of_a_file_that_is_put_back_while_a_worker_runs(on_file: MakeHarness, file: Path) -> None:
    """By SQLite's own means, as one should not; what the worker has in hand stands where others' messages are then."""
    gate, runs = asyncio.Event(), list[int]()
    copy = file.with_name("copy.db")

    @handler("slow", key="key")
    async def slow(message: Noted) -> None:
        runs.append(message.number)
        if message.number == 1:
            await gate.wait()

    async with on_file(slow) as only, Bus(f"sqlite:///{file}") as administrator:
        await only.publish(Noted(key="K", number=0))
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        await only.bus.publish(Noted(key="K", number=1))
        await until(lambda: 1 in runs)

        with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(file)) as target:
            source.backup(target)
        await administrator.store.fence_all()
        await only.bus.publish(Noted(key="K", number=2))
        gate.set()
        await only.idle()

        assert runs[-1] == 2
        assert only.bus.statistics["slow", "completed"] == 2


async def test_after_a_restore_receipts_say_which_messages_the_copy_lacks(
    on_file: MakeHarness, file: Path, clock: ManualClock
) -> None:
    """Handled or not: who publishes again all that the copy may lack learns of each gap, and closes it."""
    copy = file.with_name("copy.db")
    sent = [(Noted(key=key, number=number), f"{key}-{number}") for number in range(6) for key in "AB"]
    known, since = sent[:6], sent[6:]
    async with on_file(Tally, clock=clock) as before:
        await before.bus.publish_many(known)
        await before.idle()
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        clock.advance(timedelta(hours=1))
        await before.bus.publish_many(since[:4])
        await before.idle()
        await before.bus.publish_many(since[4:])

    for each in ("-wal", "-shm"):
        file.with_name(f"{file.name}{each}").unlink(missing_ok=True)
    copy.replace(file)
    async with on_file(Tally, clock=clock) as after:
        await after.bus.store.fence_all()
        restored = await numbers_of(after)
        receipts = await after.bus.publish_many(sent)
        await after.idle()

        assert restored == {key: [0, 1, 2] for key in "AB"}
        assert [each.message_id for each in receipts if each.status == "duplicate"] == [id_ for _, id_ in known]
        assert [each.message_id for each in receipts if each.accepted] == [id_ for _, id_ in since]
        assert await numbers_of(after) == {key: list(range(6)) for key in "AB"}


async def test_after_a_restore_reconciling_lists_the_gaps(on_file: MakeHarness, file: Path, clock: ManualClock) -> None:
    """An hour-old copy: what was published since is missing, handled or not; what is older is there, or unknown."""
    copy, hour = file.with_name("copy.db"), timedelta(hours=1)
    async with on_file(Tally, clock=clock) as before:
        first = await before.publish(Noted(key="A", number=0))
        clock.advance(timedelta(days=3))
        await before.bus.store.purge([Retention("tally", 2 * 86_400_000_000)], 100)
        known = await before.bus.publish_many([Noted(key=key, number=1) for key in "AB"])
        await before.idle()
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        clock.advance(hour)
        lost = [await before.publish(Noted(key="A", number=2))]
        await before.idle()
        lost.append(await before.bus.publish(Noted(key="B", number=2), delay=hour))

    for each in ("-wal", "-shm"):
        file.with_name(f"{file.name}{each}").unlink(missing_ok=True)
    copy.replace(file)
    async with on_file(Tally, clock=clock) as after:
        await after.bus.store.fence_all()
        ids = [each.message_id for each in (first, *known, *lost)]
        plain = await after.bus.inspect.reconcile(ids)
        typed = await after.bus.inspect.reconcile([(each, "shop.noted") for each in ids])

        assert [each.status for each in plain] == ["unknown", "recorded", "recorded", "missing", "missing"]
        assert [(each.subscription, each.status) for each in typed] == [("tally", each.status) for each in plain]
        gaps = [each.message_id for each in typed if each.status == "missing"]
        receipts = await after.bus.publish_many([(Noted(key="A", number=3), each) for each in gaps])
        assert all(each.accepted for each in receipts)
        assert {each.status for each in await after.bus.inspect.reconcile(gaps)} == {"recorded"}

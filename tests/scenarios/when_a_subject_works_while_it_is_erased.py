"""What changes between the look of a step and its write is erased all the same."""

from datetime import timedelta

import pytest
from tests.support.databases import SERVERS, ServerDatabase
from tests.support.interrupted import JustBefore, arranged
from tests.support.waiting import until

from sagabus import Bus, Context, MendRefused, Saga, event, handler, handles, starts
from sagabus.store.running import Running

WHY = {"reason": "asked by letter", "by": "ann"}

pytestmark = pytest.mark.parametrize("database", list(SERVERS), indirect=True)


@event("meanwhile.opened")
class Opened:
    key: str


@event("meanwhile.counted")
class Counted:
    key: str


@event("meanwhile.passed")
class Passed:
    key: str


class Count(Saga, name="counts", key="key"):
    key: str
    count: int = 0

    @starts
    def opened(self, message: Opened) -> None: ...

    @handles
    def counted(self, message: Counted) -> None:
        self.count += 1


@handler("first", key="key")
def pass_on(message: Passed, ctx: Context) -> None:
    ctx.publish(Opened(key=message.key))


@pytest.fixture
def just_before(database: ServerDatabase, monkeypatch: pytest.MonkeyPatch) -> JustBefore:
    return arranged(database, monkeypatch)


async def left(bus: Bus) -> dict[str, int]:
    return dict((await bus.mend.erase(key="A", dry_run=True)).counts)


async def test_an_instance_that_a_handler_changes_meanwhile_goes(
    database: ServerDatabase, just_before: JustBefore
) -> None:
    async with Bus(database.url, Count) as bus:
        await bus.publish(Opened(key="A"))
        await bus.idle(20)

        async def work() -> None:
            await bus.publish(Counted(key="A"))
            await bus.idle(20)

        just_before("drop_instance", work)
        done = await bus.mend.erase(key="A", live=True, **WHY)

        assert (dict(done.counts), await left(bus)) == ({"saga instances": 1}, {})


async def test_an_instance_that_always_changes_ends_the_call_and_what_was_erased_is_written(
    database: ServerDatabase, just_before: JustBefore
) -> None:
    async with Bus(database.url, Count) as bus:
        await bus.publish(Opened(key="A"))
        await bus.publish(Opened(key="A"), delay=timedelta(hours=1))
        await bus.idle(20)

        async def change() -> None:
            await database.change(f"UPDATE {database.own('instance')} SET version = version + 1")

        just_before("drop_instance", change, times=1_000)
        with pytest.raises(MendRefused, match="new work for this subject keeps coming"):
            await bus.mend.erase(key="A", live=True, **WHY)

        (entry,) = (await bus.inspect.audit()).entries
        assert (entry.after, await left(bus)) == ({"erased": {"messages and timers": 1}}, {"saga instances": 1})


async def test_what_a_run_sends_that_ends_meanwhile_goes(database: ServerDatabase, just_before: JustBefore) -> None:
    """Its position may be one that was drawn before others, which are there already."""
    async with Bus(database.url, pass_on, Count) as bus:
        for name in ("first", "counts"):
            await bus.mend.pause(name, **WHY)
        for key in ("A", "drawn", "B"):
            await bus.publish(Passed(key=key), message_id=f"m-{key}")
        waiting = await bus.store.inspect.envelopes("first")
        drawn = next(each.position for each in waiting if each.partition_key == "drawn")
        await database.change(f"DELETE FROM {database.own('envelope')} WHERE message_id = 'm-drawn'")

        async def work() -> None:
            await bus.mend.resume("first", **WHY)
            await until(lambda: database.of_bus("envelope", "channel", "WHERE channel = 'first'") == [])
            await database.change(f"UPDATE {database.own('envelope')} SET position = {drawn} WHERE partition_key = 'A'")

        just_before("remove", work)
        await bus.mend.erase(key="A", live=True, **WHY)

        assert await left(bus) == {}
        assert len(await bus.store.inspect.envelopes("counts")) == 1


async def test_what_a_worker_notes_meanwhile_goes(database: ServerDatabase, just_before: JustBefore) -> None:
    async with Bus(database.url, pass_on) as bus:
        await bus.store.lease("another", ["first"], duration=60_000_000, window=10)

        async def note(*names: str) -> None:
            runs = [Running(name, "meanwhile.passed", "A", 1, 1) for name in names]
            await bus.store.note_running("another", {"first": runs})

        await note("m1")
        just_before("set_runs", lambda: note("m1", "m2"))
        done = await bus.mend.erase(key="A", live=True, **WHY)

        assert (dict(done.counts), await left(bus)) == ({"notes of workers and held keys": 1}, {})

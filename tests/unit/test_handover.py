"""What an append hands over to the next fetch: nothing else is new in its lanes, in no order but the accepted one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.databases import own_database

from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Effects, RetryAt, Save, Stashed, Verdict
from sagabus.store import Batch, Cursor, Subscription
from sagabus.store.loud import Sift
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.mysql.link import MysqlLink
from sagabus.stores.postgres import PostgresStore
from sagabus.stores.postgres.link import PostgresLink
from sagabus.stores.sql.steps import Answer, Query, UserQuery
from sagabus.stores.sqlite import SqliteStore
from sagabus.stores.sqlite.sets import Executor
from sagabus.testing import ManualClock

AnyStore = SqliteStore | PostgresStore | MysqlStore
ORDERS = "orders"
LANE = 3


class Stores:
    """Two stores on the same tables, and what the first of them asked the database for."""

    def __init__(self, ours: AnyStore, other: AnyStore, clock: ManualClock) -> None:
        self.ours, self.other, self.clock = ours, other, clock
        self.asked: list[str] = []
        self.after = 0
        self.routing = 0

    def envelope(self, message_id: str, key: str | None = "k", **fields: Any) -> Envelope:
        chosen: dict[str, Any] = {"lane": LANE, "sent_at": self.clock.now(), "guarded": True}
        return Envelope(
            message_id=message_id,
            message_type="noted",
            body=b'{"of":"%s"}' % message_id.encode(),
            channel=ORDERS,
            partition_key=key,
            **chosen | fields,
        )

    async def append(self, *envelopes: Envelope, store: AnyStore | None = None) -> None:
        answers = await (store or self.ours).append(envelopes, self.routing)
        assert answers is not None

    async def fetch(self, *, limit: int = 10, other_lanes: bool = True) -> list[Envelope]:
        """As a worker does, which goes on where it has come to."""
        self.asked.clear()
        lanes = range(16) if other_lanes else [LANE]
        cursors = [Cursor(ORDERS, lane, self.after if lane == LANE else 0) for lane in lanes]
        self.fetched = await self.ours.fetch(cursors, limit)
        found = list(self.fetched.envelopes)
        self.after = max([self.after, *(each.position for each in found if each.due_at == 0)])
        return found

    async def ids(self, **options: Any) -> list[str]:
        return [envelope.message_id for envelope in await self.fetch(**options)]

    async def as_stored(self) -> list[Envelope]:
        """What a process that was just started would fetch."""
        return list((await self.other.fetch([Cursor(ORDERS, LANE, 0)], 100)).envelopes)

    async def commit(self, *outcomes: Any) -> None:
        answers = await self.ours.commit(Batch(outcomes, self.routing, {}))
        assert {answer.verdict for answer in answers} == {Verdict.COMMITTED}


@asynccontextmanager
async def standing(url: str, kind: str, patch: pytest.MonkeyPatch) -> AsyncGenerator[Stores, None]:
    make, link, name = {
        "postgres": (PostgresStore, PostgresLink, "answer"),
        "mysql": (MysqlStore, MysqlLink, "answer"),
        "sqlite": (SqliteStore, Executor, "__call__"),
    }[kind]
    clock = ManualClock()
    stores = Stores(make(url, clock=clock), make(url, clock=clock), clock)
    answer = getattr(link, name)

    def noting(self: Any, ask: Query | UserQuery) -> Any:
        if isinstance(ask, Query):
            stores.asked.append(ask.name)
        return answer(self, ask)

    patch.setattr(link, name, noting)
    await stores.ours.open()
    await stores.other.open()
    try:
        subscription = Subscription(message_type="noted", channel=ORDERS, kind="event", window=10**12)
        stores.routing = (await stores.ours.register([subscription])).version
        assert await stores.ids() == []  # every lane has been looked at
        assert await stores.ids() == []
        yield stores
    finally:
        await stores.ours.close()
        await stores.other.close()


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def play(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator["Play"]:
    async def run(scene: Callable[[Stores], Awaitable[None]]) -> None:
        async with standing(url, request.param, monkeypatch) as ground:
            await scene(ground)

    with nullcontext(str(tmp_path / "it.db")) if request.param == "sqlite" else own_database(request.param) as url:
        yield lambda scene: asyncio.run(run(scene))


on_servers = pytest.mark.parametrize("play", ["postgres", "mysql"], indirect=True)
Scene = Callable[[Stores], Awaitable[None]]
Play = Callable[[Scene], None]


def test_what_was_appended_to_drained_lanes_is_fetched_without_asking(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        for number in range(5):
            await stores.append(
                stores.envelope(f"a{number}", headers={"trace": "1"} if number % 2 else {}, correlation_id="c", hops=3)
            )
            found = await stores.fetch()
            assert stores.asked == []
            assert found == [(await stores.as_stored())[-1]]
            assert [(channel, loaded.key, loaded.instance) for channel, loaded in stores.fetched.loaded] == [
                (ORDERS, "k", None)
            ]
        assert await stores.ids() == []

    play(scene)


@on_servers
def test_what_was_handed_over_is_fetched_without_a_connection(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        assert isinstance(stores.ours, PostgresStore | MysqlStore)
        monkeypatch.setattr(stores.ours._pool, "link", None)

        assert await stores.ids() == ["a"]

    play(scene)


def test_several_come_in_their_order(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(*[stores.envelope(f"a{number}", f"k{number}") for number in range(8)])
        found = await stores.fetch()
        assert stores.asked == [] or isinstance(stores.ours, MysqlStore)
        assert found == await stores.as_stored()

    play(scene)


def test_the_instance_comes_along(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        (first,) = await stores.fetch()
        save = Save(saga=ORDERS, key="k", base=0, state=b"{}", status="open", timers={"t": "1"}, completed=False)
        await stores.commit(Completed(first, Effects(save=save)))
        await stores.fetch()

        await stores.append(stores.envelope("b"))
        assert await stores.ids() == ["b"]

        assert stores.asked == []
        ((_, loaded),) = stores.fetched.loaded
        assert loaded.instance == (await stores.other.load(ORDERS, ["k"]))[0].instance
        assert loaded.instance is not None

    play(scene)


def test_what_another_process_appended_before_goes_before(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("theirs"), store=stores.other)
        await stores.append(stores.envelope("ours"))
        assert await stores.ids() == ["theirs", "ours"]

    play(scene)


def test_what_another_process_appends_meanwhile_is_found_afterwards(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("ours"))
        await stores.append(stores.envelope("theirs"), store=stores.other)
        assert await stores.ids() == ["ours"]
        stores.clock.advance(timedelta(seconds=1))
        assert await stores.ids() == ["theirs"]

    play(scene)


@on_servers  # on SQLite nothing commits late, and what is given is given without asking
def test_what_had_its_position_early_and_was_committed_late_goes_before(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        async with stores.other.transaction() as late:
            await late.append([stores.envelope("late")], stores.routing)
            await stores.append(stores.envelope("early"))
            assert await stores.ids() == ["early"]
            await late.commit()
        await stores.append(stores.envelope("ours"))

        found = await stores.ids()

        assert sorted(found) == ["late", "ours"]
        assert found == ["late", "ours"]

    play(scene)


def test_a_key_that_is_held_back_is_not_handed_over(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        (first,) = await stores.fetch()
        await stores.commit(RetryAt(envelope=first, delay=60_000_000, holds=True))
        await stores.fetch()

        await stores.append(stores.envelope("b"))

        assert await stores.ids() == []

    play(scene)


def test_what_was_handed_over_waits_for_a_retry_that_was_committed_meanwhile(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        (first,) = await stores.fetch()
        await stores.append(stores.envelope("b"))
        await stores.commit(RetryAt(envelope=first, delay=60_000_000, holds=True))

        assert await stores.ids() == []

    play(scene)


def test_a_key_with_something_stashed_brings_no_instance(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        (first,) = await stores.fetch()
        await stores.commit(Stashed(first, patience=60_000_000))
        await stores.fetch()
        await stores.append(stores.envelope("b"))

        assert await stores.ids() == ["b"]
        assert stores.fetched.loaded == ()

    play(scene)


def test_a_lane_that_has_no_room_gets_it_later(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        assert (await stores.ours.fetch([Cursor(ORDERS, LANE + 1, 0)], 10)).envelopes == ()
        assert await stores.ids(other_lanes=False) == ["a"]

    play(scene)


def test_a_lane_that_starts_again_gets_everything(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        assert await stores.ids() == ["a"]
        await stores.append(stores.envelope("b"))
        stores.after = 0
        assert await stores.ids() == ["a", "b"]

    play(scene)


def test_more_than_a_fetch_may_bring_is_asked_for(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(*[stores.envelope(f"a{number}", f"k{number}") for number in range(5)])
        assert await stores.ids(limit=3) == ["a0", "a1", "a2"]
        assert await stores.ids(limit=3) == ["a3", "a4"]

    play(scene)


def test_a_second_append_before_the_fetch_keeps_the_order(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        await stores.append(stores.envelope("b"))
        assert await stores.ids() == ["a", "b"]

    play(scene)


def test_what_was_handed_over_and_came_by_a_look_at_its_key_does_not_come_again(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        (found,) = (await stores.ours.sift(Sift(ORDERS, LANE, 0, only="k"), 10)).envelopes
        await stores.commit(Completed(found, Effects()))

        assert await stores.ids() == []

    play(scene)


def test_what_is_scheduled_or_known_is_not_handed_over(play: Play) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("later", delay=60_000_000))
        assert await stores.ids() == []
        await stores.append(stores.envelope("a"))
        assert await stores.ids() == ["a"]
        await stores.append(stores.envelope("a"), stores.envelope("b"))
        assert await stores.ids() == ["b"]

    play(scene)


@on_servers  # on SQLite nothing commits late, and what is given is given without asking
def test_a_fetch_that_fails_loses_nothing_of_it(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stores: Stores) -> None:
        await stores.append(stores.envelope("a"))
        stores.ours._fetching.news([(ORDERS, LANE + 1)])
        with monkeypatch.context() as patch:

            async def broken(link: object, ask: Query | UserQuery) -> Answer:
                raise OSError("cut")

            patch.setattr(PostgresLink, "answer", broken)
            patch.setattr(MysqlLink, "answer", broken)
            with pytest.raises(OSError, match="cut"):
                await stores.fetch()
        assert await stores.ids() == ["a"]

    play(scene)

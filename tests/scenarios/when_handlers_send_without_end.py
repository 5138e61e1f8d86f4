"""A message to oneself is delivered after the commit, never inside it; a loop of them is stopped and reported."""

from datetime import timedelta

from tests.scenarios.conftest import MakeHarness
from tests.support.databases import SERVERS

from sagabus import Context, Saga, Settings, event, handler, starts, timer


@event("loop.turned")
class Turned:
    turn: int
    until: int


@handler("loop")
async def turn(message: Turned, ctx: Context) -> None:
    if message.turn < message.until:
        ctx.publish(Turned(turn=message.turn + 1, until=message.until))


async def test_messages_to_oneself_are_handled_one_after_another(harness: MakeHarness, kind: str) -> None:
    until = 200 if kind in SERVERS else 1_000  # each is a commit by itself
    async with harness(turn) as bus:
        await bus.publish(Turned(turn=1, until=until))

        assert [message.turn for message in bus.published.of(Turned)] == list(range(2, until + 1))
        assert await bus.dead_letters() == []


async def test_a_loop_without_end_is_stopped_and_held_with_its_reason(harness: MakeHarness) -> None:
    async with harness(turn, settings=Settings(max_hops=50)) as bus:
        await bus.publish(Turned(turn=1, until=1_000_000))

        (letter,) = await bus.dead_letters()
        assert letter.error_type == "sagabus.errors.EndlessLoop"
        assert "50 messages in a row" in letter.reason
        assert len(bus.published.of(Turned)) == 50


class Ticker(Saga, name="ticker", key="turn"):
    turn: int
    ticks: int = 0

    @starts
    def begin(self, message: Turned, ctx: Context) -> None:
        ctx.set_timer("tick", after=timedelta(minutes=1))

    @timer("tick")
    def tick(self, ctx: Context) -> None:
        self.ticks += 1
        ctx.set_timer("tick", after=timedelta(minutes=1))


async def test_what_ticks_by_a_timer_may_go_on_for_ever(harness: MakeHarness) -> None:
    async with harness(Ticker, settings=Settings(max_hops=3)) as bus:
        await bus.publish(Turned(turn=1, until=1))
        for _ in range(10):
            await bus.advance(timedelta(minutes=1))

        state = await bus.saga(Ticker, "1")
        assert state.ticks == 10
        assert await bus.dead_letters() == []

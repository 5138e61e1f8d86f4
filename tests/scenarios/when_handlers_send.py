"""What a handler sends: at the commit, once, under ids that a second run repeats."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Do, Ended, Noted
from tests.support.databases import SERVERS

from sagabus import (
    ConfigurationError,
    Context,
    ContextClosed,
    HandlingError,
    MessageNotDeclared,
    RetryPolicy,
    StoreUnavailable,
    Unroutable,
    handler,
)
from sagabus.testing import Harness

ONCE = RetryPolicy(attempts=1)


async def test_nothing_leaves_a_run_that_fails(harness: MakeHarness) -> None:
    @handler("sender", retry=ONCE)
    def send(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key="A"))
        raise ValueError

    async with harness(send) as bus:
        await bus.publish(Noted(key="A"))

        assert bus.published == []


async def test_a_second_run_mints_the_same_ids(harness: MakeHarness) -> None:
    ids: list[list[str]] = []

    @handler("sender")
    def send(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key="A"))
        ctx.publish(Ended(key="B"))
        ids.append([envelope.message_id for envelope in ctx.outgoing])
        if ctx.attempt == 1:
            raise ValueError

    async with harness(send) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(seconds=1))

        assert ids[0] == ids[1]
        assert len(set(ids[0])) == 2


async def test_an_id_of_the_handlers_own_is_sent_once_for_all(harness: MakeHarness) -> None:
    taken: list[str] = []

    @handler("sender")
    def send(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key=message.key), message_id="the-end")

    @handler("taker")
    def take(message: Ended, ctx: Context) -> None:
        taken.append(ctx.message_id)

    async with harness(send, take) as bus:
        await bus.bus.publish_many([Noted(key="A") for _ in range(5)])
        await bus.idle()

        assert taken == ["the-end"]


async def test_conversation_cause_and_headers_travel(harness: MakeHarness) -> None:
    seen: list[tuple[str, str | None, dict[str, str]]] = []

    @handler("first")
    def first(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key="A"), headers={"h": "1"})

    @handler("second")
    def second(message: Ended, ctx: Context) -> None:
        seen.append((ctx.correlation_id, ctx.key, dict(ctx.headers)))

    async with harness(first, second) as bus:
        await bus.publish(Noted(key="A"), message_id="m1", partition_key="P")
        await bus.publish(Noted(key="A"), correlation_id="c1")

        assert seen == [("m1", "P", {"h": "1"}), ("c1", None, {"h": "1"})]


async def test_the_context_is_closed_after_the_run(harness: MakeHarness) -> None:
    kept: list[Context] = []

    @handler("keeper")
    def keep(message: Noted, ctx: Context) -> None:
        kept.append(ctx)

    async with harness(keep) as bus:
        await bus.publish(Noted(key="A"))
        (ctx,) = kept
        calls: list[Any] = [
            lambda: ctx.publish(Ended(key="A")),
            lambda: ctx.send(Do(key="A")),
            lambda: ctx.schedule(Ended(key="A"), after=timedelta(1)),
            lambda: ctx.execute("SELECT 1"),
            lambda: ctx.set_timer("x", after=timedelta(1)),
            lambda: ctx.cancel_timer("x"),
            ctx.complete,
        ]
        for call in calls:
            with pytest.raises(ContextClosed):
                call()


async def test_a_background_task_comes_too_late(harness: MakeHarness) -> None:
    errors: list[BaseException] = []
    tasks: list[asyncio.Task[None]] = []

    @handler("starter")
    async def start(message: Noted, ctx: Context) -> None:
        async def later() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            try:
                ctx.publish(Ended(key="A"))
            except ContextClosed as error:
                errors.append(error)

        tasks.append(asyncio.create_task(later()))

    async with harness(start) as bus:
        await bus.publish(Noted(key="A"))
        await until(lambda: all(task.done() for task in tasks))

        assert len(errors) == 1
        assert bus.published == []


async def test_timers_and_completion_are_of_sagas_only(harness: MakeHarness) -> None:
    caught: list[HandlingError] = []

    @handler("stateless")
    def try_all(message: Noted, ctx: Context) -> None:
        for call in (lambda: ctx.set_timer("x", after=timedelta(1)), lambda: ctx.cancel_timer("x"), ctx.complete):
            try:
                call()
            except HandlingError as error:
                caught.append(error)

    async with harness(try_all) as bus:
        await bus.publish(Noted(key="A"))

        assert len(caught) == 3


async def test_a_long_chain_ends(harness: MakeHarness, kind: str) -> None:
    links = 200 if kind in SERVERS else 1000  # each is a commit by itself

    @handler("chain")
    def chain(message: Do, ctx: Context) -> None:
        if message.number:
            ctx.send(Do(key=message.key, number=message.number - 1))
        else:
            ctx.publish(Ended(key=message.key))

    async with harness(chain, patience=30) as bus:
        await bus.publish(Do(key="A", number=links))

        assert bus.bus.statistics["chain", "completed"] == links + 1
        assert bus.published == [Ended(key="A")]


async def test_a_tree_of_messages_is_complete(harness: MakeHarness) -> None:
    @handler("tree")
    def grow(message: Do, ctx: Context) -> None:
        for branch in range(3) if message.number else ():
            ctx.send(Do(key=f"{message.key}{branch}", number=message.number - 1))

    async with harness(grow) as bus:
        await bus.publish(Do(key="A", number=4))

        assert bus.bus.statistics["tree", "completed"] == 1 + 3 + 9 + 27 + 81


async def test_the_wrong_verb_is_refused_on_its_line(harness: MakeHarness) -> None:
    @handler("doer")
    def take(message: Do) -> None: ...

    async with harness(take) as bus:
        with pytest.raises(ConfigurationError, match="send"):
            await bus.bus.publish(Do(key="A"))
        with pytest.raises(ConfigurationError, match="publish"):
            await bus.bus.send(Noted(key="A"))
        with pytest.raises(MessageNotDeclared):
            await bus.bus.publish(object())


async def test_an_event_that_no_subscription_receives_is_unheard(harness: MakeHarness) -> None:
    @handler("doer")
    def take(message: Do) -> None: ...

    async with harness(take) as bus:
        receipt = await bus.publish(Noted(key="A"))

        assert (receipt.status, receipt.subscriptions) == ("unheard", {})


async def test_a_command_without_a_receiver_is_refused(harness: MakeHarness) -> None:
    @handler("other", retry=ONCE)
    def other(message: Noted, ctx: Context) -> None:
        ctx.send(Do(key="A"))

    async with harness(other, strict=True) as bus:
        with pytest.raises(Unroutable):
            await bus.send(Do(key="A"))
        await bus.publish(Noted(key="A"))

        (letter,) = await bus.dead_letters()
        assert (letter.error_type or "").endswith("Unroutable")


async def test_a_closed_bus_says_so() -> None:
    @handler("doer")
    def take(message: Do) -> None: ...

    bus = Harness(take).bus

    with pytest.raises(StoreUnavailable, match="not open"):
        await bus.send(Do(key="A"))
    await bus.close()
    await bus.close()

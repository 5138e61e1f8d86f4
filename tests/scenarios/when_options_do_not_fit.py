"""What is said of a message beside it, at its edges: refused by one error at the call, by every way, on each store."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Do, Noted
from tests.scenarios.ways_to_join import begun
from tests.support.databases import Database

from sagabus import (
    Bus,
    Context,
    InvalidMessageId,
    MessageInvalid,
    MessageTooLarge,
    RetryPolicy,
    Settings,
    StoreError,
    handler,
)
from sagabus.message.stamping import MOST_HEADERS
from sagabus.testing import Harness

BROKEN = ["a\udc80b", "\ud83d\ude00", "\ud800"]
LIMIT = 1_000
SMALL = Settings(max_message_size=LIMIT)

REFUSED: list[tuple[dict[str, Any], type[Exception]]] = [
    *(({"headers": {"h": text}}, MessageInvalid) for text in BROKEN),
    *(({"headers": {text: "h"}}, MessageInvalid) for text in BROKEN),
    *(({"partition_key": text}, MessageInvalid) for text in [*BROKEN, "a\0b", "", "x" * 501]),
    *(({"message_id": text}, InvalidMessageId) for text in [*BROKEN, "a\0b"]),
    *(({"correlation_id": text}, InvalidMessageId) for text in [*BROKEN, "", "x" * 201]),
    *(({"partition_key": value}, MessageInvalid) for value in (5, 5.0, b"A", True)),
    *(({"headers": value}, MessageInvalid) for value in ({"h": 5}, {5: "h"}, {"h": None}, [("h", "v")], "h")),
    ({"headers": {f"h{n}": "v" for n in range(MOST_HEADERS + 1)}}, MessageInvalid),
    ({"headers": {"h": "v" * LIMIT}}, MessageTooLarge),
    ({"headers": {"h" * LIMIT: "v"}}, MessageTooLarge),
    ({"headers": {"h": "é" * (LIMIT // 2)}}, MessageTooLarge),
]

Way = Callable[[Bus, dict[str, Any]], Awaitable[object]]


@handler("noting")
def note(message: Noted | Do) -> None: ...


async def by_publish(bus: Bus, options: dict[str, Any]) -> object:
    return await bus.publish(Noted(key="A"), **options)


async def by_send(bus: Bus, options: dict[str, Any]) -> object:
    return await bus.send(Do(key="A"), **options)


async def by_transaction(bus: Bus, options: dict[str, Any]) -> object:
    async with bus.transaction() as tx:
        return tx.publish(Noted(key="A"), **options)


WAYS: list[Way] = [by_publish, by_send, by_transaction]


@pytest.mark.parametrize("way", WAYS)
async def test_each_is_refused_at_the_call_on_every_store(harness: MakeHarness, way: Way) -> None:
    async with harness(note, settings=SMALL) as bus:
        for options, error in REFUSED:
            with pytest.raises(error):
                await way(bus.bus, options)

        assert [each.waiting for each in await bus.bus.counts()] == [0]


async def test_a_joined_transaction_refuses_each_and_goes_on(database: Database, on_database: MakeHarness) -> None:
    async with on_database(note, settings=SMALL) as bus:
        with begun(database) as connection:
            joined = bus.bus.join(connection)
            for options, error in REFUSED:
                with pytest.raises(error):
                    joined.publish(Noted(key="A"), **options)
            joined.publish(Noted(key="A"), message_id="sound")
        await bus.idle()

        assert bus.bus.statistics["noting", "completed"] == 1


@pytest.mark.parametrize(("options", "error"), REFUSED, ids=lambda value: repr(value)[:40])
async def test_a_handler_that_says_it_has_failed(options: dict[str, Any], error: type[Exception]) -> None:
    caught: list[type[BaseException]] = []

    @handler("teller", retry=RetryPolicy(attempts=1))
    def tell(message: Do, ctx: Context) -> None:
        try:
            ctx.publish(Noted(key="A"), **options)
        except Exception as found:
            caught.append(type(found))
            raise

    async with Harness(tell, note_only, settings=SMALL) as bus:
        await bus.send(Do(key="A"))

        assert caught == [error]
        assert len(await bus.dead_letters()) == 1


@handler("listener")
def note_only(message: Noted) -> None: ...


@pytest.mark.parametrize("text", ["a\0b", "😀", "%s %(x)s", "{0}", "\u202eabc", "".join(map(chr, range(1, 32)))])
async def test_headers_may_hold_any_text(harness: MakeHarness, text: str) -> None:
    seen: list[dict[str, str]] = []

    @handler("reader")
    def read(message: Noted, ctx: Context) -> None:
        seen.append(dict(ctx.headers))

    async with harness(read) as bus:
        await bus.publish(Noted(key="A"), headers={text: text})

    assert seen == [{text: text}]


async def test_body_and_headers_up_to_the_limit_pass(harness: MakeHarness) -> None:
    body = len(b'{"key":"A","number":0,"text":""}')
    async with harness(note, settings=SMALL) as bus:
        receipt = await bus.publish(Noted(key="A"), headers={"h": "v" * (LIMIT - body - 1)})
        with pytest.raises(MessageTooLarge, match=rf"body of {body} and headers of {LIMIT - body + 1} bytes"):
            await bus.publish(Noted(key="A"), headers={"h": "v" * (LIMIT - body)})

        assert receipt.accepted


async def test_a_key_of_the_message_that_no_store_can_hold_costs_its_subscription_only(harness: MakeHarness) -> None:
    @handler("keyed", key=lambda message: message.key + "\udc80")
    def take(message: Noted) -> None: ...

    async with harness(take, note) as bus:
        receipt = await bus.publish(Noted(key="A"))

        (letter,) = await bus.dead_letters()
        assert receipt.accepted
        assert "UTF-8" in letter.reason
        assert bus.bus.statistics["noting", "completed"] == 1


@pytest.mark.parametrize("database", ["mysql"], indirect=True)
async def test_what_no_packet_holds_is_no_transient_error_and_others_go_on(database: Database) -> None:
    ((packet,),) = database.run("SELECT @@max_allowed_packet")
    bus = Bus(database.url, note, settings=Settings(max_message_size=2 * packet))
    await bus.open(worker=False)

    with pytest.raises(StoreError, match="max_allowed_packet") as caught:
        await bus.publish(Noted(key="A", text="x" * (packet + 1)))
    receipt = await bus.publish(Noted(key="A"))

    assert not caught.value.is_transient
    assert receipt.accepted
    await bus.close()

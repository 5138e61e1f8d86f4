"""What a bridge has in its hands while the store works, without a broker and without a store."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self

import pytest

from sagabus.clock import SystemClock
from sagabus.engine.bridges.inbound import Inbound
from sagabus.engine.bridges.wire_format import WireFormat
from sagabus.errors import TransportError
from sagabus.transport import Delivery, WireMessage


class Stage:
    """A link with batches of two messages, a store that answers when it is told to, and what both of them saw."""

    are_at_bridges = False
    table = None

    def __init__(self, batches: int) -> None:
        self.batches, self.seen = batches, list[str]()
        self.keeps, self.settles = asyncio.Semaphore(0), asyncio.Semaphore(0)
        self.lost = asyncio.get_running_loop().create_future()
        self.taking: Any = None

    async def receive(self, most: int) -> Sequence[Delivery]:
        if not self.batches:
            raise await self.lost
        self.batches -= 1
        number = len(self.of("receive"))
        self.seen.append(f"receive {number}")
        return [
            Delivery(WireMessage(id=f"{number}", source="s", type="t", body=b""), 2 * number + at) for at in range(2)
        ]

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        await self.settles.acquire()
        self.seen.append(f"settled {deliveries[0].message.id}")

    async def append(self, addressed: Callable[[], Sequence[Any]]) -> Any:
        envelopes = addressed()
        self.seen.append(f"append {envelopes[0]}")
        await self.keeps.acquire()
        self.seen.append(f"kept {envelopes[0]}")
        return (), ()

    def envelope(self, message: WireMessage) -> str:
        return message.id

    def addressed(self, envelope: str, table: object) -> Sequence[str]:
        return [envelope]

    async def __aenter__(self) -> Self:
        given: Any = self
        inbound = Inbound(
            "books", WireFormat(), given, given, given, rules=given, observers=given, clock=SystemClock(), place=""
        )
        self.taking = asyncio.create_task(inbound.take(given, 2))
        await self.rests()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.taking.cancel()
        await asyncio.wait([self.taking])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def of(self, word: str) -> list[str]:
        """The numbers of the batches that this was seen of."""
        return [number for each, number in map(str.split, self.seen) if each == word]

    async def rests(self) -> None:
        """Let all go on that can."""
        for _ in range(20):
            await asyncio.sleep(0)


async def test_while_the_store_keeps_one_batch_the_next_one_comes_and_no_more() -> None:
    async with Stage(5) as stage:
        assert stage.seen == ["receive 0", "append 0", "receive 1"]

        stage.keeps.release()
        await stage.rests()

        assert stage.seen[3:] == ["kept 0", "append 1", "receive 2"]


async def test_each_batch_is_settled_after_the_store_has_it_and_in_order() -> None:
    async with Stage(3) as stage:
        for _ in range(3):
            stage.settles.release()
            stage.keeps.release()
        await stage.rests()

    assert stage.of("kept") == stage.of("settled") == ["0", "1", "2"]
    for number in stage.of("kept"):
        assert stage.seen.index(f"kept {number}") < stage.seen.index(f"settled {number}")


async def test_no_batch_overtakes_one_that_is_not_settled_by_more_than_one() -> None:
    async with Stage(5) as stage:
        for _ in range(5):
            stage.keeps.release()
        await stage.rests()

        assert stage.of("kept") == ["0", "1"]
        stage.settles.release()
        await stage.rests()

        assert stage.of("kept") == ["0", "1", "2"]


async def test_a_link_that_ends_ends_what_goes_on_over_it() -> None:
    async with Stage(1) as stage:
        stage.keeps.release()
        await stage.rests()  # it is being settled
        stage.lost.set_result(TransportError("lost"))

        with pytest.raises(TransportError, match="lost"):
            await stage.taking

    assert "settled 0" not in stage.seen


async def test_an_error_of_settling_is_met_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(deliveries: Sequence[Delivery]) -> None:
        raise TransportError("not settled")

    async with Stage(1) as stage:
        monkeypatch.setattr(stage, "settle", refused)
        stage.keeps.release()

        with pytest.raises(TransportError, match="not settled"):
            await stage.taking


async def test_what_was_being_kept_when_the_bridge_stops_is_not_settled() -> None:
    async with Stage(2) as stage:
        for _ in range(2):
            stage.settles.release()

    assert stage.seen == ["receive 0", "append 0", "receive 1"]

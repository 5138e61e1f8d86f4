"""What is called at once comes to the same as what is begun first and called by the way of those that wait."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from sagabus import Bus, Context, Saga, command, event, handler, handles, starts
from sagabus.codec import JsonCodec
from sagabus.codec.states import StateCodec
from sagabus.engine.consumer import Consumer, HandlerConsumer, Surroundings, called
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.routing import LiveRouting
from sagabus.engine.run import Run
from sagabus.engine.saga_consumer import SagaConsumer
from sagabus.engine.sender import Sender
from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Outcome
from sagabus.refs import LaneRef
from sagabus.store import Routing, Subscription
from sagabus.testing.clock import ManualClock


@event("one.placed")
class Placed:
    order_id: str


@command("one.pay")
class Pay:
    order_id: str


@event("one.paid")
class Paid:
    order_id: str


@handler("bank")
def pay(message: Pay, ctx: Context) -> None:
    ctx.execute("INSERT INTO paid VALUES (?)", (message.order_id,))


class Order(Saga, name="orders", key="order_id", history=True):
    order_id: str
    status: str = "new"

    @starts
    def placed(self, message: Placed, ctx: Context) -> None:
        self.status = "placed"
        ctx.send(Pay(order_id=self.order_id))

    @handles(when="placed")
    def paid(self, message: Paid, ctx: Context) -> None:
        ctx.complete()


class Takes:
    """A database that every statement suits."""

    def execute_check(self, sql: str, parameters: object) -> None: ...


def consumers() -> tuple[Consumer, Consumer]:
    definitions = {each.name: each for each in Bus("memory:", pay, Order).definitions}
    routing = LiveRouting({})
    routing.learn(Routing(1, 4, (Subscription(message_type="one.pay", channel="bank", kind="command"),)))
    codec, clock = JsonCodec(), ManualClock()
    rules: Any = type("Rules", (), {"by_id_alone": True})
    around = Surroundings(Sender(codec, routing, Takes()), codec, clock, rules, cast(Any, None))
    bank, orders = cast(Any, definitions["bank"]), cast(Any, definitions["orders"])
    return HandlerConsumer(bank, around), SagaConsumer(orders, around, StateCodec())


def later(consumer: Consumer, mailbox: Mailbox, envelope: Envelope) -> Outcome:
    run = consumer.begin(mailbox, envelope, False)
    assert isinstance(run, Run)
    assert called(run.reaction, run.state, run.message, run.ctx) is None
    return consumer.conclude(run)


def at_once(consumer: Consumer, mailbox: Mailbox, envelope: Envelope) -> Outcome:
    return cast(Outcome, consumer.begin(mailbox, envelope, True))


def outcomes(way: Any, kind: int, types: Sequence[str]) -> list[Outcome]:
    consumer = consumers()[kind]
    mailbox = Mailbox(cast(Any, consumer)._definition, "A", LaneRef("orders", 0), 1)
    mailbox.believe(None, [])
    body = b'{"order_id":"A"}'
    given = [Envelope(f"m{n}", name, body, "orders", 0, "A", position=n) for n, name in enumerate(types)]
    return [way(consumer, mailbox, envelope) for envelope in given]


@pytest.mark.parametrize(("kind", "types"), [(0, ["one.pay"]), (1, ["one.placed", "one.paid"])])
def test_both_ways_come_to_the_same(kind: int, types: Sequence[str]) -> None:
    found = outcomes(at_once, kind, types)

    assert [type(outcome) for outcome in found] == [Completed] * len(types)
    assert found == outcomes(later, kind, types)

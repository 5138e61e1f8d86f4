"""A message that a run sends without options is addressed in one step, and comes out as the long way has it."""

from collections.abc import Callable

import pytest

from sagabus.codec import JsonCodec
from sagabus.context import Context
from sagabus.engine.observers import Observers
from sagabus.engine.routing import LiveRouting
from sagabus.engine.sender import Sender
from sagabus.envelope import Envelope, Stamp
from sagabus.errors import ConfigurationError, EndlessLoop, MessageInvalid, Unroutable
from sagabus.identity import derive
from sagabus.message import command, event, message_type_of
from sagabus.message.correlation import KeyOf, key_reader
from sagabus.observer import Observer
from sagabus.outcome import Parameters
from sagabus.settings import Settings
from sagabus.store import Routing, Subscription


@event("short.noted")
class Noted:
    order: str = "A"
    note: float = 1.5


@event("short.changed", version=2, upcast={1: dict})
class Changed:
    order: str = "A"


@command("short.pay")
class Pay:
    order: str = "A"


class AnySql:
    def execute_check(self, sql: str, parameters: Parameters) -> None: ...


class Marks(Observer):
    def sending(self, message: object, headers: dict[str, str]) -> None:
        headers["mark"] = "1"


def no_key(_: object) -> str | None:
    raise MessageInvalid("short.noted", "order", "has none")


def sender_to(
    *subscriptions: Subscription, keys: dict[tuple[str, str], KeyOf] | None = None, observers: Observers | None = None
) -> Sender:
    routing = LiveRouting(keys or {})
    sender = Sender(JsonCodec(), routing, AnySql(), Settings(max_hops=5), observers)
    routing.learn(Routing(3, 16, subscriptions))
    return sender


def subscription(name: str, channel: str = "listener", key: str | None = None, *, keyed: bool = False) -> Subscription:
    kind = "command" if name == "short.pay" else "event"
    return Subscription(message_type=name, channel=channel, kind=kind, key=key, keyed=keyed)


def cause(hops: int = 0) -> Envelope:
    return Envelope(
        message_id="m1",
        message_type="t",
        body=b"{}",
        channel="orders",
        partition_key="K",
        correlation_id="c",
        hops=hops,
    )


SENDERS: dict[str, Callable[[], Sender]] = {
    "one receiver, the sender's key": lambda: sender_to(subscription("short.noted")),
    "one receiver, a key by field": lambda: sender_to(subscription("short.noted", key="order")),
    "one receiver, a key that only it can read": lambda: sender_to(subscription("short.noted", keyed=True)),
    "one receiver, a key function": lambda: sender_to(
        subscription("short.noted", keyed=True),
        keys={("listener", "short.noted"): key_reader(message_type_of(Noted), lambda message: message.order * 3)},
    ),
    "one receiver, a key function that raises": lambda: sender_to(
        subscription("short.noted", keyed=True), keys={("listener", "short.noted"): no_key}
    ),
    "two receivers": lambda: sender_to(subscription("short.noted"), subscription("short.noted", "other")),
    "no receiver": sender_to,
    "headers that an observer adds": lambda: sender_to(subscription("short.noted"), observers=Observers([Marks()])),
    "a version in the headers": lambda: sender_to(subscription("short.changed")),
}


@pytest.mark.parametrize("name", SENDERS)
def test_the_second_message_of_a_run_is_addressed_as_the_long_way_does(name: str) -> None:
    sender, message = SENDERS[name](), Changed() if "version" in name else Noted()
    ctx = Context(cause(), sender, 7)
    ctx.publish(message)
    half = len(ctx.outgoing)
    ctx.publish(message)

    stamp = Stamp(derive("m1", "orders", 2), 7, "K", None, "c", "m1", hops=1)
    assert ctx.outgoing[half:] == SENDERS[name]().address(message, stamp, "event")


def test_the_short_way_refuses_what_the_long_one_refuses() -> None:
    sender = sender_to(subscription("short.pay"), subscription("short.noted"))
    ctx = Context(cause(), sender, 7)
    ctx.send(Pay())
    ctx.publish(Noted())

    with pytest.raises(ConfigurationError, match="publish"):
        ctx.send(Noted())
    with pytest.raises(MessageInvalid):
        ctx.publish(Noted(note=float("nan")))
    late = Context(cause(hops=5), sender, 7)
    with pytest.raises(EndlessLoop):
        late.send(Pay())
    sender.routing.learn(Routing(4, 16, ()))
    with pytest.raises(Unroutable):
        ctx.send(Pay())

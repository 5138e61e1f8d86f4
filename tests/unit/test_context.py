"""What user code is given: it buffers, derives ids, and refuses on the line of the mistake."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from sagabus.clock import instant
from sagabus.codec import JsonCodec
from sagabus.context import TIMER, Context, due
from sagabus.engine.routing import LiveRouting
from sagabus.engine.sender import Sender
from sagabus.envelope import Envelope
from sagabus.errors import ContextClosed, HandlingError, InvalidTime
from sagabus.identity import derive
from sagabus.message import event
from sagabus.outcome import Parameters
from sagabus.store import Routing, Subscription

NOW = instant(datetime(2030, 1, 1, tzinfo=UTC))


@event("tests.told")
class Told:
    key: str = "A"


class AnySql:
    def execute_check(self, sql: str, parameters: Parameters) -> None: ...


def context(*, stateful: bool = True, **fields: object) -> Context:
    routing = LiveRouting({})
    sender = Sender(JsonCodec(), routing, AnySql())
    routing.learn(Routing(1, 16, (Subscription(message_type="tests.told", channel="listener", kind="event"),)))
    chosen = {"message_id": "m1", "message_type": "t", "body": b"{}", "channel": "orders", "partition_key": "A"}
    envelope = Envelope(**{**chosen, **fields})  # type: ignore[arg-type]
    return Context(envelope, sender, NOW, stateful=stateful)


def test_it_knows_its_message() -> None:
    ctx = context(correlation_id="c", headers={"h": "1"}, attempt=2, sent_at=NOW)

    assert (ctx.message_id, ctx.message_type, ctx.subscription, ctx.key) == ("m1", "t", "orders", "A")
    assert (ctx.correlation_id, ctx.headers, ctx.attempt) == ("c", {"h": "1"}, 3)
    assert ctx.sent_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert (context().correlation_id, context().headers) == ("m1", {})


def test_sent_messages_inherit_key_and_conversation() -> None:
    ctx = context(correlation_id="c")
    ctx.publish(Told())
    ctx.publish(Told(), partition_key="B", correlation_id="other", headers={"x": "y"}, message_id="mine")

    first, second = ctx.outgoing
    assert (first.partition_key, first.correlation_id, first.causation_id) == ("A", "c", "m1")
    assert (first.message_id, first.guarded) == (derive("m1", "orders", 1), False)
    assert (second.partition_key, second.correlation_id, second.causation_id) == ("B", "other", "m1")
    assert (second.message_id, second.guarded, second.headers) == ("mine", True, {"x": "y"})


def test_ids_go_by_ordinal_whatever_the_kind() -> None:
    ctx = context()
    ctx.set_timer("t", after=timedelta(1))
    ctx.publish(Told())

    assert ctx.outgoing[0].message_id == derive("m1", "orders", 2)


def test_a_timer_is_an_envelope_in_its_own_channel() -> None:
    ctx = context()
    ctx.set_timer("payment", after=timedelta(seconds=3))
    ctx.cancel_timer("other")

    timer = ctx.timer_changes["payment"]
    assert timer is not None
    assert (timer.message_type, timer.channel, timer.partition_key, timer.timer) == (TIMER, "orders", "A", "payment")
    assert (timer.delay, timer.due_at) == (3_000_000, 0)
    assert ctx.timer_changes["other"] is None


def test_idempotency_keys_are_of_message_subscription_and_step() -> None:
    keys = {
        context().idempotency_key("charge"),
        context().idempotency_key("refund"),
        context(message_id="m2").idempotency_key("charge"),
        context(channel="other").idempotency_key("charge"),
    }

    assert len(keys) == 4
    assert context(attempt=4).idempotency_key("charge") == context().idempotency_key("charge")


def test_due_is_one_of_two() -> None:
    moment = datetime(2030, 1, 2, tzinfo=UTC)

    assert due(timedelta(seconds=1), None) == (0, 1_000_000)
    assert due(timedelta(0), None) == (0, 1)
    assert due(None, moment) == (instant(moment), 0)


MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "at"),
    [
        (None, None),
        (timedelta(1), MOMENT),
        (timedelta(-1), None),
        (timedelta.max, None),
        (5, None),
        (2.5, None),
        (None, MOMENT.replace(tzinfo=None)),
        (None, MOMENT.date()),
        (None, 1_900_000_000),
        (None, datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
        (None, datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))),
    ],
)
def test_other_times_are_refused_by_one_error(after: Any, at: Any) -> None:
    with pytest.raises(InvalidTime, match=r"after|at"):
        due(after, at)


@pytest.mark.parametrize("year", [1, 1969, 1970])
def test_an_instant_in_the_past_is_due_now(year: int) -> None:
    assert due(None, datetime(year, 1, 1, tzinfo=UTC)) == (1, 0)


def test_what_is_sent_for_the_past_or_at_no_delay_counts_as_sent_at_once() -> None:
    ctx = context()
    for when in ({"after": timedelta(0)}, {"at": datetime(1969, 1, 1, tzinfo=UTC)}, {"after": timedelta(seconds=1)}):
        ctx.schedule(Told(), **when)  # type: ignore[arg-type]  # one of the two

    assert [envelope.hops for envelope in ctx.outgoing] == [1, 1, 0]


def test_without_state_there_are_no_timers() -> None:
    ctx = context(stateful=False)

    for call in (lambda: ctx.set_timer("t", after=timedelta(1)), lambda: ctx.cancel_timer("t"), ctx.complete):
        with pytest.raises(HandlingError):
            call()


def test_closed_it_takes_nothing_and_still_tells() -> None:
    ctx = context()
    ctx.close()

    with pytest.raises(ContextClosed) as caught:
        ctx.publish(Told())
    assert (caught.value.message_id, caught.value.subscription) == ("m1", "orders")
    assert ctx.message_id == "m1"
    assert ctx.outgoing == []

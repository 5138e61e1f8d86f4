"""Publishing from everywhere: what may be said with a message."""

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import assert_type

import sqlalchemy.ext.asyncio
import sqlalchemy.orm

from sagabus import Bus, Command, Context, Event, Receipt, command, event, handler


@event("orders.submitted")
class OrderSubmitted:
    order_id: str


@command("payments.capture")
class CapturePayment:
    order_id: str


SUBMITTED = OrderSubmitted(order_id="A1")
CAPTURE = CapturePayment(order_id="A1")


async def from_outside(bus: Bus) -> None:
    receipt = await bus.publish(SUBMITTED, message_id="A1", headers={"tenant": "a"}, delay=timedelta(1))
    assert_type(receipt, Receipt)
    assert_type(await bus.send(CAPTURE, at=datetime.now(UTC), correlation_id="c"), Receipt)
    await bus.publish(SUBMITTED, mesage_id="A1")  # error: mypy[call-overload] pyright[reportCallIssue]
    await bus.publish(SUBMITTED, delay=5)  # error: mypy[call-overload] pyright[reportArgumentType]
    await bus.publish(SUBMITTED, headers={"n": 1})  # error: mypy[dict-item] pyright[reportArgumentType]


async def in_transactions(bus: Bus) -> None:
    async with bus.transaction() as tx:
        assert_type(tx.publish(SUBMITTED), str)
        await tx.connection.execute("DELETE FROM cart")


async def in_transactions_of_others(
    bus: Bus,
    awaited: sqlalchemy.ext.asyncio.AsyncSession,
    session: sqlalchemy.orm.Session,
    connection: sqlite3.Connection,
) -> None:
    assert_type(await bus.join(awaited).publish(SUBMITTED), Receipt)
    assert_type(bus.join(session).publish(SUBMITTED), Receipt)
    assert_type(bus.join(connection).publish_many([SUBMITTED, (SUBMITTED, "A1")]), list[Receipt])
    await bus.join(connection).publish(SUBMITTED)  # error: mypy[misc] pyright[reportGeneralTypeIssues]


@handler("payments", timeout=timedelta(seconds=3))
async def capture(message: CapturePayment, ctx: Context) -> None:
    ctx.publish(SUBMITTED, message_id="A1", partition_key="A1")
    ctx.schedule(SUBMITTED, after=timedelta(hours=1))
    ctx.publish(SUBMITTED, mesage_id="A1")  # error: mypy[call-overload] pyright[reportCallIssue]
    ctx.send(CAPTURE, partition_key=5)  # error: mypy[call-overload] pyright[reportArgumentType]
    ctx.schedule(SUBMITTED, afer=timedelta(1))  # error: mypy[call-arg] pyright[reportCallIssue]


handler("payments", orderd=False)  # error: mypy[call-arg] pyright[reportCallIssue]
handler("payments", timeout=3)  # error: mypy[arg-type] pyright[reportArgumentType]
handler()  # error: mypy[call-arg] pyright[reportCallIssue]


@event("carts.emptied")
class CartEmptied(Event):
    cart: str


@command("carts.empty")
class EmptyCart(Command):
    cart: str


EMPTIED, EMPTY = CartEmptied(cart="C1"), EmptyCart(cart="C1")


@handler("carts")
def with_bases(message: EmptyCart, ctx: Context) -> None:
    ctx.publish(EMPTIED, correlation_id="c")
    ctx.send(EMPTY, correlation_id="c")
    ctx.schedule(EMPTY, after=timedelta(hours=1))
    ctx.send(EMPTIED)  # error: mypy[deprecated] pyright[reportDeprecated]
    ctx.publish(EMPTY)  # error: mypy[deprecated] pyright[reportDeprecated]


async def with_bases_from_outside(bus: Bus, session: sqlalchemy.orm.Session) -> None:
    assert_type(await bus.publish(EMPTIED), Receipt)
    await bus.publish_many([EMPTIED, EMPTY])
    await bus.send(EMPTIED)  # error: mypy[deprecated] pyright[reportDeprecated]
    await bus.publish(EMPTY)  # error: mypy[deprecated] pyright[reportDeprecated]
    async with bus.transaction() as tx:
        tx.send(EMPTY)
        tx.send(EMPTIED)  # error: mypy[deprecated] pyright[reportDeprecated]
        tx.publish(EMPTY, on_colision="raise")  # error: mypy[call-overload] pyright[reportCallIssue]
        tx.publish(EMPTY)  # error: mypy[deprecated] pyright[reportDeprecated]
    bus.join(session).send(EMPTIED)  # error: mypy[deprecated] pyright[reportDeprecated]
    bus.join(session).publish(EMPTY)  # error: mypy[deprecated] pyright[reportDeprecated]


async def with_bases_in_transactions_of_others(bus: Bus, awaited: sqlalchemy.ext.asyncio.AsyncSession) -> None:
    await bus.join(awaited).send(EMPTIED)  # error: mypy[deprecated] pyright[reportDeprecated]
    await bus.join(awaited).publish(EMPTY)  # error: mypy[deprecated] pyright[reportDeprecated]
    await bus.join(awaited).publish(EMPTIED, mesage_id="A1")  # error: mypy[call-overload] pyright[reportCallIssue]

"""A service on one store gives a handler to a new service with a store of its own, while orders go on.

The steps are those of `docs/from-one-store-to-many-services.md`.
"""

import asyncio
from pathlib import Path

import pytest
from tests.scenarios.shop import CapturePayment, OrderSaga, OrderSubmitted, PaymentCaptured
from tests.support.waiting import until

from sagabus import Bus, Context, handler
from sagabus.cli import main
from sagabus.errors import ConfigurationError
from sagabus.policies.brokers import Broker
from sagabus.transports.memory import MemoryBroker, MemoryTransport


async def is_paid(orders: Bus, order_id: str) -> bool:
    record = await orders.sagas.get(OrderSaga, order_id)
    return record is not None and record.state.status == "paid"


class Split:
    """The two services; `captured` says which of them has handled which order's command."""

    def __init__(self, folder: Path) -> None:
        self.broker, self.captured = MemoryBroker(), dict[str, str]()
        self.url, self.other_url = f"sqlite:///{folder}/shop.db", f"sqlite:///{folder}/payments.db"

    def old(self) -> Bus:
        return Bus(self.url, OrderSaga, self._capture("shop"), service="shop")

    def orders(self, **options: list[str]) -> Bus:
        broker = Broker(transport=MemoryTransport(self.broker), **options)  # type: ignore[arg-type]
        return Bus(self.url, OrderSaga, transport=broker, service="shop")

    def payments(self) -> Bus:
        transport = MemoryTransport(self.broker)
        return Bus(self.other_url, self._capture("payments"), transport=transport, service="payments")

    async def removal(self) -> int:
        return await asyncio.to_thread(main, ["subscriptions", "remove", "--store", self.url, "payments", "--yes"])

    def _capture(self, service: str) -> object:
        @handler("payments")
        def capture(message: CapturePayment, ctx: Context) -> None:
            self.captured[message.order_id] = service
            ctx.publish(PaymentCaptured(order_id=message.order_id))

        return capture


async def test_every_order_is_paid_on_the_way_to_two_services(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = Split(tmp_path)
    async with split.payments():
        async with split.old() as old:
            orders = split.orders(receives=["payments.captured"])
            await orders.open()
            await orders.publish(OrderSubmitted(order_id="during"))
            await until(lambda: is_paid(orders, "during"))
            assert await split.removal() == 1
            assert "1 live worker of this store serves it" in capsys.readouterr().err
            await old.idle()
        await orders.publish(OrderSubmitted(order_id="between"))
        await until(lambda: orders_waiting(orders))
        assert await split.removal() == 1
        assert "1 message waits there" in capsys.readouterr().err
        async with split.old():
            await until(lambda: is_paid(orders, "between"))
        assert await split.removal() == 0
        await orders.publish(OrderSubmitted(order_id="after"))
        await until(lambda: is_paid(orders, "after"))
        await orders.close()

        async with split.orders() as orders:  # the rule is needed no more
            await orders.publish(OrderSubmitted(order_id="later"))
            await until(lambda: is_paid(orders, "later"))

    assert split.captured == {"during": "shop", "between": "shop", "after": "payments", "later": "payments"}


async def orders_waiting(bus: Bus) -> bool:
    return any(each.channel == "payments" and each.ready for each in await bus.counts())


async def test_a_store_that_still_has_the_subscription_asks_for_its_command(tmp_path: Path) -> None:
    split = Split(tmp_path)
    async with split.old(), split.payments():
        with pytest.raises(ConfigurationError, match=r"'payments\.capture' has a receiver already"):
            await split.orders().open()

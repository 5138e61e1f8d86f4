"""`sagabus topology`, and what `check` and `graph` say of brokers."""

import json
from pathlib import Path

import pytest
from tests.support.fork_server import sagabus

SHOP = """
from sagabus import Bus, Context, Saga, command, event, handler, handles, starts
from sagabus.policies.brokers import Broker
from sagabus.policies.foreign import Foreign
from sagabus.transports.memory import MemoryTransport

@event("orders.submitted")
class OrderSubmitted:
    order_id: str

@event("orders.priced", private=True)
class OrderPriced:
    order_id: str

@command("payments.capture")
class CapturePayment:
    order_id: str

@event("payments.captured")
class PaymentCaptured:
    order_id: str

class Orders(Saga, name="orders", key="order_id"):
    order_id: str

    @starts
    def submitted(self, message: OrderSubmitted, ctx: Context) -> None:
        ctx.publish(OrderPriced(order_id=self.order_id))
        ctx.send(CapturePayment(order_id=self.order_id))

    @handles
    def paid(self, message: PaymentCaptured, ctx: Context) -> None:
        ctx.complete()

    @handles
    def priced(self, message: OrderPriced, ctx: Context) -> None: ...

rules = Foreign(source="legacy", type_from=PaymentCaptured)
main = Broker(transport="memory://main", keeps=["audit.*"], foreign=rules, declare=False)
bus = Bus("sqlite:///orders.db", Orders, transport=main, service="orders")
alone = Bus("sqlite:///alone.db", Orders)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)


def test_it_shows_what_a_service_needs_and_makes_nothing() -> None:
    shown = sagabus("topology", "shop:bus")
    as_json = json.loads(sagabus("topology", "shop:bus", "--json").stdout)

    assert shown.returncode == 0
    assert "memory://main" in shown.stdout
    assert "leaves by it: *, but not audit.*" in shown.stdout
    (broker,) = as_json["brokers"]
    assert broker["events"] == ["orders.submitted", "payments.captured"]  # what is private comes from inside
    assert broker["parts"] == [
        {
            "kind": "queue",
            "name": "orders",
            "settings": {},
            "receives": ["event orders.submitted", "event payments.captured"],
        }
    ]
    assert not as_json["declared"]
    assert not Path("orders.db").exists()


def test_it_declares_on_demand() -> None:
    done = sagabus("topology", "shop:bus", "--declare", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["declared"]
    assert sagabus("topology", "shop:bus", "--move", "--new-identity").returncode == 0


def test_a_bus_without_brokers_has_nothing_to_show() -> None:
    refused = sagabus("topology", "shop:alone")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "has no transport" in refused.stderr


def test_check_says_what_leaves_what_stays_and_where_a_time_is_missing() -> None:
    found = json.loads(sagabus("check", "shop:bus", "--json").stdout)["findings"]

    texts = {(each["kind"], each["text"].partition(" by the broker")[0]) for each in found}
    assert ("message-leaves", "payments.capture leaves the service") in texts
    assert ("message-stays", "orders.priced stays in the service") in texts
    assert "foreign-without-time" in {kind for kind, _ in texts}
    assert "unhandled-message" not in {kind for kind, _ in texts}
    assert json.loads(sagabus("check", "shop:alone", "--json").stdout)["problems"] == 1


def test_graph_draws_the_broker() -> None:
    drawn = sagabus("graph", "shop:bus", "--messages").stdout

    assert 'b0{{"broker memory#58;//main"}}' in drawn
    assert 's0 -- "payments.capture" --> b0' in drawn
    assert 'b0 -- "payments.captured" --> s0' in drawn

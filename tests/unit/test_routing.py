"""One owner of the routing that a process addresses by: what it learns, and what it says of other routings."""

import ast
from pathlib import Path

import sagabus
from sagabus.engine.routing import LiveRouting
from sagabus.store import Routing, Subscription

SOURCES = Path(sagabus.__file__).parent


def routing(version: int, *channels: str) -> Routing:
    asked = [Subscription(message_type="orders.placed", channel=channel, kind="event") for channel in channels]
    return Routing(version, 4, tuple(asked))


class Store:
    def __init__(self, answer: Routing) -> None:
        self.answer = answer

    async def routing(self) -> Routing:
        return self.answer


def channels(live: LiveRouting) -> list[str]:
    return [route.channel for route in live.table.by_type.get("orders.placed", ())]


def test_it_goes_by_what_it_learned_last() -> None:
    live = LiveRouting({})
    live.learn(routing(1, "billing"))
    live.learn(routing(2, "billing", "shipping"))

    assert (live.table.version, live.table.lanes, channels(live)) == (2, 4, ["billing", "shipping"])


async def test_it_refreshes_from_the_store_and_keeps_what_is_the_same() -> None:
    live, store = LiveRouting({}), Store(routing(1, "billing"))
    await live.refresh(store)
    before = live.table
    store.answer = routing(1, "billing")
    await live.refresh(store)

    assert live.table is before
    store.answer = routing(2, "shipping")
    await live.refresh(store)
    assert (live.table.version, channels(live)) == (2, ["shipping"])


async def test_a_store_without_subscriptions_tells_how_many_lanes_it_has() -> None:
    live = LiveRouting({})

    await live.refresh(Store(routing(0)))

    assert live.table.lanes == 4


async def test_another_content_under_the_same_version_is_learned() -> None:
    # A store that was restored may give a version once more.
    live = LiveRouting({})
    await live.refresh(Store(routing(3, "billing")))
    await live.refresh(Store(routing(3, "shipping")))

    assert channels(live) == ["shipping"]


def test_a_transaction_of_the_caller_goes_by_the_routing_that_it_sees() -> None:
    live, older = LiveRouting({}), routing(1, "billing")
    unopened = live.table_of(routing(0)).lanes
    live.learn(routing(2, "shipping"))

    table = live.table_of(older)

    assert unopened == 4
    assert [route.channel for route in table.by_type["orders.placed"]] == ["billing"]
    assert live.table_of(older) is table
    assert live.table_of(routing(2, "shipping")) is live.table


def test_only_the_owner_makes_tables_of_routes() -> None:
    found = [
        f"{source.relative_to(SOURCES)}:{node.lineno}"
        for source in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "RoutingTable"
    ]

    assert {where.partition(":")[0] for where in found} == {"engine/routing.py"}

"""Where the two services of a demonstration have their stores, their names at a broker, and what is counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from sagabus.cli.demonstration.app_table import Stage
from sagabus.cli.demonstration.app_table import Words as Plain
from sagabus.cli.demonstration.app_tables import place_of
from sagabus.cli.demonstration.brokers import own_part
from sagabus.cli.demonstration.progress_file import DroppedCopies, Tally, counting_transport, read_tally
from sagabus.cli.demonstration.session import BrokerFigures, Result
from sagabus.cli.demonstration.target import Venue
from sagabus.cli.output import Refused as NotPossible
from sagabus.observer import Refused
from sagabus.stores.sql.address import Address
from sagabus.testing.campaign.oracle import Audit
from sagabus.testing.campaign.orders import Shop, Words, definitions, shop_definitions, works_definitions
from sagabus.transport import Delivery, Transport, WireMessage
from sagabus.url.transport import parsed_transport

KEPT = Venue(["sqlite:///a-shop.db", "sqlite:///a-works.db"], is_kept=True)
PASSING = replace(KEPT, is_kept=False)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:///demo.db", "sqlite:///demo-shop.db"),
        ("sqlite:////var/lib.d/demo", "sqlite:////var/lib.d/demo-shop"),
        ("sqlite:///.hidden", "sqlite:///.hidden-shop"),
    ],
)
def test_a_service_has_a_file_beside_the_named_one(url: str, place: str) -> None:
    assert place_of(url, "shop") == place
    assert place_of(url, "") == url


@pytest.mark.parametrize(
    ("url", "schema", "prefix"),
    [
        ("postgresql://h/db", "demo_shop", "sagabus_"),
        ("postgresql://h/db?schema=kept&prefix=p_", "kept_shop", "p_"),
        ("mysql://h/db", None, "demo_shop_sagabus_"),
        ("mysql://h/db?prefix=kept_", None, "kept_shop_sagabus_"),
        ("mysql://h/db?prefix=kept_sagabus_&schema=other", "other", "kept_shop_sagabus_"),
    ],
)
def test_a_service_has_a_schema_or_a_prefix_on_a_server(url: str, schema: str | None, prefix: str) -> None:
    address = Address.of(place_of(url, "shop"))

    assert (address.schema, address.prefix) == (schema, prefix)


def prefix_of(url: str) -> str:
    return dict(parsed_transport(url).options)["prefix"]


def test_each_demonstration_has_a_part_of_the_broker_and_kept_stores_have_the_same_one_again() -> None:
    parts = [prefix_of(own_part("amqp://host/", venue)) for venue in (PASSING, PASSING, KEPT, KEPT)]

    assert len(set(parts)) == 3
    assert parts[2] == parts[3]
    assert all(part.startswith("demo-") for part in parts)


def test_the_prefix_that_a_url_names_comes_first_and_a_lease_that_it_names_counts() -> None:
    given = own_part("redis://host/0?prefix=team&lease=7", PASSING)
    bare = own_part("redis://host/0", PASSING)

    assert prefix_of(given).startswith("team-")
    assert [dict(parsed_transport(url).options)["lease"] for url in (given, bare)] == ["7", "1"]


def test_a_broker_within_one_process_is_refused() -> None:
    with pytest.raises(NotPossible, match="within one process"):
        own_part("memory://shop", PASSING)


class OneLink:
    capabilities: frozenset[Any] = frozenset()

    async def connect(self) -> "OneLink":
        return self

    async def receive(self, most: int) -> Sequence[Delivery]:
        message = WireMessage(id="1", source="s", type="t", body=b"")
        return [Delivery(message, tag, is_again=tag > 0) for tag in range(most)]


def test_redeliveries_and_dropped_copies_are_counted_where_a_kill_leaves_them(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    observer = DroppedCopies(tally)

    async def receive() -> None:
        link = await counting_transport(cast("Transport", OneLink()), tally).connect()
        await link.receive(3)

    asyncio.run(receive())
    observer.refused(Refused("orders", "t", "1", "duplicate"))
    observer.refused(Refused("orders", "t", "2", "too old"))

    found = read_tally(tmp_path / "tally")
    assert (found.redelivered, found.dropped, found.in_flight) == (2, 1, 0)


def result(broker: BrokerFigures | None) -> Result:
    numbers = dict.fromkeys(("orders", "published", "duplicates_sent", "duplicates_dropped", "kills"), 0)
    numbers |= dict.fromkeys(("kills_mid_work", "kills_mid_commit", "restarts", "restarts_mid_work"), 0)
    numbers |= dict.fromkeys(("interrupted", "runs", "seed"), 0)
    return Result(**numbers, seconds=0.0, audit=Audit(), broker=broker)


def test_figures_of_a_broker_are_there_only_with_one() -> None:
    broker = {"broker_restarts", "broker_restarts_mid_work", "redelivered", "dropped_copies"}

    assert broker.isdisjoint(result(None).figures())
    assert broker <= result(BrokerFigures(1, 1, 2, 3)).figures().keys()


def test_broker_restarts_that_met_idle_workers_prove_nothing() -> None:
    assert not result(BrokerFigures(1, 0, 0, 0)).is_good
    assert result(BrokerFigures(1, 1, 0, 0)).is_good
    assert result(BrokerFigures(0, 0, 0, 0)).is_good


def test_two_services_have_together_what_one_has() -> None:
    class AsWritten:
        lock = ""

        def say(self, sql: str, /) -> str:
            return sql

    words: Words = AsWritten()
    shop = Shop(words)

    apart = [*shop_definitions(shop), *works_definitions(shop)]

    assert [_name(each) for each in apart] == [_name(each) for each in definitions(shop)]


def _name(definition: object) -> object:
    return getattr(definition, "__name__", None) or getattr(definition, "name", None)


class OneAtATime:
    """A connection that answers one call, as those of servers do."""

    words = Plain(placeholder=lambda _: "?", number="", count_run=())

    def __init__(self) -> None:
        self.calls = self.closed = 0
        self.goes_on = asyncio.Event()

    async def query(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        self.calls += 1
        assert self.calls == 1
        await self.goes_on.wait()
        self.calls -= 1
        return [(7,)]

    async def close(self) -> None:
        self.closed += 1
        self.calls = 0


def test_the_progress_and_the_course_ask_a_database_one_after_the_other() -> None:
    async def ask() -> tuple[list[int], int]:
        database = OneAtATime()
        stage = Stage(database, ())
        asking = [asyncio.create_task(stage.count("t", "c", "v")) for _ in "123"]
        await asyncio.sleep(0)
        asking[0].cancel()
        database.goes_on.set()
        return await asyncio.gather(*asking[1:]), database.closed

    assert asyncio.run(ask()) == ([7, 7], 1)

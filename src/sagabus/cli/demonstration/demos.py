"""The demonstrations: orders that are paid and shipped, by one service or two, and the replay of a user's event log.
Each plays, then asks its oracle.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from sagabus import Bus
from sagabus.cli.demonstration import orders, replay
from sagabus.cli.demonstration.app_table import Stage, Words
from sagabus.cli.demonstration.app_tables import database_at
from sagabus.cli.demonstration.brokers import BrokerPlace
from sagabus.cli.demonstration.event_log import Event, EventLog
from sagabus.cli.demonstration.replay_audit import audit_replay
from sagabus.cli.demonstration.schedule import Publication, with_copies
from sagabus.cli.demonstration.session import Piece, Played, Result, Setting, all_states, play
from sagabus.cli.demonstration.worker_processes import Team
from sagabus.engine.routing import BROKER_IN, BROKER_OUT
from sagabus.testing.campaign import oracle
from sagabus.testing.campaign.oracle import Audit, Order, Row
from sagabus.testing.campaign.orders import (
    CHANNELS,
    CUSTOMERS,
    ORDERS,
    SHOP_CHANNELS,
    STATEMENTS,
    TABLES,
    WORKS_CHANNELS,
    CustomerOrders,
    OrderSteps,
    submission,
)
from sagabus.testing.campaign.reading import SELECTS, Taken, audited
from sagabus.transport import Topology

SHOP = "shop"
SERVICES = (SHOP, "works")
"""With a broker: the sagas, and all handlers."""
_LEDGER = "orders in the ledger"


async def perform_orders(setting: Setting, count: int) -> Result:
    """So many orders through payment, shipping and the ledger."""
    (url,) = setting.venue.urls
    database = database_at(url)
    bus = Bus(url, *orders.definitions(database.words))
    await bus.open(worker=False)
    try:
        async with Stage(database, TABLES) as stage:
            _check(bus, database.words, STATEMENTS)
            run = await stage.begin_run(setting.seed)
            await stage.stock_up(run)
            planned = oracle.plan(setting.seed, count, run)
            piece = Piece(
                originals=count,
                publications=_publications(planned, setting.seed),
                teams=[Team(url, "orders", setting.venue.lease)],
                played=[Played(bus, CHANNELS)],
                what=_LEDGER,
                expected=count,
                effects=lambda: _ledger(stage, run),
                audit=lambda: _audit_orders(bus, [stage], planned, run),
            )
            return await play(setting, piece)
    finally:
        await bus.close()


async def perform_services(setting: Setting, count: int, broker: BrokerPlace) -> Result:
    """The same orders through two services with stores of their own, which talk through a broker."""
    async with AsyncExitStack() as opened:
        shop, works = [
            await opened.enter_async_context(_service(name, url, broker))
            for name, url in zip(SERVICES, setting.venue.urls, strict=True)
        ]
        run = max([await each.stage.begin_run(setting.seed) for each in (shop, works)])
        await works.stage.stock_up(run)
        planned = oracle.plan(setting.seed, count, run)
        piece = Piece(
            originals=count,
            publications=_publications(planned, setting.seed),
            teams=[Team(each.url, each.name, setting.venue.lease, broker.url) for each in (shop, works)],
            played=[
                Played(shop.bus, (*SHOP_CHANNELS, BROKER_OUT, BROKER_IN)),
                Played(works.bus, (*WORKS_CHANNELS, BROKER_OUT, BROKER_IN)),
            ],
            what=_LEDGER,
            expected=count,
            effects=lambda: _ledger(works.stage, run),
            audit=lambda: _audit_orders(shop.bus, [shop.stage, works.stage], planned, run),
            broker=broker.server,
            prepare=lambda: _declared((shop, works), broker),
        )
        return await play(setting, piece)


class _Side(NamedTuple):
    name: str
    url: str
    bus: Bus
    stage: Stage


@asynccontextmanager
async def _service(name: str, url: str, broker: BrokerPlace) -> AsyncGenerator[_Side]:
    """One service as the demonstration sees it: its store, its tables, and what its workers will make at the broker."""
    database = database_at(url)
    definitions = orders.shop(database.words) if name == SHOP else orders.works(database.words)
    bus = Bus(url, *definitions, transport=broker.url, service=name)
    broker.topologies.extend(Topology(name, each.events, each.commands, store="any") for each in bus.brokers)
    await bus.open(worker=False)
    try:
        async with Stage(database, TABLES) as stage:
            _check(bus, database.words, STATEMENTS)
            yield _Side(name, url, bus, stage)
    finally:
        await bus.close()


async def _declared(services: Sequence[_Side], broker: BrokerPlace) -> None:
    """All queues are there before the first message, also where a worker waits for the broker yet."""
    for service in services:
        await service.bus.brokers.declare()
    if broker.server is not None:
        await broker.server.keep()


async def _ledger(stage: Stage, run: int) -> int:
    return await stage.count("campaign_ledger", "order_id", f"{run}-%")


def _check(bus: Bus, words: Words, statements: Sequence[str]) -> None:
    """If the bus refuses to run (for example because its prefix is too much like our names), it says so first."""
    for statement in statements:
        bus.store.execute_check(words.say(statement), ())


def _publications(planned: Sequence[Order], seed: int) -> list[Publication]:
    originals = [(Publication(*submission(order)), order.copies) for order in planned]
    return with_copies(originals, random.Random(f"copies {seed}"))  # noqa: S311  # repeatable on purpose


async def _audit_orders(bus: Bus, stages: Sequence[Stage], planned: Sequence[Order], run: int) -> Audit:
    """Judge this run alone: others may have left rows in the same place. The rows of all stages count."""
    taken = await all_states(bus, ORDERS, OrderSteps)
    customers = await all_states(bus, CUSTOMERS, CustomerOrders)
    rows: dict[str, Counter[Row]] = {}
    for name, one in SELECTS.items():
        scope = str(run) if one.scope == "run" else f"{run}-%"
        found = [await stage.rows(f"{one.sql} WHERE {one.scope} LIKE ?", scope) for stage in stages]
        rows[name] = sum(found, Counter[Row]())
    return audited(
        planned,
        rows,
        {key: Taken(saga.status, saga.steps) for key, saga in taken.items() if saga.run == str(run)},
        {key: saga.closed for key, saga in customers.items() if key.startswith(f"{run}-")},
    )


async def perform_replay(setting: Setting, log: EventLog) -> Result:
    """Every event of a log through the saga of its case."""
    (url,) = setting.venue.urls
    database = database_at(url)
    bus = Bus(url, *replay.definitions(database.words))
    await bus.open(worker=False)
    try:
        async with Stage(database, replay.TABLES) as stage:
            _check(bus, database.words, replay.STATEMENTS)
            run = await stage.begin_run(setting.seed)
            cases = {_key(case, run): events for case, events in log.by_case().items()}
            piece = Piece(
                originals=len(cases),
                publications=_events(log, run, setting.seed),
                teams=[Team(url, "replay", setting.venue.lease)],
                played=[Played(bus, replay.CHANNELS)],
                what="events applied",
                expected=len(log.events),
                effects=lambda: stage.count("demo_applied", "run", str(run)),
                audit=lambda: _audit_replay(bus, stage, cases, run),
            )
            return await play(setting, piece)
    finally:
        await bus.close()


def _key(case: str, run: int) -> str:
    return case if run == 1 else f"{case} (run {run})"


def _events(log: EventLog, run: int, seed: int) -> list[Publication]:
    chance = random.Random(f"events {seed}")  # noqa: S311  # repeatable on purpose
    known: set[str] = set()
    originals: list[tuple[Publication, int]] = []
    for found in log.events:
        kind = replay.ActivityRecorded if found.case in known else replay.CaseOpened
        known.add(found.case)
        message = kind(case=_key(found.case, run), run=str(run), row=found.row, activity=found.activity)
        originals.append((Publication(message, f"row-{found.row}-run-{run}"), chance.randint(1, 3)))
    return with_copies(originals, chance)


async def _audit_replay(bus: Bus, stage: Stage, cases: dict[str, list[Event]], run: int) -> Audit:
    states = await all_states(bus, replay.CASES, replay.CaseSteps)
    applied = {
        key: [(row, activity) for row, activity in saga.applied]
        for key, saga in states.items()
        if run == 1 or key in cases
    }
    sql = "SELECT case_key, log_row, activity FROM demo_applied WHERE run = ?"
    return audit_replay(
        {key: [(event.row, event.activity) for event in events] for key, events in cases.items()},
        applied,
        await stage.rows(sql, str(run)),
    )

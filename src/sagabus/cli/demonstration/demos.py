"""The two demonstrations: orders that are paid and shipped, and the replay of a user's event log. Each plays, then asks
its oracle.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from sagabus import Bus
from sagabus.cli.demonstration import orders, replay
from sagabus.cli.demonstration.app_table import Stage, Words
from sagabus.cli.demonstration.app_tables import database_at
from sagabus.cli.demonstration.event_log import Event, EventLog
from sagabus.cli.demonstration.replay_audit import audit_replay
from sagabus.cli.demonstration.schedule import Publication, with_copies
from sagabus.cli.demonstration.session import Piece, Result, Setting, all_states, play
from sagabus.testing.campaign import oracle
from sagabus.testing.campaign.oracle import Audit, Order
from sagabus.testing.campaign.orders import (
    CHANNELS,
    CUSTOMERS,
    ORDERS,
    STATEMENTS,
    TABLES,
    CustomerOrders,
    OrderSteps,
    submission,
)
from sagabus.testing.campaign.reading import SELECTS, Taken, audited


async def perform_orders(setting: Setting, count: int) -> Result:
    """So many orders through payment, shipping and the ledger."""
    database = database_at(setting.venue.url)
    bus = Bus(setting.venue.url, *orders.definitions(database.words))
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
                channels=CHANNELS,
                what="orders in the ledger",
                expected=count,
                effects=lambda: stage.count("campaign_ledger", "order_id", f"{run}-%"),
                audit=lambda: _audit_orders(bus, stage, planned, run),
            )
            return await play(bus, setting, piece)
    finally:
        await bus.close()


def _check(bus: Bus, words: Words, statements: Sequence[str]) -> None:
    """If the bus refuses to run (for example because its prefix is too much like our names), it says so first."""
    for statement in statements:
        bus.store.execute_check(words.say(statement), ())


def _publications(planned: Sequence[Order], seed: int) -> list[Publication]:
    originals = [(Publication(*submission(order)), order.copies) for order in planned]
    return with_copies(originals, random.Random(f"copies {seed}"))  # noqa: S311  # repeatable on purpose


async def _audit_orders(bus: Bus, stage: Stage, planned: Sequence[Order], run: int) -> Audit:
    """Judge this run alone: others may have left rows in the same place."""
    taken = await all_states(bus, ORDERS, OrderSteps)
    customers = await all_states(bus, CUSTOMERS, CustomerOrders)
    rows = {
        name: await stage.rows(
            f"{one.sql} WHERE {one.scope} LIKE ?",
            str(run) if one.scope == "run" else f"{run}-%",
        )
        for name, one in SELECTS.items()
    }
    return audited(
        planned,
        rows,
        {key: Taken(saga.status, saga.steps) for key, saga in taken.items() if saga.run == str(run)},
        {key: saga.closed for key, saga in customers.items() if key.startswith(f"{run}-")},
    )


async def perform_replay(setting: Setting, log: EventLog) -> Result:
    """Every event of a log through the saga of its case."""
    database = database_at(setting.venue.url)
    bus = Bus(setting.venue.url, *replay.definitions(database.words))
    await bus.open(worker=False)
    try:
        async with Stage(database, replay.TABLES) as stage:
            _check(bus, database.words, replay.STATEMENTS)
            run = await stage.begin_run(setting.seed)
            cases = {_key(case, run): events for case, events in log.by_case().items()}
            piece = Piece(
                originals=len(cases),
                publications=_events(log, run, setting.seed),
                channels=replay.CHANNELS,
                what="events applied",
                expected=len(log.events),
                effects=lambda: stage.count("demo_applied", "run", str(run)),
                audit=lambda: _audit_replay(bus, stage, cases, run),
            )
            return await play(bus, setting, piece)
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

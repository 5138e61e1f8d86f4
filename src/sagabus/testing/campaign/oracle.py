"""What must be there in the end, computed from the plan alone, and what is missing or too much in what is there.

The oracle knows neither the bus nor its tables. Rows are compared as multisets, so that a row that stands twice is
found although no unique key would stop it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Row: TypeAlias = tuple[Hashable, ...]
State: TypeAlias = tuple[str, tuple[str, ...]]
"""Of an order: its status, and the steps that it took, in order."""

PRODUCTS = ("anchor", "barrel", "compass", "lantern", "sextant")
STEPS = ("submitted", "paid", "shipped 1", "closed")
"""What each order goes through, in this order; 1 is what its shipment saw of itself."""
NOTED = "noted"
"""A step of an order with a note, at any place after the first."""
CLOSED = "closed"
PAYMENTS, SHIPMENTS, LEDGER, STOCK = "payments", "shipments", "ledger", "stock"
SAGAS, CUSTOMERS, JOURNAL = "sagas", "customers", "journal"
TABLES = (PAYMENTS, SHIPMENTS, LEDGER, STOCK, SAGAS, CUSTOMERS, JOURNAL)
HANDLERS = {PAYMENTS: "campaign-payments", SHIPMENTS: "campaign-shipping", LEDGER: "campaign-ledger"}
"""Which subscription writes into a table, and into the journal in the same commit."""
ONCE = (*HANDLERS.values(), "campaign-customers", "campaign-mail", "campaign-audits")
"""Subscriptions that write one line into the journal for each order."""
A_CUSTOMER_ORDERS = 20


@dataclass(frozen=True, slots=True)
class Order:
    """One order, how often it is published, and what is special about it."""

    order_id: str
    run: str
    customer: str
    product: str
    quantity: int
    amount: int
    copies: int
    fails_once: bool = False
    """Whether its payment and its shipment fail at the first attempt."""
    noted: bool = False
    """Whether a note on it is published, which may come before the order."""


def plan(seed: int, orders: int, run: int = 1) -> tuple[Order, ...]:
    """The orders of a campaign: equal for equal seeds."""
    chance = random.Random(seed)  # repeatable on purpose
    return tuple(
        Order(
            order_id=f"{run}-{number:05d}",
            run=str(run),
            customer=f"{run}-customer-{number // A_CUSTOMER_ORDERS}",
            product=chance.choice(PRODUCTS),
            quantity=chance.randint(1, 5),
            amount=chance.randint(100, 99_999),
            copies=chance.randint(1, 3),
        )
        for number in range(1, orders + 1)
    )


def expected(orders: Iterable[Order]) -> dict[str, Counter[Row]]:
    """The rows that an undisturbed run of these orders leaves, by table; a saga's are the steps it took."""
    tables: dict[str, Counter[Row]] = {name: Counter() for name in TABLES}
    for order in orders:
        tables[PAYMENTS][(order.order_id, order.amount)] += 1
        tables[SHIPMENTS][(order.order_id, order.product, order.quantity)] += 1
        tables[LEDGER][(order.order_id, order.amount)] += 1
        tables[STOCK][(order.product,)] += order.quantity
        tables[CUSTOMERS][(order.customer, order.order_id)] += 1
        for step in (*STEPS, NOTED) if order.noted else STEPS:
            tables[SAGAS][(order.order_id, step)] += 1
            tables[JOURNAL][(order.order_id, "campaign-orders", step)] += 1
        for subscription in ONCE:
            tables[JOURNAL][(order.order_id, subscription, "")] += 1
    return tables


@dataclass(frozen=True, slots=True)
class Difference:
    """How what was found differs from what was expected."""

    lost: int = 0
    doubled: int = 0
    phantom: int = 0
    """Rows that nothing should have written: of another order, or with other values."""

    def __add__(self, other: Difference) -> Difference:
        return Difference(self.lost + other.lost, self.doubled + other.doubled, self.phantom + other.phantom)


def difference(wanted: Counter[Row], found: Counter[Row]) -> Difference:
    """Compare two multisets of rows."""
    surplus = found - wanted
    return Difference(
        lost=(wanted - found).total(),
        doubled=sum(count for row, count in surplus.items() if row in wanted),
        phantom=sum(count for row, count in surplus.items() if row not in wanted),
    )


def torn(tables: Mapping[str, Counter[Row]], names: Sequence[str], keys: Iterable[Hashable]) -> int:
    """How many keys have rows in some of the tables and not, or not as many, in the others."""
    found = [_by_key(tables[name]) for name in names]
    return sum(1 for key in keys if len({counts[key] for counts in found}) > 1)


@dataclass(slots=True)
class Audit:
    """The verdict on one campaign."""

    difference: Difference = field(default_factory=Difference)
    torn: int = 0
    out_of_order: int = 0
    wrong_states: int = 0
    """Sagas that are not in the state in which they should have ended."""
    completed: int = 0
    left: int = 0
    """Messages and timers still in the store."""
    dead_letters: list[str] = field(default_factory=list)
    """What stopped the messages that were given up."""

    @property
    def is_clean(self) -> bool:
        """Whether every effect is there exactly once."""
        faults = (self.torn, self.out_of_order, self.wrong_states, self.left, len(self.dead_letters))
        return self.difference == Difference() and not any(faults)


def audit(orders: Sequence[Order], tables: Mapping[str, Counter[Row]], states: Mapping[str, State]) -> Audit:
    """Compare all that a run of these orders left: rows by table, and (status, steps in order) of each saga."""
    wanted = expected(orders)
    found = Audit()
    for name, rows in wanted.items():
        found.difference += difference(rows, tables[name])
    found.torn = _torn_orders(tables, [order.order_id for order in orders])
    found.completed = sum(_is_final(states.get(order.order_id)) for order in orders)
    found.wrong_states = len(orders) - found.completed
    return found


def _torn_orders(tables: Mapping[str, Counter[Row]], orders: Sequence[str]) -> int:
    """Each of the three tables has as many rows as each other, and as its subscription has lines in the journal."""
    views = {name: tables[name] for name in HANDLERS}
    for name, subscription in HANDLERS.items():
        lines = {row: count for row, count in tables[JOURNAL].items() if row[1] == subscription}
        views[f"{JOURNAL} of {name}"] = Counter(lines)
    return torn(views, tuple(views), orders)


def _is_final(state: State | None) -> bool:
    """Whether an order is closed, and went through its steps in their order."""
    if state is None:
        return False
    status, steps = state
    return status == CLOSED and tuple(step for step in steps if step != NOTED) == STEPS


def _by_key(rows: Counter[Row]) -> Counter[Hashable]:
    counts: Counter[Hashable] = Counter()
    for row, count in rows.items():
        counts[row[0]] += count
    return counts

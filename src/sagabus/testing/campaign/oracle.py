"""What must be there in the end, computed from the seed alone, and what is missing or too much in what is there.

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

PRODUCTS = ("anchor", "barrel", "compass", "lantern", "sextant")
STEPS = ("submitted", "paid", "shipped")
PAYMENTS, SHIPMENTS, LEDGER, STOCK, SAGAS = "payments", "shipments", "ledger", "stock", "sagas"


@dataclass(frozen=True, slots=True)
class Order:
    """One order, and how often it is published."""

    order_id: str
    product: str
    quantity: int
    amount: int
    copies: int


def plan(seed: int, orders: int, run: int = 1) -> tuple[Order, ...]:
    """The orders of a campaign: equal for equal seeds."""
    chance = random.Random(seed)  # repeatable on purpose
    return tuple(
        Order(
            order_id=f"{run}-{number:05d}",
            product=chance.choice(PRODUCTS),
            quantity=chance.randint(1, 5),
            amount=chance.randint(100, 99_999),
            copies=chance.randint(1, 3),
        )
        for number in range(1, orders + 1)
    )


def expected(orders: Iterable[Order]) -> dict[str, Counter[Row]]:
    """The rows that an undisturbed run of these orders leaves, by table; a saga's are the steps it took."""
    tables: dict[str, Counter[Row]] = {name: Counter() for name in (PAYMENTS, SHIPMENTS, LEDGER, STOCK, SAGAS)}
    for order in orders:
        tables[PAYMENTS][(order.order_id, order.amount)] += 1
        tables[SHIPMENTS][(order.order_id, order.product, order.quantity)] += 1
        tables[LEDGER][(order.order_id, order.amount)] += 1
        tables[STOCK][(order.product,)] += order.quantity
        for step in STEPS:
            tables[SAGAS][(order.order_id, step)] += 1
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


def audit(orders: Sequence[Order], tables: Mapping[str, Counter[Row]], states: Mapping[str, Row]) -> Audit:
    """Compare all that a run of these orders left: rows by table, and (status, steps in order) of each saga."""
    wanted = expected(orders)
    found = Audit()
    for name, rows in wanted.items():
        found.difference += difference(rows, tables[name])
    found.torn = torn(tables, (PAYMENTS, SHIPMENTS, LEDGER), [order.order_id for order in orders])
    final: Row = ("completed", STEPS)
    found.completed = sum(states.get(order.order_id) == final for order in orders)
    found.wrong_states = len(orders) - found.completed
    return found


def _by_key(rows: Counter[Row]) -> Counter[Hashable]:
    counts: Counter[Hashable] = Counter()
    for row, count in rows.items():
        counts[row[0]] += count
    return counts

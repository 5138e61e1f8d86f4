"""What the order application left, in the form of the oracle. Callers read the rows by means of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sagabus.testing.campaign import oracle
from sagabus.testing.campaign.oracle import Audit, Order, Row


class Select(NamedTuple):
    """How the rows of one table of the oracle are read."""

    table: str
    columns: str
    scope: str
    """The column that says to which run a row belongs: the run, or the id of an order."""

    @property
    def sql(self) -> str:
        """Every row."""
        return f"SELECT {self.columns} FROM {self.table}"  # noqa: S608  # names are ours


SELECTS = {
    oracle.PAYMENTS: Select("campaign_payment", "order_id, amount", "order_id"),
    oracle.SHIPMENTS: Select("campaign_shipment", "order_id, product, quantity", "order_id"),
    oracle.LEDGER: Select("campaign_ledger", "order_id, amount", "order_id"),
    oracle.STOCK: Select("campaign_stock", "product, shipped", "run"),
    oracle.JOURNAL: Select("campaign_journal", "order_id, subscription, step", "order_id"),
}


class Taken(NamedTuple):
    """The end of one order's saga."""

    status: str
    steps: tuple[str, ...]
    """Name and message of each."""


def audited(
    orders: Iterable[Order],
    rows: Mapping[str, Counter[Row]],
    taken: Mapping[str, Taken],
    closed: Mapping[str, Iterable[str]],
) -> Audit:
    """The verdict of the oracle on rows that `SELECTS` found, and on the states of orders and of customers."""
    steps = {key: tuple(_first(step) for step in one.steps) for key, one in taken.items()}
    tables = {
        **rows,
        oracle.STOCK: _stock(rows[oracle.STOCK]),
        oracle.SAGAS: _pairs(steps),
        oracle.CUSTOMERS: _pairs({key: map(_first, lines) for key, lines in closed.items()}),
    }
    return oracle.audit(tuple(orders), tables, {key: (one.status, steps[key]) for key, one in taken.items()})


def _first(line: str) -> str:
    """Without the id of the message."""
    return line.rpartition(" ")[0]


def _pairs(lists: Mapping[str, Iterable[str]]) -> Counter[Row]:
    return Counter((key, entry) for key, entries in lists.items() for entry in entries)


def _stock(rows: Counter[Row]) -> Counter[Row]:
    """So many of each product."""
    found: Counter[Row] = Counter()
    for (product, shipped), times in rows.items():
        found[(product,)] += int(str(shipped)) * times
    return found

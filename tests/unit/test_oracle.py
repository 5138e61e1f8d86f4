"""The oracle of campaigns must find what it looks for: each kind of fault is planted once."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace

import pytest

from sagabus.cli.demonstration.replay_audit import audit_replay
from sagabus.testing.campaign import oracle
from sagabus.testing.campaign.oracle import Audit, Difference, Order, State
from sagabus.testing.campaign.reading import SELECTS, Taken, audited

Tables = dict[str, Counter[tuple[Hashable, ...]]]
ORDERS = oracle.plan(seed=3, orders=20)
FIRST = ORDERS[0]


def states(orders: tuple[Order, ...] = ORDERS) -> dict[str, State]:
    return {order.order_id: ("closed", oracle.STEPS) for order in orders}


def audited_as(tables: Tables) -> Audit:
    return oracle.audit(ORDERS, tables, states())


def test_equal_seeds_plan_equal_orders() -> None:
    assert oracle.plan(7, 50) == oracle.plan(7, 50)
    assert oracle.plan(7, 50) != oracle.plan(8, 50)
    assert {order.copies for order in oracle.plan(7, 50)} == {1, 2, 3}


def test_an_undisturbed_run_is_clean() -> None:
    audit = audited_as(oracle.expected(ORDERS))

    assert audit.is_clean
    assert audit.completed == len(ORDERS)


@pytest.mark.parametrize("table", oracle.TABLES)
def test_a_missing_effect_is_lost(table: str) -> None:
    tables = oracle.expected(ORDERS)
    tables[table][next(iter(tables[table]))] -= 1

    audit = audited_as(tables)

    assert audit.difference == Difference(lost=1)
    assert not audit.is_clean


@pytest.mark.parametrize("table", oracle.TABLES)
def test_an_effect_that_is_there_twice_is_doubled(table: str) -> None:
    tables = oracle.expected(ORDERS)
    tables[table][next(iter(tables[table]))] += 1

    audit = audited_as(tables)

    assert audit.difference == Difference(doubled=1)
    assert not audit.is_clean


def test_a_loss_and_a_double_do_not_balance_each_other() -> None:
    tables = oracle.expected(ORDERS)
    lost, doubled = list(tables[oracle.PAYMENTS])[:2]
    tables[oracle.PAYMENTS].update({lost: -1, doubled: 1})

    assert audited_as(tables).difference == Difference(lost=1, doubled=1)


def test_a_row_with_another_value_is_one_lost_and_one_phantom() -> None:
    tables = oracle.expected(ORDERS)
    tables[oracle.LEDGER][(FIRST.order_id, FIRST.amount)] -= 1
    tables[oracle.LEDGER][(FIRST.order_id, FIRST.amount + 1)] += 1

    assert audited_as(tables).difference == Difference(lost=1, phantom=1)


def test_an_order_that_is_paid_and_not_shipped_is_torn() -> None:
    tables = oracle.expected(ORDERS)
    del tables[oracle.SHIPMENTS][(FIRST.order_id, FIRST.product, FIRST.quantity)]

    assert audited_as(tables).torn == 1


def test_a_saga_in_another_state_is_reported() -> None:
    found = states()
    found[FIRST.order_id] = ("closed", ("submitted", "shipped 1", "paid", "closed"))

    audit = oracle.audit(ORDERS, oracle.expected(ORDERS), found)

    assert (audit.wrong_states, audit.completed) == (1, len(ORDERS) - 1)
    assert not audit.is_clean


def test_an_order_whose_journal_lacks_its_shipment_is_torn() -> None:
    tables = oracle.expected(ORDERS)
    del tables[oracle.JOURNAL][(FIRST.order_id, "campaign-shipping", "")]

    audit = audited_as(tables)

    assert (audit.difference, audit.torn) == (Difference(lost=1), 1)


@pytest.mark.parametrize(
    ("status", "steps"),
    [
        ("shipped", oracle.STEPS),
        ("closed", oracle.STEPS[:-1]),
        ("closed", ("submitted", "paid", "shipped 2", "closed")),
        ("closed", (*oracle.STEPS, "closed")),
    ],
)
def test_only_a_closed_order_that_took_each_step_once_is_complete(status: str, steps: tuple[str, ...]) -> None:
    audit = oracle.audit(ORDERS, oracle.expected(ORDERS), {**states(), FIRST.order_id: (status, steps)})

    assert (audit.wrong_states, audit.is_clean) == (1, False)


def test_a_note_may_come_at_any_place_and_must_come_once() -> None:
    noted = (replace(FIRST, noted=True),)
    tables = oracle.expected(noted)

    for place in range(1, len(oracle.STEPS) + 1):
        steps = (*oracle.STEPS[:place], "noted", *oracle.STEPS[place:])
        assert oracle.audit(noted, tables, {FIRST.order_id: ("closed", steps)}).is_clean
    assert oracle.expected([FIRST])[oracle.SAGAS] != tables[oracle.SAGAS]


def rows() -> dict[str, Counter[tuple[Hashable, ...]]]:
    """As the application's tables have them: one row of stock for each product."""
    found = {name: oracle.expected(ORDERS)[name] for name in SELECTS}
    found[oracle.STOCK] = Counter({(*product, shipped): 1 for product, shipped in found[oracle.STOCK].items()})
    return found


def taken() -> dict[str, Taken]:
    return {
        order.order_id: Taken("closed", tuple(f"{step} by-{order.order_id}" for step in oracle.STEPS))
        for order in ORDERS
    }


def closed() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for order in ORDERS:
        found.setdefault(order.customer, []).append(f"{order.order_id} by-close")
    return found


def test_what_an_undisturbed_campaign_left_is_clean() -> None:
    assert audited(ORDERS, rows(), taken(), closed()) == Audit(completed=len(ORDERS))


def test_an_order_that_a_customer_has_twice_is_doubled() -> None:
    lists = closed()
    lists[FIRST.customer].append(f"{FIRST.order_id} by-another")

    assert audited(ORDERS, rows(), taken(), lists).difference == Difference(doubled=1)


def test_a_step_that_an_order_took_twice_is_doubled_and_its_state_is_wrong() -> None:
    twice = taken()
    twice[FIRST.order_id] = Taken("closed", (*twice[FIRST.order_id].steps, "closed by-another"))

    audit = audited(ORDERS, rows(), twice, closed())

    assert (audit.difference, audit.wrong_states) == (Difference(doubled=1), 1)


def test_goods_that_were_counted_twice_are_doubled() -> None:
    found = rows()
    (product, shipped), *_ = found[oracle.STOCK]
    del found[oracle.STOCK][product, shipped]
    found[oracle.STOCK][product, shipped + 1] = 1

    assert audited(ORDERS, found, taken(), closed()).difference == Difference(doubled=1)


@pytest.mark.parametrize("fault", [Audit(left=1), Audit(dead_letters=["why"]), Audit(out_of_order=1), Audit(torn=1)])
def test_anything_out_of_the_ordinary_is_not_clean(fault: Audit) -> None:
    assert not fault.is_clean


CASES = {"a": [(1, "open"), (3, "check"), (4, "close")], "b": [(2, "open")]}
LEDGER = Counter({(case, *entry): 1 for case, entries in CASES.items() for entry in entries})


def test_a_replay_that_equals_the_file_is_clean() -> None:
    audit = audit_replay(CASES, CASES, LEDGER)

    assert audit.is_clean
    assert audit.completed == len(CASES)


def test_two_events_that_changed_places_are_out_of_order() -> None:
    sagas = {**CASES, "a": [(1, "open"), (4, "close"), (3, "check")]}

    audit = audit_replay(CASES, sagas, LEDGER)

    assert (audit.out_of_order, audit.completed, audit.difference) == (1, 1, Difference())
    assert not audit.is_clean


def test_an_event_applied_twice_is_doubled_and_torn_from_its_ledger() -> None:
    sagas = {**CASES, "b": [(2, "open"), (2, "open")]}

    audit = audit_replay(CASES, sagas, LEDGER)

    assert (audit.difference, audit.torn) == (Difference(doubled=1), 1)


def test_a_case_that_was_never_replayed_is_lost() -> None:
    audit = audit_replay(CASES, {"a": CASES["a"]}, Counter({row: 1 for row in LEDGER if row[0] == "a"}))

    assert audit.difference == Difference(lost=2)
    assert (audit.completed, audit.wrong_states) == (1, 1)


def test_a_case_that_is_not_in_the_file_is_a_phantom() -> None:
    audit = audit_replay(CASES, {**CASES, "c": [(9, "open")]}, LEDGER)

    assert audit.difference == Difference(phantom=1)
    assert not audit.is_clean


def test_order_is_judged_by_place_and_not_by_row_number() -> None:
    by_time = {"a": [(5, "first"), (2, "second")]}

    audit = audit_replay(by_time, by_time, Counter({("a", 5, "first"): 1, ("a", 2, "second"): 1}))

    assert audit.is_clean

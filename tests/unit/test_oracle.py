"""The oracle of campaigns must find what it looks for: each kind of fault is planted once."""

from collections import Counter
from collections.abc import Hashable

import pytest

from sagabus.cli.demonstration.replay_audit import audit_replay
from sagabus.testing.campaign import oracle
from sagabus.testing.campaign.oracle import Audit, Difference, Order

Tables = dict[str, Counter[tuple[Hashable, ...]]]
ORDERS = oracle.plan(seed=3, orders=20)
FIRST = ORDERS[0]


def states(orders: tuple[Order, ...] = ORDERS) -> dict[str, tuple[Hashable, ...]]:
    return {order.order_id: ("completed", oracle.STEPS) for order in orders}


def audited(tables: Tables) -> Audit:
    return oracle.audit(ORDERS, tables, states())


def test_equal_seeds_plan_equal_orders() -> None:
    assert oracle.plan(7, 50) == oracle.plan(7, 50)
    assert oracle.plan(7, 50) != oracle.plan(8, 50)
    assert {order.copies for order in oracle.plan(7, 50)} == {1, 2, 3}


def test_an_undisturbed_run_is_clean() -> None:
    audit = audited(oracle.expected(ORDERS))

    assert audit.is_clean
    assert audit.completed == len(ORDERS)


@pytest.mark.parametrize("table", [oracle.PAYMENTS, oracle.SHIPMENTS, oracle.LEDGER, oracle.STOCK, oracle.SAGAS])
def test_a_missing_effect_is_lost(table: str) -> None:
    tables = oracle.expected(ORDERS)
    tables[table][next(iter(tables[table]))] -= 1

    audit = audited(tables)

    assert audit.difference == Difference(lost=1)
    assert not audit.is_clean


@pytest.mark.parametrize("table", [oracle.PAYMENTS, oracle.SHIPMENTS, oracle.LEDGER, oracle.STOCK, oracle.SAGAS])
def test_an_effect_that_is_there_twice_is_doubled(table: str) -> None:
    tables = oracle.expected(ORDERS)
    tables[table][next(iter(tables[table]))] += 1

    audit = audited(tables)

    assert audit.difference == Difference(doubled=1)
    assert not audit.is_clean


def test_a_loss_and_a_double_do_not_balance_each_other() -> None:
    tables = oracle.expected(ORDERS)
    lost, doubled = list(tables[oracle.PAYMENTS])[:2]
    tables[oracle.PAYMENTS].update({lost: -1, doubled: 1})

    assert audited(tables).difference == Difference(lost=1, doubled=1)


def test_a_row_with_another_value_is_one_lost_and_one_phantom() -> None:
    tables = oracle.expected(ORDERS)
    tables[oracle.LEDGER][(FIRST.order_id, FIRST.amount)] -= 1
    tables[oracle.LEDGER][(FIRST.order_id, FIRST.amount + 1)] += 1

    assert audited(tables).difference == Difference(lost=1, phantom=1)


def test_an_order_that_is_paid_and_not_shipped_is_torn() -> None:
    tables = oracle.expected(ORDERS)
    del tables[oracle.SHIPMENTS][(FIRST.order_id, FIRST.product, FIRST.quantity)]

    assert audited(tables).torn == 1


def test_a_saga_in_another_state_is_reported() -> None:
    found = states()
    found[FIRST.order_id] = ("completed", ("submitted", "shipped", "paid"))

    audit = oracle.audit(ORDERS, oracle.expected(ORDERS), found)

    assert (audit.wrong_states, audit.completed) == (1, len(ORDERS) - 1)
    assert not audit.is_clean


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

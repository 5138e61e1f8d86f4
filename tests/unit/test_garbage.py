"""What the garbage collector has to look at: thousands of mailboxes, outcomes and rows are there at once."""

import gc

import pytest
from msgspec.structs import replace
from tests.support.subscription import SUBSCRIPTION, stored

from sagabus.engine.flush import Entry
from sagabus.engine.mailbox import Mailbox
from sagabus.outcome import Completed, Effects
from sagabus.refs import LaneRef
from sagabus.stores.sql.steps import Made, Query
from sagabus.stores.sqlite.sets import Values


def mailbox() -> Mailbox:
    return Mailbox(SUBSCRIPTION, "A", LaneRef("taker", 0), 1)


def test_an_idle_mailbox_is_nothing_to_look_at() -> None:
    idle = mailbox()
    for position in (1, 2):
        idle.wait(stored(position))
    in_flight = {1: idle, 2: idle}

    assert [idle.begin_next_of(in_flight), idle.take_out_first()] == [stored(1), stored(2)]
    assert not gc.is_tracked(idle)
    assert idle.queue == ()
    assert idle.begin_next_of(in_flight) is None


def test_messages_wait_in_their_order_however_they_come_back() -> None:
    busy = mailbox()
    for position in (3, 5):
        busy.wait(stored(position))
    busy.replace(replace(stored(5), deaths=1))
    busy.put_back([stored(4), stored(1)])

    assert [(each.position, each.deaths) for each in busy.queue] == [(1, 0), (3, 0), (4, 0), (5, 1)]
    assert [each.position for each in busy.let_all_go()] == [1, 3, 4, 5]
    assert busy.queue == ()


def test_an_outcome_on_its_way_is_nothing_to_look_at() -> None:
    assert not gc.is_tracked(Entry(mailbox(), Completed(stored(1), Effects()), 1))


@pytest.mark.parametrize("count", [0, 1, 5, 300, 700])
def test_rows_that_are_made_when_they_are_read_are_written_as_any_others(count: int) -> None:
    form = Values(2, "INSERT INTO t SELECT * FROM {rows} WHERE column1 IS NOT NULL")
    numbers, names = list(range(count)), [f"n{number}" for number in range(count)]
    made = Made(lambda number, name: (number, name), numbers, names)
    kept = list(zip(numbers, names, strict=True))

    assert form.parts(Query("any", rows=made)) == form.parts(Query("any", rows=kept))
    assert (list(made), len(made), list(made[1:3])) == (kept, count, kept[1:3])
    assert [made[index] for index in range(count)] == kept

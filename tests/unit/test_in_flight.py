"""The books of what is in flight: their verbs, each of which leaves them in one piece."""

from collections.abc import Iterable

import pytest
from msgspec.structs import replace
from tests.support.subscription import SUBSCRIPTION, stored

from sagabus.engine.flush import Entry
from sagabus.engine.in_flight import InFlight, Mark
from sagabus.engine.mailbox import BelievedState, Mailbox
from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Effects
from sagabus.store import Lane

WINDOW = 8


def keyed(position: int) -> Envelope:
    return replace(stored(position), partition_key="A")


def books(*positions: int) -> tuple[InFlight, Mailbox]:
    """Of a worker that has taken these messages of one key."""
    hand = InFlight({"taker": SUBSCRIPTION}, WINDOW)
    hand.own([Lane("taker", 0, epoch=1)])
    mailbox = hand.mailbox(keyed(0))
    for position in positions:
        hand.take(keyed(position), mailbox)
    return hand, mailbox


def at(envelopes: Iterable[Envelope]) -> list[int]:
    return [envelope.position for envelope in envelopes]


def waiting(hand: InFlight, mailbox: Mailbox) -> tuple[list[int], list[int], int]:
    """What waits, what is in flight, and how much of its window the lane counts."""
    return at(mailbox.queue), sorted(hand.envelopes), hand.lanes["taker", 0].in_flight


def test_what_is_taken_is_in_flight_and_waits_in_order() -> None:
    hand, mailbox = books(1, 2)

    assert waiting(hand, mailbox) == ([1, 2], [1, 2], 2)


def test_what_is_taken_first_runs_before_the_others_in_its_own_order() -> None:
    hand, mailbox = books(5, 6)

    hand.take_first([keyed(1), keyed(2)], mailbox)

    assert waiting(hand, mailbox) == ([1, 2, 5, 6], [1, 2, 5, 6], 4)


def test_the_next_to_run_is_the_first_that_is_in_flight_still() -> None:
    hand, mailbox = books(1, 2)
    hand.put_down(keyed(1), mailbox)

    envelope = mailbox.begin_next_of(hand.envelopes)

    assert envelope == mailbox.running == keyed(2)
    mailbox.ended()
    assert (mailbox.begin_next_of(hand.envelopes), mailbox.running) == (None, None)


def test_a_run_that_breaks_off_takes_the_state_with_it() -> None:
    hand, mailbox = books(1)
    mailbox.believe(None, [])
    mailbox.begin_next()

    assert mailbox.break_off() == keyed(1)
    assert (mailbox.running, mailbox.cell, mailbox.break_off()) == (None, None, None)
    assert waiting(hand, mailbox) == ([], [1], 1)


def test_a_key_that_is_held_keeps_nothing_here_but_the_message_that_holds_it() -> None:
    hand, mailbox = books(1, 2, 3)
    mailbox.begin_next()

    hand.hold(mailbox, keyed(1))

    assert mailbox.held
    assert waiting(hand, mailbox) == ([], [1], 1)


def test_a_key_that_is_held_lets_go_what_runs_behind_the_message_that_holds_it() -> None:
    hand, mailbox = books(1, 2, 3)
    mailbox.begin_next()
    mailbox.ended()  # its outcome is on its way, and the next one runs
    mailbox.begin_next()

    hand.hold(mailbox, keyed(1))

    assert waiting(hand, mailbox) == ([], [1], 1)


def test_a_hold_that_is_stored_outlasts_the_fetches_that_may_not_know_of_it() -> None:
    hand, mailbox = books(1)
    hand.begin_fetch()
    hand.hold(mailbox, keyed(1))

    hand.hold_is_stored(mailbox)

    assert not mailbox.held
    assert mailbox.is_ahead_of(hand.fetches)
    hand.end_fetch()
    hand.begin_fetch()
    assert not mailbox.is_ahead_of(hand.fetches)


def test_a_hold_that_did_not_come_into_the_store_has_its_lane_fetched_again() -> None:
    hand, mailbox = books(1)
    hand.lanes["taker", 0].go_on(7, WINDOW)
    hand.hold(mailbox, keyed(1))

    hand.release_hold(mailbox)

    assert (mailbox.held, hand.lanes["taker", 0].after, hand.restarted) == (False, 0, {("taker", 0)})


def test_what_is_to_be_fetched_again_waits_here_no_more() -> None:
    hand, mailbox = books(1, 2)
    hand.lanes["taker", 0].go_on(7, WINDOW)

    hand.fetch_again(mailbox)

    assert waiting(hand, mailbox) == ([], [], 0)
    assert (hand.lanes["taker", 0].after, mailbox.is_ahead_of(hand.fetches)) == (0, True)


def test_a_mailbox_is_offered_to_runners_once() -> None:
    _, mailbox = books(1)

    assert [mailbox.activate(), mailbox.activate()] == [True, False]
    mailbox.rest()
    assert mailbox.activate()


def test_what_waits_for_a_saga_is_put_aside_taken_up_or_woken() -> None:
    cell = BelievedState.of(None, ())
    for position in (1, 2, 3):
        cell.put_aside(keyed(position))

    cell.take_up(keyed(2))

    assert at(cell.wake()) == [1, 3]
    assert cell.stash == cell.wake() == ()


def page() -> list[Envelope]:
    """Of two lanes: of one key three, one of them heavy, one that was tried before, and others."""
    heavy = replace(keyed(2), body=b"x" * 25)
    again = replace(keyed(3), due_at=5, attempt=1)
    with_headers = replace(stored(5, 1), partition_key="B", headers={"a": "b" * 20})
    return [keyed(1), heavy, again, replace(stored(4), partition_key="C"), with_headers]


def books_of_a_page(*, loud: bool) -> tuple[InFlight, list[Mailbox]]:
    hand = InFlight({"taker": SUBSCRIPTION}, WINDOW, unit=10)
    hand.own([Lane("taker", 0, epoch=1), Lane("taker", 1, epoch=1)])
    if loud:
        hand.lanes["taker", 0].make_loud("A", 0)
    return hand, [hand.mailbox(envelope) for envelope in page()]


def state(hand: InFlight, mailboxes: Iterable[Mailbox]) -> object:
    """All that the books say."""
    lanes = [
        (held.in_flight, held.loud_in_flight, {key: loud.in_flight for key, loud in held.loud.items()}, len(held.large))
        for held in hand.lanes.values()
    ]
    found = [(mailbox.key, at(mailbox.queue), mailbox.in_flight, mailbox.returned) for mailbox in mailboxes]
    return lanes, found, sorted(hand.envelopes), hand.settled, hand.marked


def no_key(envelope: Envelope) -> tuple[Envelope, Mailbox]:
    raise AssertionError(envelope)


@pytest.mark.parametrize("loud", [False, True])
def test_a_page_is_taken_as_each_of_its_messages_alone(loud: bool) -> None:
    (hand, mailboxes), (other, others) = books_of_a_page(loud=loud), books_of_a_page(loud=loud)
    hand.begin_fetch()
    other.begin_fetch()

    filled = hand.take_page(hand.fresh(page()), no_key)
    for envelope, mailbox in zip(page(), others, strict=True):
        other.take(envelope, mailbox)

    assert filled == mailboxes
    assert state(hand, mailboxes) == state(other, others)
    assert hand.fresh(page()) == []


@pytest.mark.parametrize("loud", [False, True])
def test_many_are_put_down_as_each_of_them_alone(loud: bool) -> None:
    (hand, mailboxes), (other, others) = books_of_a_page(loud=loud), books_of_a_page(loud=loud)
    ended = [each for each in page() if not each.due_at]
    for books_of, boxes in ((hand, mailboxes), (other, others)):
        books_of.begin_fetch()
        for envelope, mailbox in zip(page(), boxes, strict=True):
            books_of.take(envelope, mailbox)
        books_of.mark(Mark(keyed(1), 1))
    of_its_own = {envelope.position: mailbox for envelope, mailbox in zip(page(), mailboxes, strict=True)}

    hand.put_down_all([Entry(of_its_own[each.position], Completed(each, Effects()), 1) for each in ended])
    for envelope, mailbox in zip(page(), others, strict=True):
        if not envelope.due_at:
            other.put_down(envelope, mailbox)
            other.unmark(envelope.position)

    assert sorted(hand.envelopes) == [3]
    assert state(hand, mailboxes) == state(other, others)


def test_of_a_page_comes_nothing_that_is_held_back_or_is_ahead_of_what_was_tried_before() -> None:
    hand, mailbox = books(1)
    hand.begin_fetch()
    hand.hold(mailbox, keyed(1))
    assert hand.take_page([keyed(2)], no_key) == []

    hand.hold_is_stored(mailbox)
    assert hand.take_page([keyed(2)], no_key) == []
    hand.begin_fetch()
    assert hand.take_page([replace(keyed(2), due_at=5, attempt=1)], no_key) == [mailbox]
    assert hand.take_page([keyed(3)], no_key) == []

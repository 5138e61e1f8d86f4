"""The states that a worker keeps of idle keys: bounded in bytes."""

from msgspec.structs import replace
from tests.support.subscription import SUBSCRIPTION, stored

from sagabus import Saga
from sagabus.engine import known_keys
from sagabus.engine.in_flight import InFlight
from sagabus.engine.mailbox import BelievedState, Mailbox
from sagabus.envelope import Envelope, Instance
from sagabus.store import Lane

BODY = b'{"paid":true}'


def message(key: str) -> Envelope:
    return replace(stored(1), partition_key=key)


class Remembered(Saga, name="known.remembered", key="key"):
    key: str = ""


def books(*keys: str, room: int) -> tuple[InFlight, list[Mailbox]]:
    """Of a worker that is done with a message of each of these keys, and may keep so many states."""
    hand = InFlight({"taker": SUBSCRIPTION}, 8, states=room * (known_keys._OVERHEAD + len(BODY)))
    hand.own([Lane("taker", 0, epoch=1)])
    mailboxes = [hand.mailbox(message(key)) for key in keys]
    for mailbox in mailboxes:
        mailbox.cell = BelievedState(3, BODY)
        hand.known.note_states(len(BODY))
    hand.begin_fetch()
    return hand, mailboxes


def tidied(hand: InFlight) -> str:
    """The keys that have a mailbox afterwards."""
    hand.tidy()
    return "".join(mailbox.key or "" for mailbox in hand.mailboxes())


def test_as_many_as_there_is_room_for_stay() -> None:
    hand, _ = books(*"ABCD", room=4)

    assert tidied(hand) == "ABCD"


def test_those_go_first_that_were_there_first_and_a_quarter_more_than_must() -> None:
    hand, _ = books(*"ABCDEFGHI", room=8)

    assert tidied(hand) == "DEFGHI"


def test_what_has_something_in_flight_stays_whatever_it_takes() -> None:
    hand, (first, *_) = books(*"ABCDE", room=1)
    hand.take(message("A"), first)

    assert tidied(hand) == "A"


def test_a_mailbox_that_a_fetch_may_know_too_little_of_stays() -> None:
    hand, (first, *_) = books(*"ABCDE", room=1)
    hand.hold_is_stored(first)

    assert tidied(hand) == "A"


def test_states_are_counted_again_before_any_goes() -> None:
    hand, _ = books(*"ABCD", room=4)
    hand.known.note_states(1_000_000)

    assert tidied(hand) == "ABCD"


def test_a_large_state_counts_as_the_bytes_that_it_has() -> None:
    hand, (first, *_) = books(*"ABCD", room=8)
    first.cell = BelievedState(3, bytes(10_000))
    hand.known.note_states(10_000)

    assert tidied(hand) == "BCD"


def test_a_state_with_its_live_object_counts_twice() -> None:
    hand, (first, *_) = books(*"ABCD", room=6)
    first.cell = BelievedState(3, bytes(1_500), Remembered())
    hand.known.note_states(1_500)

    assert tidied(hand) == "BCD"


def test_what_is_loaded_counts_as_well_as_what_is_written() -> None:
    hand, (first, *_) = books(*"ABCD", room=8)
    instance = Instance(saga="taker", key="A", version=3, state=bytes(5_000))

    hand.known.believe(first, instance, (replace(message("A"), body=bytes(5_000)),))

    assert tidied(hand) == "BCD"

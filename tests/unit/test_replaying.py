"""What replay does is decided by one pure function of the letter's cause and of what the store knows."""

from itertools import product

import pytest

from sagabus.envelope import Cause, DeadLetter, Envelope
from sagabus.store import ReplayResult
from sagabus.stores.replaying import Facts, replay_of

ALL = [Facts(*each) for each in product((False, True), repeat=len(Facts._fields))]


def letter(cause: Cause, status: str = "open") -> DeadLetter:
    envelope = Envelope(message_id="m", message_type="t", body=b"{}")
    return DeadLetter(id=1, envelope=envelope, reason="too old: id collision", cause=cause, status=status)


@pytest.mark.parametrize("facts", ALL)
@pytest.mark.parametrize("cause", Cause)
def test_what_is_closed_stays_closed(cause: Cause, facts: Facts) -> None:
    for status in ("replayed", "discarded"):
        assert replay_of(letter(cause, status), facts, force=True) is ReplayResult.ALREADY_DONE


@pytest.mark.parametrize("facts", ALL)
@pytest.mark.parametrize(
    "cause", [cause for cause in Cause if cause not in (Cause.COLLISION, Cause.TOO_OLD, Cause.DAMAGED)]
)
def test_what_died_here_goes_by_the_horizon_alone(cause: Cause, facts: Facts) -> None:
    expected = ReplayResult.TOO_OLD if facts.is_below_horizon else ReplayResult.DONE
    if facts.was_replaced:
        expected = ReplayResult.ALREADY_DONE

    assert replay_of(letter(cause), facts, force=False) is expected


@pytest.mark.parametrize("facts", ALL)
@pytest.mark.parametrize("force", [False, True])
def test_what_is_damaged_is_never_delivered(facts: Facts, *, force: bool) -> None:
    assert replay_of(letter(Cause.DAMAGED), facts, force=force) is ReplayResult.DAMAGED


@pytest.mark.parametrize("facts", ALL)
def test_only_a_quarantined_copy_counts_as_done_by_its_record(facts: Facts) -> None:
    done = {cause for cause in Cause if replay_of(letter(cause), facts, force=True) is ReplayResult.ALREADY_DONE}

    if facts.was_replaced:
        assert done == set(Cause) - {Cause.DAMAGED}
    else:
        assert done == ({Cause.TOO_OLD} if facts.has_copy else set())


@pytest.mark.parametrize(
    ("stored", "reason", "cause"),
    [
        *((cause.value, "id collision: x", cause) for cause in Cause),
        (None, "id collision: another message with this id was accepted before", Cause.COLLISION),
        (None, "id collision: its de-duplication key was claimed with other content", Cause.COLLISION),
        (None, "too old: stamped before the de-duplication horizon", Cause.TOO_OLD),
        (None, "failed 5 times, last: ValueError: too old: no", Cause.UNRECORDED),
        ("of a release to come", "id collision: x", Cause.UNRECORDED),
    ],
)
def test_every_stored_letter_has_a_cause(stored: str | None, reason: str, cause: Cause) -> None:
    assert Cause.of(stored, reason) is cause

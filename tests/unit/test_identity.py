"""Message ids: derived so that a second run repeats them, and refused where they could not tell copies apart."""

import pytest

from sagabus.errors import InvalidMessageId
from sagabus.identity import MAX_ID_LENGTH, check_id, derive


@pytest.mark.parametrize("message_id", ["", "   ", "a\nb", "a\0b", "x" * (MAX_ID_LENGTH + 1), 7, None, b"a"])
def test_an_id_that_cannot_be_kept_is_refused_and_named(message_id: object) -> None:
    with pytest.raises(InvalidMessageId, match="a message id") as refused:
        check_id(message_id)  # type: ignore[arg-type]

    assert refused.value.message_id == message_id


@pytest.mark.parametrize("message_id", ["a", "checkout-A1", "Bestellung 7 ä", "x" * MAX_ID_LENGTH])
def test_any_printable_text_of_bounded_length_is_an_id(message_id: str) -> None:
    assert check_id(message_id) == message_id


def test_a_second_run_derives_the_same_ids_and_no_other_run_does() -> None:
    first = derive("m1", "orders", 1)

    assert derive("m1", "orders", 1) == first
    assert len({first, derive("m1", "orders", 2), derive("m1", "order", "s1"), derive("m2", "orders", 1)}) == 4

"""Keys: read by field or function, as text, bounded."""

import datetime as dt
import decimal
import enum
from uuid import UUID

import pytest

from sagabus import event
from sagabus.errors import MessageInvalid
from sagabus.message import message_type_of
from sagabus.message.correlation import LONGEST_KEY, as_key, key_reader


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@event("tests.correlated")
class Correlated:
    name: str
    number: int = 0


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("a", "a"),
        (" a ", " a "),
        (7, "7"),
        (-7, "-7"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.50"), "1.50"),
        (dt.date(2030, 1, 2), "2030-01-02"),
        (Colour.RED, "red"),
        (Level.HIGH, "3"),
        ("é" * LONGEST_KEY, "é" * LONGEST_KEY),
    ],
)
def test_plain_values_are_keys(value: object, key: str) -> None:
    assert as_key("m", "field", value) == key


@pytest.mark.parametrize("value", ["", None, True, 1.5, b"bytes", [], {}, object(), "x" * (LONGEST_KEY + 1), "a\0b"])
def test_others_are_refused_with_the_field(value: object) -> None:
    with pytest.raises(MessageInvalid) as caught:
        as_key("m", "field", value)

    assert (caught.value.message_type, caught.value.path) == ("m", "field")


def test_a_field_or_a_function_reads_it() -> None:
    message_type = message_type_of(Correlated)
    message = Correlated(name="a", number=7)

    assert key_reader(message_type, "name")(message) == "a"
    assert key_reader(message_type, "number")(message) == "7"
    assert key_reader(message_type, lambda m: f"{m.name}-{m.number}")(message) == "a-7"


@pytest.mark.parametrize("value", [None, ""])
def test_none_and_an_empty_text_are_no_key(value: object) -> None:
    message_type = message_type_of(Correlated)

    assert key_reader(message_type, "name")(Correlated(name=value)) is None  # type: ignore[arg-type]
    assert key_reader(message_type, lambda _: value)(Correlated(name="a")) is None


def test_what_a_function_raises_is_reported_with_its_name() -> None:
    def broken(message: object) -> str:
        raise KeyError("parent")

    with pytest.raises(MessageInvalid, match=r"broken.*the key function raised KeyError"):
        key_reader(message_type_of(Correlated), broken)(Correlated(name="a"))

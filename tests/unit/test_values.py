"""Values are left out of a text in every form in which a text has them, and common words and small numbers are not."""

import json
import time
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import quote, quote_plus, urlencode
from uuid import UUID

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sagabus.text import HIDDEN, Values

LONG = 's3cret value\'s "name"\n1'
NUMBER = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("4111111111111111", "card 4111111111111111 refused"),
        (LONG, f"at {LONG}!"),
        (LONG, f"at {LONG!r}"),
        (LONG, f"at {LONG!a}"),
        (LONG, f"at {{'x': {LONG!r}}}"),
        (LONG, f"at {json.dumps({'x': LONG})}"),
        ("Zoë Müller\\", json.dumps("Zoë Müller\\", ensure_ascii=False)),
        ("Zoë Müller", json.dumps("Zoë Müller")),
        ("Zoë Müller", f"{'Zoë Müller'.encode()!r}"),
        ("Zoë Müller", f"/customers/{quote('Zoë Müller')}"),
        ("a/b c&d=efg", f"?{urlencode({'x': 'a/b c&d=efg'})}"),
        ("a/b c&d=efg", quote("a/b c&d=efg")),
        ("a/b c&d=efg", quote_plus("a/b c&d=efg", safe="/")),
        ("  padded text ", "it is padded text"),
        ("one\nlonger line", "it was\n    longer line"),
        ("abcd1234", "tokenabcd1234more"),
        ("user@x.org", "no user@x.org."),
        ("2024", "in 2024, perhaps"),
        ("true", "it is true"),
        (12345, "number 12345 and 12,345 or 12_345"),
        (-12345, "debt of -12345"),
        (12.345, "about 12.345"),
    ],
)
def test_a_value_is_left_out_as_a_text_writes_it(value: object, text: str) -> None:
    found = Values([value]).left_out(text)

    assert HIDDEN in found
    assert str(value).strip().splitlines()[-1] not in found


@pytest.mark.parametrize(
    "value",
    [
        datetime.fromisoformat("2024-01-02T03:04:05+00:00"),
        date(2024, 1, 2),
        b"some \x00 bytes of a key",
        b"text as bytes",
        Decimal("1234.50"),
        NUMBER,
    ],
)
@pytest.mark.parametrize("form", [str, repr])
def test_so_is_what_json_writes_as_text(value: object, form: type[str]) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(value))

    assert HIDDEN in Values([stored]).left_out(f"at {form(value)}.")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", "abc is too short"),
        ("test", "the latest one"),
        ("2024", "number 120245"),
        (999, "after 999 ms"),
        (12345, "number 123456"),
        (True, "it is True"),
        (None, "it is None"),
        ("", "nothing"),
        ("   ", "no    text"),
    ],
)
def test_what_may_be_anything_else_stays(value: object, text: str) -> None:
    assert Values([value]).left_out(text) == text


def test_the_longer_one_of_two_values_goes_as_a_whole() -> None:
    assert Values(["user", "user name", "name"]).left_out("no user name, user") == f"no {HIDDEN}, {HIDDEN}"


def test_a_text_that_takes_too_long_to_look_through_goes_as_a_whole() -> None:
    assert Values(["secret"]).left_out("x" * 300_000) == HIDDEN
    assert Values(map(str, range(10_000, 210_000))).left_out("x") == HIDDEN
    assert Values([]).left_out("x" * 300_000) == "x" * 300_000


@pytest.mark.parametrize("count", [500, 2_000, 20_000, 100_000])
def test_many_values_in_a_long_text_take_no_long_time(count: int) -> None:
    values = [f"{number:08d}card" for number in range(count)]
    text = " ".join(values * (1 + 20_000 // count))[:260_000]
    began = time.thread_time()
    told = Values(values).among([text]).left_out(text)

    assert time.thread_time() - began < 1
    assert not any(value in told for value in values)


@given(st.text(min_size=8), st.text(max_size=20), st.text(max_size=20), st.sampled_from(["{}", "{!r}", "{!a}"]))
def test_no_long_text_is_left_in_whatever_stands_around_it(value: str, before: str, behind: str, form: str) -> None:
    assume(value not in before + HIDDEN + behind and len(value.strip()) >= 8)

    found = Values([value]).left_out(f"{before}{form.format(value)}{behind}")

    assert value not in found
    assert HIDDEN in found

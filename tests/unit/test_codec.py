"""Messages and states as bytes: what goes in comes out, and what could not come out does not go in."""

import contextlib
import dataclasses
import json
import math
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagabus.codec import Codec, JsonCodec, fingerprint
from sagabus.codec.states import StateCodec
from sagabus.errors import (
    ConfigurationError,
    MessageError,
    MessageInvalid,
    MessageNotDeclared,
    MessageTooDeep,
    MessageTooLarge,
    StateInvalid,
    StateTooLarge,
)
from sagabus.message import MessageType, event, message_type_of


@dataclasses.dataclass(frozen=True)
class Line:
    sku: str
    price: float | None = None


@event("orders.submitted")
class Order:
    order_id: str
    total: int = 0
    lines: tuple[Line, ...] = ()
    weight: float | None = None
    extra: object = None


@event("orders.struct")
class StructOrder(msgspec.Struct, frozen=True):
    order_id: str
    weight: float | None = None
    placed: datetime | None = None


@event("orders.model")
class ModelOrder(pydantic.BaseModel):
    order_id: str
    weight: float | None = None
    lines: list[int] = pydantic.Field(default_factory=list, alias="orderLines")


@event("orders.strict")
class Guarded:
    total: int

    def __post_init__(self) -> None:
        if self.total < 0:
            raise KeyError("below zero")
        if self.total == 0:
            raise MemoryError


ORDER = message_type_of(Order)
MODEL = message_type_of(ModelOrder)

text = st.text(st.characters(exclude_categories=["Cs"]))
number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
lines = st.builds(Line, sku=text, price=number)
orders = st.builds(
    Order,
    order_id=text,
    total=st.integers(),
    lines=st.lists(lines, max_size=5).map(tuple),
    weight=number,
    extra=st.recursive(st.none() | st.booleans() | text | st.integers(), st.lists, max_leaves=8),
)


@pytest.fixture
def codec() -> Codec:
    return JsonCodec()


# --- round trips --------------------------------------------------------------------------------


@given(orders)
def test_an_order_comes_back_as_it_was(order: Order) -> None:
    codec = JsonCodec()

    body = codec.encode(order)
    codec.admit(ORDER, body)

    assert codec.decode(ORDER, body) == order


@given(st.builds(StructOrder, order_id=text, weight=number, placed=st.datetimes(timezones=st.just(UTC))))
def test_a_struct_comes_back_as_it_was(order: StructOrder) -> None:
    codec = JsonCodec()

    assert codec.decode(message_type_of(order), codec.encode(order)) == order


@given(st.builds(ModelOrder, order_id=text, weight=number, orderLines=st.lists(st.integers(-(2**63), 2**63))))
def test_a_pydantic_model_comes_back_as_it_was_by_alias(order: ModelOrder) -> None:
    codec = JsonCodec()

    body = codec.encode(order)

    assert b'"orderLines":' in body
    assert codec.decode(MODEL, body) == order


@given(st.binary(max_size=200) | text.map(str.encode), st.sampled_from([ORDER, MODEL]))
def test_any_bytes_are_decoded_or_refused_as_a_message_error(body: bytes, message_type: MessageType) -> None:
    for reading in (JsonCodec().decode, JsonCodec().admit):
        with contextlib.suppress(MessageError):
            reading(message_type, body)


# --- at the sender ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Order(order_id=5), 'orders.submitted: field "order_id": expected str, got int'),  # type: ignore[arg-type]
        (Order("A", total=True), 'orders.submitted: field "total": expected int, got bool'),
        (
            Order("A", lines=(Line("x"), Line(3))),  # type: ignore[arg-type]
            'orders.submitted: field "lines[1].sku": expected str, got int',
        ),
        (
            ModelOrder.model_construct(order_id=5),
            'orders.model: field "order_id": input should be a valid string',
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_naming_its_field(codec: Codec, message: object, said: str) -> None:
    with pytest.raises(MessageInvalid) as caught:
        codec.encode(message)

    assert str(caught.value) == said


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda value: Order("A", weight=value), "weight"),
        (lambda value: Order("A", lines=(Line("x"), Line("y", value))), "lines[1].price"),
        (lambda value: Order("A", extra={"a": ["b", {"c": value}]}), "extra.a[1].c"),
        (lambda value: StructOrder("A", weight=value), "weight"),
        (lambda value: ModelOrder(order_id="A", weight=value), "weight"),
    ],
)
def test_numbers_json_does_not_have_are_refused(
    codec: Codec, make: Callable[[float], object], path: str, value: float
) -> None:
    with pytest.raises(MessageInvalid, match="NaN") as caught:
        codec.encode(make(value))

    assert caught.value.path == path


def test_none_and_the_word_null_are_not_taken_for_nan(codec: Codec) -> None:
    order = Order("null", weight=None, extra=[None, "null", 1.5])

    assert codec.decode(ORDER, codec.encode(order)) == order


@pytest.mark.parametrize("extra", [object(), "\ud800", 10**4300], ids=["object", "surrogate", "huge"])
def test_a_value_json_cannot_hold_is_refused_naming_its_field(codec: Codec, extra: object) -> None:
    with pytest.raises(MessageInvalid) as caught:
        codec.encode(Order("A", extra=extra))

    assert caught.value.path == "extra"


def test_an_undeclared_message_is_refused(codec: Codec) -> None:
    with pytest.raises(MessageNotDeclared):
        codec.encode(Line("x"))


def test_a_class_in_place_of_a_message_is_refused(codec: Codec) -> None:
    with pytest.raises(MessageInvalid, match="got its class"):
        codec.encode(Order)


def test_whatever_a_constructor_raises_the_message_is_invalid(codec: Codec) -> None:
    with pytest.raises(MessageInvalid, match="below zero"):
        codec.decode(message_type_of(Guarded), b'{"total":-1}')


def test_running_out_of_memory_is_not_the_fault_of_the_message(codec: Codec) -> None:
    with pytest.raises(MemoryError):
        codec.decode(message_type_of(Guarded), b'{"total":0}')


# --- limits -------------------------------------------------------------------------------------


def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    body = JsonCodec().encode(Order("A"))

    assert JsonCodec(max_size=len(body)).encode(Order("A")) == body
    with pytest.raises(MessageTooLarge) as caught:
        JsonCodec(max_size=len(body) - 1).encode(Order("A"))
    assert (caught.value.size, caught.value.limit) == (len(body), len(body) - 1)


def test_size_is_checked_before_anything_is_parsed() -> None:
    with pytest.raises(MessageTooLarge):
        JsonCodec(max_size=9).decode(ORDER, b"not json at all")


def nested(levels: int) -> bytes:
    return b'{"order_id":"A","extra":' + b"[" * levels + b"]" * levels + b"}"


def test_a_body_of_exactly_the_depth_passes_and_one_level_more_does_not(codec: Codec) -> None:
    codec.decode(ORDER, nested(31))

    with pytest.raises(MessageTooDeep) as caught:
        codec.decode(ORDER, nested(32))
    assert caught.value.limit == 32


def test_depth_is_checked_before_anything_is_parsed(codec: Codec) -> None:
    with pytest.raises(MessageTooDeep):
        codec.decode(ORDER, b"[" * 200_000)


def test_depth_counts_neither_brackets_in_strings_nor_side_by_side(codec: Codec) -> None:
    order = Order('\\"' + "[{" * 100 + '"\\', extra=[[], {}] * 100)

    assert codec.decode(ORDER, codec.encode(order)) == order


def test_depth_of_a_hostile_body_is_found_in_linear_time() -> None:
    hostile = b"[{" * 20 + b'"' + b'\\"' * 2_000_000
    begin = time.monotonic()

    with pytest.raises(MessageTooDeep):
        JsonCodec(max_size=10_000_000).decode(ORDER, hostile)

    assert time.monotonic() - begin < 5


def test_too_deep_and_endless_messages_are_refused_at_the_sender(codec: Codec) -> None:
    deep: list[object] = []
    for _ in range(40):
        deep = [deep]
    endless: list[object] = []
    endless.append(endless)

    for extra in (deep, endless):
        with pytest.raises(MessageTooDeep):
            codec.encode(Order("A", extra=extra))


@pytest.mark.parametrize(("size", "depth"), [(0, 1), (1, 0), (-1, 5)])
def test_limits_that_let_nothing_through_are_refused(size: int, depth: int) -> None:
    for kind in (JsonCodec, StateCodec):
        with pytest.raises(ConfigurationError):
            kind(max_size=size, max_depth=depth)


# --- at the receiver ----------------------------------------------------------------------------


@pytest.mark.parametrize("message_type", [ORDER, MODEL], ids=["dataclass", "pydantic"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"order_id":"A"',
        b'{"order_id":"A"} x',
        b'\xef\xbb\xbf{"order_id":"A"}',
        b'{"order_id":"\xff"}',
        b'{"order_id":"A","unknown":"\xff"}',
        b'{"order_id":"\\ud800"}',
        b'{"order_id":"A","weight":NaN}',
        b'{"order_id":"A","weight":-Infinity}',
        b'{"order_id":"A","weight":1e999}',
        b'{"order_id":"A","unknown":NaN}',
        b"[]",
        b"null",
    ],
)
def test_what_is_not_such_a_message_is_refused(codec: Codec, message_type: MessageType, body: bytes) -> None:
    with pytest.raises(MessageInvalid) as caught:
        codec.decode(message_type, body)

    assert caught.value.message_type == message_type.name
    assert caught.value.reason


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        (b'{"order_id":"A","total":"5"}', "total", "expected int, got str"),
        (b'{"order_id":"A","total":5.0}', "total", "expected int, got float"),
        (b'{"total":5}', "order_id", "required field is missing"),
        (b'{"order_id":"A","lines":[{}]}', "lines[0].sku", "required field is missing"),
        (b'{"order_id":"A","unknown":"\xff"}', "", "text is not valid UTF-8"),
    ],
)
def test_a_refusal_names_field_and_reason(codec: Codec, body: bytes, path: str, reason: str) -> None:
    with pytest.raises(MessageInvalid) as caught:
        codec.decode(ORDER, body)

    assert (caught.value.path, caught.value.reason) == (path, reason)


def test_a_refusal_of_a_pydantic_model_names_the_path(codec: Codec) -> None:
    with pytest.raises(MessageInvalid) as caught:
        codec.decode(MODEL, b'{"order_id":"A","orderLines":[1,"x"]}')

    assert caught.value.path == "orderLines[1]"


@dataclasses.dataclass
class Shelf:
    models: list[ModelOrder]


@event("orders.shelved")
class Shelved:
    shelf: Shelf


def test_so_does_one_of_a_model_within_another_class_without_the_value(codec: Codec) -> None:
    with pytest.raises(MessageInvalid) as caught:
        codec.decode(message_type_of(Shelved), b'{"shelf":{"models":[{"order_id":"A","orderLines":[1,"s3cret"]}]}}')

    assert caught.value.path == "shelf.models[0].orderLines[1]"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("message_type", [ORDER, MODEL], ids=["dataclass", "pydantic"])
def test_fields_of_a_newer_release_are_ignored(codec: Codec, message_type: MessageType) -> None:
    message = codec.decode(message_type, b'{"order_id":"A","since_version_9":{"a":[1]}}')

    assert getattr(message, "order_id", None) == "A"


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, 10**4299], ids=int.bit_length)
def test_large_integers_are_exact(codec: Codec, value: int) -> None:
    assert codec.decode(ORDER, codec.encode(Order("A", total=value))) == Order("A", total=value)


@pytest.mark.parametrize("field", ["total", "weight", "extra"])
def test_integers_too_large_to_read_safely_are_refused(codec: Codec, field: str) -> None:
    with pytest.raises(MessageInvalid) as caught:
        codec.decode(ORDER, b'{"order_id":"A","%b":%b}' % (field.encode(), b"1" * 5000))

    assert caught.value.path == field


# --- bytes from outside -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"order_id":"A","order_id":"B"}', "order_id"),
        (b'{"order_id":"A","order\\u005fid":"B"}', "order_id"),
        (b'{"order_id":"A","unknown":[1,{"k":1,"k":1}]}', "unknown[1].k"),
    ],
)
def test_a_repeated_key_is_not_admitted_at_any_depth(codec: Codec, body: bytes, path: str) -> None:
    with pytest.raises(MessageInvalid, match="appears twice") as caught:
        codec.admit(ORDER, body)

    assert caught.value.path == path


@pytest.mark.parametrize("unknown", [b"1e999", b'"\\ud800"', b"1" * 5000])
def test_unknown_fields_are_as_strict_as_known_ones_at_the_edge(codec: Codec, unknown: bytes) -> None:
    with pytest.raises(MessageInvalid):
        codec.admit(ORDER, b'{"order_id":"A","unknown":%b}' % unknown)


def test_one_key_in_different_objects_is_admitted(codec: Codec) -> None:
    codec.admit(ORDER, b'{"order_id":"A","lines":[{"sku":"x"},{"sku":"y"}],"extra":{"order_id":1}}')


@pytest.mark.parametrize("body", [b"[" * 100, b'{"order_id":1}', b'{"order_id":"\xff"}', b" " * 300_000])
def test_what_cannot_be_decoded_is_not_admitted(codec: Codec, body: bytes) -> None:
    with pytest.raises(MessageError):
        codec.admit(ORDER, body)


def test_a_class_json_cannot_describe_is_found_before_the_first_message() -> None:
    @event("impossible")
    class Impossible:
        either: str | bytes

    with pytest.raises(ConfigurationError, match="impossible"):
        JsonCodec().prepare(message_type_of(Impossible))
    with pytest.raises(ConfigurationError, match="Impossible"):
        StateCodec().prepare(Impossible)


# --- fingerprints -------------------------------------------------------------------------------


@given(st.tuples(text, st.binary()), st.tuples(text, st.binary()))
def test_fingerprints_agree_exactly_when_type_and_body_do(one: tuple[str, bytes], two: tuple[str, bytes]) -> None:
    assert len(fingerprint(*one)) == 16
    assert (fingerprint(*one) == fingerprint(*two)) == (one == two)


def test_a_fingerprint_tells_where_the_name_ends() -> None:
    assert fingerprint("ab", b"c") != fingerprint("a", b"bc")


# --- saga state ---------------------------------------------------------------------------------


@dataclasses.dataclass
class OrderState:
    order_id: str
    status: Literal["open", "paid"] = "open"
    token: uuid.UUID | None = None
    ratio: float | None = None
    seen: dict[str, int] = dataclasses.field(default_factory=dict)


states = st.builds(
    OrderState,
    order_id=text,
    status=st.sampled_from(["open", "paid"]),
    token=st.none() | st.uuids(),
    ratio=number,
    seen=st.dictionaries(text, st.integers(), max_size=5),
)


@given(states)
def test_a_state_comes_back_as_it_was(state: OrderState) -> None:
    codec = StateCodec()

    assert codec.read(OrderState, codec.write(state)[0], None).state == state


def test_a_state_that_strayed_from_its_type_is_refused() -> None:
    state = OrderState("A")
    state.status = "bogus"  # type: ignore[assignment]

    with pytest.raises(StateInvalid) as caught:
        StateCodec().write(state)

    assert (caught.value.saga, caught.value.path) == ("OrderState", "status")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_state_with_a_number_json_does_not_have_is_refused(value: float) -> None:
    with pytest.raises(StateInvalid, match="NaN") as caught:
        StateCodec().write(OrderState("A", ratio=value))

    assert caught.value.path == "ratio"


def test_a_state_ignores_fields_of_a_newer_release() -> None:
    assert StateCodec().read(OrderState, b'{"order_id":"A","later":1}', None).state == OrderState("A")


def test_a_state_has_a_limit_of_its_own() -> None:
    large = OrderState("A" * 300_000)

    assert StateCodec().read(OrderState, StateCodec().write(large)[0], None).state == large
    with pytest.raises(StateTooLarge):
        StateCodec(max_size=1000).write(large)


def test_a_state_too_deep_is_refused_before_parsing() -> None:
    with pytest.raises(StateInvalid, match="deeper"):
        StateCodec().read(OrderState, b"[" * 100_000, None)


def test_a_state_with_broken_text_is_refused() -> None:
    with pytest.raises(StateInvalid, match="UTF-8"):
        StateCodec().read(OrderState, b'{"order_id":"A","unknown":"\xff"}', None)


def test_bodies_are_plain_json(codec: Codec) -> None:
    assert json.loads(codec.encode(Order("A", total=1)))["total"] == 1

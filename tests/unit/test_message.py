"""Declaring messages: wire names, the classes that may carry them, and what can be asked of them."""

import dataclasses
import enum
import inspect
import pickle
import subprocess
import sys
import typing

import msgspec
import pydantic
import pytest

from sagabus import errors
from sagabus.errors import ConfigurationError, MessageNotDeclared, SagaBusError, UnknownMessageType
from sagabus.message import (
    MessageType,
    Registry,
    command,
    event,
    field_names,
    get_field,
    message_type_of,
    required_field_names,
)
from sagabus.message.kinds import Command, Event


@event("orders.submitted")
class OrderSubmitted:
    order_id: str
    total: int = 0
    tags: list[str] = dataclasses.field(default_factory=list)


@command("payments.capture")
class CapturePayment(msgspec.Struct, frozen=True):
    order_id: str
    amount: int = 1


@event("payments.captured")
class PaymentCaptured(pydantic.BaseModel):
    order_id: str
    transaction: str | None = None


def test_a_plain_class_becomes_a_frozen_dataclass() -> None:
    message = OrderSubmitted("A1", total=4200)

    assert message == OrderSubmitted(order_id="A1", total=4200)
    assert message.tags == []
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.total = 1  # type: ignore[misc]


def test_the_declaration_returns_the_class_it_was_given() -> None:
    class Original:
        order_id: str

        def described(self) -> str:
            return super().__repr__()

    assert event("a")(Original) is Original


@pytest.mark.parametrize(
    ("cls", "declared"),
    [
        (OrderSubmitted, MessageType("orders.submitted", "event", OrderSubmitted, "dataclass")),
        (CapturePayment, MessageType("payments.capture", "command", CapturePayment, "struct")),
        (PaymentCaptured, MessageType("payments.captured", "event", PaymentCaptured, "pydantic")),
    ],
)
def test_a_declared_class_knows_its_name_kind_and_shape(cls: type[object], declared: MessageType) -> None:
    assert message_type_of(cls) == declared


def test_a_message_has_the_declaration_of_its_class() -> None:
    assert message_type_of(OrderSubmitted("A1")) is message_type_of(OrderSubmitted)


def test_a_dataclass_is_taken_as_it_is() -> None:
    @event("a")
    @dataclasses.dataclass
    class Mutable:
        order_id: str

    message = Mutable("A1")
    message.order_id = "A2"  # type: ignore[misc]

    assert message_type_of(message).shape == "dataclass"


def test_a_dataclass_with_slots_is_taken_as_it_is() -> None:
    @event("a")
    @dataclasses.dataclass(frozen=True, slots=True)
    class Slotted:
        order_id: str

    assert field_names(message_type_of(Slotted("A1"))) == ("order_id",)


def test_a_subclass_is_not_declared_by_its_base() -> None:
    class Special(OrderSubmitted):
        pass

    with pytest.raises(MessageNotDeclared) as caught:
        message_type_of(Special("A1"))

    assert "Special" in caught.value.class_name


def test_a_declared_subclass_has_the_fields_of_both() -> None:
    @event("orders.resubmitted")
    class Resubmitted(OrderSubmitted):
        reason: str = ""

    message = Resubmitted("A1", 5, reason="lost")

    assert (message.order_id, message.total, message.reason) == ("A1", 5, "lost")
    assert field_names(message_type_of(Resubmitted)) == ("order_id", "total", "tags", "reason")
    assert message_type_of(OrderSubmitted).name == "orders.submitted"


@pytest.mark.parametrize("thing", [object(), "text", None, int])
def test_what_was_never_declared_is_no_message(thing: object) -> None:
    with pytest.raises(MessageNotDeclared):
        message_type_of(thing)


@pytest.mark.parametrize("name", ["a", "Orders.submitted_v2-x", "a" * 128])
def test_a_wire_name_of_letters_digits_and_marks_is_accepted(name: str) -> None:
    @event(name)
    class Named:
        pass

    assert message_type_of(Named).name == name


@pytest.mark.parametrize("name", ["", "1a", ".a", "a b", "a\n", "ä", "a/b", "a" * 129])
def test_any_other_wire_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        event(name)


def test_a_class_with_its_own_constructor_is_refused() -> None:
    class Handmade:
        def __init__(self) -> None: ...

    with pytest.raises(ConfigurationError, match="__init__"):
        event("a")(Handmade)


@pytest.mark.parametrize("base", [tuple, dict, str, ValueError, enum.Enum])
def test_a_class_with_a_layout_of_its_own_is_refused(base: type[object]) -> None:
    class Special(base):  # type: ignore[misc, valid-type]
        pass

    with pytest.raises(ConfigurationError, match="cannot be a message"):
        event("a")(Special)


def test_only_a_class_can_be_declared() -> None:
    with pytest.raises(ConfigurationError, match="go on a class"):
        event("a")(lambda: None)  # type: ignore[arg-type]


def test_a_class_is_declared_once() -> None:
    with pytest.raises(ConfigurationError, match="declared twice"):
        event("again")(OrderSubmitted)


def test_a_class_no_dataclass_can_be_made_of_is_refused() -> None:
    class Shared:
        lines: list[str] = []  # noqa: RUF012 - the mistake under test

    with pytest.raises(ConfigurationError, match="which all instances would share"):
        event("a")(Shared)


def test_a_registry_finds_a_class_by_its_wire_name() -> None:
    registry = Registry()

    added = registry.add(OrderSubmitted)

    assert registry.add(OrderSubmitted) is added
    assert registry.get("orders.submitted") is added


def test_a_registry_refuses_a_name_it_does_not_know() -> None:
    with pytest.raises(UnknownMessageType) as caught:
        Registry().get("os.system")

    assert caught.value.message_type == "os.system"


def test_a_registry_refuses_two_classes_with_one_name() -> None:
    @event("orders.submitted")
    class Other:
        pass

    registry = Registry()
    registry.add(OrderSubmitted)

    with pytest.raises(ConfigurationError, match=r"orders\.submitted.*OrderSubmitted.*Other"):
        registry.add(Other)


def test_a_registry_refuses_an_undeclared_class() -> None:
    with pytest.raises(MessageNotDeclared):
        Registry().add(int)


def test_registries_do_not_share_what_they_know() -> None:
    Registry().add(OrderSubmitted)

    with pytest.raises(UnknownMessageType):
        Registry().get("orders.submitted")


@pytest.mark.parametrize(
    ("cls", "names", "required"),
    [
        (OrderSubmitted, ("order_id", "total", "tags"), ("order_id",)),
        (CapturePayment, ("order_id", "amount"), ("order_id",)),
        (PaymentCaptured, ("order_id", "transaction"), ("order_id",)),
    ],
)
def test_fields_are_named_alike_for_every_shape(
    cls: type[object], names: tuple[str, ...], required: tuple[str, ...]
) -> None:
    assert field_names(message_type_of(cls)) == names
    assert required_field_names(message_type_of(cls)) == required


def test_a_field_is_read_by_name() -> None:
    assert get_field(CapturePayment("A1"), "order_id") == "A1"


def test_reading_a_field_that_does_not_exist_is_a_configuration_fault() -> None:
    with pytest.raises(ConfigurationError, match="'colour'"):
        get_field(CapturePayment("A1"), "colour")


def test_declaring_messages_does_not_load_pydantic() -> None:
    check = "import sys, sagabus.message, sagabus.codec; sys.exit('pydantic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_every_problem_of_a_configuration_has_its_own_line() -> None:
    error = ConfigurationError("no key", "no start")

    assert error.problems == ("no key", "no start")
    assert str(error) == "no key\nno start"


EVERY_ERROR = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, SagaBusError)]


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_every_error_advises_its_reader_in_one_line(error: type[SagaBusError]) -> None:
    assert error.__name__ in errors.__all__
    assert len((error.__doc__ or "").splitlines()) == 1


def raised(error: type[SagaBusError]) -> SagaBusError:
    """One of its kind, with something in each argument it insists on."""
    if not inspect.isfunction(error.__init__):
        return error()
    hints = typing.get_type_hints(error.__init__)
    parameters = inspect.signature(error).parameters.values()
    required = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
    return error(*(hints[p.name]("7") for p in required))


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_every_error_survives_pickling_and_is_never_blank(error: type[SagaBusError]) -> None:
    original = raised(error)

    copy = pickle.loads(pickle.dumps(original))

    assert type(copy) is error
    assert (str(copy), vars(copy)) == (str(original), vars(original))
    assert str(copy).strip()


def test_only_waiting_helps_where_an_error_is_transient() -> None:
    transient = {error.__name__ for error in EVERY_ERROR if error.is_transient}

    assert transient == {
        "TransportError",
        "StoreUnavailable",
        "StoreBusy",
        "StoreFull",
    }


class PlainEvent(Event):
    text: str


@dataclasses.dataclass
class DataclassEvent(Event):
    text: str


class StructEvent(msgspec.Struct, Event):
    text: str


class ModelEvent(pydantic.BaseModel, Event):
    text: str


@pytest.mark.parametrize("base", [PlainEvent, DataclassEvent, StructEvent, ModelEvent])
def test_a_base_for_checkers_adds_nothing_and_cannot_contradict_the_decorator(base: type[typing.Any]) -> None:
    with pytest.raises(ConfigurationError, match="derives from Event, but @command declares it"):
        command("tests.text")(base)

    declared = event("tests.text")(base)

    assert field_names(message_type_of(declared)) == ("text",)
    assert declared(text="a") == declared(text="a")


def test_a_command_for_checkers_cannot_be_declared_as_an_event() -> None:
    with pytest.raises(ConfigurationError, match="derives from Command, but @event declares it"):

        @event("tests.text")
        class Text(Command):
            text: str

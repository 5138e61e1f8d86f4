"""A key, a name or an id of another type is refused with the type, whatever the store would have made of it."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted, Tally

from sagabus import WrongType
from sagabus.errors import InvalidMessageId, MessageInvalid
from sagabus.testing import Harness

Look = Callable[[Harness, Any], Awaitable[Any]]

TEXTS: dict[str, tuple[Look, str]] = {
    "sagas.get": (lambda on, it: on.bus.sagas.get(Tally, it), r"bus\.sagas\.get\(\.\.\.\): key"),
    "sagas.get by name": (lambda on, it: on.bus.sagas.get("tally", it), r"bus\.sagas\.get\(\.\.\.\): key"),
    "sagas.history": (lambda on, it: on.bus.sagas.history(Tally, it), r"bus\.sagas\.history\(\.\.\.\): key"),
    "inspect.why": (lambda on, it: on.bus.inspect.why(Tally, it), r"bus\.inspect\.why\(\.\.\.\): key"),
    "inspect.history": (lambda on, it: on.bus.inspect.history(Tally, it), r"bus\.inspect\.history\(\.\.\.\): key"),
    "saga": (lambda on, it: on.saga(Tally, it), "key"),
    "record": (lambda on, it: on.record(Tally, it), "key"),
    "history": (lambda on, it: on.history(Tally, it), "key"),
}
MAY_BE_NONE: dict[str, tuple[Look, str]] = {
    "timers": (lambda on, it: on.timers(Tally, it), "key"),
    "timers.list": (lambda on, it: on.bus.timers.list(Tally, it), r"bus\.timers\.list\(\.\.\.\): key"),
    "inspect.timers": (lambda on, it: on.bus.inspect.timers(key=it), "key"),
    "inspect.timers of": (lambda on, it: on.bus.inspect.timers(it), "saga"),
    "inspect.timers after": (lambda on, it: on.bus.inspect.timers(after=it), "after"),
    "inspect.messages": (lambda on, it: on.bus.inspect.messages(key=it), r"bus\.inspect\.messages\(\.\.\.\): key"),
    "inspect.messages of": (lambda on, it: on.bus.inspect.messages(it), "subscription"),
    "inspect.messages of a type": (lambda on, it: on.bus.inspect.messages(message_type=it), "message_type"),
    "inspect.messages of a kind": (lambda on, it: on.bus.inspect.messages(kind=it), "kind"),
    "a conversation": (lambda on, it: on.bus.inspect.messages(correlation_id=it), "correlation_id"),
    "sagas.list after": (lambda on, it: on.bus.sagas.list(Tally, after=it), "after"),
    "sagas.list": (lambda on, it: on.bus.sagas.list(Tally, status=it), "status"),
    "dead_letters.list": (lambda on, it: on.bus.dead_letters.list(it), "subscription"),
}
NUMBERS: dict[str, tuple[Look, str]] = {
    "dead_letters.get": (lambda on, it: on.bus.dead_letters.get(it), r"bus\.dead_letters\.get\(\.\.\.\): letter"),
    "dead_letters.replay": (lambda on, it: on.bus.dead_letters.replay(it, reason="a test"), "letter"),
    "dead_letters.discard": (lambda on, it: on.bus.dead_letters.discard(it, reason="a test"), "letter"),
    "dead_letters.list after": (lambda on, it: on.bus.dead_letters.list(after=it), "after"),
    "sagas.history after": (lambda on, it: on.bus.sagas.history(Tally, "k", after=it), "after"),
    "inspect.history after": (lambda on, it: on.bus.inspect.history(Tally, "k", after=it), "after"),
}
NO_TEXTS = [1, True, 1.5, b"1", ["1"], UUID(int=1), Decimal(1), Tally]


@pytest.mark.parametrize("call", [*TEXTS, *MAY_BE_NONE])
async def test_what_is_no_text_is_refused(harness: MakeHarness, call: str) -> None:
    look, said = (TEXTS | MAY_BE_NONE)[call]
    async with harness(Tally) as on:
        for given in NO_TEXTS:
            with pytest.raises(WrongType, match=rf"{said} must be text, not {type(given).__name__}"):
                await look(on, given)


@pytest.mark.parametrize("call", TEXTS)
async def test_no_key_at_all_is_refused(harness: MakeHarness, call: str) -> None:
    look, said = TEXTS[call]
    async with harness(Tally) as on:
        with pytest.raises(WrongType, match=f"{said} must be text, not None"):
            await look(on, None)


@pytest.mark.parametrize("call", sorted(MAY_BE_NONE.keys() - {"sagas.list after"}))
async def test_what_may_be_left_out_may_be_none(harness: MakeHarness, call: str) -> None:
    async with harness(Tally) as on:
        assert await MAY_BE_NONE[call][0](on, None) is not None


@pytest.mark.parametrize("call", NUMBERS)
async def test_what_is_no_number_is_refused(harness: MakeHarness, call: str) -> None:
    look, said = NUMBERS[call]
    async with harness(Tally) as on:
        for given in ("1", True, 1.0, None, UUID(int=1)):
            kind = "None" if given is None else type(given).__name__
            with pytest.raises(WrongType, match=rf"{said} must be a whole number, not {kind}"):
                await look(on, given)


@pytest.mark.parametrize("given", [1, None, b"tally", object()])
async def test_what_is_no_saga_is_refused(harness: MakeHarness, given: Any) -> None:
    async with harness(Tally) as on:
        for look in (on.bus.sagas.get, on.bus.sagas.history, on.bus.timers.list, on.bus.inspect.why):
            with pytest.raises(WrongType, match="saga must be its class or its name"):
                await look(given, "k")


async def test_a_plain_value_is_answered_with_its_text(harness: MakeHarness) -> None:
    async with harness(Tally) as on:
        with pytest.raises(WrongType, match=r"write '1'$"):
            await on.bus.sagas.get(Tally, 1)  # type: ignore[call-overload]  # that is the test
        with pytest.raises(WrongType, match=r"write 7$"):
            await on.bus.dead_letters.get("7")  # type: ignore[arg-type]  # that is the test


async def test_ids_and_keys_of_what_is_sent_were_refused_before(harness: MakeHarness) -> None:
    message = Noted(key="k", number=1)
    async with harness(Tally) as on:
        for options in ({"message_id": 1}, {"correlation_id": 1}):
            with pytest.raises(InvalidMessageId, match="must be text, not int"):
                await on.bus.publish(message, **options)  # type: ignore[arg-type]  # that is the test
        with pytest.raises(MessageInvalid, match="must be text, not 1"):
            await on.bus.publish(message, partition_key=1)  # type: ignore[arg-type]  # that is the test

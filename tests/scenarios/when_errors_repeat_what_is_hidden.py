"""An error of user code may repeat the value of a hidden field: what is kept, logged and shown of it does not."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest
from tests.conftest import Take
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.when_messages_hold_secrets import Watched
from tests.support.databases import Database
from tests.support.waiting import until

from sagabus import (
    Bus,
    ConfigurationError,
    Context,
    Hidden,
    RetryPolicy,
    Saga,
    Settings,
    event,
    handler,
    handles,
    starts,
    timer,
)
from sagabus.cli import main
from sagabus.codec.masks import HIDDEN
from sagabus.policies.brokers import Broker
from sagabus.policies.retry import Exponential, Rule
from sagabus.stores.sql.dialect import TABLES
from sagabus.transports.memory import MemoryBroker, MemoryTransport

CARD, TOKEN, MADE, PHONE = "4111 1111 'x' 1111", "t0ken-5ecret", "m4de-5ecret", 491_701_234_567
PLAIN = "plain words"
SECRETS = (CARD, TOKEN, MADE, str(PHONE), "4111 1111")
ONCE = RetryPolicy(attempts=1)
MODULE = """
from tests.scenarios.when_errors_repeat_what_is_hidden import EVERYTHING
from sagabus import Bus

bus = Bus({url!r}, *EVERYTHING)
"""
SHOWN = [["dead-letters", "list"], ["dead-letters", "groups"], ["dead-letters", "show"], ["status"], ["doctor"]]


@dataclass
class Contact:
    city: str
    phone: Annotated[int, Hidden]


@event("repeated.paid")
class Paid:
    key: str
    card: Annotated[str, Hidden]
    contact: Contact
    how: str = ""
    text: str = PLAIN


@event("repeated.opened")
class Opened:
    key: str
    token: Annotated[str, Hidden]


def refuse(stored: dict[str, Any]) -> dict[str, Any]:
    raise ValueError(f"no card of the old kind: {stored['number']!r}")


@event("repeated.upgraded", version=2, upcast={1: refuse})
class Upgraded:
    key: str
    card: Annotated[str, Hidden]


refused: set[str] = set()
"""Cards that a validator refuses from now on."""


def is_known(card: str) -> str:
    if card in refused:
        raise ValueError(f"nobody knows {card}")
    return card


class Checked(pydantic.BaseModel):
    card: Annotated[str, Hidden, pydantic.AfterValidator(is_known)]


@event("repeated.validated")
class Validated:
    key: str
    checked: Checked


@event("repeated.left")
class Left:
    key: str
    card: Annotated[str, Hidden]


class Strange(RuntimeError):
    """A hierarchy of errors, as libraries make them."""


def fail(message: Paid) -> None:
    """Repeat what is hidden in each way in which Python makes a text of it."""
    if message.how == "text":
        raise ValueError(f"{message.text}: card {message.card} refused, call {message.contact.phone}")
    if message.how == "repr":
        raise ValueError(message)
    if message.how == "key":
        raise KeyError(message.card)
    if message.how == "cause":
        try:
            int(message.card)
        except ValueError as error:
            raise Strange("no number") from error
    if message.how == "note":
        error = Strange("see the note")
        error.add_note(f"it was\n{message.card}")
        raise error
    if message.how == "group":
        raise ExceptionGroup("all of them", [ValueError(message.card), Strange(f"{message.contact}")])
    raise Strange(f"{message.card} " * 2_000)  # cut somewhere


WAYS = ["text", "repr", "key", "cause", "note", "group", "long"]


@handler("repeated.plain", key="key", retry=ONCE)
def plain(message: Paid) -> None:
    fail(message)


@handler("repeated.waiting", retry=ONCE)
async def waiting(message: Paid) -> None:
    await asyncio.sleep(0)
    fail(message)


@handler("repeated.thread", retry=ONCE, thread=True)
def threaded(message: Paid) -> None:
    fail(message)


@handler("repeated.discarding", retry=RetryPolicy(attempts=1, rules={Exception: Rule.DISCARD}))
def discarding(message: Paid) -> None:
    fail(message)


@handler("repeated.retrying", retry=RetryPolicy(attempts=2, backoff=Exponential(first=timedelta(milliseconds=1))))
def retrying(message: Paid) -> None:
    fail(message)


def key_of(message: Paid) -> str:
    raise ValueError(f"no key in {message}")


@handler("repeated.keyless", key=key_of, retry=ONCE)
def keyless(message: Paid) -> None: ...


@handler("repeated.upgrading", retry=ONCE)
def upgrading(message: Upgraded) -> None: ...


@handler("repeated.validating", retry=ONCE)
def validating(message: Validated) -> None: ...


class Accounts(Saga, name="repeated.accounts", key="key", retry=ONCE, history=True):
    key: str
    token: Annotated[str, Hidden] = ""
    note: str = ""

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        self.token = message.token
        ctx.set_timer("end", after=timedelta(0))

    @handles
    def paid(self, message: Paid) -> None:
        before, self.token = self.token, MADE
        raise ValueError(f"{before} became {self.token}, card {message.card}")

    @timer("end")
    def end(self) -> None:
        raise ValueError(f"its token is {self.token}")


EVERYTHING = [plain, waiting, threaded, discarding, retrying, keyless, upgrading, validating, Accounts]


async def careless(message: object, ctx: Context, call_next: Any) -> None:
    """A middleware that fails by what it sees."""
    if isinstance(message, Paid) and message.how == "middleware":
        raise ValueError(f"{message.card} has no rights")
    await call_next(message, ctx)


class Decrypting:
    """A middleware that gives the handler another message than has come."""

    async def __call__(self, message: object, ctx: Context, call_next: Any) -> None:
        if isinstance(message, Opened):
            message = Opened(key=message.key, token=MADE)
        await call_next(message, ctx)


class Careless:
    """A codec that repeats what it cannot write."""

    name = "careless"

    def encode(self, body: bytes) -> bytes:
        raise ValueError(f"no place for {body.decode()}")

    def decode(self, body: bytes) -> bytes:
        return body


@pytest.fixture
def watching() -> Iterator[Watched]:
    found, logger = Watched(), logging.getLogger("sagabus")
    level = logger.level
    logger.addHandler(found.handler)
    logger.setLevel(logging.DEBUG)
    yield found
    logger.removeHandler(found.handler)
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def _none_refused() -> None:
    refused.clear()


@asynccontextmanager
async def opened(
    url: str, *definitions: Any, watching: Watched, worker: bool = True, **options: Any
) -> AsyncIterator[Bus]:
    settings = Settings(durability="accept", journal="all")
    bus = Bus(url, *definitions, settings=settings, observers=watching.observers, **options)
    await bus.open(worker=worker)
    try:
        yield bus
    finally:
        await bus.close()


def paid(how: str, key: str = "A1") -> Paid:
    return Paid(key=key, card=CARD, contact=Contact("X", PHONE), how=how)


async def go_wrong(bus: Bus) -> None:
    await bus.publish(Opened(key="A1", token=TOKEN))
    for how in WAYS:
        await bus.publish(paid(how))
    await bus.publish(Validated(key="A1", checked=Checked(card=CARD)))
    await bus.publish(Upgraded(key="A1", card=CARD), message_id="old", delay=timedelta(days=1))
    refused.add(CARD)
    await bus._start_worker()
    await bus.idle(60)


def repeated(seen: dict[str, str]) -> set[tuple[str, str]]:
    return {(name, secret) for name, text in seen.items() for secret in SECRETS if secret in text}


async def grow_old(database: Database) -> None:
    """The message that waits was sent by an older release, which had the card under another name."""
    old = f'{{"key":"A1","number":"{CARD}"}}'
    text = old.encode() if database.kind == "mysql" else old
    await database.change(
        f"UPDATE {database.own('envelope')} SET body = ?, headers = NULL, due_at = 0 WHERE message_id = 'old'", (text,)
    )


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres", "mysql"])
async def test_no_record_and_nothing_that_watches_repeats_a_hidden_value(
    kind: str, take: Take, watching: Watched
) -> None:
    database = None if kind == "memory" else take(kind)
    url = "memory:" if database is None else database.url
    async with opened(url, *EVERYTHING, watching=watching, worker=False) as bus:
        await go_wrong(bus)
        letters = await bus.dead_letters.list()
        seen = await watching.of(bus)
        seen["letters"] = repr([(each.reason, each.error_type, each.error_text, each.traceback) for each in letters])

    failing = ["plain", "waiting", "thread", "retrying", "keyless", "accounts"]
    assert {each.envelope.channel.removeprefix("repeated.") for each in letters} == {*failing, "validating"}
    assert len(letters) == len(failing) * len(WAYS) + 2  # the timer, and what is not valid
    assert repeated(seen) == set()
    assert f"{PLAIN}: card {HIDDEN} refused, call {HIDDEN}" in seen["letters"]
    assert f"{HIDDEN} became {HIDDEN}, card {HIDDEN}" in seen["letters"]
    assert "discarded by rule" in seen["log"]


async def test_no_column_of_any_table_but_the_bodies_has_it_and_no_command_shows_it(
    database: Database,
    watching: Watched,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with opened(database.url, *EVERYTHING, watching=watching, worker=False) as bus:
        await go_wrong(bus)
        await grow_old(database)
    async with opened(database.url, *EVERYTHING, watching=watching) as bus:
        await bus.idle(60)
        seen = await watching.of(bus)
        (old,) = [each for each in await bus.dead_letters.list() if each.envelope.message_id == "old"]
    name = f"repeated_on_{database.kind}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(url=database.url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for words in SHOWN:
        more = [str(old.id)] if words[-1] == "show" else []
        assert await asyncio.to_thread(main, [*words, f"{name}:bus", *more]) in (0, 1)
        seen[" ".join(words)] = "".join(capsys.readouterr())
    for table, column in (("dead_letter", "body"), ("envelope", "body"), ("instance", "state"), ("history", "state")):
        await database.change(f"UPDATE {database.own(table)} SET {column} = '{{}}'")
    seen |= {table: str(database.of_bus(table)) for table in TABLES}

    assert repeated(seen) == set()
    assert f"no card of the old kind: {HIDDEN}" in old.reason.replace("'", "").replace('"', "")


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres", "mysql"])
async def test_a_middleware_that_fails_repeats_nothing_and_no_handler_that_got_another_message(
    kind: str, take: Take, watching: Watched
) -> None:
    @handler("repeated.reader", retry=ONCE)
    async def reader(message: Opened) -> None:
        raise ValueError(f"what is {message.token}?")

    url = "memory:" if kind == "memory" else take(kind).url
    middleware = [careless, Decrypting()]
    async with opened(url, plain, reader, watching=watching, middleware=middleware) as bus:
        await bus.publish(paid("middleware"))
        await bus.publish(Opened(key="A1", token=TOKEN))
        await bus.idle(60)
        letters = await bus.dead_letters.list()
        seen = await watching.of(bus)

    assert sorted(each.reason for each in letters) == [
        f"failed 1 times, last: ValueError: {HIDDEN} has no rights",
        f"failed 1 times, last: ValueError: what is {HIDDEN}?",
    ]
    assert repeated(seen) == set()


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres", "mysql"])
async def test_a_bridge_that_cannot_write_a_message_repeats_nothing(kind: str, take: Take, watching: Watched) -> None:
    url = "memory:" if kind == "memory" else take(kind).url
    broker = Broker(transport=MemoryTransport(MemoryBroker()), body_codec=Careless())
    async with opened(url, watching=watching, transport=broker, service="shop") as bus:
        await bus.publish(Left(key="A1", card=CARD))
        await until(lambda: bus.statistics["broker:out", "retried"] >= 1)
        seen = await watching.of(bus)

    assert "no place for" in seen["log"]
    assert repeated(seen) == set()


# --- the hook ---------------------------------------------------------------------------------------------------------


def without_plain(text: str) -> str:
    return text.replace(PLAIN, "…")


async def letters_of(harness: MakeHarness, redact: Any) -> list[Any]:
    @handler("repeated.retrier", key="key", retry=ONCE)
    def retrier(message: Paid) -> None:
        fail(message)

    async with harness(retrier, settings=Settings(redact=redact)) as bus:
        await bus.publish(paid("text"))
        return list(await bus.dead_letters())


async def test_what_the_hook_leaves_out_is_nowhere(harness: MakeHarness, caplog: pytest.LogCaptureFixture) -> None:
    (letter,) = await letters_of(harness, without_plain)

    assert letter.reason == f"failed 1 times, last: ValueError: …: card {HIDDEN} refused, call {HIDDEN}"
    assert PLAIN not in f"{letter.reason} {letter.error_text} {letter.traceback} {caplog.text}"
    assert f"ValueError: …: card {HIDDEN} refused" in letter.traceback


def broken(text: str) -> str:
    raise RuntimeError(text)


@pytest.mark.parametrize("redact", [broken, lambda text: None, lambda text: b"x", lambda: "", lambda text: 1 / 0])
async def test_a_hook_that_fails_costs_the_text_and_not_the_failure(
    harness: MakeHarness, redact: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    (letter,) = await letters_of(harness, redact)

    assert (letter.reason, letter.error_type) == ("failed 1 times, last: ValueError", "ValueError")
    assert (letter.error_text or "", letter.traceback or "") == ("", "")
    assert "Settings.redact failed, so the text of a ValueError is left out" in caplog.text
    assert PLAIN not in caplog.text


def test_a_hook_is_a_function() -> None:
    with pytest.raises(ConfigurationError, match=r"Settings.redact must be a function"):
        Settings(redact="card")  # type: ignore[arg-type]

"""What a message or a state holds stays in the store: nothing that watches, and no list, repeats it."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.conftest import Take
from tests.support.databases import LEDGER, Database
from tests.unit.test_asgi import ask

from sagabus import (
    Bus,
    Context,
    Deduplication,
    RetryPolicy,
    Saga,
    SagaBusError,
    Settings,
    event,
    handler,
    handles,
    starts,
    timer,
)
from sagabus.cli import main
from sagabus.integrations.asgi import HealthApp
from sagabus.telemetry.fields import MessageContext, MessageFields
from sagabus.telemetry.json_lines import JsonLines
from sagabus.telemetry.message_log import MessageLog
from sagabus.telemetry.metering import Metering
from sagabus.telemetry.prometheus import Metrics
from sagabus.telemetry.tracing import Tracing

BODY, HEADER, STATE, PASSWORD = "body-5ecret", "header-5ecret", "state-5ecret", "password-5ecret"
SECRETS = (BODY, HEADER, STATE, PASSWORD)
HEADERS = {"x-token": HEADER}
MODULE = """
from tests.scenarios.when_messages_hold_secrets import Orders, audit
from sagabus import Bus

bus = Bus({url!r}, Orders, audit)
"""
LISTS = [
    ["status"], ["messages"], ["timers"], ["workers"], ["subscriptions", "list"], ["health"], ["doctor"], ["audit"],
    ["dead-letters", "list"], ["dead-letters", "groups"], ["dead-letters", "replay", "--cause", "failed", "--dry-run"],
    ["sagas", "why", "secret.orders", "A1"], ["conversation", "first"],
]  # fmt: skip
"""Commands that show no message and no state by itself: `dead-letters show` and `sagas show` are asked for one."""


@event("secret.submitted")
class Submitted:
    key: str
    text: str


@event("secret.changed")
class Changed:
    key: str
    text: str
    how: str = ""


class Orders(Saga, name="secret.orders", key="key", history=True, retry=RetryPolicy(attempts=1)):
    key: str
    note: str = ""
    count: int = 0

    @starts
    def submitted(self, message: Submitted, ctx: Context) -> None:
        self.note = STATE + message.text
        ctx.set_timer("end", after=timedelta(days=1))

    @handles
    def changed(self, message: Changed) -> Any:
        """Goes wrong in each way in which the bus makes the text of an error."""
        if message.how == "wrong type":
            self.count = self.note  # type: ignore[assignment]
        elif message.how == "no field":
            self.other = self.note
        elif message.how == "no json":
            self.note = {self.note}  # type: ignore[assignment]
        elif message.how == "returned":
            return self.note
        elif message.how in ("store", "url"):
            kind = ConnectionError if message.how == "store" else ValueError
            raise kind(f"cannot reach postgresql://shop:{PASSWORD}@db/shop")
        return None

    @timer("end")
    def end(self) -> None: ...


@handler("secret.audit", key="key", deduplication=Deduplication(on_duplicate="log"))
def audit(message: Changed) -> None: ...


class Watched:
    """Everything that can be heard and seen of a bus, as text."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._log, self._spans, self._reader = io.StringIO(), InMemorySpanExporter(), InMemoryMetricReader()
        tracer = TracerProvider()
        tracer.add_span_processor(SimpleSpanProcessor(self._spans))
        self._metrics = Metrics()
        self._metering = Metering(MeterProvider([self._reader], shutdown_on_exit=False))
        self.observers = [self._metrics, self._metering, MessageLog(), MessageContext(), Tracing(tracer)]
        self.handler = logging.StreamHandler(self._log)
        self.handler.setFormatter(JsonLines())
        self.handler.addFilter(MessageFields())

    async def of(self, bus: Bus) -> dict[str, str]:
        self._metering.look_at(bus)
        await self._metrics.look(bus)
        page = await ask(HealthApp(bus, details=True), "/health/ready")
        return {
            "log": self._log.getvalue(),
            "errors": "\n".join(self.errors),
            "spans": "\n".join(each.to_json() for each in self._spans.get_finished_spans()),
            "prometheus": self._metrics.exposition()[0].decode(),
            "opentelemetry": str(await asyncio.to_thread(self._reader.get_metrics_data)),
            "health": f"{await bus.health()!r} {page.body!r}",
            "doctor": repr(await bus.doctor()),
            "reasons": "\n".join(f"{each.reason} {each.traceback}" for each in await bus.dead_letters.list()),
        }


@pytest.fixture
def watching() -> Iterator[Watched]:
    found, logger = Watched(), logging.getLogger("sagabus")
    level = logger.level
    logger.addHandler(found.handler)
    logger.setLevel(logging.DEBUG)
    yield found
    logger.removeHandler(found.handler)
    logger.setLevel(level)


async def go_wrong(bus: Bus, said: list[str]) -> None:
    """Messages of every fate."""
    await bus.publish(Submitted(key="A1", text=BODY), headers=HEADERS, message_id="first")
    for how in ("", "wrong type", "no field", "no json", "returned", "url", "store"):
        await bus.publish(Changed(key="A1", text=BODY, how=how), headers=HEADERS, correlation_id="first")
    for _ in range(2):  # one is a copy
        await bus.publish(Changed(key="A1", text=BODY), headers=HEADERS, message_id="copied")
    await bus.publish(Changed(key="A1", text=f"other {BODY}"), headers=HEADERS, message_id="copied")
    await bus.publish(Changed(key="early", text=BODY), headers=HEADERS)
    await bus.publish(Changed(key="later", text=BODY), headers=HEADERS, delay=timedelta(days=1), message_id="later")
    wrong: Any = [{"key": 5, "text": BODY}, {"key": "A1", "text": {BODY}}, {"key": "A1", "text": b"x" + BODY.encode()}]
    for fields in wrong:
        await refused(said, bus.publish(Changed(**fields), headers=HEADERS))
    for headers in ({"x": f"{HEADER}\0"}, {"x": [HEADER]}, {"x": HEADER * 100_000}, {"\n": HEADER}):
        await refused(said, bus.publish(Changed(key="A1", text=BODY), headers=headers))  # type: ignore[arg-type]
    await bus.idle()


async def refused(said: list[str], call: Any) -> None:
    with suppress(Exception):
        try:
            await call
        except SagaBusError as error:
            said.append(f"{error!s} {error!r}")
            raise


async def damage(database: Database) -> None:
    """What is stored no longer reads as its class: the errors about it may not quote it."""
    body = json.dumps({"key": "later", "text": 5, "how": BODY})
    state = json.dumps({"key": "A1", "note": 5, "count": STATE})
    await database.change(
        f"UPDATE {database.own('envelope')} SET body = ?, due_at = 0 WHERE message_id = 'later'", _raw(database, body)
    )
    await database.change(f"UPDATE {database.own('instance')} SET state = ?", _raw(database, state))


def _raw(database: Database, text: str) -> tuple[object]:
    return (text if database.kind != "mysql" else text.encode(),)


@asynccontextmanager
async def opened(database: Database, watching: Watched) -> AsyncIterator[Bus]:
    settings = Settings(durability="accept", journal="all")
    async with Bus(database.url, Orders, audit, settings=settings, observers=watching.observers) as bus:
        yield bus


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
async def test_nothing_that_watches_and_no_list_repeats_a_body_a_header_or_a_state(
    kind: str,
    take: Take,
    watching: Watched,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    database = take(kind)
    async with opened(database, watching) as bus:
        await go_wrong(bus, watching.errors)
    await damage(database)
    async with opened(database, watching) as bus:
        await bus.publish(Changed(key="A1", text=BODY), headers=HEADERS)
        await bus.idle()
        await bus.mend.pause("secret.audit", reason="a look")
        seen = await watching.of(bus)
    (tmp_path / f"secrets_on_{kind}.py").write_text(MODULE.format(url=database.url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for words in LISTS:
        for as_json in ([], ["--json"]):
            name = " ".join([*words, *as_json])
            place = 2 if words[0] in ("dead-letters", "sagas", "subscriptions") else 1
            code = await asyncio.to_thread(main, [*words[:place], f"secrets_on_{kind}:bus", *words[place:], *as_json])
            seen[name] = "".join(capsys.readouterr())
            assert (code in (0, 1), bool(seen[name])) == (True, True), name

    assert {(name, secret) for name, text in seen.items() for secret in SECRETS if secret in text} == set()
    assert len(watching.errors) >= 4
    assert all(how in seen["reasons"] for how in ("expected int", "no field", "returned a value", "collision"))


REFUSALS = {
    "check": "INSERT INTO ledger (id, amount) VALUES (?, -1)",
    "twice": "INSERT INTO placed (id) VALUES (?)",
    "type": "INSERT INTO ledger (amount) VALUES (?)",
}
"""Statements that a database refuses, by why. SQLite has no wrong types."""


@pytest.mark.parametrize(
    ("kind", "why"),
    [(kind, why) for kind in ("sqlite", "postgres", "mysql") for why in REFUSALS if (kind, why) != ("sqlite", "type")],
)
async def test_a_row_that_the_database_refuses_is_not_repeated(
    kind: str, why: str, take: Take, caplog: pytest.LogCaptureFixture
) -> None:
    database = take(kind)
    database.make(LEDGER, "CREATE TABLE placed (id VARCHAR(200) PRIMARY KEY)")

    @handler("ledger", retry=RetryPolicy(attempts=1))
    async def ledger(message: Changed, ctx: Context) -> None:
        ctx.execute(database.words.sql(REFUSALS[why]), (message.text,))

    value = f"{BODY}'\" )\n) HINT: {BODY} for key"
    await database.change(database.words.local("INSERT INTO placed (id) VALUES (?)"), (value,))
    caplog.set_level(logging.DEBUG, "sagabus")
    async with Bus(database.url, ledger, settings=Settings(durability="accept")) as bus:
        await asyncio.gather(*(bus.publish(Changed(key=key, text=value)) for key in "AB"))
        await bus.idle()
        letters = await bus.dead_letters.list()

    assert [letter.reason.startswith("failed 1 times, last: ") for letter in letters] == [True, True]
    seen = [caplog.text, *(f"{letter.reason} {letter.traceback}" for letter in letters)]
    assert [text for text in seen if BODY in text] == []

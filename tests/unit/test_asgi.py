"""Health over HTTP, spoken as an ASGI server speaks it."""

import asyncio
import json
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from tests.scenarios.shop import Noted

from sagabus import Bus, Health, StoreUnavailable, WrongEventLoop, handler
from sagabus.integrations.asgi import HealthApp
from sagabus.store import Routing
from sagabus.stores.memory import MemoryStore
from sagabus.testing import ManualClock


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Counting(MemoryStore):
    """Counts how often it is asked, and fails on cue."""

    asked = 0
    error: Exception | None = None

    async def routing(self) -> Routing:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return await super().routing()


@handler("it", key="key")
def it(message: Noted) -> None: ...


async def ask(app: HealthApp, path: str, method: str = "GET", **scope: Any) -> Response:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "headers": [], **scope}, receive, send)
    start, body = sent
    assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
    assert all(isinstance(each, bytes) and each == each.lower() for each, _ in start["headers"])
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Response(start["status"], headers, body["body"])


async def test_a_bus_that_works_is_live_and_ready() -> None:
    async with Bus("memory:", it) as bus:
        live, ready = [await ask(HealthApp(bus), f"/health/{name}") for name in ("live", "ready")]

    assert (live.status, ready.status) == (200, 200)
    assert live.headers["content-type"] == "application/json"
    assert live.headers["cache-control"] == "no-store"
    assert int(live.headers["content-length"]) == len(live.body)
    assert live.json["status"] == "ok"
    assert "store" not in live.json["parts"]
    assert ready.json["parts"]["store"] == {"healthy": True, "waits": False}


async def test_a_store_that_is_away_costs_readiness_and_no_restart() -> None:
    store = Counting(ManualClock())
    async with Bus(store, it) as bus:
        store.error = StoreUnavailable("no route to db.internal")
        app = HealthApp(bus)
        live, ready = await ask(app, "/health/live"), await ask(app, "/health/ready")

    assert (live.status, ready.status) == (200, 503)
    assert ready.json["parts"]["store"] == {"healthy": True, "waits": True}
    assert b"db.internal" not in ready.body, "details are for those who asked for them"


async def test_details_say_why() -> None:
    store = Counting(ManualClock())
    async with Bus(store, it) as bus:
        store.error = StoreUnavailable("no route to db.internal")
        ready = await ask(HealthApp(bus, details=True), "/health/ready")

    assert "no route to db.internal" in ready.json["parts"]["store"]["waits_for"][0]
    assert ready.json["abandoned_threads"] == 0


async def test_a_part_that_ended_costs_the_process_its_life() -> None:
    async with Bus("memory:", it) as bus:
        app = HealthApp(bus, details=True)
        task = next(task for task in asyncio.all_tasks() if task.get_name() == "sagabus-housekeeping")
        task.cancel()
        await asyncio.wait([task])
        live = await ask(app, "/health/live")

    assert live.status == 503
    assert live.json["parts"]["housekeeping"]["reasons"] == live.json["reasons"] != []


async def test_a_bus_that_is_closed_is_not_ready() -> None:
    async with Bus("memory:", it) as bus:
        app = HealthApp(bus)

    assert (await ask(app, "/health/ready")).status == 503
    assert (await ask(app, "/health/live")).status == 200


async def test_probes_that_come_at_once_ask_the_store_once() -> None:
    store = Counting(ManualClock())
    async with Bus(store, it) as bus:
        app, before = HealthApp(bus), store.asked
        answers = await asyncio.gather(*(ask(app, "/health/ready") for _ in range(20)))

        assert store.asked == before + 1
    assert {each.status for each in answers} == {200}


async def test_an_answer_of_the_store_is_fresh_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Counting(ManualClock())
    async with Bus(store, it) as bus:
        app, before = HealthApp(bus), store.asked
        now = asyncio.get_running_loop().time()
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
        await ask(app, "/health/ready")
        now += 0.9
        await ask(app, "/health/ready")
        assert store.asked == before + 1
        now += 0.2
        await ask(app, "/health/ready")
        assert store.asked == before + 2


async def test_a_cancelled_probe_does_not_cost_the_next_one_its_answer() -> None:
    store = Counting(ManualClock())
    async with Bus(store, it) as bus:
        app = HealthApp(bus)
        first = asyncio.create_task(ask(app, "/health/ready"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])

        assert first.cancelled()
        assert (await ask(app, "/health/ready")).status == 200


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/ops/health/live", {"root_path": "/ops"}),
        ("/health/live", {"root_path": "/ops"}),
        ("/health/live", {"root_path": "/"}),
    ],
)
async def test_it_is_mounted_under_any_prefix(path: str, scope: dict[str, str]) -> None:
    async with Bus("memory:", it) as bus:
        assert (await ask(HealthApp(bus), path, **scope)).status == 200


async def test_what_it_does_not_have_is_not_found_and_what_changes_is_not_allowed() -> None:
    async with Bus("memory:", it) as bus:
        app = HealthApp(bus)
        missing = [await ask(app, path) for path in ("/", "/health", "/opshealth/live", "/health/live/")]
        posted = await ask(app, "/health/live", "POST")
        head, got = await ask(app, "/health/live", "HEAD"), await ask(app, "/health/live")

    assert {each.status for each in missing} == {404}
    assert (posted.status, posted.headers["allow"]) == (405, "GET, HEAD")
    assert (head.body, head.headers) == (b"", got.headers)


async def test_a_server_that_runs_it_alone_is_told_that_it_has_started_and_ended() -> None:
    asked, said = ["lifespan.startup", "lifespan.shutdown"], list[MutableMapping[str, Any]]()

    async def receive() -> MutableMapping[str, Any]:
        return {"type": asked.pop(0)}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    app = HealthApp(Bus("memory:", it))
    await app({"type": "lifespan"}, receive, send)
    await app({"type": "websocket", "path": "/health/live"}, receive, send)

    assert [each["type"] for each in said] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "websocket.close",
    ]


async def test_another_loop_than_that_of_the_bus_is_refused() -> None:
    async with Bus("memory:", it) as bus:
        app = HealthApp(bus)
        with pytest.raises(WrongEventLoop):
            await asyncio.to_thread(lambda: asyncio.run(ask(app, "/health/ready")))


async def test_the_store_has_as_long_as_it_is_given() -> None:
    given: list[timedelta] = []

    class Slow:
        def health(self, *, within: timedelta = timedelta(0)) -> Health:
            given.append(within)
            return Health(answers=False)

    ready = await ask(HealthApp(Slow(), within=timedelta(seconds=9)), "/health/ready")

    assert (ready.status, given) == (503, [timedelta(seconds=9)])

"""A worker as it runs in production, watched: probes by HTTP, and a real Prometheus with our rules and our board."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Take
from tests.support.otlp import Receiver
from tests.support.promtool import required
from tests.support.waiting import watched
from tests.unit.test_monitoring import PLACE, expressions

pytestmark = pytest.mark.acceptance

SAGABUS = str(Path(sys.executable).with_name("sagabus"))
MODULE = """
import asyncio
import logging

from sagabus import Bus, Context, RetryPolicy, event, handler
from sagabus.telemetry.fields import MessageContext
from sagabus.telemetry.message_log import MessageLog
from sagabus.telemetry.prometheus import Metrics


@event("orders.paid")
class Paid:
    order_id: str
    fails: bool = False


@event("orders.lost")
class Lost:
    order_id: str


@handler("ledger", key="order_id", retry=RetryPolicy(attempts=1))
def ledger(message: Paid, ctx: Context) -> None:
    logging.getLogger("shop").info("booked")
    logging.getLogger("shop").debug("closely")
    if message.fails:
        raise ValueError("no such order")
    ctx.publish(Lost(order_id=message.order_id))


bus = Bus("sqlite:///shop.db", ledger, observers=[Metrics(), MessageContext(), MessageLog()])
plain = Bus("sqlite:///shop.db", ledger)


async def publish() -> None:
    web = Bus("sqlite:///shop.db", ledger)
    await web.open(worker=False)
    for number in range(20):
        await web.publish(Paid(order_id=f"A{number}", fails=number == 7), message_id=f"m{number}")
    await web.close()


if __name__ == "__main__":
    asyncio.run(publish())
"""
TROUBLED = """
import asyncio
import sys
from datetime import timedelta

from sagabus import Bus, Context, RetryPolicy, Saga, Settings, event, handler, handles, starts
from sagabus.telemetry.prometheus import Metrics


@event("trips.booked")
class Booked:
    trip: str


@event("trips.went")
class Went:
    trip: str


@event("trips.lost")
class Lost:
    trip: str


class Trips(Saga, name="trips", key="trip", stuck_after=timedelta(seconds=1)):
    trip: str

    @starts
    def booked(self, message: Booked, ctx: Context) -> None:
        ctx.publish(Lost(trip=message.trip))

    @handles
    async def went(self, message: Went) -> None:
        await asyncio.sleep(4)


@handler("breaks", key="trip", retry=RetryPolicy(attempts=1))
def breaks(message: Booked) -> None:
    for task in asyncio.all_tasks():
        if task.get_name() == "sagabus-stuck-watch":
            task.cancel()
    raise ValueError(message.trip)


SETTINGS = Settings(warn_after=timedelta(seconds=1), purge_every=timedelta(seconds=1), durability="accept")
bus = Bus("{url}", Trips, breaks, observers=[Metrics()], settings=SETTINGS)


async def trouble() -> None:
    web = Bus("{url}", Trips, breaks, settings=SETTINGS)
    await web.open(worker=False)
    for _ in range(2):  # the second time they are copies
        await web.publish(Booked(trip="T1"), message_id="booked")
        await web.publish(Went(trip="T1"), message_id="went")
    while not await web.dead_letters.list("breaks"):
        await asyncio.sleep(0.05)
    await web.mend.pause("breaks", reason="it breaks")
    await web.close()


if __name__ == "__main__":
    asyncio.run(trouble())
"""


class Worker:
    def __init__(self, target: str, *options: str) -> None:
        command = [SAGABUS, "run", target, "--json", "--listen", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())["listens"]

    def get(self, path: str) -> tuple[int, bytes]:
        return get(f"http://{self.address}{path}")

    def stop(self) -> list[str]:
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return err.splitlines()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "watched_shop.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def publish() -> None:
    subprocess.run([sys.executable, "watched_shop.py"], check=True)


@pytest.mark.usefixtures("folder")
def test_a_worker_answers_probes_and_writes_its_log_as_json() -> None:
    worker = Worker("watched_shop:bus", "--log-format", "json")
    try:
        publish()
        watched(lambda: b'result="completed"' in worker.get("/metrics")[1])
        live, ready = worker.get("/health/live"), worker.get("/health/ready")
    finally:
        err = worker.stop()

    assert (live[0], ready[0]) == (200, 200)
    assert json.loads(ready[1])["parts"]["store"] == {"healthy": True, "waits": False}
    lines = [json.loads(line) for line in err if not line.startswith("sagabus: SIGTERM")]
    handled = [line for line in lines if line["logger"] == "sagabus.messages"]
    assert handled
    assert {line["subscription"] for line in handled} == {"ledger"}
    own = [line for line in lines if line["logger"] == "shop"]
    assert {line["message"] for line in own} == {"booked"}
    assert {line["key"] for line in own} == {f"A{number}" for number in range(20)}
    failed = next(line for line in lines if line["level"] == "warning")
    assert failed["logger"] == "sagabus"


@pytest.mark.usefixtures("folder")
def test_a_bus_without_metrics_has_no_page_for_them() -> None:
    worker = Worker("watched_shop:plain")
    found = worker.get("/metrics")[0], worker.get("/health/live")[0]
    worker.stop()

    assert found == (404, 200)


METERED = """
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from watched_shop import Bus, ledger

from sagabus.telemetry.metering import Metering

exporter = OTLPMetricExporter("{url}/v1/metrics")
provider = MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=200)])
bus = Bus("sqlite:///shop.db", ledger, observers=[Metering(provider)])
"""


def test_a_worker_exports_by_otlp_what_it_does_and_what_its_store_has(folder: Path) -> None:
    with Receiver() as receiver:
        (folder / "metered_shop.py").write_text(METERED.format(url=receiver.url))
        worker = Worker("metered_shop:bus")
        try:
            publish()
            watched(lambda: sum(each.count for each in receiver.points("messaging.process.duration")) == 20)
            watched(lambda: [each.value for each in receiver.points("sagabus.workers")] == [1])
        finally:
            worker.stop()


class Prometheus:
    """A server of one's own, with our rules, that asks a worker every second."""

    def __init__(self, folder: Path, worker: Worker) -> None:
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(PLACE / "alerts.yml")],
            "scrape_configs": [{"job_name": "shop", "static_configs": [{"targets": [worker.address]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        command = [required("prometheus"), "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'tsdb'}"]
        self.log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(
            [*command, "--web.listen-address=127.0.0.1:0", "--log.format=json"], stdout=self.log, stderr=self.log
        )
        self.url = watched(lambda: self._address(folder / "prometheus.log"))
        watched(lambda: get(f"{self.url}/-/ready")[0] == 200)

    def _address(self, log: Path) -> str | None:
        for line in log.read_text().splitlines():
            said = json.loads(line)
            if said.get("msg") == "Listening on" and "address" in said:
                return f"http://{said['address']}"
        return None

    def ask(self, path: str, **query: str) -> Any:
        status, body = get(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        assert status == 200, body
        return json.loads(body)["data"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture
def worker(folder: Path) -> Iterator[Worker]:
    worker = Worker("watched_shop:bus")
    yield worker
    worker.process.kill()
    worker.process.communicate()


@pytest.fixture
def prometheus(folder: Path, worker: Worker) -> Iterator[Prometheus]:
    server = Prometheus(folder, worker)
    yield server
    server.close()


def test_prometheus_takes_every_rule(prometheus: Prometheus) -> None:
    watched(lambda: prometheus.ask("query", query="sagabus_store_up")["result"])
    publish()

    groups = prometheus.ask("rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    watched(lambda: firing(prometheus) >= {"SagabusUnheardEvents"}, every=0.2)
    assert up(prometheus) == ["1"]


def test_prometheus_shows_every_query_of_the_board(folder: Path, take: Take) -> None:
    """A bus in trouble of every kind, on a server, which alone knows how old transactions are."""
    database = take("postgres")
    (folder / "troubled_shop.py").write_text(TROUBLED.replace("{url}", database.url))
    asked = [text for _, text in expressions()]
    with ExitStack() as running:
        worker = Worker("troubled_shop:bus")
        running.callback(worker.process.communicate)
        running.callback(worker.process.kill)
        server = Prometheus(folder, worker)
        running.callback(server.close)
        watched(lambda: server.ask("query", query="sagabus_store_up")["result"])
        trouble = subprocess.Popen([sys.executable, "troubled_shop.py"])
        watched(lambda: server.ask("query", query='sagabus_long_runs{subscription="trips"} > 0')["result"], every=0.2)
        # Another program changes the instance while its handler runs.
        database.run(f"UPDATE {database.own('instance')} SET version = version + 1")
        assert trouble.wait(60) == 0
        silent = set(asked)

        def is_shown() -> bool:
            silent.difference_update(text for text in [*silent] if server.ask("query", query=text)["result"])
            return not silent

        with suppress(AssertionError):  # what is silent is said below
            watched(is_shown, every=0.2)

    assert silent == set()


def firing(prometheus: Prometheus) -> set[str]:
    return {each["labels"]["alertname"] for each in prometheus.ask("alerts")["alerts"] if each["state"] == "firing"}


def up(prometheus: Prometheus) -> list[str]:
    return [each["value"][1] for each in prometheus.ask("query", query="up")["result"]]

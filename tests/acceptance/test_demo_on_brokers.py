"""`sagabus demo --transport`: two services that talk through a broker, be it killed meanwhile, and one audit."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import apsw
import nats
import pytest
from tests.support.fork_server import sagabus
from tests.support.private_servers import require
from tests.support.rabbitmq import private_rabbitmq
from tests.support.waiting import watched

from sagabus.testing.brokers import PrivateNats, PrivateRabbitMQ, PrivateRedis
from sagabus.testing.servers import PrivatePostgres, PrivateServer

SAGABUS = str(Path(sys.executable).with_name("sagabus"))
PRIVATE: dict[str, type[PrivateServer]] = {
    "rabbitmq:private": PrivateRabbitMQ,
    "nats:private": PrivateNats,
    "redis:private": PrivateRedis,
}
GOOD = {"lost": 0, "doubled": 0, "phantom": 0, "torn": 0, "wrong_states": 0, "left": 0, "dead_letters": 0, "ok": True}

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files, also of servers that run as somebody else."""
    with TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    require(PrivateRedis)
    with PrivateRedis() as server:
        yield server


def demo(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(
        [SAGABUS, "demo", *arguments, "--json"], capture_output=True, text=True, check=False, env=environment
    )


def figures(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert finished.stdout, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found


def processes_in(folder: Path) -> list[bytes]:
    """Command lines that name a file of a folder."""
    found: list[bytes] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        found += [command] if str(folder).encode() in command else []
    return found


def refusal(*arguments: str) -> str:
    finished = sagabus("demo", "--orders", "1", *arguments, "--json")
    assert (finished.returncode, finished.stdout) == (2, ""), finished.stderr
    (line,) = finished.stderr.splitlines()
    return line


@contextmanager
def at_redis(server: PrivateRedis) -> Iterator[Callable[[], list[str]]]:
    """What is there; a client of its own, so that nothing of the adapter says so."""
    from redis import Redis

    with Redis.from_url(server.url) as client:
        yield lambda: sorted(key.decode() for key in client.scan_iter())


def at_rabbitmq(server: PrivateRabbitMQ) -> list[str]:
    lines = [line for what in ("queues", "exchanges") for line in server.control(f"list_{what}", "name").splitlines()]
    return [line for line in lines if line and not line.startswith("amq.") and line != "name"]


async def at_nats(server: PrivateNats) -> list[str]:
    client = await nats.connect(server.url)
    try:
        return [str(each.config.name) for each in await client.jetstream().streams_info()]
    finally:
        await client.close()


@pytest.mark.slow
def test_a_broker_that_loses_messages_when_it_is_killed_is_not_killed(folder: Path) -> None:
    require(PrivateNats)
    if PrivateNats.version() >= (2, 10):
        assert figures(demo("--orders", "10", "--kills", "0", "--transport", "nats:private", folder=folder))["ok"]
        return

    assert "loses confirmed messages when it is killed" in refusal("--transport", "nats:private")
    finished = demo("--orders", "30", "--kills", "2", "--restarts", "0", "--transport", "nats:private", folder=folder)

    found = figures(finished)
    assert found.items() >= GOOD.items(), finished.stderr
    assert (found["completed"], found["kills"], found["broker_restarts"]) == (30, 2, 0)


def survives(transport: str) -> bool:
    return transport != "nats:private" or (PrivateNats.available() and PrivateNats.version() >= (2, 10))


@pytest.mark.parametrize("transport", [each for each in PRIVATE if survives(each)])
@pytest.mark.share(2)
def test_orders_survive_a_broker_and_workers_that_are_killed_meanwhile(transport: str, folder: Path) -> None:
    require(PRIVATE[transport])

    finished = demo("--orders", "30", "--kills", "2", "--seed", "4", "--transport", transport, folder=folder)

    found = figures(finished)
    assert found.items() >= GOOD.items(), finished.stderr
    assert (found["completed"], found["kills"], found["restarts"], found["broker_restarts"]) == (30, 2, 0, 2)
    assert found["broker_restarts_mid_work"] >= 1
    assert found.keys() >= {"redelivered", "dropped_copies"}
    assert "of the broker, by SIGKILL or in good order" in finished.stderr
    assert " of works (process" in finished.stderr
    assert " of shop (process" in finished.stderr
    assert (processes_in(folder), list(folder.iterdir())) == ([], [])


@pytest.mark.slow
def test_stores_and_broker_may_be_killed_in_one_demonstration(folder: Path) -> None:
    require(PrivatePostgres)
    require(PrivateRedis)

    finished = demo(
        *("--orders", "20", "--kills", "1", "--restarts", "1"),
        *("--store", "postgresql:private", "--transport", "redis:private"),
        folder=folder,
    )

    found = figures(finished)
    assert found.items() >= GOOD.items(), finished.stderr
    assert (found["completed"], found["restarts"], found["broker_restarts"]) == (20, 1, 1)


@pytest.mark.slow
def test_nothing_stays_at_a_redis_of_others(redis: PrivateRedis, folder: Path) -> None:
    with at_redis(redis) as keys:
        before = keys()

        finished = demo("--orders", "20", "--kills", "1", "--transport", redis.url, folder=folder)

        found = figures(finished)
        assert found.items() >= {**GOOD, "completed": 20, "kills": 1, "broker_restarts": 0}.items(), finished.stderr
        assert (keys(), list(folder.iterdir())) == (before, [])


@pytest.mark.slow
def test_nothing_stays_at_a_rabbitmq_of_others(folder: Path) -> None:
    server = private_rabbitmq()
    before = at_rabbitmq(server)

    finished = demo("--orders", "20", "--kills", "1", "--transport", server.url, folder=folder)

    found = figures(finished)
    assert found.items() >= {**GOOD, "completed": 20, "kills": 1, "broker_restarts": 0}.items(), finished.stderr
    assert at_rabbitmq(server) == before


@pytest.mark.slow
def test_nothing_stays_at_a_nats_of_others(folder: Path) -> None:
    require(PrivateNats)
    with PrivateNats() as server:
        finished = demo("--orders", "20", "--kills", "1", "--transport", server.url, folder=folder)

        found = figures(finished)
        assert found.items() >= {**GOOD, "completed": 20, "kills": 1, "broker_restarts": 0}.items(), finished.stderr
        assert asyncio.run(at_nats(server)) == []


@pytest.mark.slow
def test_two_demonstrations_at_one_broker_do_not_meet(redis: PrivateRedis, folder: Path) -> None:
    command = [SAGABUS, "demo", "--orders", "15", "--kills", "0", "--seed", "1", "--transport", redis.url, "--json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in "12"]

    found = [json.loads(each.communicate()[0].splitlines()[-1]) for each in running]

    assert [each.items() >= {**GOOD, "completed": 15}.items() for each in found] == [True, True], found


@pytest.mark.slow
def test_two_stores_are_kept_and_used_again_and_what_is_planted_in_one_is_found(
    redis: PrivateRedis, tmp_path: Path
) -> None:
    arguments = ("--orders", "10", "--kills", "0", "--store", f"sqlite:///{tmp_path}/kept.db", "--transport", redis.url)
    first = figures(demo(*arguments, folder=tmp_path))
    works = apsw.Connection(str(tmp_path / "kept-works.db"))
    works.execute(
        "CREATE TRIGGER planted AFTER INSERT ON campaign_ledger WHEN new.order_id = '2-00003' "
        "BEGIN INSERT INTO campaign_ledger VALUES (new.order_id, new.amount); END"
    )

    second = demo(*arguments, folder=tmp_path)

    assert first.items() >= {**GOOD, "completed": 10}.items()
    assert figures(second).items() >= {"completed": 10, "lost": 0, "doubled": 1, "torn": 1, "ok": False}.items()
    assert second.returncode == 1
    shop = apsw.Connection(str(tmp_path / "kept-shop.db"))
    assert shop.execute("SELECT count(*) FROM campaign_ledger").get == 0
    assert works.execute("SELECT count(*) FROM campaign_ledger").get == 21


def test_kept_stores_get_what_a_killed_demonstration_left_at_the_broker(redis: PrivateRedis, tmp_path: Path) -> None:
    arguments = ("--store", f"sqlite:///{tmp_path}/again.db", "--transport", redis.url)
    first = subprocess.Popen([SAGABUS, "demo", "--orders", "2000", *arguments], stderr=subprocess.DEVNULL)
    shop = tmp_path / "again-shop.db"
    watched(lambda: shop.exists() and rows_in(shop, "sagabus_instance") >= 20, 60)
    first.kill()
    first.wait()

    found = figures(demo("--orders", "10", "--kills", "0", *arguments, folder=tmp_path))

    assert found.items() >= {**GOOD, "completed": 10}.items()


def rows_in(path: Path, table: str) -> int:
    try:
        with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table}").get)
    except apsw.Error:
        return 0


def test_a_signal_ends_it_and_leaves_nothing_behind(redis: PrivateRedis, folder: Path) -> None:
    with at_redis(redis) as keys:
        before = keys()
        running = subprocess.Popen(
            [SAGABUS, "demo", "--orders", "5000", "--transport", redis.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        watched(lambda: len(keys()) > len(before), 60)

        running.send_signal(signal.SIGTERM)
        _, complaint = running.communicate(timeout=60)

        assert running.returncode == 128 + signal.SIGTERM
        assert "Traceback" not in complaint
        assert (processes_in(folder), list(folder.iterdir()), keys()) == ([], [], before)


@pytest.mark.parametrize(
    ("transport", "said"),
    [
        ("memory://shop", "within one process"),
        ("kafka://localhost", "no scheme of a transport"),
        ("amqp://nobody:secret@127.0.0.1:1/", "no broker answers"),
        ("redis://nobody:secret@127.0.0.1:1/0", "127.0.0.1:1"),
        ("nats://nobody:secret@127.0.0.1:1", "cannot connect"),
        ("redis://127.0.0.1/0?prefix=*", "the option prefix"),
    ],
)
def test_a_broker_that_cannot_be_used_is_one_clear_line_without_the_password(transport: str, said: str) -> None:
    line = refusal("--transport", transport)

    assert said in line
    assert "secret" not in line


def test_what_goes_with_one_service_only_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("who;what\nZoë;begin\n", encoding="utf-8")

    both = refusal(
        "--events", str(log), "--key", "who", "--type", "what", "--transport", f"redis://h/{uuid4().int % 9}"
    )
    foreign = refusal("--transport", "redis://127.0.0.1/0", "--restarts", "1")

    assert "leave --transport out" in both
    assert "private server" in foreign

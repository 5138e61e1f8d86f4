"""`sagabus bench --transport`: every figure is there and they agree, and nothing of it stays at the broker."""

import asyncio
import json
from collections.abc import Callable

import nats
import pytest
from redis.asyncio import Redis
from tests.support.fork_server import sagabus
from tests.support.nats_server import nats_server
from tests.support.rabbitmq import rabbitmq
from tests.support.redis_server import redis_url

KEYS = {
    *("messages_per_second", "baseline_per_second", "ratio", "ratio_lower_quartile", "ratio_upper_quartile"),
    *("cpu_us_per_message", "baseline_cpu_us_per_message", "p50_ms", "p99_ms", "messages", "rounds", "interpreter"),
}

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def nats_url() -> str:
    host, port = nats_server()
    return f"nats://{host}:{port}"


async def of_redis() -> list[str]:
    client = Redis.from_url(redis_url())
    try:
        return [str(key) async for key in client.scan_iter(match="*sb*e0*")]
    finally:
        await client.aclose()


async def of_nats() -> list[str]:
    client = await nats.connect(nats_url())
    try:
        return [name for info in await client.jsm().streams_info() if (name := info.config.name or "").startswith("sb")]
    finally:
        await client.close()


async def of_rabbitmq() -> list[str]:
    return []  # AMQP lists nothing: a queue that stayed would be deleted by `_tidy`, or make it fail


@pytest.mark.parametrize(
    ("url", "left"),
    [(rabbitmq, of_rabbitmq), (nats_url, of_nats), (redis_url, of_redis)],
    ids=["rabbitmq", "nats", "redis"],
)
@pytest.mark.share(3)
def test_every_figure_is_there_and_nothing_stays(url: Callable[[], str], left: Callable[..., object]) -> None:
    before = asyncio.run(left())  # type: ignore[arg-type]  # each is a coroutine
    finished = sagabus("bench", "--transport", url(), "--sagas", "60", "--rounds", "1", "--json")

    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout.splitlines()[-1])
    assert set(found) == KEYS
    assert found["messages"] == 60
    assert found["ratio"] == pytest.approx(found["messages_per_second"] / found["baseline_per_second"], rel=0.01)
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert asyncio.run(left()) == before  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--transport", "memory://x"], "the benchmark has no client for memory:"),
        (["--transport", "amqp://h/", "--workers", "2"], "leave --workers and --crash out"),
        (["--transport", "carrier://pigeon"], "no scheme of a transport"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(words: list[str], why: str) -> None:
    finished = sagabus("bench", *words)

    assert finished.returncode == 2
    assert why in finished.stderr

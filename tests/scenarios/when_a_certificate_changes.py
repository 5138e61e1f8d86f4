"""Files of certificates that are replaced while a bus runs: it uses the new ones without a restart."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.conftest import PATIENCE
from tests.support.certified import Certified, certified, prepare
from tests.support.two_services import pair
from tests.support.waiting import until

from sagabus import Bus, StoreError, event, handler
from sagabus.transports import transport_from_url

URLS = {
    "postgres": "postgresql://app@127.0.0.1:{}/postgres?schema=bus&sslrootcert={}/ca.pem&sslcert={}/cert.pem"
    "&sslkey={}/key.pem&notify=1",
    "mysql": "mysql://app@127.0.0.1:{}/test?ssl_ca={}/ca.pem&ssl_cert={}/cert.pem&ssl_key={}/key.pem",
    "rabbitmq": "amqps://127.0.0.1:{}/?ca={}/ca.pem&cert={}/cert.pem&key={}/key.pem",
    "nats": "tls://127.0.0.1:{}?ca={}/ca.pem&cert={}/cert.pem&key={}/key.pem",
    "redis": "rediss://127.0.0.1:{}/0?ca={}/ca.pem&cert={}/cert.pem&key={}/key.pem",
}


@event("certificates.noted")
class Noted:
    number: int


@pytest.fixture(params=["postgres", "mysql"])
def database(request: pytest.FixtureRequest) -> Iterator[Certified]:
    with certified(request.param) as found:
        prepare(found)
        yield found


@pytest.fixture(params=["rabbitmq", "nats", "redis"])
def broker(request: pytest.FixtureRequest) -> Iterator[Certified]:
    with certified(request.param) as found:
        yield found


def url(found: Certified) -> str:
    return URLS[found.kind].format(found.port, *[found.client.folder] * 3)


async def published(bus: Bus, number: int) -> None:
    """One message is accepted, however often that takes."""

    async def accepted() -> bool:
        try:
            await bus.publish(Noted(number=number), message_id=f"m{number}")
        except StoreError:
            return False
        return True

    await until(accepted, PATIENCE, every=0.02)


async def test_a_store_is_reached_with_new_files_as_soon_as_they_are_there(database: Certified) -> None:
    numbers: list[int] = []

    @handler("noted")
    def note(message: Noted) -> None:
        numbers.append(message.number)

    async with Bus(url(database), note) as bus:
        await published(bus, 0)
        await until(lambda: numbers == [0], PATIENCE)
        await database.replace()
        await out(bus)
        last = asyncio.create_task(published(bus, 1))
        database.client.replace("stranger", only=["cert"])  # which does not fit the key
        await out(bus)
        (database.client.folder / "key.pem").unlink()
        await out(bus)
        database.client.replace("stranger", only=["key", "ca"])
        await last
        await until(lambda: numbers == [0, 1], PATIENCE)
        assert (await bus.health()).is_ready
        assert await bus.dead_letters.list() == []


async def out(bus: Bus) -> None:
    """The server is not reached, and the bus says so and goes on."""

    async def is_out() -> bool:
        health = await bus.health()
        return not health.is_ready and health.is_healthy

    await until(is_out, PATIENCE, every=0.02)


async def test_a_broker_is_reached_with_new_files_as_soon_as_they_are_there(broker: Certified, tmp_path: Path) -> None:
    stores = [f"sqlite:///{tmp_path}/{name}.db" for name in ("books", "shop")]
    async with broker.reached(), pair(stores, lambda: transport_from_url(url(broker))) as both:
        await both.ask(range(5))
        await both.have(5)
        await broker.replace()

        async def are_out() -> bool:
            return all([bool((await bus.health()).waits) for bus in both])

        await until(are_out, PATIENCE, every=0.02)
        await both.ask(range(5, 10))
        broker.client.replace("stranger", only=["cert"])
        await until(are_out, PATIENCE)
        (broker.client.folder / "key.pem").unlink()
        await until(are_out, PATIENCE)
        broker.client.replace("stranger", only=["key", "ca"])
        await both.have(10, timeout=PATIENCE)
        await both.check(10)

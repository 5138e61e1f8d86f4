"""Secrets of brokers that change while buses run: both go on without a restart, and each message arrives once."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import PATIENCE
from tests.support.guarded_brokers import KINDS, GuardedBroker, guarded_broker
from tests.support.two_services import Pair, pair
from tests.support.waiting import until

from sagabus import Bus, ConfigurationError
from sagabus.transport import Transport
from sagabus.transports import transport_from_url

OLD, NEW, NEWEST = "0ld-5ecret", "n3w-5ecret", "n3west-5ecret"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """Each kind of broker, and nothing that is logged has a password in it."""
    yield request.param
    said = "".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert not any(secret in said for secret in (OLD, NEW, NEWEST))


@asynccontextmanager
async def guarded(kind: str) -> AsyncIterator[GuardedBroker]:
    broker = await guarded_broker(kind)
    try:
        await broker.change(OLD)
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def services(transport: Callable[[], Transport], tmp_path: Path) -> AsyncIterator[Pair]:
    """Two services, between which some messages have passed."""
    async with pair([f"sqlite:///{tmp_path}/{name}.db" for name in ("books", "shop")], transport) as both:
        await both.ask(range(5))
        await both.have(5)
        yield both


async def refused(both: Pair, why: str) -> None:
    """The broker lets neither in, and their health says so."""

    async def is_refused() -> bool:
        found = [await bus.health() for bus in both]
        return all(why in " ".join(health.waits) and health.is_healthy for health in found)

    await until(is_refused, PATIENCE, every=0.02)


async def test_a_file_that_comes_after_the_broker_needs_no_restart(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(OLD + "\n")
    async with guarded(kind) as broker:
        url = broker.url(f"password_file={file}")
        async with services(lambda: transport_from_url(url), tmp_path) as both:
            for turn, password in enumerate((NEW, NEWEST)):
                first = 5 + turn * 20
                await broker.change(password)
                await both.ask(range(first, first + 10))  # while the connections end
                await broker.end_connections()
                await refused(both, broker.refusal)
                await both.ask(range(first + 10, first + 20))
                file.write_text(password + "\n")
                await both.have(first + 20, timeout=PATIENCE)
            await both.check(45)


async def test_a_file_that_comes_before_the_broker_needs_no_restart(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(OLD)
    async with guarded(kind) as broker:
        url = broker.url(f"password_file={file}")
        async with services(lambda: transport_from_url(url), tmp_path) as both:
            file.write_text(NEW)
            await broker.end_connections()
            await refused(both, broker.refusal)
            await both.ask(range(5, 15))
            await broker.change(NEW)
            await both.have(15, timeout=PATIENCE)
            await both.check(15)


async def test_a_file_or_a_function_that_fails_for_a_moment_needs_no_restart(kind: str, tmp_path: Path) -> None:
    known = [OLD]

    def ask() -> str:
        if not known:
            raise KeyError(OLD)
        return known[-1]

    async with (
        guarded(kind) as broker,
        services(lambda: broker.makes(broker.url(), password=ask), tmp_path) as both,
    ):
        known.clear()
        await broker.end_connections()
        await refused(both, "the function that gives the password raised KeyError")
        await both.ask(range(5, 10))
        known.append(OLD)
        await both.have(10, timeout=PATIENCE)
        await broker.change(NEW)
        await broker.end_connections()
        await refused(both, broker.refusal)
        known.append(NEW)
        await both.ask(range(10, 15))
        await both.have(15, timeout=PATIENCE)
        await both.check(15)


async def test_what_no_patience_cures_is_said_at_the_start(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "password"

    def ask() -> str:
        raise LookupError(OLD)

    async def refusal(transport: Any) -> str:
        with pytest.raises(ConfigurationError) as caught:
            async with Bus("memory:", transport=transport, service="shop"):
                pass
        return str(caught.value)

    async with guarded(kind) as broker:
        url = broker.url(f"password_file={file}")
        assert "option password_file cannot be read" in await refusal(url)
        file.write_text(NEW)
        assert broker.refusal in await refusal(url)
        assert "keep one" in await refusal(broker.url(f"password_file={file}", login=f"{broker.name}:{OLD}"))
        assert "raised LookupError" in await refusal(broker.makes(broker.url(), password=ask))

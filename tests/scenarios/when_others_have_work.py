"""`bus.idle()` waits for the subscriptions of its own bus, and says at its limit what it waited for."""

import asyncio

import pytest
from tests.conftest import Take
from tests.scenarios.conftest import until
from tests.scenarios.shop import Do, Noted
from tests.support.databases import SERVERS

from sagabus import Bus, handler


@handler("reports", key="key")
def report(message: Noted) -> None: ...


@handler("mails", key="key")
def mail(message: Noted | Do) -> None: ...


@pytest.mark.parametrize("kind", ["sqlite", *SERVERS])
async def test_work_of_other_services_is_not_waited_for(kind: str, take: Take) -> None:
    url = take(kind).url
    async with Bus(url, report):
        pass

    async with Bus(url, mail) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle(20)

        waiting = {each.channel: each.waiting for each in await bus.counts()}
        assert waiting == {"mails": 0, "reports": 1}


async def test_a_bus_without_definitions_waits_for_all_and_names_what_is_due(take: Take) -> None:
    url = take("sqlite").url
    async with Bus(url, report), Bus(url, mail) as other:
        await other.idle(20)
    looker = Bus(url)
    await looker.open(worker=False)
    await looker.publish(Noted(key="A"))

    with pytest.raises(
        TimeoutError, match=r"not idle after 0\.05 s: no worker .*'mails' has 1 due.*'reports' has 1 due"
    ):
        await looker.idle(0.05)

    async with Bus(url, report), Bus(url, mail):
        await looker.idle(20)
    await looker.close()


async def test_a_handler_that_has_not_finished_is_named() -> None:
    go_on = asyncio.Event()
    begun: list[str] = []

    @handler("slow")
    async def slow(message: Noted) -> None:
        begun.append(message.key)
        await go_on.wait()

    async with Bus("memory:", slow) as bus:
        await bus.publish(Noted(key="A"))
        await until(lambda: bool(begun))
        with pytest.raises(TimeoutError, match="handlers of this process have not finished"):
            await bus.idle(0.01)
        go_on.set()
        await bus.idle(20)


async def test_a_limit_of_the_callers_own_is_obeyed_without_a_word() -> None:
    go_on = asyncio.Event()

    @handler("slow")
    async def slow(message: Noted) -> None:
        await go_on.wait()

    async with Bus("memory:", slow) as bus:
        await bus.publish(Noted(key="A"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await bus.idle()
        go_on.set()

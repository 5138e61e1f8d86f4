"""Which messages that were sent a store has recorded, which it lacks, and of which it cannot say: on every store."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Do, Ended, Noted, Tally
from tests.support.two_services import pair

from sagabus import Bus, Context, Deduplication, Settings, UnknownName, handler
from sagabus.bus.inspection.reconciling import Reconciled
from sagabus.clock import moment
from sagabus.errors import InvalidMessageId
from sagabus.identity import SystemIdentity, accepted_id, derive
from sagabus.store import Retention, Subscription
from sagabus.testing import Harness, ManualClock
from sagabus.transports.memory import MemoryBroker, MemoryTransport

DAY = 86_400_000_000
LOOSE = Settings(deduplication={Do: None})


@handler("mail", key="key")
def mail(message: Noted) -> None:
    """Nothing."""


@handler("chores", key="key")
def chores(message: Do, ctx: Context) -> None:
    ctx.publish(Ended(key=message.key))


def said(found: Sequence[Reconciled]) -> list[tuple[str, str | None, str]]:
    return [(each.message_id, each.subscription, each.status) for each in found]


def other_id(clock: ManualClock) -> str:
    return SystemIdentity(clock).new_id()


async def forget(harness: Harness, clock: ManualClock, *channels: str) -> None:
    """The records of two days and more."""
    clock.advance(timedelta(days=3))
    await harness.bus.store.purge([Retention(each, 2 * DAY) for each in channels], 1_000)


async def test_a_type_has_an_answer_for_each_subscription(harness: MakeHarness, clock: ManualClock) -> None:
    async with harness(Tally, mail, clock=clock) as found:
        here, lost = (await found.publish(Noted(key="A"))).message_id, other_id(clock)

        answers = await found.bus.inspect.reconcile([(here, "shop.noted"), (lost, "shop.noted")])
        of_mail = await found.bus.inspect.reconcile([(here, "shop.noted"), lost], subscription="mail")

        assert sorted(said(answers)) == sorted(
            [
                (each, name, status)
                for each, status in ((here, "recorded"), (lost, "missing"))
                for name in ("tally", "mail")
            ]
        )
        assert [each[2] for each in said(of_mail)] == ["recorded", "missing"]


async def test_without_its_type_a_message_is_missing_where_nothing_has_recorded_it(
    harness: MakeHarness, clock: ManualClock
) -> None:
    async with harness(Tally, mail, clock=clock) as found:
        ended, lost = (await found.publish(Ended(key="A"))).message_id, other_id(clock)

        answers = await found.bus.inspect.reconcile([lost, ended, lost])

        assert said(answers) == [(lost, None, "missing"), (ended, "tally", "recorded"), (lost, None, "missing")]


async def test_what_may_be_forgotten_is_never_missing(harness: MakeHarness, clock: ManualClock) -> None:
    async with harness(Tally, mail, clock=clock) as found:
        old = (await found.publish(Noted(key="A"))).message_id
        await found.publish(Noted(key="A"), message_id="own")
        await forget(found, clock, "tally", "mail")
        new, lost, since = (await found.publish(Noted(key="A"))).message_id, other_id(clock), moment(clock.now())
        asked = [old, "own", new, lost, derive("x", "y", 1)]

        plain = await found.bus.inspect.reconcile(asked)
        typed = await found.bus.inspect.reconcile([(each, "shop.noted") for each in asked], subscription="mail")
        dated = await found.bus.inspect.reconcile(asked, since=since, subscription="mail")

        unknown = ["unknown", "unknown", "recorded", "missing", "unknown"]
        assert [each.status for each in typed] == unknown
        assert [each.status for each in plain] == [*unknown[:2], "recorded", *unknown[2:]]
        assert [each.status for each in dated] == ["unknown", "missing", "recorded", "missing", "unknown"]
        reasons = [each.reason for each in typed]
        assert [bool(each) for each in reasons] == [True, True, False, False, True]
        assert reasons[0] == "sent before the horizon: its record may be forgotten"
        assert reasons[1] == "the id carries no send time: its record may be forgotten"


async def test_the_horizon_of_one_subscription_is_enough_for_a_doubt(harness: MakeHarness, clock: ManualClock) -> None:
    async with harness(Tally, mail, clock=clock) as found:
        lost = other_id(clock)
        await forget(found, clock, "mail")

        (plain,) = await found.bus.inspect.reconcile([lost])
        typed = await found.bus.inspect.reconcile([(lost, "shop.noted")])

        assert plain.status == "unknown"
        assert {each.subscription: each.status for each in typed} == {"tally": "missing", "mail": "unknown"}


async def test_what_leaves_no_record_is_never_missing(harness: MakeHarness, clock: ManualClock) -> None:
    """A type without de-duplication, what a handler sends, and what nothing receives."""
    async with harness(Tally, chores, clock=clock, settings=LOOSE) as found:
        loose = (await found.publish(Do(key="A"))).message_id
        await found.idle()
        sent = derive(loose, "chores", 1)
        ask = found.bus.inspect.reconcile

        answers = await ask([(loose, "shop.do"), (sent, "shop.ended"), (loose, "shop.what"), loose])

        assert [each.status for each in answers] == ["unknown"] * 4
        assert [each.subscription for each in answers] == ["chores", "tally", None, None]
        assert len({each.reason for each in answers}) == 4
        (elsewhere,) = await ask([(other_id(clock), "shop.do")], subscription="tally")
        assert (elsewhere.status, elsewhere.reason) == ("unknown", "the subscription does not receive this type")
        assert [each.status for each in await ask([(other_id(clock), "shop.noted")])] == ["missing"]


async def test_ids_of_another_service_are_looked_for_as_they_are_recorded(
    harness: MakeHarness, clock: ManualClock
) -> None:
    async with harness(Tally, clock=clock) as found:
        theirs, lost = derive("theirs", "x", 1), derive("lost", "x", 1)
        await found.publish(Noted(key="A"), message_id=accepted_id("till", theirs))
        ask = found.bus.inspect.reconcile

        assert said(await ask([theirs, lost], source="till")) == [
            (theirs, "tally", "recorded"),
            (lost, None, "missing"),
        ]
        assert [each.status for each in await ask([theirs, (theirs, "shop.noted")], source="shop")] == ["missing"] * 2
        assert [each.status for each in await ask([theirs])] == ["unknown"]


async def test_many_ids_are_asked_in_pages_and_nothing_changes(harness: MakeHarness, clock: ManualClock) -> None:
    async with harness(Tally, clock=clock) as found:
        sent = await found.bus.publish_many([Noted(key=str(number)) for number in range(1_200)])
        lost = [other_id(clock) for _ in range(1_200)]
        asked = [each for pair in zip([each.message_id for each in sent], lost, strict=True) for each in pair]

        answers = await found.bus.inspect.reconcile(iter(asked))

        assert [each.status for each in answers] == ["recorded", "missing"] * 1_200
        assert [each.message_id for each in answers] == asked
        assert answers == await found.bus.inspect.reconcile(asked)
        assert (await found.bus.publish_many([(Noted(key="0"), lost[0])]))[0].accepted


async def test_what_is_no_id_and_no_subscription_is_refused() -> None:
    async with Bus("memory:", mail) as bus:
        with pytest.raises(InvalidMessageId):
            await bus.inspect.reconcile(["one", " "])
        with pytest.raises(UnknownName, match="mail"):
            await bus.inspect.reconcile(["one"], subscription="mial")
        assert await bus.inspect.reconcile([]) == ()


async def test_one_subscription_that_records_a_type_speaks_for_it(harness: MakeHarness, clock: ManualClock) -> None:
    @handler("careful", key="key", deduplication=Deduplication())
    def careful(message: Noted) -> None:
        """Nothing."""

    loose = Settings(deduplication={Noted: None})
    async with harness(mail, careful, clock=clock, settings=loose) as found:
        (answer,) = await found.bus.inspect.reconcile([other_id(clock)])
        (of_mail,) = await found.bus.inspect.reconcile([other_id(clock)], subscription="mail")

    assert (answer.status, of_mail.status) == ("missing", "unknown")


async def test_a_subscription_that_was_made_later_has_lost_nothing(harness: MakeHarness, clock: ManualClock) -> None:
    async with harness(Tally, clock=clock) as found:
        sent = (await found.publish(Noted(key="A"))).message_id
        await found.bus.store.register([Subscription(message_type="shop.noted", channel="mail", kind="event")])

        answers = await found.bus.inspect.reconcile([(sent, "shop.noted")])

        assert {each.subscription: each.status for each in answers} == {"tally": "recorded", "mail": "unknown"}


async def test_a_store_without_subscriptions_cannot_say() -> None:
    async with Bus("memory:") as bus:
        (answer,) = await bus.inspect.reconcile(["one"])

    assert (answer.status, answer.subscription) == ("unknown", None)


async def test_a_removed_subscription_still_says_what_it_has_accepted(harness: MakeHarness) -> None:
    async with harness(mail) as found:
        sent = await found.publish(Noted(key="A"))
        await found.bus.store.unregister("mail", "shop.noted")

        for asked in (None, "mail"):
            assert said(await found.bus.inspect.reconcile([sent.message_id], subscription=asked)) == [
                (sent.message_id, "mail", "recorded")
            ]


async def test_two_services_find_a_message_where_it_left_and_where_it_came(clock: ManualClock) -> None:
    broker = MemoryBroker()
    async with pair(["memory:", "memory:"], lambda: MemoryTransport(broker)) as services:
        sent = (await services.relay.publish(Noted(key="k0"))).message_id
        await services.have(1, ["k0"])
        lost = other_id(clock)

        left = await services.relay.inspect.reconcile([sent, lost, (sent, "shop.noted"), (lost, "shop.noted")])
        came = await services.ledger.inspect.reconcile([sent, (sent, "shop.noted")], source="shop")
        other = await services.ledger.inspect.reconcile([sent], source="till")

    out = [("broker:out", "recorded"), ("broker:out", "missing")]
    assert [each[1:] for each in said(left)] == [out[0], (None, "missing"), *out]
    assert said(came) == [(sent, "ledger", "recorded")] * 2
    assert said(other) == [(sent, None, "missing")]

"""Correlation by field, by another field, by a function; and how the state begins."""

from typing import Any

from tests.scenarios.conftest import MakeHarness

from sagabus import Saga, command, event, handles, starts


@event("trips.booked")
class Booked:
    trip: str
    seats: int = 1


@event("trips.paid")
class Paid:
    reference: str


@command("trips.close")
class Close:
    number: int


class Trip(Saga, name="trips", key="trip"):
    trip: str
    seats: int = 0
    seen: str = ""

    @starts
    def booked(self, message: Booked) -> None:
        self.seen += "booked "

    @handles(key="reference")
    def paid(self, message: Paid) -> None:
        self.seen += "paid "

    @handles(key=lambda message: f"T{message.number}")
    def close(self, message: Close) -> None:
        self.seen += "closed"


async def test_each_message_finds_the_instance_by_its_own_key(harness: MakeHarness) -> None:
    async with harness(Trip) as bus:
        await bus.bus.publish_many([Booked(trip="T1", seats=3), Paid(reference="T1"), Close(number=1)])
        await bus.idle()

        assert await bus.saga(Trip, "T1") == Trip(trip="T1", seats=3, seen="booked paid closed")


async def test_one_event_reaches_ten_instances_of_ten_sagas(harness: MakeHarness) -> None:
    def numbered(number: int) -> Any:
        class Many(Saga, name=f"many-{number}", key=lambda message: f"{message.trip}-{number}"):
            seats: int

            @starts
            def booked(self, message: Booked) -> None: ...

        return Many

    kinds = [numbered(number) for number in range(10)]
    async with harness(*kinds) as bus:
        receipt = await bus.publish(Booked(trip="T", seats=2))

        states = [await bus.saga(kind, f"T-{number}") for number, kind in enumerate(kinds)]
        assert [state.seats for state in states if state] == [2] * 10
        assert len(receipt.subscriptions) == 10


async def test_one_event_each_for_ten_instances(harness: MakeHarness) -> None:
    async with harness(Trip) as bus:
        await bus.bus.publish_many([Booked(trip=f"T{number}", seats=number) for number in range(10)])
        await bus.idle()

        states = [await bus.saga(Trip, f"T{number}") for number in range(10)]
        assert [state.seats for state in states if state] == list(range(10))


async def test_initial_makes_the_first_state(harness: MakeHarness) -> None:
    class Derived(Saga, name="derived", key="trip"):
        label: str
        double: int

        @classmethod
        def initial(cls, message: Booked) -> "Derived":
            return cls(label=message.trip.lower(), double=2 * message.seats)

        @starts
        def booked(self, message: Booked) -> None: ...

    async with harness(Derived) as bus:
        await bus.publish(Booked(trip="T1", seats=4))

        assert await bus.saga(Derived, "T1") == Derived(label="t1", double=8)


async def test_keys_differ_by_every_character(harness: MakeHarness) -> None:
    keys = ["a", "A", "ä", "a ", " a", "a/b", "ß", "ss", "é", "e\u0301", "日本", "'; DROP TABLE x; --", "a" * 500]
    async with harness(Trip) as bus:
        await bus.bus.publish_many([Booked(trip=key, seats=n) for n, key in enumerate(keys)])
        await bus.idle()

        records = await bus.bus.sagas.list(Trip)
        assert {record.key: record.state.seats for record in records} == {key: n for n, key in enumerate(keys)}

"""Looking at sagas: what was asked for by its class comes back with the type of its state."""

from typing import Any, assert_type

from sagabus import Bus, Context, Saga, SagaRecord, event, starts
from sagabus.testing import Harness


@event("rooms.booked")
class Booked:
    room: str
    guests: int


class Room(Saga, name="rooms", key="room"):
    room: str
    guests: int = 0

    @starts
    def booked(self, message: Booked, ctx: Context) -> None:
        self.guests = message.guests


async def looks(bus: Bus) -> None:
    record = await bus.sagas.get(Room, "12")
    assert_type(record, SagaRecord[Room] | None)
    print(record.state)  # error: mypy[union-attr] pyright[reportOptionalMemberAccess]
    assert record is not None
    assert_type(record.state, Room)
    assert_type(record.state.guests, int)
    guests: str = record.state.guests  # error: mypy[assignment] pyright[reportAssignmentType]
    record.state.gests = guests  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
    record.version = 2  # error: mypy[misc] pyright[reportAttributeAccessIssue]

    assert_type(await bus.sagas.list(Room, status="new"), list[SagaRecord[Room]])
    assert_type(await bus.sagas.get("rooms", "12"), SagaRecord[Any] | None)
    assert_type(await bus.sagas.list("rooms"), list[SagaRecord[Any]])
    await bus.sagas.get(Booked, "12")  # error: mypy[type-var] pyright[reportArgumentType]
    await bus.sagas.list(Room, stauts="new")  # error: mypy[call-overload] pyright[reportCallIssue]


async def tests(harness: Harness) -> None:
    assert_type(await harness.saga(Room, "12"), Room)
    assert_type(await harness.record(Room, "12"), SagaRecord[Room] | None)

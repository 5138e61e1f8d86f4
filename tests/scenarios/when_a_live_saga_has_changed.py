"""Old and new workers of one saga take turns on one instance: nothing that either of them keeps in it is lost."""

from dataclasses import field
from datetime import timedelta
from typing import Any

import msgspec
from tests.scenarios.conftest import MakeHarness

from sagabus import Context, Saga, event, handles, starts, timer
from sagabus.envelope import Cause
from sagabus.testing import Harness


@event("live.began")
class Began:
    key: str


@event("live.changed")
class Changed:
    key: str
    again: bool = False


@event("live.step")
class Stepped:
    key: str
    by: str = ""


class Line(msgspec.Struct):
    sku: str


class NewLine(msgspec.Struct):
    sku: str
    gift: bool = False


class Reacting:
    """The same reactions for every release."""

    @starts
    def began(self, message: Began, ctx: Context) -> None:
        ctx.set_timer("ring", after=timedelta(hours=1))

    @handles
    def step(self, message: Stepped) -> None:
        self.seen.append(message.by)  # type: ignore[attr-defined]  # a field of each release


class Old(Reacting, Saga, name="live", key="key"):
    key: str
    seen: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    @timer("ring")
    def rang(self, ctx: Context) -> None:
        self.seen.append("ring")


class WithField(Old, name="live", key="key"):
    added: str = "default"

    @handles
    def step(self, message: Stepped) -> None:
        self.seen.append(message.by)
        self.added = f"by {message.by}"


class WithNested(Reacting, Saga, name="live", key="key"):
    key: str
    seen: list[str] = field(default_factory=list)
    lines: list[NewLine] = field(default_factory=list)

    @handles
    def step(self, message: Stepped) -> None:
        self.seen.append(message.by)
        self.lines.append(NewLine("s", gift=True))

    @timer("ring")
    def rang(self, ctx: Context) -> None: ...


class Renaming(Reacting, Saga, name="live", key="key", version=2, renamed={"seen": "heard"}):
    key: str
    heard: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    @handles
    def step(self, message: Stepped) -> None:
        self.heard.append(message.by)

    @handles
    def changed(self, message: Changed, ctx: Context) -> None:
        if message.again:
            ctx.set_timer("bell", after=timedelta(hours=2))
        else:
            ctx.cancel_timer("bell")

    @timer("bell", aliases=["ring"])
    def rang(self, ctx: Context) -> None:
        self.heard.append("bell")


class Service:
    """One store, and releases of a service that take turns on it."""

    def __init__(self, make: MakeHarness) -> None:
        first = make(Old)
        self.clock = first.clock
        self._store = first.bus.store.store  # type: ignore[attr-defined]  # behind the harness's own

    def release(self, *definitions: Any) -> Harness:
        return Harness(*definitions, store=lambda _: self._store, clock=self.clock)

    async def handle(self, saga: type[Saga], *, by: str) -> None:
        """Have a release handle one message."""
        async with self.release(saga) as bus:
            await bus.publish(Stepped(key="A", by=by))

    async def state(self) -> dict[str, Any]:
        await self._store.open()
        (loaded,) = await self._store.load("live", ["A"])
        await self._store.close()
        found: dict[str, Any] = msgspec.json.decode(loaded.instance.state)
        return found


async def begun(make: MakeHarness) -> Service:
    found = Service(make)
    async with found.release(Old) as bus:
        await bus.publish(Began(key="A"))
    return found


async def test_an_old_worker_keeps_the_field_that_a_new_one_has_added(harness: MakeHarness) -> None:
    service = await begun(harness)
    for saga, by in ((WithField, "n1"), (Old, "o1"), (Old, "o2"), (WithField, "n2"), (Old, "o3")):
        await service.handle(saga, by=by)

    found = await service.state()
    assert found["seen"] == ["n1", "o1", "o2", "n2", "o3"]
    assert found["added"] == "by n2"


async def test_a_field_that_is_carried_is_no_attribute_and_survives_a_timer(harness: MakeHarness) -> None:
    service = await begun(harness)
    await service.handle(WithField, by="n1")

    async with service.release(Old) as bus:
        await bus.advance(timedelta(hours=1))
        state = await bus.saga(Old, "A")

    assert not hasattr(state, "added")
    assert (await service.state())["added"] == "by n1"
    assert (await service.state())["seen"] == ["n1", "ring"]


async def test_an_old_worker_leaves_alone_what_it_would_cut(harness: MakeHarness) -> None:
    service = await begun(harness)
    await service.handle(WithNested, by="n1")
    before = await service.state()

    async with service.release(Old) as bus:
        await bus.publish(Stepped(key="A", by="o1"))
        await bus.publish(Began(key="B"))
        other = await bus.saga(Old, "B")
    waiting = await service.state()
    async with service.release(WithNested) as bus:
        await bus.advance(timedelta(seconds=10))

    assert waiting == before
    assert other is not None
    assert (await service.state())["seen"] == ["n1", "o1"]
    assert [line["gift"] for line in (await service.state())["lines"]] == [True, True]


async def test_what_no_release_takes_is_a_dead_letter_after_an_hour_that_says_why() -> None:
    service = await begun(Harness)
    await service.handle(WithNested, by="n1")

    async with service.release(Old) as bus:
        await bus.publish(Stepped(key="A", by="o1"))
        await bus.advance(timedelta(hours=1, minutes=1))
        (letter,) = await bus.dead_letters()

    assert letter.cause is Cause.UNKNOWN
    assert "lines[0].gift" in letter.reason


async def test_a_renamed_field_keeps_its_value_and_old_workers_leave_it_alone(harness: MakeHarness) -> None:
    service = await begun(harness)
    await service.handle(Old, by="o1")
    await service.handle(Renaming, by="n1")
    await service.handle(Old, by="o2")
    waiting = await service.state()

    async with service.release(Renaming) as bus:
        await bus.advance(timedelta(seconds=10))

    assert waiting == {"key": "A", "heard": ["o1", "n1"], "lines": []}
    assert (await service.state())["heard"] == ["o1", "n1", "o2"]


async def test_a_renamed_timer_fires_under_its_old_name(harness: MakeHarness) -> None:
    service = await begun(harness)
    async with service.release(Renaming) as bus:
        await bus.advance(timedelta(hours=1))
        state = await bus.saga(Renaming, "A")

    assert state is not None
    assert state.heard == ["bell"]


async def test_a_renamed_timer_is_cancelled_under_its_old_name(harness: MakeHarness) -> None:
    service = await begun(harness)
    async with service.release(Renaming) as bus:
        await bus.publish(Changed(key="A"))
        left = await bus.bus.timers.list(Renaming, "A")
        await bus.advance(timedelta(hours=1))
        state = await bus.saga(Renaming, "A")

    assert left == []
    assert state is not None
    assert state.heard == []


async def test_a_renamed_timer_that_is_set_again_replaces_the_one_of_the_old_name(harness: MakeHarness) -> None:
    service = await begun(harness)
    async with service.release(Renaming) as bus:
        await bus.publish(Changed(key="A", again=True))
        left = await bus.bus.timers.list(Renaming, "A")
        await bus.advance(timedelta(hours=3))
        state = await bus.saga(Renaming, "A")

    assert [each.name for each in left] == ["bell"]
    assert state is not None
    assert state.heard == ["bell"]

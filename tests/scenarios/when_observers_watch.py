"""Observers hear what becomes of messages, on every store and way in. They disturb nothing."""

import contextvars
import logging
from collections.abc import Callable
from dataclasses import field
from datetime import timedelta
from typing import Any, Literal

import pytest
from tests.scenarios.conftest import MakeHarness, until
from tests.scenarios.shop import Do, Ended, Noted

from sagabus import (
    Bridged,
    Bus,
    Commit,
    ConfigurationError,
    Context,
    Departure,
    Envelope,
    Handled,
    MessageTooLarge,
    Observer,
    Refused,
    RetryPolicy,
    Saga,
    Unheard,
    handler,
    observer,
    starts,
    timer,
)
from sagabus.errors import TransportError
from sagabus.testing import Harness, ManualClock
from sagabus.transports import memory
from sagabus.transports.memory import MemoryBroker, MemoryTransport

TWICE = RetryPolicy(attempts=2)
trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="none")


class Hearing(Observer):
    """Keeps all that it hears."""

    def __init__(self) -> None:
        self.handled: list[Handled] = []
        self.refusals: list[Refused] = []
        self.without_receiver: list[Unheard] = []

    def committed(self, commit: Commit) -> None:
        assert sum(commit.counts.values()) == len(commit.handled) + len(commit.lost)
        self.handled += commit.handled

    def refused(self, refused: Refused) -> None:
        self.refusals.append(refused)

    def unheard(self, unheard: Unheard) -> None:
        self.without_receiver.append(unheard)

    def results(self) -> list[tuple[str, str, int]]:
        return [(each.message_type, each.result, each.attempt) for each in self.handled]


class Around(Observer):
    """Notes when runs begin and end."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def enter(self, ctx: Context) -> object:
        trace.set(ctx.message_id)
        self.log.append(f"enter {ctx.message_type}")
        return ctx.message_id

    def exit(self, entered: object, ctx: Context, error: BaseException | None) -> None:
        assert entered == ctx.message_id == trace.get()
        self.log.append(f"exit {ctx.message_type} {type(error).__name__ if error else 'well'}")


async def test_each_result_is_heard_once_with_its_reason(harness: MakeHarness) -> None:
    hearing = Hearing()

    class Orders(Saga, name="orders", key="key", retry=TWICE, on_missing="ignore"):
        key: str

        @starts
        def noted(self, message: Noted, ctx: Context) -> None:
            if message.number:
                raise ValueError("no such number")

    @handler("ends", retry=TWICE)
    def ends(message: Ended) -> None: ...

    async with harness(Orders, ends, observers=[hearing]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.publish(Noted(key="B", number=1), message_id="bad")
        await bus.publish(Ended(key="A"))
        await bus.advance(timedelta(minutes=1))

    assert sorted(hearing.results()) == [
        ("shop.ended", "completed", 1),
        ("shop.noted", "completed", 1),
        ("shop.noted", "dead-lettered", 2),
        ("shop.noted", "retried", 1),
    ]
    dead = next(each for each in hearing.handled if each.result == "dead-lettered")
    assert (dead.subscription, dead.message_id, dead.key) == ("orders", "bad", "B")
    assert "no such number" in (dead.reason or "")


async def test_what_a_store_does_not_accept_is_heard(harness: MakeHarness) -> None:
    hearing = Hearing()

    @handler("notes")
    def notes(message: Noted) -> None: ...

    async with harness(notes, observers=[hearing]) as bus:
        await bus.publish(Noted(key="A"), message_id="one")
        await bus.publish(Noted(key="A"), message_id="one")
        await bus.publish(Noted(key="B"), message_id="one")
        await bus.publish(Ended(key="A"), message_id="alone")

    assert [(each.message_id, each.answer) for each in hearing.refusals] == [("one", "duplicate"), ("one", "collision")]
    assert [(each.message_type, each.message_id) for each in hearing.without_receiver] == [("shop.ended", "alone")]


def plain(log: list[str]) -> Callable[[Noted], None]:
    def run(message: Noted) -> None:
        log.append(f"run {trace.get()}")
        if message.number:
            raise KeyError

    return run


def waiting(log: list[str]) -> Any:
    run = plain(log)

    async def wait(message: Noted) -> None:
        run(message)

    return wait


@pytest.mark.parametrize("kind_of_function", [plain, waiting])
@pytest.mark.parametrize("thread", [False, True])
async def test_a_run_is_entered_and_left_in_its_own_context(
    kind_of_function: Callable[[list[str]], Any], *, thread: bool
) -> None:
    if thread and kind_of_function is waiting:
        return
    log: list[str] = []
    run = handler("notes", retry=RetryPolicy(attempts=1), thread=thread)(kind_of_function(log))

    async with Harness(run, observers=[Around(log)]) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")
        await bus.publish(Noted(key="A", number=1), message_id="m2")

    assert log == [
        *("enter shop.noted", "run m1", "exit shop.noted well"),
        *("enter shop.noted", "run m2", "exit shop.noted KeyError"),
    ]
    assert trace.get() == "none"


async def test_observers_leave_in_the_other_order(harness: MakeHarness) -> None:
    order: list[str] = []

    class Named(Observer):
        def __init__(self, name: str) -> None:
            self.name = name

        def enter(self, ctx: Context) -> object:
            order.append(f"{self.name} in")
            return None

        def exit(self, entered: object, ctx: Context, error: BaseException | None) -> None:
            order.append(f"{self.name} out")

    class Both(Saga, name="both", key="key"):
        key: str

        @starts
        async def noted(self, message: Noted, ctx: Context) -> None:
            ctx.set_timer("tick", after=timedelta(minutes=1))

        @timer("tick")
        def tick(self) -> None: ...

    async with harness(Both, observers=[Named("a"), Named("b")]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=1))

    assert order == ["a in", "b in", "b out", "a out"] * 2


async def test_headers_are_added_to_whatever_is_sent(harness: MakeHarness) -> None:
    seen: dict[str, str | None] = {}

    class Tracing(Observer):
        def sending(self, message: object, headers: dict[str, str]) -> None:
            headers["traced"] = type(message).__name__

    @handler("notes")
    def notes(message: Noted, ctx: Context) -> None:
        seen[f"{message.key} noted"] = ctx.headers.get("traced")
        ctx.publish(Ended(key=message.key), headers={"mine": "1"})

    @handler("ends")
    def ends(message: Ended, ctx: Context) -> None:
        seen[f"{message.key} ended"] = ctx.headers.get("traced")
        assert ctx.headers["mine"] == "1"

    @handler("does")
    def does(message: Do, ctx: Context) -> None:
        seen[f"{message.key} done"] = ctx.headers.get("traced")

    async with harness(notes, ends, does, observers=[Tracing()]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.bus.publish_many([Noted(key="B")])
        await bus.send(Do(key="C"))
        await bus.idle()

    assert seen == {
        **{f"{key} {what}": name for key in "AB" for what, name in (("noted", "Noted"), ("ended", "Ended"))},
        "C done": "Do",
    }


async def test_an_observer_that_fails_disturbs_nothing(harness: MakeHarness, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Observer):
        def committed(self, commit: Commit) -> None:
            raise ValueError("committed")

        def refused(self, refused: Refused) -> None:
            raise ValueError("refused")

        def unheard(self, unheard: Unheard) -> None:
            raise ValueError("unheard")

        def enter(self, ctx: Context) -> object:
            raise ValueError("enter")

        def exit(self, entered: object, ctx: Context, error: BaseException | None) -> None:
            raise ValueError("exit")

        def sending(self, message: object, headers: dict[str, str]) -> None:
            raise ValueError("sending")

    hearing = Hearing()

    @handler("notes")
    def notes(message: Noted) -> None: ...

    async with harness(notes, observers=[Failing(), hearing]) as bus:
        await bus.publish(Noted(key="A"), message_id="one")
        await bus.publish(Noted(key="A"), message_id="one")
        await bus.publish(Ended(key="A"))

    assert hearing.results() == [("shop.noted", "completed", 1)]
    assert len(hearing.refusals) == len(hearing.without_receiver) == 1
    failed = {
        str(record.exc_info[1]) for record in caplog.records if record.exc_info and record.levelno == logging.ERROR
    }
    assert failed == {"committed", "refused", "unheard", "enter", "exit", "sending"}


async def test_no_record_is_made_without_an_observer_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    make = observer.Handled
    monkeypatch.setattr(observer, "Handled", lambda *fields: made.append(fields) or make(*fields))

    class Deaf(Observer):
        """Overrides nothing."""

    @handler("notes")
    def notes(message: Noted) -> None: ...

    async with Harness(notes, observers=[Deaf()]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle()
        assert bus.bus.statistics["notes", "completed"] == 1

    assert made == []


@pytest.mark.parametrize("wrong", [Observer, print, None, "log"])
def test_what_is_no_observer_is_refused_when_the_bus_is_made(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no observer"):
        Bus("memory:", observers=[wrong])


async def test_how_long_runs_and_commits_take_is_measured_for_those_who_ask(harness: MakeHarness) -> None:
    class Timing(Hearing):
        times_runs = True

        def __init__(self) -> None:
            super().__init__()
            self.commits: list[Commit] = []

        def committed(self, commit: Commit) -> None:
            super().committed(commit)
            self.commits.append(commit)
            assert len(commit.took) == len(commit.envelopes) == len(commit.results) == len(commit.handled)

    clock = ManualClock()

    @handler("notes", retry=TWICE)
    async def notes(message: Noted) -> None:
        clock.advance(timedelta(seconds=message.number))
        if message.number == 3:
            raise ValueError

    @handler("ends")
    def ends(message: Ended) -> None:
        clock.advance(timedelta(seconds=4))

    timing, hearing = Timing(), Hearing()
    async with harness(notes, ends, observers=[timing, hearing], clock=clock) as bus:
        await bus.publish(Ended(key="A"))
        await bus.publish(Noted(key="A", number=2))
        await bus.idle()
        await bus.publish(Noted(key="B", number=3))  # the last: a clock that moves makes its retry due
        await bus.idle()

    assert {(each.message_type, each.result): each.took for each in timing.handled} == {
        ("shop.noted", "completed"): 2.0,
        ("shop.noted", "retried"): 3.0,
        ("shop.ended", "completed"): 4.0,
    }
    assert [each.message_id for each in timing.handled] == [
        envelope.message_id for commit in timing.commits for envelope in commit.envelopes
    ]
    assert all(each.seconds >= 0 for each in timing.commits)


async def test_nothing_is_timed_where_no_observer_asks(harness: MakeHarness) -> None:
    hearing = Hearing()
    clock = ManualClock()

    @handler("notes")
    def notes(message: Noted) -> None:
        clock.advance(timedelta(seconds=1))

    async with harness(notes, observers=[hearing], clock=clock) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle()

    assert [each.took for each in hearing.handled] == [0.0]


async def test_a_timer_is_heard_by_its_name(harness: MakeHarness) -> None:
    hearing = Hearing()

    class Ticking(Saga, name="ticking", key="key"):
        key: str

        @starts
        def noted(self, message: Noted, ctx: Context) -> None:
            ctx.set_timer("tick", after=timedelta(minutes=1))

        @timer("tick")
        def tick(self) -> None: ...

    async with harness(Ticking, observers=[hearing]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=1))

    assert [each.timer for each in hearing.handled] == [None, "tick"]


# --- what leaves ------------------------------------------------------------------------------------------------------


class Tagging(Observer):
    """Tags everything that departs, and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[Departure] = []

    def departing(self, departure: Departure) -> None:
        self.seen.append(departure)
        departure.headers["tag"] = departure.message_id


class Carrying(Saga, name="carrying", key="key"):
    key: str
    tags: list[str] = field(default_factory=list[str])

    @starts
    def noted(self, message: Noted, ctx: Context) -> None:
        self.tags = [*self.tags, ctx.headers["tag"]]
        ctx.set_timer("tick", after=timedelta(minutes=1))
        for number in range(3):  # the first is addressed in full, the others in fewer steps
            ctx.publish(Ended(key=f"{self.key}{number}"))

    @timer("tick")
    def tick(self, ctx: Context) -> None:
        self.tags = [*self.tags, ctx.headers["tag"]]


async def test_messages_and_timers_carry_what_observers_add(harness: MakeHarness) -> None:
    tagging, arrived = Tagging(), dict[str, str]()

    @handler("ends")
    def ends(message: Ended, ctx: Context) -> None:
        arrived[ctx.message_id] = ctx.headers["tag"]

    async with harness(Carrying, ends, observers=[tagging]) as bus:
        await bus.publish(Noted(key="A"), message_id="m1", correlation_id="c1")
        await bus.advance(timedelta(minutes=1))
        state = await bus.saga(Carrying, "A")

    started, *rest = tagging.seen
    assert (started.message_id, started.message_type, started.correlation_id) == ("m1", "shop.noted", "c1")
    assert {each.correlation_id for each in rest} == {"c1"}
    assert [each.timer for each in rest] == ["tick", None, None, None]
    assert state.tags == ["m1", rest[0].message_id]
    assert arrived == {each.message_id: each.message_id for each in rest[1:]}


async def test_each_message_departs_once_by_whatever_way(harness: MakeHarness) -> None:
    tagging = Tagging()

    @handler("notes")
    def notes(message: Noted, ctx: Context) -> None: ...

    async with harness(notes, observers=[tagging]) as bus:
        await bus.publish(Noted(key="A"), message_id="one")
        await bus.bus.publish_many([(Noted(key="B"), "two"), (Noted(key="C"), "three")])
        async with bus.bus.transaction() as tx:
            tx.publish(Noted(key="D"), message_id="four")
        await bus.publish(Noted(key="A"), message_id="one")
        await bus.idle()

    assert [each.message_id for each in tagging.seen] == ["one", "two", "three", "four", "one"]


async def test_headers_that_no_message_can_have_are_refused_where_it_is_sent(harness: MakeHarness) -> None:
    class Wrong(Observer):
        def departing(self, departure: Departure) -> None:
            departure.headers["large"] = "x" * 300_000

    @handler("notes", retry=RetryPolicy(attempts=1))
    def notes(message: Noted, ctx: Context) -> None: ...

    async with harness(notes, observers=[Wrong()]) as bus:
        with pytest.raises(MessageTooLarge):
            await bus.publish(Noted(key="A"))


class Choosy(Around, Tagging):
    """Watches one message only; or fails to say so."""

    def __init__(self, log: list[str], *, fails: bool = False) -> None:
        Tagging.__init__(self)
        self.log, self.fails = log, fails

    def watches(self, envelope: Envelope) -> bool:
        if self.fails:
            raise ValueError
        return (envelope.message_type, envelope.partition_key) == ("shop.noted", "A")


@pytest.mark.parametrize("middleware", [(), (lambda message, ctx, call_next: call_next(message, ctx),)])
async def test_of_a_run_that_no_observer_watches_nothing_is_heard_but_its_end(
    harness: MakeHarness, middleware: Any
) -> None:
    log = list[str]()
    choosy, hearing = Choosy(log), Hearing()

    @handler("notes", key="key")
    async def notes(message: Noted, ctx: Context) -> None:
        for number in range(3):
            ctx.publish(Ended(key=f"{message.key}{number}"), message_id=f"{message.key}{number}")

    @handler("ends")
    def ends(message: Ended) -> None: ...

    async with harness(notes, ends, observers=[choosy, hearing], middleware=middleware) as bus:
        await bus.publish(Noted(key="A"), message_id="A")
        await bus.publish(Noted(key="B"), message_id="B")

    assert log == ["enter shop.noted", "exit shop.noted well"]
    assert sorted(each.message_id for each in choosy.seen) == ["A", "A0", "A1", "A2", "B"]
    assert len(hearing.handled) == 8


async def test_all_observers_see_a_run_that_one_of_them_watches(harness: MakeHarness) -> None:
    log, all_of_them = list[str](), list[str]()

    @handler("notes", key="key")
    def notes(message: Noted, ctx: Context) -> None: ...

    async with harness(notes, observers=[Choosy(log), Around(all_of_them)]) as bus:
        await bus.publish(Noted(key="B"))

    assert log == all_of_them == ["enter shop.noted", "exit shop.noted well"]


async def test_an_observer_that_cannot_say_what_it_watches_watches_nothing(
    harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    log = list[str]()

    @handler("notes", key="key")
    def notes(message: Noted, ctx: Context) -> None: ...

    async with harness(notes, observers=[Choosy(log, fails=True)]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.idle()
        assert bus.bus.statistics["notes", "completed"] == 1

    assert log == []
    assert any(record.levelno == logging.ERROR for record in caplog.records)


async def test_an_observer_sees_the_status_of_the_saga_around_each_run(harness: MakeHarness) -> None:
    seen = list[tuple[str | None, str | None]]()

    class Looking(Observer):
        def enter(self, ctx: Context) -> object:
            return ctx.saga_status

        def exit(self, entered: object, ctx: Context, error: BaseException | None) -> None:
            assert entered is None or isinstance(entered, str)
            seen.append((entered, ctx.saga_status))

    class Moving(Saga, name="moving", key="key"):
        key: str
        status: Literal["new", "old"] = "new"

        @starts
        def noted(self, message: Noted, ctx: Context) -> None:
            ctx.set_timer("tick", after=timedelta(minutes=1))

        @timer("tick")
        async def tick(self) -> None:
            self.status = "old"

    @handler("notes")
    def notes(message: Noted) -> None: ...

    async with harness(Moving, notes, observers=[Looking()]) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(timedelta(minutes=1))

    assert sorted(seen, key=str) == [("new", "new"), ("new", "old"), (None, None)]


async def test_bridges_are_heard_step_by_step() -> None:
    class Bridging(Observer):
        def __init__(self) -> None:
            self.steps: list[tuple[str, int, int]] = []

        def bridged(self, bridged: Bridged) -> None:
            assert bridged.seconds >= 0
            assert bridged.error is None
            self.steps.append((bridged.step, len(bridged.messages), bridged.refused))

    broker, sender, receiver = MemoryBroker(), Bridging(), Bridging()

    @handler("notes")
    def notes(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key=message.key))

    @handler("ends")
    def ends(message: Ended) -> None: ...

    books = Bus("memory:", ends, transport=MemoryTransport(broker), service="books", observers=[receiver])
    shop = Bus("memory:", notes, transport=MemoryTransport(broker), service="shop", observers=[sender])
    async with books, shop:
        await shop.publish(Noted(key="A"))
        await until(lambda: ("settle", 1, 0) in receiver.steps)

    # That no other service wants an event is no failure of the bridge.
    assert sender.steps == [("send", 1, 0), ("send", 1, 0)]
    assert receiver.steps == [("receive", 1, 0), ("settle", 1, 0)]


@pytest.mark.parametrize(("refuses", "look"), [(True, 0.001), (False, 0.001), (False, 3600.0)])
async def test_a_bridge_that_fails_is_heard_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, *, refuses: bool, look: float
) -> None:
    """Sending may notice the end of the link, or what watches the link and then cancels the sending."""
    heard, broker = list[Bridged](), MemoryBroker()
    monkeypatch.setattr(memory, "_LOOK", look)

    class Bridging(Observer):
        def bridged(self, bridged: Bridged) -> None:
            heard.append(bridged)

    @handler("notes")
    def notes(message: Noted, ctx: Context) -> None:
        ctx.publish(Ended(key=message.key))

    @handler("ends")
    def ends(message: Ended) -> None: ...

    books = Bus("memory:", ends, transport=MemoryTransport(broker), service="books")
    shop = Bus("memory:", notes, transport=MemoryTransport(broker), service="shop", observers=[Bridging()])
    async with books, shop:
        if refuses:
            broker.refused["shop.ended"] = "too large"
        broker.is_silent = not refuses
        await shop.publish(Noted(key="A"))
        if not refuses:
            await until(lambda: bool(broker.sent))
            broker.stop()
        await until(lambda: any(each.refused or each.error for each in heard))

        assert {each.step for each in heard} == {"send"}
        assert {type(each.error) for each in heard if each.error} == (set() if refuses else {TransportError})
        broker.is_silent = False

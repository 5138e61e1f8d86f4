"""What the text of sagas and handlers tells: messages, statuses, timers, and what it does not tell."""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

import pytest

from sagabus import Bus, Context, Saga, command, event, handler, handles, starts, timer
from sagabus.cli.analysis import SagaShape, Topology, analyse
from sagabus.cli.findings import Finding, findings

SHIPPED = "shipped"


class Stage(StrEnum):
    NEW = "new"
    DONE = "done"


@event("opened")
class Opened:
    key: str

    @classmethod
    def of(cls, key: str) -> "Opened":
        return cls(key=key)


@event("changed")
class Changed:
    key: str


@event("closed")
class Closed:
    key: str


@command("ship")
class Ship:
    key: str


def make_ship(key: str) -> Ship:
    return Ship(key=key)


def tell(ctx: Context, key: str) -> None:
    ctx.publish(Changed(key=key))


def topology(*definitions: Any) -> Topology:
    return analyse(Bus("memory:", *definitions).definitions)


def saga_shape(definition: Any) -> SagaShape:
    return topology(definition).sagas[0]


def moves(shape: SagaShape) -> set[tuple[str | None, str, str, bool]]:
    """(from, to, method, whether it completes), timers left out."""
    return {(m.source.status if m.source else None, m.status, m.step.name, m.target is None) for m in shape.moves}


def kinds(found: Iterable[Finding], level: str = "problem") -> list[str]:
    return sorted(finding.kind for finding in found if finding.level == level)


def sent_by(function: Any) -> list[str]:
    return [message.name for message in topology(function).handlers[0].facts.sent]


def unresolved_by(function: Any) -> tuple[str, ...]:
    return topology(function).handlers[0].facts.unresolved


# --- messages ---------------------------------------------------------------------------------------------------------


@handler("directly")
def directly(message: Opened, ctx: Context) -> None:
    ctx.send(Ship(key=message.key))
    ctx.publish(message=Changed(key="a"))
    ctx.schedule(Closed(key="a"), after=timedelta(1))


@handler("variable")
def by_variable(message: Opened, ctx: Context) -> None:
    wanted = Ship(key=message.key) if message.key else Changed(key="b")
    ctx.publish(wanted)


@handler("made")
def by_function(message: Opened, ctx: Context) -> None:
    ctx.send(make_ship(message.key))


@handler("classmethod")
def by_class_method(message: Changed, ctx: Context) -> None:
    ctx.publish(Opened.of(message.key))


@handler("forwarded")
def forwarding(message: Opened | Changed, ctx: Context) -> None:
    ctx.publish(message)


@handler("helped")
def by_plain_function(message: Opened, ctx: Context) -> None:
    tell(ctx, message.key)


@handler("renamed")
def by_another_name(message: Opened, bus: Context) -> None:
    tell(key=message.key, ctx=bus)


@handler("locally")
async def imported_locally(message: Opened, ctx: Context) -> None:
    from dataclasses import replace

    ctx.publish(replace(message, key="c"))


@pytest.mark.parametrize(
    ("function", "sent"),
    [
        (directly, ["ship", "changed", "closed"]),
        (by_variable, ["changed", "ship"]),
        (by_function, ["ship"]),
        (by_class_method, ["opened"]),
        (forwarding, ["changed", "opened"]),
        (by_plain_function, ["changed"]),
        (by_another_name, ["changed"]),
        (imported_locally, ["opened"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_sent_message_is_known_however_it_is_written(function: Any, sent: list[str]) -> None:
    assert sent_by(function) == sent
    assert unresolved_by(function) == ()


@handler("table")
def from_a_table(message: Opened, ctx: Context) -> None:
    ctx.publish({"a": Changed}[message.key](key="d"))


@handler("looping")
def from_a_loop(message: Opened, ctx: Context) -> None:
    for each in (Changed(key="e"), Closed(key="e")):
        ctx.publish(each)


@handler("handed")
def handing_on(message: Opened, ctx: Context) -> None:
    print(ctx)


@pytest.mark.parametrize("function", [from_a_table, from_a_loop, handing_on], ids=lambda function: function.__name__)
def test_what_only_running_tells_is_said_and_not_taken_for_nothing(function: Any) -> None:
    found = findings(topology(function))

    assert len(unresolved_by(function)) == 1
    assert "unresolved-message" in kinds(found, "note")


def test_code_without_a_text_is_said_to_be_unreadable() -> None:
    namespace: dict[str, Any] = {"Opened": Opened, "Context": Context, "handler": handler}
    exec("@handler('typed')\ndef typed(message: Opened, ctx: Context): pass", namespace)

    assert "cannot be read" in unresolved_by(namespace["typed"])[0]


def test_a_function_that_calls_itself_is_read_once() -> None:
    def again(ctx: Context, left: int) -> None:
        ctx.publish(Changed(key="f"))
        again(ctx, left - 1)

    @handler("again")
    def starting(message: Opened, ctx: Context) -> None:
        again(ctx, 3)

    assert sent_by(starting) == ["changed"]
    assert unresolved_by(starting) == ()


# --- statuses ---------------------------------------------------------------------------------------------------------


class Order(Saga, name="order", key="key"):
    key: str
    status: Literal["waiting", "paid", "shipped", "lost"] = "waiting"

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        ctx.send(Ship(key=self.key))
        ctx.set_timer("late", after=timedelta(1))

    @handles(when="waiting")
    def changed(self, message: Changed, ctx: Context) -> None:
        self.status = "paid" if message.key else SHIPPED
        ctx.cancel_timer("late")

    @handles(when=("paid", "shipped"))
    def closed(self, message: Closed, ctx: Context) -> None:
        ctx.complete()

    @timer("late")
    def late(self, ctx: Context) -> None:
        self.status = "lost"
        ctx.complete()


@handler("shipping")
def shipping(message: Ship, ctx: Context) -> None:
    ctx.publish(Changed(key=message.key))


def test_every_move_of_a_saga_is_found_and_timers_fire_only_where_they_are_set() -> None:
    assert moves(saga_shape(Order)) == {
        (None, "waiting", "opened", False),
        ("waiting", "paid", "changed", False),
        ("waiting", "shipped", "changed", False),
        ("paid", "paid", "closed", True),
        ("shipped", "shipped", "closed", True),
        ("waiting", "lost", "late", True),
    }


def test_a_sound_saga_has_no_problems_and_says_what_comes_from_outside() -> None:
    found = findings(topology(Order, shipping))

    assert kinds(found) == []
    assert [finding.where for finding in found] == ["closed", "opened"]


class Branching(Saga, name="branching", key="key"):
    key: str
    status: str = "new"

    @starts
    async def opened(self, message: Opened, ctx: Context) -> None:
        try:
            if message.key == "a":
                self.status = "done"
                ctx.complete()
                return
            for _ in range(3):
                self.status = "tried"
                break
            else:
                self.status = "untried"
        except ValueError:
            self.status = "failed"
        finally:
            self.end(ctx)

    def end(self, ctx: Context) -> None:
        match self.key:
            case "raises":
                self.status = "never kept"
                raise ValueError
            case "x":
                self.status = "matched"
            case _:
                pass


def test_branches_loops_matches_and_helpers_are_followed_apart() -> None:
    found = {(status, completed) for _, status, _, completed in moves(saga_shape(Branching))}

    assert ("done", True) in found
    assert {("tried", False), ("untried", False), ("failed", False), ("matched", False)} <= found
    assert "never kept" not in {status for status, _ in found}
    assert ("tried", True) not in found


class Staged(Saga, name="staged", key="key"):
    key: str
    status: Stage = Stage.NEW

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        self.status = Stage.DONE
        ctx.complete()


def test_members_of_an_enumeration_are_statuses() -> None:
    shape = saga_shape(Staged)

    assert shape.statuses == ("new", "done")
    assert moves(shape) == {(None, "done", "opened", True)}


class Chosen(Saga, name="chosen", key="key"):
    key: str
    status: str = ""

    @classmethod
    def initial(cls, message: Opened) -> "Chosen":
        return cls(key=message.key, status="low" if message.key < "m" else "high")

    @starts
    def opened(self, message: Opened, ctx: Context) -> None: ...


def test_initial_tells_the_first_status() -> None:
    assert {status for _, status, _, _ in moves(saga_shape(Chosen))} == {"low", "high"}


class ByName(Saga, name="by-name", key="key"):
    key: str
    status: str = "new"

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        setattr(self, "status", "named")  # noqa: B010
        setattr(self, "key", "x")  # noqa: B010


def test_a_status_set_by_name_is_found() -> None:
    assert {status for _, status, _, _ in moves(saga_shape(ByName))} == {"named"}


class Plain(Saga, name="plain", key="key"):
    key: str
    count: int = 0

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        self.count += 1


class Assigning(Saga, name="assigning", key="key"):
    key: str
    room: str = ""
    status: Literal["new", "booked", "moved", "left", "gone"] = "new"

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        self.room, self.status = message.key, "booked"

    @handles(when="booked")
    def changed(self, message: Changed, ctx: Context) -> None:
        self.room, (self.status, *_) = "b", ("moved", 1)
        self.status = self.room = "moved"

    @handles(when="moved")
    def closed(self, message: Closed, ctx: Context) -> None:
        self.status: str
        [self.status, self.room] = "left", "c"

    @handles(when="left")
    def shipped(self, message: Ship, ctx: Context) -> None:
        outcome, self.room = ("gone", "d")
        self.status = outcome  # type: ignore[assignment]
        ctx.complete()


def test_a_status_assigned_together_with_other_things_is_found() -> None:
    assert moves(saga_shape(Assigning)) == {
        (None, "booked", "opened", False),
        ("booked", "moved", "changed", False),
        ("moved", "left", "closed", False),
        ("left", "gone", "shipped", True),
    }


def test_a_saga_without_a_status_has_no_findings_about_statuses() -> None:
    assert kinds(findings(topology(Plain))) == []


# --- findings ---------------------------------------------------------------------------------------------------------


class Faulty(Saga, name="faulty", key="key"):
    key: str
    status: Literal["waiting", "paid", "ghost", "island", "shore"] = "waiting"

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        ctx.send(Ship(key=self.key))
        ctx.set_timer("late", after=timedelta(1))
        self.remind(ctx)

    def remind(self, ctx: Context) -> None:
        name = "reminder"
        ctx.set_timer(name, after=timedelta(1))

    @handles(when="waiting")
    def changed(self, message: Changed, ctx: Context) -> None:
        self.status = "paid"
        ctx.cancel_timer("late")
        ctx.cancel_timer("reminder")

    @handles(when="ghost")
    def closed(self, message: Closed, ctx: Context) -> None:
        self.status = "island"

    @timer("late")
    def late(self, ctx: Context) -> None:
        ctx.complete()

    @timer("unset")
    def unset(self, ctx: Context) -> None: ...


def test_every_fault_is_found_and_named() -> None:
    found = findings(topology(Faulty))

    texts = {(finding.kind, finding.text) for finding in found if finding.level == "problem"}
    assert {kind for kind, _ in texts} == {
        "unassigned-status",
        "unreachable-status",
        "dead-end-status",
        "unhandled-message",
        "unhandled-timer",
    }
    assert ("unassigned-status", "status 'ghost' is unreachable: nothing assigns it") in texts
    assert ("unassigned-status", "status 'shore' is unreachable: nothing assigns it") in texts
    assert any(kind == "unreachable-status" and "'island'" in text for kind, text in texts)
    assert any(kind == "dead-end-status" and "'paid'" in text for kind, text in texts)
    assert ("unhandled-message", "no subscription handles ship, which faulty sends") in texts
    assert any(kind == "unhandled-timer" and "'reminder'" in text for kind, text in texts)
    assert "timer-never-set" in kinds(found, "note")


def test_problems_come_before_notes() -> None:
    levels = [finding.level for finding in findings(topology(Faulty))]

    assert levels == sorted(levels, reverse=True)


def test_a_message_that_another_process_handles_is_no_problem() -> None:
    assert "unhandled-message" in kinds(findings(topology(Order)))
    assert "unhandled-message" not in kinds(findings(topology(Order), external=["ship"]))


class Lasting(Saga, name="lasting", key="key"):
    key: str
    status: Literal["trial", "active"] = "trial"

    @starts
    def opened(self, message: Opened, ctx: Context) -> None: ...

    @handles
    def changed(self, message: Changed, ctx: Context) -> None:
        self.status = "active"


def test_a_status_with_handlers_that_stay_in_it_is_only_noted() -> None:
    found = findings(topology(Lasting))

    assert kinds(found) == []
    assert "lasting-status" in kinds(found, "note")


class Computed(Saga, name="computed", key="key"):
    key: str
    status: Literal["a", "b", "c"] = "a"

    @starts
    def opened(self, message: Opened, ctx: Context) -> None:
        self.status = message.key  # type: ignore[assignment]


def test_a_computed_status_is_said_and_nothing_is_claimed_of_the_others() -> None:
    found = findings(topology(Computed))

    assert kinds(found) == []
    assert "unresolved-status" in kinds(found, "note")

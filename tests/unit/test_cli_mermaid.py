"""Diagrams: what a topology looks like as Mermaid text, whatever its names are."""

import re
from typing import Literal

from sagabus import Bus, Context, Saga, event, handler, handles, starts
from sagabus.cli.analysis import Topology, analyse
from sagabus.cli.mermaid import message_flow, state_diagram


@event("begun")
class Begun:
    key: str


@event("moved")
class Moved:
    key: str


@event("left")
class Left:
    key: str


class Odd(Saga, name="odd", key="key"):
    key: str
    status: Literal["end", 'say "hi": #1;', "plain"] = "end"

    @starts
    def begun(self, message: Begun, ctx: Context) -> None:
        ctx.publish(Left(key=self.key))

    @handles(when="end")
    def moved(self, message: Moved, ctx: Context) -> None:
        self.status = 'say "hi": #1;'

    @handles(when='say "hi": #1;')
    def left(self, message: Left, ctx: Context) -> None:
        ctx.complete()


@handler("mover")
def mover(message: Begun, ctx: Context) -> None:
    ctx.publish(Moved(key=message.key))


def topology(*definitions: object) -> Topology:
    return analyse(Bus("memory:", *definitions).definitions)


def test_a_saga_is_a_state_diagram_whose_names_cannot_break_it() -> None:
    assert state_diagram(topology(Odd).sagas[0]).splitlines() == [
        "stateDiagram-v2",
        '    state "end" as status_0',
        '    state "say #34;hi#34;#58; #35;1#59;" as status_1',
        "    [*] --> status_0: begun",
        "    status_0 --> status_1: moved",
        "    status_1 --> [*]: left",
    ]


def test_messages_flow_between_subscriptions_and_the_outside() -> None:
    assert message_flow(topology(Odd, mover)).splitlines() == [
        "flowchart LR",
        '    s0(["saga odd"])',
        '    h0["mover"]',
        '    outside(("outside"))',
        '    outside -- "begun" --> s0',
        '    outside -- "begun" --> h0',
        '    s0 -- "left" --> s0',
        '    h0 -- "moved" --> s0',
    ]


def test_a_message_without_a_handler_is_drawn_so() -> None:
    assert '    h0 -- "moved" --> nowhere' in message_flow(topology(mover)).splitlines()


def test_moves_that_only_running_tells_are_not_drawn_but_said() -> None:
    class Computed(Saga, name="computed", key="key"):
        key: str
        status: str = "a"

        @starts
        def begun(self, message: Begun, ctx: Context) -> None:
            self.status = message.key

    assert re.search(r"%% begun computes a status", state_diagram(topology(Computed).sagas[0]))


def test_a_bus_without_anything_is_an_empty_chart() -> None:
    assert message_flow(topology()) == "flowchart LR"

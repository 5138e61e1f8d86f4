"""What a step changed: paths, additions, removals, and what cannot be known."""

from typing import Any

import pytest

from sagabus.bus.inspection.histories import steps_of
from sagabus.envelope import Recorded
from sagabus.stores.memory import MemoryStore


def recorded(position: int, version: int, state: bytes) -> Recorded:
    return Recorded(
        position=position,
        saga="orders",
        key="A1",
        version=version,
        at=0,
        message_id=f"m{version}",
        message_type="t",
        timer=None,
        status=None,
        completed=False,
        state=state,
    )


class Kept:
    """A history in a list."""

    def __init__(self, *states: bytes, first: int = 1) -> None:
        self.rows = [recorded(10 * n, n, state) for n, state in enumerate(states, first)]

    async def history(self, saga: str, key: str, *, after: int = 0, limit: int = 100) -> list[Recorded]:
        return [each for each in self.rows if each.position > after][:limit]


async def changes(*states: bytes, after: int = 0, first: int = 1) -> list[Any]:
    inspect: Any = Kept(*states, first=first)
    steps = await steps_of(inspect, "orders", "A1", after, 100, mask=None)
    return [
        None if step.changes is None else [(each.path, each.before, each.after) for each in step.changes]
        for step in steps
    ]


async def test_the_first_step_adds_what_it_begins_with() -> None:
    assert await changes(b'{"id":"A1","lines":[]}') == [[("id", None, "A1"), ("lines", None, [])]]


async def test_a_step_names_the_fields_that_it_changed_however_deep() -> None:
    found = await changes(b'{"a":{"b":[1,2]},"c":1}', b'{"a":{"b":[1,3,4]},"c":1}')

    assert found[1] == [("a.b[1]", 2, 3), ("a.b[2]", None, 4)]


async def test_a_number_and_a_truth_are_not_one_value() -> None:
    assert (await changes(b'{"a":1,"b":0}', b'{"a":true,"b":0.0}'))[1] == [("a", 1, True), ("b", 0, 0.0)]


async def test_what_is_gone_or_new_says_so() -> None:
    inspect: Any = Kept(b'{"a":null}', b'{"b":null}')
    (_, step) = await steps_of(inspect, "orders", "A1", 0, 100, mask=None)

    assert step.changes is not None
    assert [(each.path, each.added, each.removed) for each in step.changes] == [("b", True, False), ("a", False, True)]


async def test_the_first_step_of_a_page_is_compared_with_the_one_before_it() -> None:
    assert await changes(b'{"a":1}', b'{"a":2}', b'{"a":3}', after=20) == [[("a", 2, 3)]]


async def test_without_the_step_before_nothing_is_claimed() -> None:
    assert await changes(b'{"a":2}', b'{"a":3}', first=7) == [None, [("a", 2, 3)]]


async def test_a_page_has_no_more_steps_than_asked_for() -> None:
    inspect: Any = Kept(*[b"{}"] * 5)

    assert len(await steps_of(inspect, "orders", "A1", 0, 3, mask=None)) == 3
    assert [each.version for each in await steps_of(inspect, "orders", "A1", 20, 2, mask=None)] == [3, 4]


@pytest.mark.parametrize("state", [b"not json", b"[1]", b"3"])
async def test_a_state_of_any_kind_is_shown(state: bytes) -> None:
    inspect: Any = Kept(b"{}", state)

    assert len(await steps_of(inspect, "orders", "A1", 0, 100, mask=None)) == 2


async def test_an_instance_without_a_history_has_no_steps() -> None:
    assert await steps_of(MemoryStore().inspect, "orders", "A1", 0, 100, mask=None) == []

"""The history of an instance step by step, with what each step changed; and instances that no step has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sagabus.bus.inspection.messages import MOST
from sagabus.bus.inspection.records import Change, Step, UnchangedInstance, UnchangedPage
from sagabus.clock import moment
from sagabus.envelope import Recorded
from sagabus.store import Inspection

_MOST_CHANGES = 1_000
_MISSING = object()


async def steps_of(inspect: Inspection, saga: str, key: str, after: int, limit: int) -> list[Step]:
    """A page of steps. The one before the page is read as well, for what the first step changed."""
    found = list(await inspect.history(saga, key, after=max(after - 1, 0), limit=limit + 1))
    before = found.pop(0) if found and found[0].position == after else None
    steps: list[Step] = []
    for each in found[:limit]:
        steps.append(_step(before, each))
        before = each
    return steps


def _step(before: Recorded | None, each: Recorded) -> Step:
    is_first = each.version == 1
    known = is_first or (before is not None and before.version == each.version - 1)
    state = _plain(each.state)
    changes: tuple[Change, ...] | None = None
    if known:
        earlier: Any = _plain(b"{}" if is_first or before is None else before.state)
        changes = tuple(_differences("", earlier, state))[:_MOST_CHANGES]
    return Step(
        position=each.position,
        saga=each.saga,
        key=each.key,
        version=each.version,
        at=moment(each.at),
        message_id=each.message_id,
        message_type=each.message_type,
        timer=each.timer,
        status=each.status,
        completed=each.completed,
        state=state,
        changes=changes,
    )


def _differences(path: str, before: object, after: object) -> Iterator[Change]:
    """Where two states differ, field by field and item by item."""
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_mappings(path, cast("Mapping[str, object]", before), cast("Mapping[str, object]", after))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(path, cast("Sequence[object]", before), cast("Sequence[object]", after))
    else:
        yield from _of_values(path, cast("Any", before), cast("Any", after))


def _of_values(path: str, before: object, after: object) -> Iterator[Change]:
    """A value is changed if it is of another type, too: 1 is neither true nor 1.0."""
    if type(before) is not type(after) or before != after:
        yield Change(
            path=path,
            before=None if before is _MISSING else before,
            after=None if after is _MISSING else after,
            added=before is _MISSING,
            removed=after is _MISSING,
        )


def _of_mappings(path: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[Change]:
    for name in [*after, *(name for name in before if name not in after)]:
        inner = f"{path}.{name}" if path else name
        yield from _differences(inner, before.get(name, _MISSING), after.get(name, _MISSING))


def _of_lists(path: str, before: Sequence[object], after: Sequence[object]) -> Iterator[Change]:
    for number in range(max(len(before), len(after))):
        earlier = before[number] if number < len(before) else _MISSING
        yield from _differences(f"{path}[{number}]", earlier, after[number] if number < len(after) else _MISSING)


def _plain(state: bytes) -> Any:
    try:
        return json.loads(state)
    except ValueError:
        return state.decode(errors="replace")


async def unchanged_page(
    inspect: Inspection, saga: str, span: int, *, status: str | None, after: str, limit: int
) -> UnchangedPage:
    """One page of instances that stay as they are; ValueError for a page that there cannot be."""
    if not 1 <= limit <= MOST:
        raise ValueError(f"a page has 1 to {MOST:,} instances, not {limit}")
    found = await inspect.unchanged(saga, span, status=status, after=after, limit=limit)
    return UnchangedPage(
        instances=tuple(
            UnchangedInstance(
                saga=saga, key=each.key, status=each.status, version=each.version, updated_at=moment(each.updated_at)
            )
            for each in found.found
        ),
        after=found.after,
    )

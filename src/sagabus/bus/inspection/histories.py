"""The history of an instance step by step, with what each step changed; and instances that no step has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from sagabus.bus.inspection.messages import MOST
from sagabus.bus.inspection.records import Change, Step, UnchangedInstance, UnchangedPage
from sagabus.clock import moment
from sagabus.codec.masks import Mask
from sagabus.envelope import Recorded
from sagabus.store import Inspection

_MOST_CHANGES = 1_000
_MISSING = object()


async def steps_of(
    inspect: Inspection, saga: str, key: str, after: int, limit: int, *, mask: Mask | None
) -> list[Step]:
    """A page of steps. The one before the page is read as well, for what the first step changed.

    Without a mask, all values are shown.
    """
    found = list(await inspect.history(saga, key, after=max(after - 1, 0), limit=limit + 1))
    before = found.pop(0) if found and found[0].position == after else None
    steps: list[Step] = []
    for each in found[:limit]:
        steps.append(_step(before, each, mask))
        before = each
    return steps


def _step(before: Recorded | None, each: Recorded, mask: Mask | None) -> Step:
    is_first = each.version == 1
    known = is_first or (before is not None and before.version == each.version - 1)
    state = _plain(each.state)
    shown = _shown(state, mask)
    changes: tuple[Change, ...] | None = None
    if known:
        earlier: Any = _plain(b"{}" if is_first or before is None else before.state)
        pair = _Pair(earlier, _shown(earlier, mask)), _Pair(state, shown)
        changes = tuple(_differences("", *pair))[:_MOST_CHANGES]
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
        state=shown,
        changes=changes,
    )


class _Pair(NamedTuple):
    """A value as it is, and what is shown of it."""

    real: object
    shown: object

    def part(self, step: Any) -> _Pair:
        real = _part(self.real, step)
        return _Pair(real, _MISSING if real is _MISSING else _part(self.shown, step))


def _part(value: Any, step: Any) -> object:
    try:
        return value[step]
    except (KeyError, IndexError):
        return _MISSING


def _shown(state: object, mask: Mask | None) -> object:
    return state if mask is None else mask.over(state).value


def _differences(path: str, before: _Pair, after: _Pair) -> Iterator[Change]:
    """Where two states differ, field by field and item by item. What is hidden is not looked into."""
    kinds = {type(each) for each in (*before, *after)}
    if kinds == {dict}:
        yield from _of_mappings(path, before, after)
    elif kinds == {list}:
        yield from _of_lists(path, before, after)
    else:
        yield from _of_values(path, before, after)


def _of_values(path: str, before: _Pair, after: _Pair) -> Iterator[Change]:
    """A value is changed if it is of another type, too: 1 is neither true nor 1.0."""
    if not _is_same(before.real, after.real):
        yield Change(
            path=path,
            before=None if before.shown is _MISSING else before.shown,
            after=None if after.shown is _MISSING else after.shown,
            added=before.real is _MISSING,
            removed=after.real is _MISSING,
        )


def _is_same(before: Any, after: Any) -> bool:
    if before is _MISSING or after is _MISSING or type(before) is not type(after):
        return before is after
    if isinstance(before, dict | list):  # hidden as a whole, or else they would be compared part by part
        return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    return bool(before == after)


def _of_mappings(path: str, before: _Pair, after: _Pair) -> Iterator[Change]:
    for name in dict.fromkeys([*cast("dict[str, object]", after.real), *cast("dict[str, object]", before.real)]):
        inner = f"{path}.{name}" if path else name
        yield from _differences(inner, before.part(name), after.part(name))


def _of_lists(path: str, before: _Pair, after: _Pair) -> Iterator[Change]:
    for number in range(max(len(cast("list[object]", each.real)) for each in (before, after))):
        yield from _differences(f"{path}[{number}]", before.part(number), after.part(number))


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

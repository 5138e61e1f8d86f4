"""How long an instance may stay as it is before it is stuck, as a saga declares it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from sagabus.clock import micros, span_problems
from sagabus.definitions.status import Statuses, texts_of


def limits_of(spec: object, statuses: Statuses, *, has_status: bool) -> tuple[dict[str | None, int], list[str]]:
    """The limits in microseconds by status, None for any status; and what is wrong with them."""
    if spec is None:
        return {}, []
    by_status = cast("Mapping[object, object]", spec) if isinstance(spec, Mapping) else {None: spec}
    limits: dict[str | None, int] = {}
    problems: list[str] = []
    if None not in by_status and not has_status:
        problems.append("stuck_after by status needs a field `status` in the saga")
    for status, limit in by_status.items():
        where = "stuck_after" if status is None else f"stuck_after[{status!r}]"
        if not isinstance(limit, timedelta) or limit <= timedelta(0):
            problems.append(f"{where} must be a timedelta greater than zero, not {limit!r}")
            continue
        if wrong := span_problems("Saga", stuck_after=limit):
            problems += wrong
            continue
        for text in (None,) if status is None else texts_of(status) or ():
            if text is not None and statuses.known is not None and text not in statuses.known:
                problems.append(f"{where}: {text!r} is not among its statuses: {', '.join(sorted(statuses.known))}")
            limits[text] = micros(limit)
    return limits, problems

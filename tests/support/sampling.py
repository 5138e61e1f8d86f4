"""Campaigns of which a share runs every time."""

from typing import Any

import pytest


def some(cases: list[Any], **one_in: int) -> list[Any]:
    """All cases on each kind of database, of which one in so many is quick and the others are `slow`; spread so that
    every name is among them.
    """
    return [
        pytest.param(
            kind, *case, id="-".join(map(str, (*case, kind))), marks=[] if number % share == 0 else pytest.mark.slow
        )
        for kind, share in one_in.items()
        for number, case in enumerate(cases)
    ]


def sweeps(**one_in: int) -> list[Any]:
    """One sweep of each kind of database in so large steps, and one in steps of one that is `slow`."""
    whole = [pytest.mark.slow, pytest.mark.timeout(900)]
    return [
        pytest.param(kind, step, id=f"{kind}-{step}", marks=whole if step < share else [])
        for kind, share in one_in.items()
        for step in sorted({share, 1}, reverse=True)
    ]

"""Of a campaign, a share runs every time: the same in each process, of each kind, and never none."""

import pytest
from tests.support.sampling import share

NAMES = [f"test_killed[{stop}-{kind}]" for stop in ("begun", "saved", "ended", "left") for kind in ("sqlite", "mysql")]


@pytest.mark.parametrize(("one_in", "expected"), [(1, 8), (2, 4), (3, 3), (8, 1), (100, 1)])
def test_one_in_so_many_runs_and_never_none(one_in: int, expected: int) -> None:
    chosen = share(NAMES, one_in)

    assert len(chosen) == expected
    assert chosen <= set(NAMES)


def test_each_kind_comes_before_one_comes_twice() -> None:
    assert {name.rpartition("-")[2] for name in share(NAMES, 4)} == {"sqlite]", "mysql]"}


def test_the_order_of_the_tests_does_not_matter() -> None:
    assert share(NAMES, 3) == share(NAMES[::-1], 3)

"""Of a campaign, a share runs every time: the same in each process, of each kind, and never none."""

from typing import Any, cast

import pytest
from tests.support.sampling import mark_other_server, share

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


class Named:
    """As pytest has them: with a name and marks."""

    def __init__(self, nodeid: str, *marks: str) -> None:
        self.nodeid, self.marks = nodeid, list(marks)

    def get_closest_marker(self, name: str) -> bool:
        return name in self.marks

    def add_marker(self, mark: Any) -> None:
        self.marks.append(mark.name)


def test_what_runs_on_both_servers_runs_on_one_of_them_every_time() -> None:
    names = [
        f"tests/scenarios/when.py::test_{number}[{kind}]" for number in range(20) for kind in ("mysql", "postgres")
    ]
    tests = [Named(name) for name in names]
    mark_other_server(cast("list[pytest.Item]", tests))

    for one, other in zip(tests[::2], tests[1::2], strict=True):
        assert sorted([one.marks, other.marks]) == [[], ["slow"]]
    assert 0 < sum(not each.marks for each in tests[::2]) < 20


def test_conformance_and_what_runs_on_one_server_run_every_time() -> None:
    tests = [
        Named("tests/conformance/test_mysql.py::test[mysql]"),
        Named("tests/conformance/test_mysql.py::test[postgres]"),
        Named("tests/faults/test_mysql.py::test[mysql]"),
        Named("tests/faults/test.py::test[sqlite]"),
    ]
    mark_other_server(cast("list[pytest.Item]", tests))

    assert all(not each.marks for each in tests)

from types import SimpleNamespace
from typing import Any

from tests.support.time_spent import TimeSpent


def report(test: str, duration: float) -> Any:
    return SimpleNamespace(nodeid=test, duration=duration)


def test_the_phases_of_a_test_are_one_time_and_folders_come_with_the_longest_first() -> None:
    spent = TimeSpent(slowest=1)

    for phase in (
        report("tests/unit/test_url.py::test_a", 0.5),
        report("tests/scenarios/when_b.py::test_b[x/y::z]", 1.0),
        report("tests/scenarios/when_b.py::test_b[x/y::z]", 2.0),
        report("tests/test_docs.py::test_c", 0.25),
    ):
        spent.pytest_runtest_logreport(phase)

    assert spent.folders() == [
        ("tests/scenarios", 3.0, 1),
        ("tests/unit", 0.5, 1),
        ("tests", 0.25, 1),
        ("all", 3.75, 3),
    ]

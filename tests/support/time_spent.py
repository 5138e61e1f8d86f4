"""Where the time of a run goes: the slowest tests, and what each folder takes. Asked for with `--slowest NUMBER`."""

from collections import Counter, defaultdict
from pathlib import PurePosixPath

import pytest


class TimeSpent:
    """Adds up set-up, call and tear-down of each test; with xdist in the controller, where all reports arrive."""

    def __init__(self, slowest: int) -> None:
        self._slowest = slowest
        self._seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._seconds:
            return
        terminalreporter.section(f"slowest {self._slowest} tests")
        for test, spent in longest_first(self._seconds)[: self._slowest]:
            terminalreporter.write_line(f"{spent:8.2f}s  {test}")
        terminalreporter.section("time per folder")
        for folder, spent, tests in self.folders():
            terminalreporter.write_line(f"{spent:8.1f}s  {tests:6} tests  {folder}")

    def folders(self) -> list[tuple[str, float, int]]:
        """Folder, seconds and number of tests; the longest first, the sum of all last."""
        seconds: dict[str, float] = defaultdict(float)
        tests: Counter[str] = Counter()
        for test, spent in self._seconds.items():
            folder = PurePosixPath(test.partition("::")[0]).parent.as_posix()
            seconds[folder] += spent
            tests[folder] += 1
        found = [(folder, spent, tests[folder]) for folder, spent in longest_first(seconds)]
        return [*found, ("all", sum(seconds.values()), sum(tests.values()))]


def longest_first(seconds: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(seconds.items(), key=lambda item: -item[1])

"""Failpoints: what can be ordered, when it happens, and that every name stands for a place in the code."""

import ast
import asyncio
import os
import signal
import subprocess
import sys
import timeit
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagabus import failpoint
from sagabus.errors import ConfigurationError, StoreFull

SOURCES = sorted(Path(failpoint.__file__).parent.rglob("*.py"))


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoint.arm(None)


def hits(name: str, times: int, error: type[BaseException] = StoreFull) -> list[int]:
    """The hits, counted from 1, at which an error came."""
    raised = []
    for count in range(1, times + 1):
        try:
            failpoint.hit(name)
        except error:
            raised.append(count)
    return raised


def in_a_child(specification: str, code: str = "hit('commit.begun')") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"from sagabus.failpoint import hit; {code}; print('alive')"],
        env={**os.environ, failpoint.VARIABLE: specification},
        capture_output=True,
        text=True,
        check=False,
    )


def literal_names() -> Counter[str]:
    found: Counter[str] = Counter()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hit":
                assert isinstance(node.args[0], ast.Constant), f"{source}: a failpoint is named by a literal"
                found[node.args[0].value] += 1
    return found


def test_every_name_is_hit_somewhere_and_every_hit_has_a_name() -> None:
    assert set(literal_names()) == set(failpoint.NAMES)


def test_names_are_given_once() -> None:
    assert len(set(failpoint.NAMES)) == len(failpoint.NAMES)


def test_nothing_happens_while_nothing_is_ordered() -> None:
    failpoint.arm("")

    assert hits("commit.begun", 5, BaseException) == []


def test_a_disabled_failpoint_costs_next_to_nothing() -> None:
    seconds = min(timeit.repeat(lambda: failpoint.hit("commit.begun"), number=10_000, repeat=5)) / 10_000

    assert seconds < 2e-6


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("raise:StoreFull", [1]),
        ("raise:StoreFull@3", [3]),
        ("raise:StoreFull@3+", [3, 4, 5]),
        ("raise:StoreFull%100", [1, 2, 3, 4, 5]),
        ("raise:StoreFull%0", []),
    ],
)
def test_an_order_says_at_which_hits(order: str, expected: list[int]) -> None:
    failpoint.arm(f"commit.begun={order}")

    assert hits("commit.begun", 5) == expected


def test_only_the_named_place_is_meant() -> None:
    failpoint.arm("commit.begun=raise:StoreFull")

    assert hits("commit.removed", 3) == []


def test_several_places_are_ordered_at_once() -> None:
    failpoint.arm(" commit.begun=raise:StoreFull@2 ; commit.removed=raise:StoreFull ;")

    assert (hits("commit.begun", 3), hits("commit.removed", 3)) == ([2], [1])


def test_a_share_of_hits_is_the_same_for_the_same_seed() -> None:
    drawn = {}
    for seed in ("7", "8"):
        runs = []
        for _ in range(2):
            failpoint.arm(f"commit.begun=raise:StoreFull%30;seed={seed}")
            runs.append(hits("commit.begun", 200))
        assert runs[0] == runs[1]
        drawn[seed] = runs[0]

    assert drawn["7"] != drawn["8"]
    assert all(30 <= len(found) <= 90 for found in drawn.values())


def test_a_built_in_error_can_be_raised() -> None:
    failpoint.arm("commit.begun=raise:KeyboardInterrupt")

    assert hits("commit.begun", 1, KeyboardInterrupt) == [1]


def test_sleeping_waits() -> None:
    failpoint.arm("commit.begun=sleep:0.05")

    assert timeit.timeit(lambda: failpoint.hit("commit.begun"), number=1) >= 0.05


def test_cancelling_means_the_task_at_hand() -> None:
    async def main() -> str:
        failpoint.arm("commit.begun=cancel")
        failpoint.hit("commit.begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "cancelled"
        return "slept"

    assert asyncio.run(main()) == "cancelled"


def test_cancelling_in_a_thread_raises() -> None:
    failpoint.arm("commit.begun=cancel")

    with pytest.raises(asyncio.CancelledError):
        failpoint.hit("commit.begun")


@pytest.mark.parametrize(
    ("specification", "complaint"),
    [
        ("commit.begum=kill9", "there is no failpoint 'commit.begum'; known are migrate.begun,"),
        ("kill9", "there is no failpoint 'kill9'"),
        ("commit.begun=explode", "there is no action 'explode'; known are kill9, abort, stop, cancel,"),
        ("commit.begun", "there is no action ''"),
        ("commit.begun=kill9:now", "there is no action"),
        ("commit.begun=kill9@first", "a hit count is"),
        ("commit.begun=kill9%most", "a share of hits is"),
        ("commit.begun=sleep:long", "sleep wants seconds"),
        ("commit.begun=raise:os", "there is no error 'os'"),
        ("commit.begun=raise:print", "there is no error 'print'"),
        ("commit.begun=raise:MessageTooLarge", "MessageTooLarge is made from more than a text"),
    ],
)
def test_what_cannot_be_is_refused_with_its_entry(specification: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        failpoint.arm(specification)

    assert complaint in str(refused.value)
    assert repr(specification) in str(refused.value)


def test_a_child_inherits_the_order_and_dies() -> None:
    child = in_a_child("commit.begun=kill9")

    assert (child.returncode, child.stdout) == (-signal.SIGKILL, "")


def test_a_child_can_die_as_by_a_fault_in_native_code() -> None:
    assert in_a_child("commit.begun=abort").returncode == -signal.SIGABRT


def test_a_child_with_a_mistake_in_the_variable_does_not_start() -> None:
    child = in_a_child("commit.begum=kill9")

    assert child.returncode == 1
    assert "there is no failpoint 'commit.begum'" in child.stderr


def test_a_child_can_freeze_until_a_signal_continues_it() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from sagabus.failpoint import hit; hit('commit.begun'); print('alive')"],
        env={**os.environ, failpoint.VARIABLE: "commit.begun=stop"},
        stdout=subprocess.PIPE,
        text=True,
    )
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)

    os.kill(child.pid, signal.SIGCONT)

    assert child.communicate()[0] == "alive\n"

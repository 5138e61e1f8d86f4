"""Every kind of finding is on the page, is planted by a test, and says what to do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sagabus.bus.diagnosis
from sagabus.store.examination import MENDABLE, FaultKind

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(Path(sagabus.bus.diagnosis.__file__).parent.glob("*.py"))
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
TESTS = "".join(
    path.read_text(encoding="utf-8")
    for path in sorted(
        [*(ROOT / "tests" / "scenarios").glob("when_*.py"), *(ROOT / "tests" / "faults").glob("test_*.py")]
    )
    if "doctor" in path.read_text(encoding="utf-8")
)
NO_COMMAND = {"pooler", "more", "unseen-policies", "broker-away", "durability"}
"""Three notes; a server to bring back; and a setting of a server, which the sentence names."""


def calls() -> Iterator[ast.Call]:
    """Where findings are made, or what they mean is said."""
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subject.finding", "_Meaning"):
                yield node


def kinds() -> set[str]:
    return {str(ast.literal_eval(call.args[0])) for call in calls()}


def rows() -> list[str]:
    section = PAGE[PAGE.index("\n## doctor\n") : PAGE.index("\n## monitoring\n")]
    return [line for line in section.splitlines() if line.startswith("| `")]


def documented() -> set[str]:
    return {kind for row in rows() for kind in re.findall(r"`([a-z-]+)`", row.partition(":")[0])}


def test_the_page_has_each_kind_and_no_other() -> None:
    assert documented() == kinds()


def test_the_page_says_what_is_mended_on_demand() -> None:
    mended = {
        kind
        for row in rows()
        if row.split("|")[3].strip()
        for kind in re.findall(r"`([a-z-]+)`", row.partition(":")[0])
    }

    assert len(mended) == len(MENDABLE)


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_each_kind_is_planted_and_found(kind: str) -> None:
    assert f'"{kind}"' in TESTS


def test_each_finding_has_a_command_or_says_what_to_do() -> None:
    without = {
        str(ast.literal_eval(call.args[0]))
        for call in calls()
        if ast.unparse(call.func) == "subject.finding" and len(call.args) < 5
    }

    assert without == NO_COMMAND


def test_every_fault_of_a_store_has_a_meaning() -> None:
    meanings = [call for call in calls() if ast.unparse(call.func) == "_Meaning"]

    assert len(meanings) == len(FaultKind)

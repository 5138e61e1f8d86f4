"""The page of failure cases names tests that exist, and leaves no case out."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
REQUIRED = [
    *range(1, 15),
    *range(16, 37),
    *range(37, 42),
    *range(44, 60),
    *range(61, 79),
]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)))


def functions(file: str) -> set[str]:
    folder = ROOT / "src" / "sagabus" / "testing" if file.startswith("conformance/") else ROOT / "tests"
    tree = ast.parse((folder / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_that_is_named_exists(file: str, name: str) -> None:
    assert name in functions(file)


@pytest.mark.parametrize("number", REQUIRED)
def test_each_case_has_one_row_with_a_test_or_the_reason_for_none(number: int) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| F{number:02d} ")]

    assert len(rows) == 1
    assert re.search(r"`[\w/]+\.py::test_\w+`", rows[0]) or "cannot arise" in rows[0]

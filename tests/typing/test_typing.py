"""What must type-check, and what must not: the modules beside this one, read by mypy and pyright and never run.

A line that has to be refused says by which checker and rule: `# error: mypy[call-arg] pyright[reportCallIssue]`; what
follows from that on the same line may be reported as well. All other lines have to pass both.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.support.checkers import Complaint, complaints_of_mypy, complaints_of_pyright
from tests.test_docs import ROOT, blocks

CASES = sorted(set(Path(__file__).parent.glob("*.py")) - set(Path(__file__).parent.glob("test_*.py")))
_EXPECTED = re.compile(r"# error: (.+)$")
_RULE = re.compile(r"(mypy|pyright)\[([\w-]+)\]")


def expected(files: Sequence[Path], checker: str) -> set[tuple[str, int, str]]:
    return {
        (file.name, number, rule)
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        for comment in _EXPECTED.findall(line)
        for named, rule in _RULE.findall(comment)
        if named == checker
    }


def unexpected(complaints: Sequence[Complaint], checker: str) -> str:
    found = {(each.file, each.line, each.rule): each.text for each in complaints}
    wanted = expected(CASES, checker)
    missing = [f"{file}:{line}: {checker} does not report {rule}" for file, line, rule in sorted(wanted - found.keys())]
    refused = {(file, line) for file, line, _ in wanted}
    surplus = [
        f"{file}:{line}: {checker}[{rule}] {found[file, line, rule]}"
        for file, line, rule in sorted(found.keys())
        if (file, line) not in refused
    ]
    return "\n".join(missing + surplus)


def first_example(folder: Path) -> Path:
    """README's example as a module."""
    (text, *_) = [block.text for block in blocks(ROOT / "README.md") if block.language == "python"]
    example = folder / "readme_example.py"
    example.write_text(text, encoding="utf-8")
    return example


def test_mypy_takes_what_it_must_and_refuses_what_it_must_not_take(tmp_path: Path) -> None:
    complaints = complaints_of_mypy(*CASES, first_example(tmp_path))

    assert unexpected(complaints, "mypy") == ""


def test_pyright_takes_what_it_must_and_refuses_what_it_must_not_take(tmp_path: Path) -> None:
    complaints = complaints_of_pyright(tmp_path, *CASES, first_example(tmp_path))

    assert unexpected(complaints, "pyright") == ""


def test_every_comment_that_expects_an_error_is_understood() -> None:
    comments = [comment for file in CASES for comment in _EXPECTED.findall(file.read_text(encoding="utf-8"))]

    assert comments
    assert [each for each in comments if not re.fullmatch(rf"{_RULE.pattern}( {_RULE.pattern})*", each)] == []

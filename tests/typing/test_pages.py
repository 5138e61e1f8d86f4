"""The Python of README and of the pages type-checks as users write it, under pyright strict.

Each page is one module: its blocks in order, on the lines where the page has them.
"""

import re
from pathlib import Path

from tests.support.checkers import Complaint, complaints_of_pyright
from tests.test_docs import NOT_RUN, PAGES, blocks, named

# Blocks await at their top level, as in a notebook; that is all that pyright says without naming a rule.
_AWAITS = re.compile(r'"await" allowed only within async function|Use of "async" not allowed outside of async function')
_WITHOUT_TYPES = re.compile(r"^(?:import|from) (?:apsw|asyncmy|asyncpg|nats)\b", flags=re.MULTILINE)
# What these libraries do not say cannot be known: only there, and only this.
_UNKNOWN = "# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false"
OPTIONS = {
    "reportMissingTypeStubs": "none",  # of the same libraries
    "reportRedeclaration": "none",  # pages show what a class was, and what it became
}


def module_of(page: Path) -> str:
    lines = [""]
    for block in blocks(page):
        if block.language == "python" and not NOT_RUN.search(block.note):
            lines += [""] * (block.line - len(lines)) + block.text.splitlines()
    if _WITHOUT_TYPES.search("\n".join(lines)):
        lines[0] = _UNKNOWN  # the first line of a page is its title
    return "\n".join(lines) + "\n"


def without_types(package: Path, *modules: str) -> None:
    """Whatever is asked of them is Any, instead of what a checker guesses from their code."""
    package.mkdir(parents=True)
    for module in modules:
        stub = "from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n"
        (package / f"{module}.pyi").write_text(stub, encoding="utf-8")


def is_an_await_of_the_page(complaint: Complaint) -> bool:
    return complaint.rule == "" and _AWAITS.match(complaint.text) is not None


def test_the_python_of_every_page_passes_pyright_strict(tmp_path: Path) -> None:
    # Under names that no library has: a page on NATS would else stand for the client of that name.
    modules = {tmp_path / f"page_{page.stem.replace('-', '_')}.py": page for page in PAGES}
    for module, page in modules.items():
        module.write_text(module_of(page), encoding="utf-8")
    without_types(tmp_path / "typings" / "django", "__init__", "conf", "db")

    complaints = complaints_of_pyright(tmp_path, *modules, options=OPTIONS)

    wrong = [each for each in complaints if not is_an_await_of_the_page(each)]
    assert "\n".join(f"{named(modules[tmp_path / each.file])}:{each.line}: {each.text}" for each in wrong) == ""

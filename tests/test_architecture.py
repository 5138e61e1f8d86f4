"""The shape of the house: layers, sizes, names, and what the package shows to the world."""

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sagabus

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sagabus"
SNAPSHOT = ROOT / "tests" / "public_api.txt"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
REFUSED_WORDS = {"Manager", "Service", "Helper", "Helpers", "Util", "Utils", "Impl"}
MAY_TOUCH_THE_WORLD = {"cli", "testing", "stores", "integrations", "clock", "identity"}
WORLDLY_MODULES = {"uuid", "random", "secrets"}
VALUES = {"UUID"}  # a type that messages may use; making one takes no chance

SOURCES = sorted(PACKAGE.rglob("*.py"))
every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())


def parse(source: Path) -> ast.Module:
    return ast.parse(source.read_text(encoding="utf-8"), filename=str(source))


def is_core(source: Path) -> bool:
    return source.relative_to(PACKAGE).parts[0].removesuffix(".py") not in MAY_TOUCH_THE_WORLD


def worldly_uses(tree: ast.Module) -> Iterator[str]:
    """Imports of chance and identity, and `time.time` under whatever name."""
    clocks = {"time"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            clocks.update(name.asname for name in node.names if name.name == "time" and name.asname)
            yield from (name.name for name in node.names if name.name.partition(".")[0] in WORLDLY_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if (node.module or "").partition(".")[0] in WORLDLY_MODULES:
                yield from (f"{node.module}.{name.name}" for name in node.names if name.name not in VALUES)
            yield from (f"time.{name.name}" for name in node.names if node.module == "time" and is_wall(name.name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_wall(node.attr) and getattr(node.value, "id", None) in clocks:
            yield f"time.{node.attr}"


def is_wall(name: str) -> bool:
    return name in {"time", "time_ns"}


def has_own_docstring(name: str) -> bool:
    value = getattr(sagabus, name)
    if not (inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value)):
        return True
    text = value.__doc__ or ""
    return bool(text.strip()) and not text.startswith(f"{name}(")  # what @dataclass writes is no docstring


def test_imports_keep_to_the_layers() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


@every_source
def test_no_file_is_too_long(source: Path) -> None:
    lines = len(source.read_text(encoding="utf-8").splitlines())

    assert lines <= MAX_FILE_LINES


@every_source
def test_no_function_is_too_long(source: Path) -> None:
    functions = [node for node in ast.walk(parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    lengths = {f"{node.name}:{node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}

    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


@every_source
def test_no_class_has_a_name_that_says_nothing(source: Path) -> None:
    classes = [node.name for node in ast.walk(parse(source)) if isinstance(node, ast.ClassDef)]

    assert [name for name in classes if REFUSED_WORDS & set(re.findall("[A-Z][a-z]*", name))] == []


@pytest.mark.parametrize(
    "source", [path for path in SOURCES if is_core(path)], ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_core_is_given_clock_identity_and_chance(source: Path) -> None:
    assert list(worldly_uses(parse(source))) == []


def test_every_public_name_has_a_docstring() -> None:
    assert [name for name in sagabus.__all__ if not has_own_docstring(name)] == []


def test_public_names_are_those_of_the_snapshot() -> None:
    names = "".join(f"{name}\n" for name in sorted(sagabus.__all__))

    if os.environ.get("SAGABUS_UPDATE_API") == "1":
        SNAPSHOT.write_text(names, encoding="utf-8")

    assert names == SNAPSHOT.read_text(encoding="utf-8"), "on purpose? then: SAGABUS_UPDATE_API=1 make unit"

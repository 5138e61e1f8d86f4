"""The shape of the house: layers, sizes, names, and what the package shows to the world."""

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import sagabus

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sagabus"
SNAPSHOT = ROOT / "tests" / "public_api.txt"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_ROOMS = 30
OUTSIDE_THE_ROWS = {"cli", "stores", "testing"}  # their modules are not layers of one another
REFUSED_WORDS = {"Manager", "Service", "Helper", "Helpers", "Util", "Utils", "Impl"}
MAY_TOUCH_THE_WORLD = {"cli", "testing", "stores", "integrations", "clock", "identity"}
WORLDLY_MODULES = {"uuid", "random", "secrets"}
VALUES = {"UUID"}  # a type that messages may use; making one takes no chance

SOURCES = sorted(PACKAGE.rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def trees() -> dict[Path, ast.Module]:
    return {source: ast.parse(source.read_text(encoding="utf-8"), filename=str(source)) for source in SOURCES}


def named(source: Path) -> str:
    return source.relative_to(ROOT).as_posix()


def everywhere() -> Iterator[tuple[Path, ast.AST]]:
    return ((source, node) for source, tree in trees().items() for node in ast.walk(tree))


def none(breaches: Iterable[str]) -> None:
    """Or all of them in one message."""
    found = list(breaches)
    assert not found, "\n".join(found)


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


def test_the_house_has_few_rooms_and_each_says_what_belongs_there() -> None:
    rooms = [path for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    rooms.remove(PACKAGE / "__init__.py")
    sources = [room if room.suffix else room / "__init__.py" for room in rooms]

    assert len(rooms) <= MAX_ROOMS
    none(f"{named(source)}: no docstring" for source in sources if not ast.get_docstring(trees()[source]))


def test_the_modules_of_every_room_have_their_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    ordered = {container for each in contracts if each.get("exhaustive") for container in each["containers"]}

    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - OUTSIDE_THE_ROWS
    none(f"{name}: no exhaustive contract" for name in sorted(packages) if f"sagabus.{name}" not in ordered)


def test_no_file_is_too_long() -> None:
    lengths = [(source, len(source.read_text(encoding="utf-8").splitlines())) for source in SOURCES]

    none(f"{named(source)}: {length} lines" for source, length in lengths if length > MAX_FILE_LINES)


def test_no_function_is_too_long() -> None:
    functions = [(source, node) for source, node in everywhere() if isinstance(node, Function)]
    lengths = [(source, node, (node.end_lineno or node.lineno) - node.lineno + 1) for source, node in functions]

    none(
        f"{named(source)}:{node.lineno}: {node.name}, {length} lines"
        for source, node, length in lengths
        if length > MAX_FUNCTION_LINES
    )


def test_no_class_has_a_name_that_says_nothing() -> None:
    classes = [(source, node.name) for source, node in everywhere() if isinstance(node, ast.ClassDef)]

    none(f"{named(source)}: {name}" for source, name in classes if REFUSED_WORDS & set(re.findall("[A-Z][a-z]*", name)))


def test_core_is_given_clock_identity_and_chance() -> None:
    core = {source: tree for source, tree in trees().items() if is_core(source)}

    none(f"{named(source)}: {use}" for source, tree in core.items() for use in worldly_uses(tree))


def test_every_public_name_has_a_docstring() -> None:
    none(name for name in sagabus.__all__ if not has_own_docstring(name))


def test_public_names_are_those_of_the_snapshot() -> None:
    names = "".join(f"{name}\n" for name in sorted(sagabus.__all__))

    if os.environ.get("SAGABUS_UPDATE_API") == "1":
        SNAPSHOT.write_text(names, encoding="utf-8")

    assert names == SNAPSHOT.read_text(encoding="utf-8"), "on purpose? then: SAGABUS_UPDATE_API=1 make unit"

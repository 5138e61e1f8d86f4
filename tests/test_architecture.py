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
from typing import Any, TypeGuard

import pytest

import sagabus

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sagabus"
SNAPSHOT = ROOT / "tests" / "public_api.txt"

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_ROOMS = 32  # with the two for what is around a bus: `integrations` and `telemetry`
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


BOOKS = {"mailbox.py", "in_flight.py", "held_lane.py", "known_keys.py"}
"""Of the engine: what is in flight, and the verbs that change it."""
OTHERS = {"publication", "run"}
"""Local names of objects that have fields of the same names, and are no books."""
CHANGING = {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popleft"}
CHANGING |= {"remove", "reverse", "rotate", "setdefault", "sort", "update"}


def fields_of_the_books() -> set[str]:
    """What their classes have: annotated in the body, or assigned to `self`."""
    found: set[str] = set()
    for name in BOOKS:
        for node in ast.walk(trees()[PACKAGE / "engine" / name]):
            if isinstance(node, ast.ClassDef):
                found |= {each.target.id for each in node.body if is_annotated_name(each)}
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_named(node.value, "self"):
                found.add(node.attr)
    return found


def is_annotated_name(node: ast.stmt) -> TypeGuard[Any]:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def is_named(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def changed(node: ast.AST) -> Iterator[ast.expr]:
    """What a statement or a call changes: the targets of an assignment, or whose method is called."""
    if isinstance(node, ast.Assign | ast.Delete):
        targets = list(node.targets)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For):
        targets = [node.target]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
        targets = [node.func.value]
    else:
        return
    while targets:
        target = targets.pop()
        while isinstance(target, ast.Subscript | ast.Starred):
            target = target.value
        if isinstance(target, ast.Tuple | ast.List):
            targets += target.elts
        else:
            yield target


def breaches_of_the_books(tree: ast.Module, fields: set[str]) -> Iterator[tuple[int, str]]:
    """Where a module changes a field of the books, under its name or under a local one."""
    for function in (node for node in ast.walk(tree) if isinstance(node, Function)):
        local = {
            name.id: value.attr
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            for name, value in pairs(target, node.value)
            if isinstance(name, ast.Name) and isinstance(value, ast.Attribute) and value.attr in fields
        }
        for node in ast.walk(function):
            for target in changed(node):
                if isinstance(target, ast.Name) and target.id in local and not is_plain_assignment(node):
                    yield target.lineno, local[target.id]
                elif is_foreign_field(target, fields):
                    yield target.lineno, ast.unparse(target)


def is_foreign_field(node: ast.expr, fields: set[str]) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in fields and not is_named(node.value, "self", *OTHERS)


def is_plain_assignment(node: ast.AST) -> bool:
    """Whether it gives a local name another value; what had that name stays as it is."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return not isinstance(node, ast.Call | ast.Delete) and any(
        isinstance(each, ast.Name | ast.Tuple) for each in targets
    )


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for each, other in zip(target.elts, value.elts, strict=True):
            yield from pairs(each, other)
    else:
        yield target, value


def test_what_is_in_flight_changes_only_by_the_verbs_of_its_books() -> None:
    fields = fields_of_the_books()
    others = [source for source in SOURCES if source.parent == PACKAGE / "engine" and source.name not in BOOKS]

    assert {"queue", "running", "unflushed", "cell", "stash", "marked", "lanes", "loud", "after"} <= fields
    none(
        f"{named(source)}:{line}: {what}"
        for source in others
        for line, what in breaches_of_the_books(trees()[source], fields)
    )


@pytest.mark.parametrize(
    "text",
    [
        "mailbox.running = None",
        "first, entry.mailbox.cell = 1, None",
        "self._hand.marked[position] = mark",
        "del self._hand.marked[position]",
        "mailbox.unflushed += 1",
        "mailbox.queue.append(envelope)",
        "held.loud[key].after = 0",
        "queue = mailbox.queue; queue.popleft()",
        "number, queue = 1, mailbox.queue; queue[0] = envelope",
        "for held.after in positions: pass",
    ],
)
def test_a_change_of_the_books_is_seen(text: str) -> None:
    tree = ast.parse(f"def changes(self):\n    {text}")

    assert list(breaches_of_the_books(tree, fields_of_the_books()))


@pytest.mark.parametrize(
    "text", ["queue = mailbox.queue; queue = []", "self.after = 1", "publication.version = 1", "mailbox.ended()"]
)
def test_what_changes_nothing_of_the_books_is_let_be(text: str) -> None:
    tree = ast.parse(f"def changes(self):\n    {text}")

    assert not list(breaches_of_the_books(tree, fields_of_the_books()))


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


SLEEPS = {
    ("tests/support/waiting.py", "until"): "the one place that looks again and again",
    ("tests/support/waiting.py", "watched"): "the same outside an event loop",
    ("tests/support/bad_programs.py", "killed"): "the work of a handler",
    ("tests/support/bad_programs.py", "terminated"): "the work of a handler: some run longer than others",
    ("tests/scenarios/when_a_key_is_loud.py", "note"): "the work of a handler",
    ("tests/scenarios/when_a_handler_blocks_the_event_loop.py", "block"): "what is tested: a call that blocks",
    ("tests/scenarios/when_a_user_joins_the_bus_to_his_transaction.py", "test_a_worker_of_another_bus_is_prompt"): (
        "a worker at rest, which looks more seldom the longer nothing comes"
    ),
    ("tests/faults/forks.py", "sleep"): "the life of a child that does nothing",
    ("tests/faults/test_half_open.py", "test_a_handler_that_asks_a_silent_server_runs_again_uncounted"): (
        "a deadline has to pass in which nothing happens"
    ),
    ("tests/faults/test_lost_transactions.py", "test_connections_that_were_silent_for_too_long_cost_no_attempt"): (
        "a server ends connections that are silent for a second"
    ),
    ("tests/faults/test_names.py", "opened"): "processes that begin a moment apart",
    ("tests/faults/test_small_pools.py", "test_handlers_that_hold_their_transactions_do_not_cost_the_bus_its_lanes"): (
        "a lease has to pass in which nothing is lost"
    ),
}
"""Where a test lets time pass by the clock, and why nothing else will do."""


def sleeps(tree: ast.AST, function: str = "") -> Iterator[tuple[str, int]]:
    """The innermost function and the line of each sleep that lasts; `asyncio.sleep(0)` is a turn of the event loop."""
    for node in ast.iter_child_nodes(tree):
        within = node.name if isinstance(node, Function) else function
        is_sleep = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep"
        if is_sleep and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0):
            yield within, node.lineno
        yield from sleeps(node, within)


def test_no_test_waits_for_time_instead_of_for_what_happens() -> None:
    """It would be too short on a slow machine and a waste on a fast one: `tests.support.waiting` looks for a fact."""
    found = {
        (named(source), function): line
        for source in sorted((ROOT / "tests").rglob("*.py"))
        for function, line in sleeps(ast.parse(source.read_text(encoding="utf-8")))
    }

    none(f"{file}:{found[file, function]}: {function} sleeps" for file, function in found.keys() - SLEEPS.keys())
    none(
        f"{file}: {function} sleeps no longer: take it out of SLEEPS" for file, function in SLEEPS.keys() - found.keys()
    )

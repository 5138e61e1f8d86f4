"""Protections taken out of the source for the time of one test.

A mutant is a piece of one definition's text and what stands there instead. The definition's module is compiled with it
and put into the running one for one test; its check passes before and must not pass with it.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib
import inspect
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import pytest

import sagabus

SOURCES = Path(sagabus.__file__).parents[1]
limit = 15.0
"""Seconds that a check may take."""
_SHORTEST = 5.0
_TIMES_AS_LONG = 10
"""What has taken so many times as long as without the mutant has noticed it."""
_MOMENT = 0.2


class Mutant(NamedTuple):
    """A protection that is gone, and the check that has to notice, in a folder of its own.

    `definition`: the qualified name of the function, or the name of the constant, that has the text, in whatever
    module. Where several packages have such a one: `stores.sqlite:LEASING`.
    """

    name: str
    definition: str
    text: str
    instead: str
    check: Callable[[Path], None]


def check(mutant: Mutant, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """See that the check passes, and does not with the mutant."""
    for name in ("before", "after"):
        (folder / name).mkdir()
    begun = time.monotonic()
    mutant.check(folder / "before")
    took = time.monotonic() - begun

    apply(mutant, patch)
    # Many a mutant has its check wait for ever.
    patch.setattr(sys.modules[__name__], "limit", max(_SHORTEST, _TIMES_AS_LONG * took))

    with warnings.catch_warnings():
        # A check that breaks off leaves connections open; they go here, and not in whatever test runs later.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(BaseException):  # noqa: B017  # an assertion, or something breaks: either is noticed
            mutant.check(folder / "after")
        gc.collect()


def finished(result: Any) -> None:
    """Run what a test returned, if it is a coroutine."""

    async def limited() -> None:
        running = asyncio.ensure_future(result)
        await asyncio.wait([running], timeout=limit)
        is_late = not running.done()
        while not running.done():
            running.cancel()  # more than once: a bus that is closed has patience with its handlers
            await asyncio.wait([running], timeout=_MOMENT)
        if is_late:
            raise TimeoutError(f"not finished after {limit:.1f} s")
        await running

    if inspect.iscoroutine(result):
        asyncio.run(limited())


def apply(mutant: Mutant, patch: pytest.MonkeyPatch) -> None:
    """Put the mutant's functions in the place of the module's; classes keep their identity and get its methods."""
    file, source = mutated(mutant)
    module = importlib.import_module(".".join(file.relative_to(SOURCES).with_suffix("").parts))
    changed: dict[str, Any] = {"__name__": module.__name__, "__file__": str(file)}
    exec(compile(source, str(file), "exec"), changed)
    for name, value in changed.items():
        if name.startswith("__"):
            continue
        if isinstance(value, type) and value.__module__ == module.__name__:
            original = getattr(module, name)
            for attribute, method in vars(value).items():
                if isinstance(method, FunctionType) and attribute not in ("__init__", "__class__"):
                    patch.setattr(original, attribute, method)
            changed[name] = original
        elif isinstance(value, dict):
            _replace_entries(getattr(module, name), value, patch)
        else:
            patch.setattr(module, name, value)


def mutated(mutant: Mutant) -> tuple[Path, str]:
    """The file that has the definition, and its source with the mutant in it."""
    found: list[tuple[Path, str]] = []
    package, _, definition = mutant.definition.rpartition(":")
    for file in (SOURCES / "sagabus").joinpath(*package.split(".")).rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        if mutant.text in source:
            lines = source.splitlines(keepends=True)
            for first, last in _lines_of(definition, ast.parse(source)):
                before, inside, after = ("".join(part) for part in (lines[:first], lines[first:last], lines[last:]))
                if mutant.text in inside:
                    found.append((file, before + inside.replace(mutant.text, mutant.instead) + after))
    assert len(found) == 1, f"{len(found)} definitions {mutant.definition} have the text {mutant.text!r}: name the one"
    return found[0]


def _lines_of(definition: str, scope: ast.AST) -> Iterator[tuple[int, int]]:
    """Where definitions of this qualified name stand: the first line, and the one after the last."""
    name, _, inner = definition.partition(".")
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.ClassDef) and node.name == name and inner:
            yield from _lines_of(inner, node)
        elif not inner and name in _names(node):
            yield node.lineno - 1, node.end_lineno or node.lineno


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


def _replace_entries(original: dict[Any, Any], changed: dict[Any, Any], patch: pytest.MonkeyPatch) -> None:
    """Entries of a table that others hold on to, or have put into a larger one."""
    for key, before in list(original.items()):
        for table in _tables():
            if table.get(key) is before:
                patch.setitem(table, key, changed[key])


def _tables() -> Iterator[dict[Any, Any]]:
    for name, module in list(sys.modules.items()):
        if name.startswith("sagabus.stores"):
            yield from (value for value in vars(module).values() if type(value) is dict)

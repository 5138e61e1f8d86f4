"""Protections taken out of the source for the time of one test.

A mutant is a piece of a module's text and what stands there instead. It is compiled and put into the running module for
one test; its check passes before and must not pass with it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import pytest


class Mutant(NamedTuple):
    """A protection that is gone, and the check that has to notice, in a folder of its own."""

    name: str
    module: str
    text: str
    instead: str
    check: Callable[[Path], None]


def check(mutant: Mutant, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """See that the check passes, and does not with the mutant."""
    for name in ("before", "after"):
        (folder / name).mkdir()
    mutant.check(folder / "before")

    apply(mutant, patch)

    with warnings.catch_warnings():
        # A check that breaks off leaves connections open; they go here, and not in whatever test runs later.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(BaseException):  # noqa: B017  # an assertion, or something breaks: either is noticed
            mutant.check(folder / "after")
        gc.collect()


def finished(result: Any) -> None:
    """Run what a test returned, if it is a coroutine."""

    async def limited() -> None:
        async with asyncio.timeout(15):
            await result

    if inspect.iscoroutine(result):
        asyncio.run(limited())


def apply(mutant: Mutant, patch: pytest.MonkeyPatch) -> None:
    """Put the mutant's functions in the place of the module's; classes keep their identity and get its methods."""
    module = importlib.import_module(mutant.module)
    source = inspect.getsource(module)
    assert mutant.text in source, f"the protection has moved; show this mutant where it is now: {mutant.text!r}"
    changed: dict[str, Any] = {"__name__": mutant.module, "__file__": module.__file__}
    exec(compile(source.replace(mutant.text, mutant.instead), str(module.__file__), "exec"), changed)
    for name, value in changed.items():
        if name.startswith("__"):
            continue
        if isinstance(value, type) and value.__module__ == mutant.module:
            original = getattr(module, name)
            for attribute, method in vars(value).items():
                if isinstance(method, FunctionType) and attribute not in ("__init__", "__class__"):
                    patch.setattr(original, attribute, method)
            changed[name] = original
        elif isinstance(value, dict):
            _replace_entries(getattr(module, name), value, patch)
        else:
            patch.setattr(module, name, value)


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

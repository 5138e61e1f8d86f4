"""No text makes a regular expression slow: whatever comes from outside, time grows with its length and no faster."""

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

import sagabus

LENGTH = 6_000
SLOW = 0.02
"""Seconds for so many characters. Linear expressions take a tenth of a millisecond, and quadratic ones 50 and more."""
OUTSIDE = ("sagabus.cli", "sagabus.testing", "sagabus.__main__")
"""Their texts come from whoever runs them."""
SEARCHING = ("search", "sub", "finditer", "findall", "split")


def modules() -> list[str]:
    found = pkgutil.walk_packages(sagabus.__path__, "sagabus.")
    return [each.name for each in found if not each.name.startswith(OUTSIDE)]


def expressions() -> Iterator[tuple[str, re.Pattern[str], bool]]:
    """Each by its name, and whether it is searched for in a text."""
    for name in modules():
        module = importlib.import_module(name)
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        for variable, value in vars(module).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                is_searched = any(f"{variable}.{verb}(" in source for verb in SEARCHING)
                yield f"{name}:{variable}", value, is_searched


EXPRESSIONS = {name: (expression, is_searched) for name, expression, is_searched in expressions()}


def pieces(expression: re.Pattern[str]) -> list[str]:
    """What texts that are hard for an expression are made of: its own letters, and runs of them."""
    literal = re.findall(r"[^\[\](){}?*+|\\^$.]+", expression.pattern)
    return list(dict.fromkeys([*"a0 \n\t\"'@/:", *literal, *"".join(literal)]))[:18]


def texts(parts: list[str]) -> Iterator[str]:
    for part in parts:
        yield part * (LENGTH // len(part))
    for first, second in product(parts, repeat=2):
        if first != second:
            yield (first + second) * (LENGTH // len(first + second))
            yield first + second * (LENGTH // len(second))


def seconds(call: Callable[[str], object], text: str) -> float:
    began = time.thread_time()
    call(text)
    return time.thread_time() - began


def test_expressions_are_found() -> None:
    assert len(EXPRESSIONS) > 30


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_no_text_takes_long(name: str) -> None:
    expression, is_searched = EXPRESSIONS[name]
    calls: list[Callable[[str], object]] = [expression.match, expression.fullmatch]
    if is_searched:
        calls.append(lambda text: [*expression.finditer(text)])

    slow = [
        (text[:20], min(seconds(call, text) for _ in range(2)))
        for text in texts(pieces(expression))
        for call in calls
        if seconds(call, text) > SLOW
    ]

    assert [each for each in slow if each[1] > SLOW] == []

"""`module:attribute`: what is found, and the one line for whatever is not."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagabus import ConfigurationError
from sagabus.cli.loading import load_bus
from sagabus.cli.output import Refused

SHOP = """
from sagabus import Bus

bus = Bus("memory:")
number = 5
none = None

class Holder:
    inside = bus

def make():
    return bus

def make_none(): ...

def broken():
    raise RuntimeError("no\\nway")

def leaving():
    raise SystemExit(3)

async def later():
    return bus

def wrong_url():
    return Bus("nowhere://x")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "cli_shop.py").write_text(SHOP)
    (tmp_path / "cli_inner.py").write_text("\nimport surely_not_there")
    (tmp_path / "cli_syntax.py").write_text("def f(:")
    (tmp_path / "cli_exits.py").write_text("raise SystemExit('bye')")
    (tmp_path / "cli_fails.py").write_text("1/0")
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("cli_"):
            del sys.modules[name]


@pytest.mark.parametrize("target", ["cli_shop:bus", "cli_shop:make", "cli_shop:Holder.inside"])
def test_a_bus_or_a_function_that_returns_one_is_found_in_the_working_directory(target: str) -> None:
    found = load_bus(target)

    assert found is sys.modules["cli_shop"].bus


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("cli_shop", "write module:attribute"),
        (":bus", "write module:attribute"),
        ("cli_shop:", "write module:attribute"),
        ("cli_shop.py:bus", "this is a path; name the module, such as cli_shop:bus"),
        ("./folder/cli_shop.py", "such as folder.cli_shop:bus"),
        ("cli shop:bus", "Python cannot import this"),
        ("cli_shop:bus()", "Python cannot import this"),
        ("..:bus", "Python cannot import this"),
        ("surely_not_there:bus", "no module named 'surely_not_there' in "),
        ("cli_shop.sub:bus", "no module named 'cli_shop.sub'"),
        ("cli_inner:bus", "importing cli_inner failed: ModuleNotFoundError: No module named 'surely_not_there'"),
        ("cli_inner:bus", "(cli_inner.py, line 2)"),
        ("cli_syntax:bus", "importing cli_syntax failed: SyntaxError"),
        ("cli_exits:bus", "importing cli_exits failed: SystemExit: bye"),
        ("cli_fails:bus", "ZeroDivisionError: division by zero (cli_fails.py, line 1)"),
        ("cli_shop:buss", "has no attribute 'buss'; it has the bus bus"),
        ("cli_shop:number", "this is an int, not a Bus"),
        ("cli_shop:none", "this is None, not a Bus"),
        ("cli_shop:Holder", "this is the class Holder, not a Bus"),
        ("cli_shop:make_none", "calling it gave None, not a Bus"),
        ("cli_shop:broken", "calling it failed: RuntimeError: no\\nway (cli_shop.py, line 17)"),
        ("cli_shop:leaving", "calling it failed: SystemExit: 3"),
        ("cli_shop:later", "this is an async function"),
        ("sh\x1bop:bus", "sh\\x1bop:bus: "),
    ],
)
def test_whatever_is_wrong_is_reported_in_one_line(target: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        load_bus(target)

    assert why in refused.value.message
    assert "\n" not in refused.value.message


def test_a_bad_definition_keeps_its_problems() -> None:
    with pytest.raises(ConfigurationError, match="is no store URL"):
        load_bus("cli_shop:wrong_url")

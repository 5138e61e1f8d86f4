"""The documentation is true: its Python runs as printed, its commands exist, its links lead somewhere, none missing.

The blocks of one page run in order in one namespace, in a folder of their own. `# → text` promises a line of output.
`<!-- not run: reason -->` on the line before a block keeps it from being run.
"""

import asyncio
import contextlib
import dataclasses
import inspect
import io
import logging
import re
import shlex
import sys
import tomllib
import types
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, Self

import asgiref.local
import click
import django.conf
import django.db
import django.utils.functional
import pytest
from tests.support.databases import own_database
from tests.support.private_servers import require

import sagabus
from sagabus.cli.main import root as command_line
from sagabus.testing.brokers import PrivateNats, PrivateRedis

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.+) -->")


class Block(NamedTuple):
    language: str
    line: int
    text: str
    note: str


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=named)


def blocks(page: Path) -> Iterator[Block]:
    before, language, start, inside = "", None, 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if language is not None:
            if line.startswith("```"):
                yield Block(language, start, "\n".join(inside) + "\n", before)
                before, language = "", None
            else:
                inside.append(line)
        elif line.startswith("```"):
            language, start, inside = line[3:].strip(), number, []
        elif line.strip():
            assert not line.lstrip().startswith("```"), f"{named(page)}:{number}: an indented block would not be run"
            before = line


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Namespace:
    """One page's blocks, run in order: those with a bare `await` in the page's event loop, the others outside of it."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.module = types.ModuleType(f"page_{page.stem.replace('-', '_').lower()}")

    def __enter__(self) -> Self:
        sys.modules[self.module.__name__] = self.module
        self.runner = asyncio.Runner()
        return self

    def __exit__(self, *exc: object) -> None:
        self.runner.close()
        del sys.modules[self.module.__name__]

    def run(self, block: Block) -> str:
        # As many empty lines in front as the page has: a traceback names the page and its line.
        text = "\n" * block.line + block.text
        code = compile(text, str(self.page), "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            if code.co_flags & inspect.CO_COROUTINE:
                self.runner.run(self._awaited(code))
            else:
                exec(code, self.module.__dict__)
        return shown.getvalue()

    def run_tests_with_fixtures(self, request: pytest.FixtureRequest) -> None:
        for name, function in list(vars(self.module).items()):
            if name.startswith("test_") and (asked := inspect.signature(function).parameters):
                function(**{fixture: request.getfixturevalue(fixture) for fixture in asked})

    async def _awaited(self, code: types.CodeType) -> None:
        await eval(code, self.module.__dict__)


def promised(text: str) -> list[str]:
    return re.findall(r"# → (.*?)$", text, flags=re.MULTILINE)


@pytest.fixture
def databases(page: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """New databases on the servers whose addresses a page takes from its environment; Django as if it were new."""
    text = page.read_text(encoding="utf-8")
    for kind in (PrivateRedis, PrivateNats):
        if f"{kind.__name__}()" in text:
            require(kind)
    with contextlib.ExitStack() as stack:
        for kind, variable in (("postgres", "SHOP_POSTGRES"), ("mysql", "SHOP_MYSQL")):
            if variable in text:
                monkeypatch.setenv(variable, stack.enter_context(own_database(kind)))
        for name in list(vars(django.conf.settings)):
            monkeypatch.delitem(vars(django.conf.settings), name)
        monkeypatch.setitem(vars(django.conf.settings), "_wrapped", django.utils.functional.empty)
        monkeypatch.setattr(django.db.connections, "_settings", None)
        monkeypatch.setattr(django.db.connections, "_connections", asgiref.local.Local())
        monkeypatch.delitem(vars(django.db.connections), "settings", raising=False)
        yield


@pytest.fixture
def loggers() -> Iterator[None]:
    """What a page sets up of logging ends with it."""
    known = {name: logging.getLogger(name) for name in ("", "shop", "sagabus", "sagabus.messages")}
    before = {name: (each.level, each.propagate, [*each.handlers]) for name, each in known.items()}
    yield
    for name, each in known.items():
        each.propagate, each.handlers[:] = before[name][1:]
        each.setLevel(before[name][0])  # it forgets what it has found for other levels, too


@every_page
@pytest.mark.usefixtures("databases", "loggers")
def test_the_python_of_a_page_runs_and_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)

    with Namespace(page) as namespace:
        for block in blocks(page):
            if block.language == "python" and not NOT_RUN.search(block.note):
                shown = namespace.run(block).splitlines()
                wanted = promised(block.text)
                assert not wanted or shown == wanted, f"{named(page)}:{block.line}"
        namespace.run_tests_with_fixtures(request)


@every_page
def test_every_fence_names_its_language_and_a_block_left_out_says_why(page: Path) -> None:
    found = list(blocks(page))

    assert [
        b.line
        for b in found
        if b.language
        not in {"python", "console", "text", "mermaid", "sql", "json", "toml", "ini", "dockerfile", "yaml"}
    ] == []
    assert [b.line for b in found if "not run" in b.note and not NOT_RUN.search(b.note)] == []


def commands(page: Path) -> Iterator[tuple[int, list[str]]]:
    for block in blocks(page):
        if block.language == "console":
            for offset, line in enumerate(block.text.splitlines(), start=1):
                if line.startswith("$ "):
                    yield block.line + offset, shlex.split(line[2:], comments=True)


def unknown_in(words: list[str]) -> list[str]:
    """What of a `sagabus` command line the command line does not know; its subcommand, or its options."""
    found: click.Command | None = command_line
    rest = list(words)
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        found = found.get_command(click.Context(found), name := rest.pop(0))
        if found is None:
            return [name]
    assert found is not None
    known = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
    asked = [word.partition("=")[0] for word in rest if word.startswith("-")]
    return [word for word in asked if word not in known | {"--help", "-h", "--version"}]


@every_page
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))

    for line, words in commands(page):
        if words and words[0] in {"sagabus", ".venv/bin/sagabus"}:
            assert unknown_in(words[1:]) == [], f"{named(page)}:{line}"
        if words and words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, f"{named(page)}:{line}"


@pytest.mark.parametrize("page", LINKED, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|mailto:)([^)\s]*)\)", prose(page))

    for path, _, anchor in (link.partition("#") for link in links):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{named(page)}: {path}"
        assert not anchor or anchor in anchors(target), f"{named(page)}: {path}#{anchor}"


@pytest.mark.parametrize("name", sagabus.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert any(re.search(rf"\b{name}\b", page.read_text(encoding="utf-8")) for page in PAGES)


def settings_table() -> dict[str, str]:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## Settings")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", section, flags=re.MULTILINE))


def test_the_table_of_settings_is_that_of_the_class() -> None:
    defaults = {field.name: getattr(sagabus.Settings(), field.name) for field in dataclasses.fields(sagabus.Settings)}

    table = {name: eval(default, {"timedelta": timedelta}) for name, default in settings_table().items()}

    assert table == defaults
    assert list(table) == list(defaults)


def rows_of(heading: str) -> list[list[str]]:
    """The rows of the table below a heading of the page on the architecture, as lists of cells."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[1:]]


def test_the_table_of_layers_is_that_of_the_contracts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [each for each in project["tool"]["importlinter"]["contracts"] if each["id"] == "layers"]
    package = ROOT / "src" / "sagabus"
    there = {path.stem for path in package.iterdir()}

    layers = [set(re.findall(r"\w+", layer)) & there for layer in contract["layers"]]

    table = [re.findall(r"`(\w+)`", modules) for modules, _ in rows_of("The layers")]
    assert [set(modules) for modules in table] == [layer for layer in layers if layer]


def test_the_table_of_stops_has_every_module_of_the_engine() -> None:
    named_there = [name for row in rows_of("The way of a message") for name in re.findall(r"`(\w+)\.py`", row[1])]

    modules = [path.stem for path in (ROOT / "src" / "sagabus" / "engine").glob("*.py") if path.stem != "__init__"]

    assert sorted(named_there) == sorted(modules)


def test_every_folder_of_tests_is_described() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/*.py")}

    assert set(re.findall(r"^\| `tests/(\w+)/` \|", page, flags=re.MULTILINE)) == folders

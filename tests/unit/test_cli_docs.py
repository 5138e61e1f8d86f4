"""The page about the command line is complete, and what it shows is what is printed."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sagabus.cli import main
from sagabus.cli.main import root

PAGE = Path(__file__).resolve().parents[2] / "docs" / "command-line.md"
TEXT = PAGE.read_text(encoding="utf-8")


def commands(
    found: click.Command = root, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that call it."""
    if not isinstance(found, click.Group):
        yield path, found
        return
    context = click.Context(found)
    for name in found.list_commands(context):
        command = found.get_command(context, name)
        assert command is not None
        yield from commands(command, (*path, name))


def section(path: tuple[str, ...]) -> str:
    """What stands under the command's own heading."""
    heading = f"{'#' * (len(path) + 1)} {' '.join(path)}\n"
    assert heading in TEXT, f"no heading for {' '.join(path)}"
    return re.split(r"^#{2,3} ", TEXT.partition(heading)[2], maxsplit=1, flags=re.MULTILINE)[0]


EVERY = list(commands())
every_command = pytest.mark.parametrize(("path", "command"), EVERY, ids=[" ".join(path) for path, _ in EVERY])


@every_command
def test_every_command_has_a_section_with_an_example(path: tuple[str, ...], command: click.Command) -> None:
    assert f"```console\n$ sagabus {' '.join(path)}" in section(path)


@every_command
def test_every_option_is_in_its_section(path: tuple[str, ...], command: click.Command) -> None:
    options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]

    assert [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", section(path))] == []


@every_command
def test_every_command_speaks_json_and_says_its_exit_codes(path: tuple[str, ...], command: click.Command) -> None:
    assert any("--json" in parameter.opts for parameter in command.params)
    assert re.search(r"Exit codes?", f"{command.help} {command.epilog}")


def shown() -> Iterator[tuple[str, str]]:
    """Commands that read the module only, with what the page says they print."""
    for block in re.findall(r"```console\n(.*?)```", TEXT, flags=re.DOTALL):
        for line, printed in re.findall(
            r"^\$ sagabus ((?:check|graph) .*)\n((?:(?!\$ ).*\n)*)", block, flags=re.MULTILINE
        ):
            if printed:
                yield line, printed


@pytest.mark.parametrize(("line", "printed"), list(shown()), ids=[line for line, _ in shown()])
def test_what_the_page_shows_is_what_is_printed(
    line: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "shop", sys)  # so that whatever is there afterwards goes again
    del sys.modules["shop"]
    (tmp_path / "shop.py").write_text(re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)[0])

    assert main(line.split()) == 0

    assert capsys.readouterr().out == printed

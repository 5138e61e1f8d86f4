"""The files on the page about deployment are read as far as they can be: commands, paths, settings and times."""

import configparser
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from sagabus import Settings
from sagabus.cli.main import root
from sagabus.integrations import asgi
from sagabus.telemetry.prometheus import Metrics

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
GRACE = Settings().grace.total_seconds()


def block(language: str) -> str:
    """The one file in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return str(found)


def parsed(arguments: list[str]) -> click.Context:
    """What the command makes of its arguments; click.UsageError for one that it does not take."""
    name, *rest = arguments
    command = root.get_command(click.Context(root), name)
    assert command is not None, name
    return command.make_context(name, rest)


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names have capital letters there
    parser.read_string(block("ini"))
    assert set(parser.sections()) == {"Unit", "Service", "Install"}
    return parser["Service"]


def test_the_unit_runs_commands_that_there_are_and_waits_longer_than_the_grace() -> None:
    service = unit()
    for line in (service["ExecStartPre"], service["ExecStart"]):
        program, *arguments = shlex.split(line)
        assert program.endswith("/bin/sagabus")
        parsed(arguments)

    assert float(service["TimeoutStopSec"]) > GRACE
    assert service["KillSignal"] == "SIGTERM"


def test_the_container_runs_a_command_that_there_is_by_a_list() -> None:
    lines = dict(line.split(" ", 1) for line in block("dockerfile").splitlines())

    assert json.loads(lines["ENTRYPOINT"]) == ["sagabus"]
    host, port = parsed(json.loads(lines["CMD"])).params["listen"]
    assert (host, str(port)) == ("0.0.0.0", lines["EXPOSE"])
    assert lines["STOPSIGNAL"] == "SIGTERM"
    assert lines["USER"] != "root"


def test_the_manifest_has_commands_that_there_are_and_paths_that_answer() -> None:
    manifest = block("yaml")
    every = [json.loads(arguments) for arguments in re.findall(r"args: (\[.*\])", manifest)]
    contexts = [parsed(arguments) for arguments in every]

    assert [context.info_name for context in contexts] == ["migrate", "run"]
    (period,) = re.findall(r"terminationGracePeriodSeconds: (\d+)", manifest)
    assert int(period) > GRACE
    (port,) = re.findall(r"containerPort: (\d+)", manifest)
    assert contexts[1].params["listen"] == ("0.0.0.0", int(port))
    assert all(line == line.rstrip() and "\t" not in line for line in manifest.splitlines())
    assert all((len(line) - len(line.lstrip())) % 2 == 0 for line in manifest.splitlines())


@pytest.mark.parametrize("path", sorted(set(re.findall(r"/health/\w+", PAGE))))
def test_each_path_is_one_that_the_application_answers(path: str) -> None:
    assert f'"{path}"' in Path(asgi.__file__).read_text(encoding="utf-8")


def test_the_metric_to_scale_on_is_one_that_there_is() -> None:
    (name,) = re.findall(r"\((sagabus_\w+)\)", block("text"))

    assert name in [family.name for family in Metrics().describe()]

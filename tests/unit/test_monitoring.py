"""Alert rules and board fit the metrics that there are, and the runbook knows every alarm."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from tests.support.promtool import promtool

import sagabus.telemetry
from sagabus.cli import main
from sagabus.telemetry.prometheus import Metrics

HERE = Path(__file__).parent
PLACE = Path(sagabus.telemetry.__file__).parent
ALERTS = (PLACE / "alerts.yml").read_text(encoding="utf-8")
BOARD: Any = json.loads((PLACE / "board.json").read_text(encoding="utf-8"))
RUNBOOK = (HERE.parents[1] / "docs" / "runbook.md").read_text(encoding="utf-8")
NAMES = re.findall(r"^      - alert: (\w+)$", ALERTS, flags=re.MULTILINE)
VARIABLES = {"$job": ".*", "$subscription": ".*", "$__rate_interval": "2m"}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
FROM_PROMETHEUS = {"job", "instance", "le"}


def expressions() -> Iterator[tuple[str, str]]:
    """Every query of a panel, by the panel's title, as Prometheus gets it."""
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            yield panel["title"], text


def samples() -> dict[str, set[str]]:
    """The labels of each sample that Prometheus can ask for, by its name."""
    return {
        family.name + suffix: set(labels_of(family))
        for family in Metrics().describe()
        for suffix in SUFFIXES[family.type]
    }


def labels_of(family: Metric) -> tuple[str, ...]:
    return tuple(getattr(family, "_labelnames", ()))


@pytest.mark.parametrize(("title", "text"), [*expressions(), ("the rules", ALERTS)])
def test_what_is_asked_for_exists_with_its_labels(title: str, text: str) -> None:
    known = samples()
    asked = set(re.findall(r"\bsagabus_\w+", text))

    assert asked
    assert asked <= known.keys()
    labels = {name for group in re.findall(r"by \(([^)]*)\)", text) for name in re.split(r",\s*", group)}
    labels |= {
        name for group in re.findall(r"\{([^{}$]*)\}", text) for name in re.findall(r"(\w+)(?:=~|!=|=)\"", group)
    }
    assert labels <= FROM_PROMETHEUS.union(*(known[name] for name in asked))


def test_every_metric_is_on_the_board() -> None:
    shown = " ".join(text for _, text in expressions())

    families = [family.name for family in Metrics().describe()]
    assert [name for name in families if name not in shown] == []


def test_panels_have_a_place_a_unit_and_a_text_of_their_own() -> None:
    panels = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]]

    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(places)
    assert all(panel["description"].endswith(".") for panel in panels)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)


def test_the_runbook_has_each_alarm_and_no_other() -> None:
    headings = re.findall(r"^## (Sagabus\w+)$", RUNBOOK, flags=re.MULTILINE)

    assert headings == NAMES
    for name, section in zip(NAMES, re.split(r"^## Sagabus\w+$", RUNBOOK, flags=re.MULTILINE)[1:], strict=True):
        assert section.lstrip().startswith("**Means:**"), name
        assert re.search(r"^```console\n\$ ", section, flags=re.MULTILINE), f"{name} does not say what to type"
        assert f"runbook: docs/runbook.md#{name.lower()}\n" in ALERTS, name


def test_each_alarm_is_tested_to_fire() -> None:
    tested = (HERE / "alerts_test.yml").read_text(encoding="utf-8")

    fired = re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", tested)
    assert set(fired) == set(NAMES)
    quiet = re.findall(r"alertname: (\w+), exp_alerts: \[\] }", tested)
    assert set(quiet) == set(NAMES)


class Filled(Collector):
    """Each metric that there is, with one value."""

    def collect(self) -> Iterator[Metric]:
        for family in Metrics().describe():
            labels = ["x"] * len(labels_of(family))
            if isinstance(family, HistogramMetricFamily):
                family.add_metric(labels, [("1.0", 1.0), ("+Inf", 2.0)], 3.0)
            else:
                assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
                family.add_metric(labels, 1.0)
            yield family


def test_the_tool_of_prometheus_takes_each_metric() -> None:
    registry = CollectorRegistry()
    registry.register(Filled())
    text = generate_latest(registry)

    assert promtool("check", "metrics", text=text) == ""
    names = set(re.findall(r"^(sagabus_\w+)", text.decode(), flags=re.MULTILINE))
    assert names == samples().keys()


def test_the_tool_of_prometheus_takes_the_rules_and_the_queries(tmp_path: Path) -> None:
    rules = "".join(
        f"      - {{ record: 'panel:{number}', expr: {json.dumps(text)} }}\n"
        for number, (_, text) in enumerate(expressions())
    )
    (tmp_path / "board.yml").write_text(f"groups:\n  - name: board\n    rules:\n{rules}")

    promtool("check", "rules", PLACE / "alerts.yml")
    promtool("check", "rules", tmp_path / "board.yml")


def test_alarms_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    shutil.copy(PLACE / "alerts.yml", tmp_path)
    shutil.copy(HERE / "alerts_test.yml", tmp_path)

    said = promtool("test", "rules", tmp_path / "alerts_test.yml")

    assert "SUCCESS" in said


@pytest.mark.parametrize(("name", "file"), [("alerts", "alerts.yml"), ("board", "board.json")])
def test_the_command_prints_the_files_of_the_package(name: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitoring", name]) == 0
    printed = capsys.readouterr().out
    assert main(["monitoring", name, "--json"]) == 0

    assert printed == (PLACE / file).read_text(encoding="utf-8")
    assert json.loads(capsys.readouterr().out) == {"file": file, "text": printed}

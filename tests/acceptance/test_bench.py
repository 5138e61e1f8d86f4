"""`sagabus bench` says everything it promises; how fast is for a quiet machine to say (`make bench`)."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.conftest import Take
from tests.support.databases import SERVERS
from tests.support.fork_server import sagabus

from sagabus.cli.benchmark.loops.sqlite import prepared, work_off
from sagabus.cli.benchmark.rounds import percentile

SAGABUS = str(Path(sys.executable).with_name("sagabus"))
KEYS = {
    *("messages_per_second", "published_per_second", "p50_ms", "p99_ms", "peak_rss_mb"),
    *("baseline_batched_per_second", "baseline_single_per_second", "ratio", "one_worker_per_second", "scaling"),
    *("baseline_single_p50_ms", "cpu_us_per_message", "baseline_cpu_us_per_message", "cpu_ratio"),
    *("written_bytes_per_message", "baseline_written_bytes_per_message"),
}
TOGETHER_AND_ALONE = ("messages_per_second", "one_worker_per_second", "scaling")

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SAGABUS, "bench", *arguments], capture_output=True, text=True, check=False)


def test_every_figure_is_there_and_they_agree(tmp_path: Path) -> None:
    finished = bench("--sagas", "50", "--rounds", "2", "--json", "--store", f"sqlite:///{tmp_path / 'bench.db'}")

    assert finished.returncode == 0, finished.stderr
    (line,) = finished.stdout.splitlines()
    found = json.loads(line)
    assert found.keys() >= KEYS
    assert all(found[key] > 0 for key in KEYS)
    assert found["p50_ms"] <= found["p99_ms"]
    assert found["ratio_lower_quartile"] <= found["ratio"] <= found["ratio_upper_quartile"]
    assert found["cpu_ratio"] > 0.5
    assert found["interpreter"].startswith("cpython 3.")
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir())[:1] == ["bench.db"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the arguments of a process are not in /proc")
def test_several_workers_are_measured_against_one_in_a_table_and_no_other_user_sees_their_store(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'S3cr3tW0rd.db'}"
    command = [SAGABUS, "bench", "--sagas", "20", "--rounds", "1", "--workers", "2", "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        seen: set[bytes] = set()
        while not ended(running):
            seen |= set(arguments_of_halves())
        printed, _ = running.communicate()

    assert running.returncode == 0
    assert any(b"worker" in arguments for arguments in seen)
    assert not [arguments for arguments in seen if b"S3cr3tW0rd" in arguments]
    assert "{" not in printed
    by_two, by_one, scaling = (figure(printed, name) for name in TOGETHER_AND_ALONE)
    assert by_two != by_one
    assert scaling == pytest.approx(by_two / by_one, abs=0.02)


def ended(running: subprocess.Popen[str]) -> bool:
    """After a moment, so that looking costs it little."""
    with suppress(subprocess.TimeoutExpired):
        running.wait(0.02)
    return running.returncode is not None


def figure(printed: str, name: str) -> float:
    """From a person's table."""
    (row,) = re.findall(rf" {name} +\S +([\d,.]+) ", printed)
    return float(row.replace(",", ""))


def arguments_of_halves() -> Iterator[bytes]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (folder / "cmdline").read_bytes()
            if b"benchmark.half" in arguments:
                yield arguments


@pytest.mark.parametrize("kind", ["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in SERVERS)])
def test_after_a_crash_all_that_was_in_flight_takes_at_most_twice_its_time(kind: str, take: Take) -> None:
    finished = bench("--crash", "--json", "--store", take(kind).url)

    found = json.loads(finished.stdout)
    assert found["dead_letters"] == 0
    assert 0.5 < found["ratio"] <= 2
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("url", ["memory:", "oracle://x", "sqlite:////nowhere/at/all.db", "sqlite:////"])
def test_a_store_that_cannot_be_used_is_one_clear_line(url: str) -> None:
    finished = sagabus("bench", "--store", url, "--json")

    assert finished.returncode == 2
    assert finished.stdout == ""
    assert len(finished.stderr.splitlines()) == 1


def test_the_loop_handles_three_messages_of_each_saga_and_leaves_the_last_follow_up(tmp_path: Path) -> None:
    connection = prepared(str(tmp_path / "loop.db"), sagas=30)

    handled = work_off(connection, 7)

    assert handled == 90
    assert connection.execute("SELECT channel, count(*) FROM sagabus_envelope GROUP BY 1").fetchall() == [
        ("ledger", 30)
    ]
    rows = connection.execute("SELECT DISTINCT version, status, completed_at IS NOT NULL FROM sagabus_instance")
    assert rows.fetchall() == [(3, "completed", 1)]


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(1, 101)]

    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)

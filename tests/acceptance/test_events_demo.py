"""`sagabus demo --events`: a whole real log through a saga per case, with copies and killed workers, in order."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.fork_server import sagabus

SAGABUS = str(Path(sys.executable).with_name("sagabus"))
REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "permit-receipts.csv"
CASES, EVENTS = 1_434, 8_577
COLUMNS = ("--key", "case", "--type", "activity", "--time", "time")

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


@pytest.fixture
def permits(tmp_path: Path) -> Path:
    """The real log; where it is not at hand, one of the same shape."""
    if REAL.exists():
        return REAL
    path = tmp_path / "permits.csv"
    write_log(path)
    return path


def write_log(path: Path) -> None:
    """As many cases and events, each case opened alike, interleaved in time, the file not in order of time."""
    chance = random.Random(8_577)
    lengths = [1 + (EVENTS - CASES) // CASES] * CASES
    for _ in range(EVENTS - sum(lengths)):
        lengths[chance.randrange(CASES)] += 1
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "activity", "time"])
        for case, length in enumerate(lengths):
            minute = chance.randrange(500_000)
            for number in range(length):
                activity = f"T{chance.randrange(20):02}" if number else "Confirmation of receipt"
                writer.writerow([f"case-{case}", activity, f"{minute * 60}"])
                minute += chance.randrange(3_000)


def replay(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SAGABUS, "demo", *arguments], capture_output=True, text=True, check=False)


def figures(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found


def test_a_real_log_is_replayed_whole_in_order_and_once(permits: Path) -> None:
    finished = replay("--events", str(permits), *COLUMNS, "--kills", "3", "--json")

    found = figures(finished)
    assert finished.returncode == 0, finished.stderr
    assert (found["cases"], found["events"], found["completed"]) == (CASES, EVENTS, CASES)
    assert (found["lost"], found["doubled"], found["out_of_order"], found["torn"]) == (0, 0, 0, 0)
    assert found["kills_mid_work"] >= 1
    assert found["duplicates_sent"] == found["published"] - EVENTS > EVENTS / 2
    assert found["most_frequent_paths"][0]["path"][0] == "Confirmation of receipt"


def test_a_log_of_the_same_shape_can_be_made(tmp_path: Path) -> None:
    write_log(tmp_path / "made.csv")

    with (tmp_path / "made.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == EVENTS
    assert len({row["case"] for row in rows}) == CASES


def test_without_a_time_column_the_order_of_the_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "who;what\n" + "".join(f"Zoë {row % 7};step {row} [bold]\n" for row in range(200)), encoding="utf-8"
    )

    finished = replay("--events", str(path), "--key", "who", "--type", "what", "--kills", "1")

    assert finished.returncode == 0, finished.stderr
    assert "every effect exactly once" in finished.stdout
    assert "step 0 [bold]" in finished.stdout


def test_a_replay_may_be_repeated_on_one_store(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("case,activity\n" + "".join(f"{row % 3},step {row}\n" for row in range(30)))
    arguments = ("--events", str(path), *COLUMNS[:4], "--kills", "0", "--store", f"sqlite:///{tmp_path}/s.db", "--json")

    runs = [figures(replay(*arguments)) for _ in range(2)]

    assert [(run["completed"], run["lost"], run["doubled"], run["out_of_order"]) for run in runs] == [(3, 0, 0, 0)] * 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"case,activity\n1,a\n", "header (line 1), column 'time': there is no such column"),
        (b"case,activity,time\n1,a,1\n ,b,2\n", "row 2 (line 3), column 'case': is empty"),
        (b"case,activity,time\n1,a,tomorrow\n", "row 1 (line 2), column 'time': 'tomorrow' is not a time"),
        (b"case,activity,time\n1,caf\xe9,1\n", "row 1 (line 2), column 'activity': byte 0xe9 is not UTF-8"),
        (b"case,activity,time\n1,a\n", "row 1 (line 2), column 'time': missing"),
        (b"", "the file is empty"),
    ],
)
def test_a_malformed_file_is_one_clear_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)

    finished = sagabus("demo", "--events", str(path), *COLUMNS, "--json")

    assert finished.returncode == 2
    assert finished.stdout == ""
    assert len(finished.stderr.splitlines()) == 1
    assert str(path) in finished.stderr
    assert said in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--events", "/nowhere/log.csv", "--key", "case", "--type", "activity"), "/nowhere/log.csv"),
        (("--events", "/", "--key", "case", "--type", "activity"), "directory"),
        (("--events", "log.csv"), "--key"),
        (("--key", "case"), "--events"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(arguments: tuple[str, ...], said: str) -> None:
    finished = sagabus("demo", *arguments)

    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert said in finished.stderr

"""`sagabus demo` as a user runs it: whole processes, real signals, and an audit that must also find what is planted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.support.fork_server import sagabus
from tests.support.waiting import watched

SAGABUS = str(Path(sys.executable).with_name("sagabus"))
KEYS = {
    *("orders", "published", "duplicates_sent", "kills", "kills_mid_work"),
    *("completed", "lost", "doubled", "seconds"),
}

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def environment(tmp_path: Path) -> dict[str, str]:
    """Temporary folders of the command go where the test can look at them."""
    return {**os.environ, "TMPDIR": str(tmp_path)}


def demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [SAGABUS, "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(tmp_path))


def figures(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    (line,) = finished.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def workers_of(tmp_path: Path) -> list[int]:
    """Processes that have a file of this test on their command line."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if str(tmp_path).encode() in command and b"demonstration.worker" in command:
            found.append(int(folder.name))
    return found


def wait_until_gone(tmp_path: Path, seconds: float = 20) -> None:
    watched(lambda: not workers_of(tmp_path), seconds)


def wait_for_workers(tmp_path: Path) -> None:
    watched(lambda: len(workers_of(tmp_path)) >= 2)


def test_orders_survive_copies_and_killed_workers(tmp_path: Path) -> None:
    finished = demo(tmp_path, "--orders", "80", "--kills", "3", "--seed", "1", "--json")

    found = figures(finished)
    assert finished.returncode == 0, finished.stderr
    assert found.keys() >= KEYS
    assert (found["orders"], found["completed"], found["kills"]) == (80, 80, 3)
    assert found["kills_mid_work"] >= 1
    assert found["duplicates_sent"] == found["published"] - 80 > 0
    assert (found["lost"], found["doubled"], found["phantom"], found["torn"], found["left"]) == (0, 0, 0, 0, 0)
    assert workers_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_person_gets_a_table_and_progress(tmp_path: Path) -> None:
    finished = demo(tmp_path, "--orders", "10", "--kills", "1")

    assert finished.returncode == 0, finished.stderr
    assert "every effect exactly once" in finished.stdout
    assert "killed worker" in finished.stderr
    assert "{" not in finished.stdout


@pytest.mark.slow
def test_equal_seeds_publish_the_same(tmp_path: Path) -> None:
    first, second = (
        figures(demo(tmp_path, "--orders", "15", "--kills", "0", "--seed", "5", "--json")) for _ in range(2)
    )

    assert first["published"] == second["published"]
    assert (first["kills"], first["ok"]) == (0, True)


def test_a_store_is_kept_and_may_be_used_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kept.db'}"

    runs = [figures(demo(tmp_path, "--orders", "12", "--kills", "0", "--store", url, "--json")) for _ in range(2)]

    assert [(run["completed"], run["lost"], run["doubled"], run["phantom"]) for run in runs] == [(12, 0, 0, 0)] * 2
    connection = apsw.Connection(str(tmp_path / "kept.db"))
    assert connection.execute("SELECT count(*) FROM campaign_ledger").get == 24


@pytest.mark.parametrize(
    ("trigger", "fault"),
    [
        (
            (
                "CREATE TRIGGER planted AFTER INSERT ON campaign_ledger WHEN new.order_id = '1-00003' "
                "BEGIN INSERT INTO campaign_ledger VALUES (new.order_id, new.amount); END"
            ),
            {"doubled": 1, "lost": 0},
        ),
        (
            (
                "CREATE TRIGGER planted AFTER INSERT ON campaign_payment WHEN new.order_id = '1-00003' "
                "BEGIN DELETE FROM campaign_payment WHERE order_id = '1-00003'; END"
            ),
            {"doubled": 0, "lost": 1, "torn": 1},
        ),
    ],
    ids=["doubled", "lost"],
)
@pytest.mark.share(2)
def test_the_audit_finds_what_is_planted(tmp_path: Path, trigger: str, fault: dict[str, int]) -> None:
    path = tmp_path / "planted.db"
    connection = apsw.Connection(str(path))
    connection.execute(
        "CREATE TABLE campaign_ledger (order_id TEXT, amount INTEGER);"
        "CREATE TABLE campaign_payment (order_id TEXT, amount INTEGER, charge TEXT)"
    )
    connection.execute(trigger)
    connection.close()

    finished = demo(tmp_path, "--orders", "10", "--kills", "0", "--store", f"sqlite:///{path}", "--json")

    found = figures(finished)
    assert finished.returncode == 1
    assert {key: found[key] for key in fault} == fault
    assert "NOT exactly once" in finished.stderr


def test_a_fresh_store_works_off_what_a_killed_demonstration_left(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'again.db'}"
    first = subprocess.Popen(
        [SAGABUS, "demo", "--orders", "2000", "--store", url], stderr=subprocess.DEVNULL, env=environment(tmp_path)
    )
    wait_for_workers(tmp_path)
    first.kill()
    first.wait()
    wait_until_gone(tmp_path)

    found = figures(demo(tmp_path, "--orders", "10", "--kills", "0", "--store", url, "--json"))

    assert (found["completed"], found["lost"], found["doubled"], found["ok"]) == (10, 0, 0, True)


def test_a_worker_that_stands_still_does_not_outlive_a_killed_command(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [SAGABUS, "demo", "--orders", "5000"], stderr=subprocess.DEVNULL, env=environment(tmp_path)
    )
    wait_for_workers(tmp_path)
    stopped = workers_of(tmp_path)[0]
    os.kill(stopped, signal.SIGSTOP)
    # The system ends only what stands still by the time that the command dies, and the signal takes a moment.
    watched(lambda: Path(f"/proc/{stopped}/stat").read_text().rpartition(") ")[2].startswith("T"))

    running.kill()
    running.wait()

    wait_until_gone(tmp_path)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"])
def test_a_signal_ends_it_and_leaves_nothing_behind(tmp_path: Path, sent: signal.Signals) -> None:
    running = subprocess.Popen(
        [SAGABUS, "demo", "--orders", "5000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
        # Run in the background of a shell, the tests are born deaf to it, and so are their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads here
    )
    wait_for_workers(tmp_path)

    running.send_signal(sent)
    _, complaint = running.communicate(timeout=60)

    assert running.returncode not in (0, None)
    assert "Traceback" not in complaint
    wait_until_gone(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory:", "name a SQLite file"),
        ("redis://localhost/x", "no store is known for 'redis:': use sqlite:///relative/path.db"),
        ("nonsense", "is no store URL"),
        ("sqlite:///", "names no file: use sqlite:///relative/path.db"),
        ("sqlite:////nowhere/at/all.db", "folder"),
        ("sqlite:///{tmp}", "is a folder"),
        ("sqlite:///{tmp}/text.db", "text.db"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_clear_line(tmp_path: Path, url: str, said: str) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to be taken for one at first" * 20)

    finished = sagabus("demo", "--store", url.format(tmp=tmp_path), "--orders", "1", "--json")

    assert finished.returncode == 2
    assert finished.stdout == ""
    assert len(finished.stderr.splitlines()) == 1
    assert said in finished.stderr

"""`sagabus demo` on PostgreSQL and MySQL: on a server that is given, and on one of its own that is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from tests.support.databases import ServerDatabase, server_database
from tests.support.fork_server import sagabus
from tests.support.private_servers import require
from tests.support.waiting import watched

from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres

SAGABUS = str(Path(sys.executable).with_name("sagabus"))
PRIVATE = {"postgresql:private": PrivatePostgres, "mysql:private": PrivateMariaDB}
GOOD = {"lost": 0, "doubled": 0, "phantom": 0, "torn": 0, "wrong_states": 0, "left": 0, "dead_letters": 0, "ok": True}
TABLES = """
    SELECT table_name FROM information_schema.tables
    WHERE table_schema NOT IN ('information_schema', 'pg_catalog', 'mysql', 'performance_schema', 'sys')
"""

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


class Place:
    """A database of its own on a server, and what is in it."""

    def __init__(self, database: ServerDatabase) -> None:
        self._database = database
        self.name = f"demo_{uuid4().hex[:12]}"
        database.run(f"CREATE DATABASE {self.name}")
        self.url = urlunsplit(urlsplit(database.server)._replace(path=f"/{self.name}"))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        server, self._database.server = self._database.server, self.url
        try:
            return self._database.run(sql)
        finally:
            self._database.server = server

    def tables(self) -> list[str]:
        here = " AND table_schema = DATABASE()" if self._database.kind == "mysql" else ""
        return [name for (name,) in self.rows(TABLES + here)]

    def drop(self) -> None:
        self._database.run(f"DROP DATABASE {self.name}{' WITH (FORCE)' if self._database.kind == 'postgres' else ''}")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    database = server_database(request.param)
    database._keep = False
    place = Place(database)
    yield place
    place.drop()
    database.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files, also of servers that run as somebody else."""
    with TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


on_servers = pytest.mark.parametrize("place", ["postgres", "mysql"], indirect=True)
on_postgres = pytest.mark.parametrize("place", ["postgres"], indirect=True)
on_mysql = pytest.mark.parametrize("place", ["mysql"], indirect=True)


def demo(*arguments: str, folder: Path | None = None, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """`code` runs before the command, in its process."""
    program = (
        [SAGABUS] if code is None else [sys.executable, "-c", f"{code}; from sagabus.cli import main; exit(main())"]
    )
    environment = {**os.environ, **({"TMPDIR": str(folder)} if folder else {})}
    return subprocess.run([*program, "demo", *arguments], capture_output=True, text=True, check=False, env=environment)


def figures(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert finished.stdout, finished.stderr
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found


def refusal(finished: subprocess.CompletedProcess[str]) -> str:
    assert (finished.returncode, finished.stdout) == (2, ""), finished.stderr
    (line,) = finished.stderr.splitlines()
    return line


def processes_in(folder: Path) -> list[bytes]:
    """Command lines that name a file of a folder."""
    found: list[bytes] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        found += [command] if str(folder).encode() in command else []
    return found


def wait_for_workers(folder: Path) -> None:
    watched(lambda: sum(b"demonstration.worker" in command for command in processes_in(folder)) >= 2, 60)


@on_servers
@pytest.mark.share(2)
def test_orders_survive_copies_and_killed_workers_and_leave_nothing_on_the_server(place: Place) -> None:
    finished = demo("--orders", "40", "--kills", "1", "--seed", "1", "--store", place.url, "--json")

    found = figures(finished)
    assert found.items() >= GOOD.items(), finished.stderr
    assert (found["completed"], found["kills"], found["restarts"]) == (40, 1, 0)
    assert found["kills_mid_work"] >= 1
    assert found["duplicates_sent"] == found["published"] - 40 > 0
    assert place.tables() == []


@pytest.mark.parametrize("store", PRIVATE)
@pytest.mark.share(2)
def test_orders_survive_a_server_that_is_killed_meanwhile(store: str, folder: Path) -> None:
    require(PRIVATE[store])

    finished = demo("--orders", "40", "--kills", "1", "--seed", "1", "--store", store, "--json", folder=folder)

    found = figures(finished)
    assert found.items() >= GOOD.items(), finished.stderr
    assert (found["completed"], found["kills"], found["restarts"]) == (40, 1, 2)
    assert found["restarts_mid_work"] >= 1
    assert "of the server, by SIGKILL or in good order" in finished.stderr
    assert (processes_in(folder), list(folder.iterdir())) == ([], [])


@pytest.mark.parametrize("store", PRIVATE)
@pytest.mark.share(2)
def test_a_log_is_replayed_in_order_on_a_server_that_is_killed(store: str, tmp_path: Path) -> None:
    require(PRIVATE[store])
    path = tmp_path / "log.csv"
    rows = [f"Zoë {row % 9};Zug um Zug, {row} % [é]" for row in range(150)]
    path.write_text("\n".join(["who;what", *rows]), encoding="utf-8")
    columns = ("--key", "who", "--type", "what")

    finished = demo("--events", str(path), *columns, "--kills", "1", "--restarts", "1", "--store", store, "--json")

    found = figures(finished)
    assert found.items() >= {**GOOD, "cases": 9, "events": 150, "completed": 9, "out_of_order": 0}.items()
    assert found["restarts"] == 1


@on_postgres
@pytest.mark.slow
def test_what_the_url_names_is_kept_and_what_is_planted_there_is_found(place: Place) -> None:
    url = f"{place.url}?schema=kept"
    arguments = ("--orders", "8", "--kills", "0", "--store", url, "--json")
    first = figures(demo(*arguments))
    place.rows(
        "CREATE RULE planted AS ON INSERT TO kept.campaign_payment WHERE new.order_id = '2-00003' DO INSTEAD NOTHING"
    )

    second = demo(*arguments)

    assert first.items() >= {**GOOD, "completed": 8}.items()
    assert figures(second).items() >= {"completed": 8, "lost": 1, "doubled": 0, "torn": 1, "ok": False}.items()
    assert second.returncode == 1
    assert place.rows("SELECT count(*) FROM kept.campaign_ledger") == [(16,)]


@on_mysql
@pytest.mark.slow
def test_a_prefix_that_the_url_names_is_kept(place: Place) -> None:
    arguments = ("--orders", "8", "--kills", "0", "--store", f"{place.url}?prefix=kept_", "--json")

    runs = [figures(demo(*arguments)) for _ in range(2)]

    assert [run["completed"] for run in runs if run.items() >= GOOD.items()] == [8, 8]
    assert place.rows(f"SELECT count(*) FROM {place.name}.campaign_ledger") == [(16,)]


@on_postgres
def test_a_signal_ends_it_and_leaves_nothing_on_the_server(place: Place, folder: Path) -> None:
    running = subprocess.Popen(
        [SAGABUS, "demo", "--orders", "5000", "--store", place.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    wait_for_workers(folder)

    running.send_signal(signal.SIGTERM)
    _, complaint = running.communicate(timeout=60)

    assert running.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in complaint
    assert (processes_in(folder), list(folder.iterdir()), place.tables()) == ([], [], [])


def test_a_signal_ends_a_private_server_too(folder: Path) -> None:
    require(PrivatePostgres)
    running = subprocess.Popen(
        [SAGABUS, "demo", "--orders", "5000", "--store", "postgresql:private"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    wait_for_workers(folder)

    running.send_signal(signal.SIGTERM)

    assert running.wait(60) == 128 + signal.SIGTERM
    assert (processes_in(folder), list(folder.iterdir())) == ([], [])


@on_postgres
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("?default_transaction_read_only=on", "point the bus at the primary"),
        ("?prefix=campaign_", "the bus's own tables"),
        ("?deadline=never", "the option deadline"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_clear_line(place: Place, option: str, said: str) -> None:
    assert said in refusal(sagabus("demo", "--orders", "1", "--store", place.url + option, "--json"))


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("postgresql://nobody:secret@127.0.0.1:1/test", "Connect call failed"),
        ("mysql://nobody:secret@127.0.0.1:1/test", "check that the server runs"),
        ("mysql://root@127.0.0.1:1", "names no database"),
    ],
)
def test_a_server_that_is_not_there_is_one_clear_line_without_the_password(store: str, said: str) -> None:
    line = refusal(sagabus("demo", "--orders", "1", "--store", store, "--json"))

    assert said in line
    assert "secret" not in line


@on_servers
def test_a_stranger_is_refused_in_one_clear_line(place: Place) -> None:
    parts = urlsplit(place.url)
    stranger = urlunsplit(parts._replace(netloc=f"stranger:secret@{parts.hostname}:{parts.port}"))

    line = refusal(sagabus("demo", "--orders", "1", "--store", stranger, "--json"))

    assert "stranger" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("module", "store", "said"),
    [
        ("asyncpg", "postgresql://127.0.0.1/test", "pip install 'sagabus[postgres]'"),
        ("asyncmy", "mysql://127.0.0.1/test", "pip install 'sagabus[mysql]'"),
    ],
)
def test_a_driver_that_is_not_installed_is_named(module: str, store: str, said: str) -> None:
    code = f"import sys; sys.modules['{module}'] = None"

    assert said in refusal(demo("--orders", "1", "--store", store, code=code))


def test_only_a_private_server_is_restarted_and_only_where_its_programs_are() -> None:
    code = "from sagabus.testing.servers import PrivatePostgres as Server; Server._programs = ('no-such-program',)"

    missing = refusal(demo("--orders", "1", "--store", "postgresql:private", code=code))
    foreign = refusal(sagabus("demo", "--orders", "1", "--store", "postgresql://127.0.0.1/test", "--restarts", "1"))

    assert "no-such-program" in missing
    assert "private server" in foreign

"""Private servers are real ones: they keep what was committed, whatever is done to them, and leave nothing behind."""

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.private_servers import query, require

from sagabus.testing.sandbox import _OVER, _are, until
from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres, PrivateServer, ServerFailed

pytestmark = pytest.mark.faults

KINDS: list[type[PrivateServer]] = [PrivatePostgres, PrivateMariaDB]
WRITE = ("CREATE TABLE note (text VARCHAR(20))", "INSERT INTO note VALUES ('kept')")
READ = "SELECT text FROM note"
HEADLESS = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).pthread_exit(None)
"""
ABANDONED = """
import os, sys, time
from sagabus.testing import servers
server = getattr(servers, sys.argv[1])()
server.start()
server.freeze()
print(server._shelter.path, server.port, flush=True)
time.sleep(60)
"""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[PrivateServer]:
    require(request.param)
    return request.param


async def test_what_was_committed_survives_stops_and_kills_on_the_same_port(kind: type[PrivateServer]) -> None:
    with kind() as server:
        await query(server.url, *WRITE)
        url = server.url

        for how in (False, True, False):
            server.restart(kill=how)

            assert await query(url, READ) == [("kept",)]


async def test_a_stopped_or_killed_server_refuses_connections(kind: type[PrivateServer]) -> None:
    with kind() as server:
        for end in (server.stop, server.kill):
            end()
            end()

            assert not server.is_running
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)
            server.start()


async def test_a_frozen_server_answers_when_it_is_thawed(kind: type[PrivateServer]) -> None:
    with kind() as server:
        await query(server.url, *WRITE)
        server.freeze()

        asked = asyncio.create_task(query(server.url, READ))
        done, _ = await asyncio.wait({asked}, timeout=0.2)  # that nothing comes can only be seen by waiting

        assert (done, server.is_running) == (set(), True)
        server.thaw()
        assert await asked == [("kept",)]


@pytest.mark.parametrize("kill", [False, True])
async def test_a_frozen_server_can_be_stopped_and_killed(kind: type[PrivateServer], kill: bool) -> None:
    with kind() as server:
        await query(server.url, *WRITE)
        server.freeze()

        server.restart(kill=kill)

        assert await query(server.url, READ) == [("kept",)]


async def test_servers_side_by_side_share_nothing(kind: type[PrivateServer]) -> None:
    with kind() as one, kind() as other:
        await query(one.url, *WRITE)

        assert await query(other.url, *WRITE, READ) == [("kept",)]
        other.kill()
        assert await query(one.url, READ) == [("kept",)]


async def test_a_closed_server_starts_from_scratch(kind: type[PrivateServer]) -> None:
    with kind() as server:
        await query(server.url, *WRITE)
        server.close()
        server.close()
        server.start()

        assert await query(server.url, *WRITE, READ) == [("kept",)]


SETTINGS = {
    PrivatePostgres: ({"max_connections": "17", "default_transaction_read_only": "on"}, "SHOW max_connections", "17"),
    PrivateMariaDB: ({"max_connections": "17", "wait_timeout": "30"}, "SELECT @@max_connections", 17),
}
DURABLE = {
    PrivatePostgres: ("SELECT current_setting('fsync'), current_setting('synchronous_commit')", ("on", "on")),
    PrivateMariaDB: ("SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite", (1, 1)),
}


async def test_settings_are_given_to_the_server_and_ours_are_durable(kind: type[PrivateServer]) -> None:
    settings, question, answer = SETTINGS[kind]
    with kind(settings) as server:
        assert await query(server.url, question) == [(answer,)]

        assert await query(server.url, DURABLE[kind][0]) == [DURABLE[kind][1]]


def test_a_server_that_does_not_start_says_why(kind: type[PrivateServer]) -> None:
    server = kind({"no_such_setting": "1"})

    with pytest.raises(ServerFailed, match="no_such_setting"):
        server.start()

    assert not server.is_running


def test_only_a_server_that_runs_can_be_frozen(kind: type[PrivateServer]) -> None:
    server = kind()
    server.stop()
    server.kill()

    with pytest.raises(ServerFailed, match="does not run"):
        server.freeze()

    server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells of whole processes")
def test_who_has_lost_only_its_first_thread_has_not_ended() -> None:
    """A server that is killed may look so for a moment, and still listens."""
    with subprocess.Popen(
        [sys.executable, "-c", HEADLESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert until(lambda: ") Z " in Path(f"/proc/{child.pid}/stat").read_text(), 20)
        seems_over = _are([child.pid], _OVER)

        child.stdin.close()

        assert not seems_over
        assert until(lambda: _are([child.pid], _OVER), 20)


def test_a_server_does_not_outlive_an_interpreter_that_is_killed(kind: type[PrivateServer]) -> None:
    command = [sys.executable, "-c", ABANDONED, kind.__name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        folder, port = child.stdout.readline().split()
        assert Path(folder, "data").exists()

        child.send_signal(signal.SIGKILL)

    assert until(lambda: not Path(folder).exists(), 20)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)))

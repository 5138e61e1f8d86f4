"""A session at the terminal over a broken system, by nothing but what commands and pages say.

The doctor names each fault with the command to type next; the session types it, and in the end the doctor is content.
"""

import asyncio
import importlib
import json
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.redis_server import OwnKeys, redis_url

from sagabus.cli import main
from sagabus.testing.servers import PrivatePostgres

pytestmark = pytest.mark.acceptance

SAGABUS = [sys.executable, "-m", "sagabus"]
SHOP = """
import os
from datetime import timedelta
from typing import Literal

from sagabus import Bus, Context, RetryPolicy, Saga, Settings, event, handler, handles, starts


@event("orders.submitted")
class Submitted:
    order_id: str


@event("orders.paid")
class Paid:
    order_id: str


class Orders(Saga, name="orders", key="order_id", stuck_after=timedelta(milliseconds=1)):
    order_id: str
    status: Literal["open", "paid"] = "open"

    @starts
    def submitted(self, message: Submitted) -> None: ...

    @handles(when="open")
    def paid(self, message: Paid, ctx: Context) -> None:
        self.status = "paid"
        ctx.complete()


@handler("audit", key="order_id", retry=RetryPolicy(attempts=1))
def audit(message: Submitted) -> None:
    if not os.path.exists("mended"):
        raise ValueError("no ledger")


settings = Settings(durability="accept")
bus = Bus("sqlite:///shop.db", Orders, audit, settings=settings)
"""
OFF = """
from sagabus.testing.clock import ManualClock

off = Bus(bus.store, Orders, audit, settings=settings, clock=ManualClock())
"""
LEAVING = """
settings = Settings(durability="accept", lease=timedelta(minutes=5))
bus = Bus("sqlite:///shop.db", audit, settings=settings, transport={url!r}, service="shop")
"""
"""Everything leaves by a broker, too. The lease is so long that a frozen worker keeps its lanes."""
ORPHAN = """
INSERT INTO sagabus_envelope (channel, lane, due_at, message_id, message_type, partition_key, body, sent_at,
    attempt, stashed, hops)
VALUES ('audit', 99, 0, 'm99', 'orders.submitted', 'A9', '{"order_id": "A9"}', 0, 0, 0, 0)
"""


class Terminal:
    """Types commands in the folder of the system. They run in this process, and workers in their own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        (folder / "shop.py").write_text(SHOP)

    def type(self, line: str) -> tuple[int, str]:
        """One command as it would be typed; its exit code, and what it says."""
        program, *words = shlex.split(line)
        assert program == "sagabus"
        code = main(words)
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def examine(self) -> tuple[int, dict[str, Any]]:
        """What the doctor finds now, by kind; but for what the brokers of tests may lose."""
        code, said = self.type("sagabus doctor shop:bus --json")
        return code, {each["kind"]: each for each in json.loads(said)["findings"] if each["kind"] != "durability"}

    def publish(self, name: str) -> None:
        """What another service would do."""
        shop = importlib.import_module("shop")

        async def publish() -> None:
            bus = shop.bus
            await bus.open(worker=False)
            await bus.publish(getattr(shop, name)(order_id="A1"))
            await bus.close()

        asyncio.run(publish())

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[str]]:
        """`sagabus run`, as the doctor says, until the block ends."""
        command = [*SAGABUS, "run", "shop:bus", "--json"]
        with subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as it:
            assert it.stdout is not None
            assert json.loads(it.stdout.readline())["event"] == "started"
            try:
                yield it
            finally:
                it.send_signal(signal.SIGTERM)
                it.send_signal(signal.SIGCONT)  # as systemd does, for a process that does not run

    def run(self, sql: str) -> None:
        """Change a table by other means."""
        with closing(sqlite3.connect(self.folder / "shop.db")) as store, store:
            store.execute(sql)

    def until(self, kinds: set[str]) -> dict[str, Any]:
        """Ask the doctor until it finds just these kinds, as a person on call would."""
        for _ in range(60):
            _, found = self.examine()
            if set(found) == kinds:
                return found
        raise AssertionError(found)

    def until_nothing_waits(self, subscription: str) -> None:
        """List its messages until there are none: what is ready and young is no finding."""
        for _ in range(60):
            if not json.loads(self.type(f"sagabus messages shop:bus {subscription} --json")[1])["messages"]:
                return
        raise AssertionError(self.type(f"sagabus messages shop:bus {subscription}")[1])


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "shop", sys)  # so that whatever is there afterwards goes again
    del sys.modules["shop"]
    return Terminal(tmp_path, capsys)


def test_a_session_finds_and_mends_what_is_broken(terminal: Terminal) -> None:
    code, said = terminal.type("sagabus doctor shop:bus")
    assert code == 1
    assert "  sagabus migrate shop:bus\n" in said
    assert terminal.type("sagabus migrate shop:bus")[0] == 0

    # A message waits, no worker runs, and a key waits for a message that is gone.
    terminal.publish("Submitted")
    terminal.run("INSERT INTO sagabus_held_key VALUES ('orders', 'A1', 999)")
    code, found = terminal.examine()
    assert code == 1
    assert {"no-worker", "dangling-hold"} <= set(found)
    assert found["no-worker"]["command"] == "sagabus run shop:bus"
    assert "fixed: orders A1" in terminal.type(found["dangling-hold"]["command"])[1]

    with terminal.worker():
        # The poison message is a dead letter, and the saga is stuck.
        found = terminal.until({"dead-letters", "stuck"})
        listed = terminal.type(found["dead-letters"]["command"])[1]
        assert "no ledger" in listed
        why = terminal.type(found["stuck"]["command"])[1]
        assert "It reacts now to orders.paid" in why

        (terminal.folder / "mended").touch()  # the cause is corrected, and the letter put back
        (letter,) = json.loads(terminal.type("sagabus dead-letters list shop:bus --json")[1])
        assert terminal.type(f"sagabus dead-letters replay shop:bus {letter['id']} --why mended")[0] == 0
        terminal.publish("Paid")  # the message that `why` names
        terminal.until(set())
        assert terminal.type("sagabus doctor shop:bus") == (0, "shop:bus: well\n")


def test_a_clock_that_is_off_is_told_with_its_way_out(terminal: Terminal) -> None:
    with PrivatePostgres() as server:
        shop = (terminal.folder / "shop.py").read_text()
        (terminal.folder / "shop.py").write_text(shop.replace("sqlite:///shop.db", server.url) + OFF)
        assert terminal.type("sagabus migrate shop:bus")[0] == 0
        with terminal.worker():
            assert terminal.until(set()) == {}
            code, said = terminal.type("sagabus doctor shop:off")
        assert code == 1
        assert "that of the store: set both by the same time server" in said
        assert "timedatectl status" in said


def test_what_nobody_takes_is_found_and_taken_again(terminal: Terminal) -> None:
    keys = OwnKeys(redis_url())
    with (terminal.folder / "shop.py").open("a") as shop:
        shop.write(LEAVING.format(url=keys.url))
    (terminal.folder / "mended").touch()  # nothing fails
    assert terminal.type("sagabus migrate shop:bus")[0] == 0
    assert terminal.type("sagabus topology shop:bus --declare")[0] == 0

    # No process runs, so nothing leaves by the bridge; and a colleague has paused a subscription.
    assert terminal.type('sagabus pause shop:bus audit --reason "the ledger moves" --by ann --yes')[0] == 0
    terminal.publish("Submitted")
    code, found = terminal.examine()
    assert (code, set(found)) == (1, {"no-worker", "stopped-bridge", "paused"})
    assert "1 message waits" in found["stopped-bridge"]["text"]
    assert found["stopped-bridge"]["command"] == found["no-worker"]["command"] == "sagabus run shop:bus"
    with terminal.worker() as worker:
        found = terminal.until({"paused"})
        assert "audit has been paused by ann" in found["paused"]["text"]
        assert "(the ledger moves), and 1 message waits: resume it" in found["paused"]["text"]
        assert terminal.type(found["paused"]["command"].replace("TEXT", "moved") + " --yes")[0] == 0
        terminal.until(set())
        terminal.until_nothing_waits("audit")

        # A process stands still, and one of its lanes is nobody's.
        worker.send_signal(signal.SIGSTOP)
        terminal.run("UPDATE sagabus_lane SET owner = NULL, expires_at = 1 WHERE channel = 'audit' AND lane = 3")
        found = terminal.until({"orphan-lanes"})
        assert found["orphan-lanes"]["text"] == "1 of 16 lanes of audit has no worker: restart its workers"
        assert "audit" in terminal.type(found["orphan-lanes"]["command"])[1]  # which processes those are
    with terminal.worker():
        terminal.until(set())

        # A message is in a lane that no process will ever have.
        terminal.run(ORPHAN)
        found = terminal.until({"unknown-lane"})
        assert "no worker takes 1 message in lane 99" in found["unknown-lane"]["text"]
        assert found["unknown-lane"]["command"] == "sagabus lanes shop:bus NUMBER"
        assert terminal.type("sagabus lanes shop:bus")[1] == "16 lanes\n"
        assert terminal.type("sagabus lanes shop:bus 32")[0] == 0
        terminal.until(set())

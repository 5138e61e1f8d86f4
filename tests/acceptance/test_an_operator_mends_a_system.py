"""A session at the terminal over a broken system, by nothing but what commands and pages say.

The doctor names each fault with the command to type next; the session types it, and in the end the doctor is content.
"""

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
PUBLISH = """
import asyncio, sys
import shop

async def main():
    bus = shop.Bus(shop.bus.store)
    await bus.open(worker=False)
    await bus.publish(getattr(shop, sys.argv[1])(order_id="A1"))
    await bus.close()

asyncio.run(main())
"""


class Terminal:
    """Types commands in the folder of the system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "shop.py").write_text(SHOP)

    def type(self, line: str) -> tuple[int, str]:
        """One command as it would be typed; its exit code, and what it says."""
        program, *words = shlex.split(line)
        assert program == "sagabus"
        done = subprocess.run(
            [*SAGABUS, *words], cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def examine(self) -> tuple[int, dict[str, Any]]:
        """What the doctor finds now, by kind."""
        code, said = self.type("sagabus doctor shop:bus --json")
        return code, {each["kind"]: each for each in json.loads(said)["findings"]}

    def publish(self, name: str) -> None:
        """What another service would do."""
        subprocess.run([sys.executable, "-c", PUBLISH, name], cwd=self.folder, check=True, timeout=60)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """`sagabus run`, as the doctor says, until the block ends."""
        command = [*SAGABUS, "run", "shop:bus", "--json"]
        with subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as it:
            assert it.stdout is not None
            assert json.loads(it.stdout.readline())["event"] == "started"
            try:
                yield
            finally:
                it.send_signal(signal.SIGTERM)

    def until(self, kinds: set[str]) -> dict[str, Any]:
        """Ask the doctor until it finds just these kinds, as a person on call would."""
        for _ in range(60):
            _, found = self.examine()
            if set(found) == kinds:
                return found
        raise AssertionError(found)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_a_session_finds_and_mends_what_is_broken(terminal: Terminal) -> None:
    code, said = terminal.type("sagabus doctor shop:bus")
    assert code == 1
    assert "  sagabus migrate shop:bus\n" in said
    assert terminal.type("sagabus migrate shop:bus")[0] == 0

    # A message waits, no worker runs, and a key waits for a message that is gone.
    terminal.publish("Submitted")
    with closing(sqlite3.connect(terminal.folder / "shop.db")) as store, store:
        store.execute("INSERT INTO sagabus_held_key VALUES ('orders', 'A1', 999)")
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
        assert terminal.type(f"sagabus dead-letters replay shop:bus {letter['id']}")[0] == 0
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

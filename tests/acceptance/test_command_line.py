"""The command line as it is used: real processes, real signals, a real file, and what is printed where."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from tests.support.fork_server import sagabus
from tests.support.waiting import watched

from sagabus.cli.main import root

pytestmark = pytest.mark.acceptance

SAGABUS = str(Path(sys.executable).with_name("sagabus"))

SHOP = """
import asyncio
import os
import time
from datetime import timedelta
from typing import Literal

from sagabus import Bus, Context, RetryPolicy, Saga, command, event, handler, handles, starts, timer


@event("orders.submitted")
class OrderSubmitted:
    order_id: str
    total: int


@command("payments.capture")
class CapturePayment:
    order_id: str
    amount: int


@event("payments.captured")
class PaymentCaptured:
    order_id: str


@command("nap.take")
class TakeNap:
    seconds: float


class OrderSaga(Saga, name="orders", key="order_id", history=True):
    order_id: str
    status: Literal["awaiting_payment", "paid", "cancelled"] = "awaiting_payment"

    @starts
    def submitted(self, message: OrderSubmitted, ctx: Context) -> None:
        ctx.send(CapturePayment(order_id=self.order_id, amount=message.total))
        ctx.set_timer("payment", after=timedelta(minutes=30))

    @handles(when="awaiting_payment")
    async def paid(self, message: PaymentCaptured, ctx: Context) -> None:
        self.status = "paid"
        ctx.cancel_timer("payment")
        ctx.complete()

    @timer("payment")
    def unpaid(self, ctx: Context) -> None:
        self.status = "cancelled"
        ctx.complete()


@handler("payments", retry=RetryPolicy(attempts=1))
async def capture(message: CapturePayment, ctx: Context) -> None:
    if not os.path.exists("card-machine"):
        raise RuntimeError("\\x1b[2Jno card machine") if message.amount < 0 else ValueError("no card machine")
    ctx.publish(PaymentCaptured(order_id=message.order_id))


@handler("naps")
async def nap(message: TakeNap) -> None:
    open("napping", "w").close()
    await asyncio.sleep(message.seconds)
    open("rested", "w").close()


@handler("snores")
def snore(message: OrderSubmitted) -> None:
    if message.total == -1:
        open("napping", "w").close()
        time.sleep(60)


bus = Bus("sqlite:///orders.db", OrderSaga, capture, nap)
blocked = Bus("sqlite:///blocked.db", snore)


async def publish(bus, *messages):
    await bus.open(worker=False)
    await bus.publish_many(messages)
    await bus.close()
"""

FAULTY = """
from shop import *


class Lost(Saga, name="lost", key="order_id"):
    order_id: str
    status: Literal["new", "paid", "ghost"] = "new"

    @starts
    def submitted(self, message: OrderSubmitted, ctx: Context) -> None:
        ctx.send(CapturePayment(order_id=self.order_id, amount=1))

    @handles(when="new")
    def paid(self, message: PaymentCaptured, ctx: Context) -> None:
        self.status = "paid"


class Wrong(Saga, name="wrong", key="nothing"):
    order_id: str

    @handles
    def paid(self, message: PaymentCaptured, ctx: Context) -> None: ...


faulty = Bus("memory:", Lost)


def undefinable():
    return Bus("memory:", Wrong)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


run = sagabus
"""Real processes, but for the start of the interpreter."""


def last(result: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(result.stdout.splitlines()[-1])


def publish(bus: str, messages: str) -> None:
    text = f"import asyncio, shop; from shop import *; asyncio.run(shop.publish(shop.{bus}, {messages}))"
    sagabus("python", "-c", text).check_returncode()


class Worker:
    def __init__(self, target: str, *options: str) -> None:
        command = [SAGABUS, "run", target, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()

    def stop(self, number: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def hears(self, number: signal.Signals) -> None:
        """Send a signal, and wait for the word that it arrived: two signals at once may arrive as one."""
        assert self.process.stderr is not None
        self.process.send_signal(number)
        while "stopping; send it again" not in (line := self.process.stderr.readline()):
            assert line, "it ended"


@pytest.fixture
def worker() -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(*words: str) -> Worker:
        started.append(Worker(*words))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


# --- run --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_running_handlers_finish_and_the_exit_code_is_0(
    worker: Callable[..., Worker], number: signal.Signals
) -> None:
    running = worker("shop:bus", "--json")
    publish("bus", "TakeNap(seconds=0.5)")
    watched(lambda: Path("napping").exists())

    code, out, err = running.stop(number)

    assert code == 0
    assert Path("rested").exists()
    assert json.loads(running.first)["event"] == "started"
    assert json.loads(running.first)["subscriptions"] == ["orders", "payments", "naps"]
    stopped = json.loads(out.splitlines()[-1])
    assert (stopped["event"], stopped["signal"], stopped["pid"]) == ("stopped", number.name, running.process.pid)
    assert "Traceback" not in err


def test_the_next_worker_goes_on_at_once_where_a_stopped_one_left_off(worker: Callable[..., Worker]) -> None:
    worker("shop:bus").stop(signal.SIGTERM)
    publish("bus", "TakeNap(seconds=0)")

    worker("shop:bus")

    watched(lambda: Path("rested").exists(), timeout=5)


@pytest.mark.parametrize(
    ("target", "message"),
    [("shop:bus", "TakeNap(seconds=60)"), ("shop:blocked", "OrderSubmitted(order_id='a', total=-1)")],
    ids=["waiting", "blocking the event loop"],
)
def test_a_second_signal_ends_it_at_once(worker: Callable[..., Worker], target: str, message: str) -> None:
    running = worker(target)
    publish(target.partition(":")[2], message)
    watched(lambda: Path("napping").exists())
    started = time.monotonic()

    running.hears(signal.SIGTERM)
    code, _, _ = running.stop(signal.SIGTERM)

    assert code == 128 + signal.SIGTERM
    assert time.monotonic() - started < 5


def test_a_bus_without_anything_to_run_is_refused(folder: Path) -> None:
    (folder / "empty.py").write_text("from sagabus import Bus\nbus = Bus('memory:')\n")

    result = run("run", "empty:bus")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "sagabus: empty:bus has no handler and no saga to run: pass them to the Bus\n"


# --- one clear line ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run", "nowhere:bus"], "no module named 'nowhere'"),
        (["run", "shop:bass"], "has no attribute 'bass'; it has the bus bus, blocked"),
        (["run", "faulty:undefinable"], "has no field 'nothing'"),
        (["graph", "shop:bus", "--saga", "nope"], "has no saga nope"),
        (["sagas", "list", "shop:bus"], "orders.db: no such file"),
        (["sagas", "list", "--store", "orders.db"], "is no store URL"),
        (["sagas", "list", "--store", "oracle://host/x"], "no store is known for 'oracle:'"),
        (["dead-letters", "list", "--store", "sqlite:///shop.py"], "file is not a database"),
        (["migrate", "--store", "sqlite:///no/such/folder.db"], "the folder does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_possible_gets_one_line_on_stderr_and_exit_code_2(words: list[str], why: str) -> None:
    result = run(*words)

    assert (result.returncode, result.stdout) == (2, "")
    assert why in result.stderr
    assert result.stderr.startswith("sagabus: ")
    assert result.stderr.count("\n") == 1


def test_looking_at_a_store_that_is_not_there_does_not_make_one(folder: Path) -> None:
    run("dead-letters", "list", "--store", "sqlite:///typo.db")

    assert not (folder / "typo.db").exists()


def test_looking_at_another_applications_database_adds_nothing_to_it() -> None:
    import sqlite3

    connection = sqlite3.connect("theirs.db")
    connection.execute("CREATE TABLE customer (id INTEGER)")
    connection.close()

    result = run("sagas", "list", "--store", "sqlite:///theirs.db")

    connection = sqlite3.connect("theirs.db")
    tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    connection.close()
    assert result.returncode == 2
    assert "has no tables of sagabus" in result.stderr
    assert tables == [("customer",)]


def test_a_store_of_a_newer_release_is_not_touched() -> None:
    import sqlite3

    run("migrate", "--store", "sqlite:///newer.db")
    connection = sqlite3.connect("newer.db")
    with connection:
        connection.execute("INSERT INTO sagabus_schema_version VALUES (999, 'x', 0)")
    connection.close()

    result = run("dead-letters", "list", "--store", "sqlite:///newer.db")

    assert result.returncode == 2
    assert "upgrade sagabus" in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_lists_every_command() -> None:
    top = subprocess.run([SAGABUS, "--help"], capture_output=True, text=True, check=False, timeout=60)
    names = root.list_commands(click.Context(root))

    assert top.returncode == 0
    assert [line.split()[0] for line in top.stdout.partition("Commands:\n")[2].splitlines() if line[2] != " "] == names


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback() -> None:
    result = subprocess.run(
        ["sh", "-c", f"{SAGABUS} migrate --sql | head -n 1"], capture_output=True, text=True, check=False, timeout=60
    )

    assert result.stderr == ""


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["sagas", "list", "shop:bus", "ordres"], "orders"),
        (["sagas", "list", "shop:bus", "--status", "payed"], "paid"),
        (["sagas", "history", "shop:bus", "order", "A1"], "orders"),
        (["dead-letters", "list", "shop:bus", "--subscription", "payment"], "payments"),
    ],
)
def test_a_name_that_nothing_has_is_exit_code_1_and_the_nearest_name(words: list[str], meant: str) -> None:
    publish("bus", "OrderSubmitted(order_id='a', total=1)")

    result = run(*words)

    assert (result.returncode, result.stdout) == (1, "")
    assert f"did you mean {meant}?" in result.stderr
    assert words[0] != "sagas" or "payments" not in result.stderr


# --- dead letters and sagas -------------------------------------------------------------------------------------------


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = last(run("dead-letters", "list", "shop:bus", "--json"))
    return found


def test_the_life_of_a_dead_letter(folder: Path, worker: Callable[..., Worker]) -> None:
    running = worker("shop:bus")
    publish("bus", "OrderSubmitted(order_id='A1', total=5), OrderSubmitted(order_id='A2', total=5)")
    letters = watched(lambda: found if len(found := listed()) == 2 else None)
    shown = run("dead-letters", "show", "shop:bus", str(letters[0]["id"]))
    assert "ValueError" in shown.stdout
    assert last(run("sagas", "show", "shop:bus", "orders", "A1", "--json"))["timers"].keys() == {"payment"}

    assert run("dead-letters", "discard", "shop:bus", str(letters[1]["id"]), "--why", "a test").returncode == 0
    (folder / "card-machine").touch()
    replayed = run(
        "dead-letters", "replay", "--store", "sqlite:///orders.db", "--all", "--yes", "--why", "a test", "--json"
    )

    assert (replayed.returncode, last(replayed)["counts"]) == (0, {"done": 1})
    watched(lambda: "paid" in run("sagas", "list", "shop:bus").stdout)
    assert running.stop(signal.SIGTERM)[0] == 0
    states = {
        (saga["key"], saga["status"], saga["completed"]) for saga in last(run("sagas", "list", "shop:bus", "--json"))
    }
    assert len(states) == 2
    assert sum(completed for _, _, completed in states) == 1
    assert run("dead-letters", "replay", "shop:bus", str(letters[1]["id"]), "--why", "a test").returncode == 1


def test_the_history_of_an_instance(folder: Path, worker: Callable[..., Worker]) -> None:
    (folder / "card-machine").touch()
    running = worker("shop:bus")
    publish("bus", "OrderSubmitted(order_id='A1', total=5)")
    watched(lambda: "paid" in run("sagas", "list", "shop:bus").stdout)
    assert running.stop(signal.SIGTERM)[0] == 0

    whole = run("sagas", "history", "shop:bus", "orders", "A1")
    first = run(
        "sagas", "history", "orders", "A1", "--store", "sqlite:///orders.db", "--limit", "1", "--json", "--reveal"
    )
    (begun,) = last(first)
    second = run("sagas", "history", "shop:bus", "orders", "A1", "--after", str(begun["position"]), "--json")
    unknown = run("sagas", "history", "shop:bus", "orders", "A9", "--json")

    assert [line.split()[1] for line in whole.stdout.splitlines()] == ["VERSION", "1", "2"]
    assert (begun["version"], begun["message_type"], begun["state"]["order_id"]) == (1, "orders.submitted", "A1")
    assert f"--after {begun['position']}" in first.stderr
    assert [(each["version"], each["status"], each["completed"]) for each in last(second)] == [(2, "paid", True)]
    assert (unknown.returncode, last(unknown)) == (0, [])
    assert "history=True" in unknown.stderr
    assert run("sagas", "history", "shop:bus", "orders").returncode == 2


HOSTILE = "\x1b[31m\x9b2J"


def test_what_a_message_carries_never_reaches_the_terminal_as_it_is(worker: Callable[..., Worker]) -> None:
    running = worker("shop:bus")
    publish("bus", f"OrderSubmitted(order_id={HOSTILE!r}, total=-1)")
    watched(listed)
    _, out, err = running.stop(signal.SIGTERM)

    for words in (
        ["dead-letters", "list"],
        ["dead-letters", "show", "1"],
        ["sagas", "list"],
        ["sagas", "history", "orders", HOSTILE],
    ):
        for options in ([], ["--json"]):
            out += run(*words, "--store", "sqlite:///orders.db", *options).stdout

    assert "no card machine" in out
    assert "no card machine" in err
    assert not {"\x1b", "\x9b"} & set(out + err)


# --- migrate, check, graph --------------------------------------------------------------------------------------------


def test_migrating_makes_the_tables_once_and_the_sql_is_the_same() -> None:
    import sqlite3

    first, second = (last(run("migrate", "--store", "sqlite:///new.db", "--json")) for _ in range(2))
    with sqlite3.connect("by_hand.db") as connection:
        connection.executescript(run("migrate", "--sql").stdout)
    connection.close()

    assert first["applied"]
    assert second["applied"] == []
    assert last(run("migrate", "--store", "sqlite:///by_hand.db", "--json"))["applied"] == []


def test_a_sound_module_passes_the_check() -> None:
    result = run("check", "shop:bus", "--json")

    assert result.returncode == 0
    assert (last(result)["ok"], last(result)["problems"]) == (True, 0)


def test_a_faulty_module_fails_the_check_with_every_problem() -> None:
    result = run("check", "faulty:faulty")

    assert result.returncode == 1
    problems = [line for line in result.stdout.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 3
    assert any("'ghost' is unreachable" in line for line in problems)
    assert any("status 'paid' is a dead end" in line for line in problems)
    assert any("no subscription handles payments.capture" in line for line in problems)


def test_definitions_that_no_bus_accepts_fail_the_check_with_every_problem() -> None:
    result = run("check", "faulty:undefinable", "--json")

    assert result.returncode == 1
    assert {finding["kind"] for finding in last(result)["findings"]} == {"definition"}
    assert last(result)["problems"] >= 2


def test_the_graph_is_markdown_with_a_diagram_for_each_saga_and_one_for_the_messages() -> None:
    whole = run("graph", "shop:bus").stdout

    assert whole.count("```mermaid\n") == 2
    assert "    awaiting_payment --> paid: payments.captured\n    paid --> [*]\n" in whole
    assert run("graph", "shop:bus", "--saga", "orders").stdout.startswith("stateDiagram-v2\n")
    assert run("graph", "shop:bus", "--messages").stdout.startswith("flowchart LR\n")
    assert [drawn["kind"] for drawn in last(run("graph", "shop:bus", "--json"))["diagrams"]] == ["saga", "messages"]

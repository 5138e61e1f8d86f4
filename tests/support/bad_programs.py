"""Small processes with one bad habit each. All take (url, incarnation, …) and leave a ledger without unique keys."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

from tests.faults.application import LaterClock, drained, here
from tests.faults.application import bus_at as bus_with_settings
from tests.support.databases import Words, stranger
from tests.support.waiting import until

from sagabus import AsyncConnection, Bus, Context, Linear, RetryPolicy, Saga, Settings, event, handler, starts
from sagabus.errors import ForkedProcess, NoOpenTransaction, StoreError

TABLES = ("CREATE TABLE done (subscription TEXT, message_id TEXT, number INTEGER, attempt INTEGER)",)
DONE = "INSERT INTO done (subscription, message_id, number, attempt) VALUES (?, ?, ?, ?)"
TWICE = RetryPolicy(attempts=2, backoff=Linear(timedelta(milliseconds=1), step=timedelta(0)), jitter=False)
PATIENT = RetryPolicy(
    attempts=10_000,
    deaths=10_000,
    backoff=Linear(timedelta(milliseconds=1), step=timedelta(0)),
    jitter=False,
)
COUNT = 12


@event("faults.task")
class Task:
    number: int


@event("faults.move")
class Move:
    account: str
    amount: int


present = SimpleNamespace(terminate_at=-1, bus=None, url="", cured=False, folder="")
"""What handlers of this process have to know of it."""


def record(ctx: Context, number: int) -> None:
    ctx.execute(here.words.sql(DONE), (ctx.subscription, ctx.message_id, number, ctx.attempt))


def bus_at(url: str, incarnation: int, *definitions: object, **settings: object) -> Bus:
    return bus_with_settings(url, incarnation, *definitions, **{"lanes": 4, **settings})


async def publish_tasks(url: str, incarnation: int, kind: str, count: int = COUNT) -> None:
    """Put tasks before a worker that does not run yet."""
    bus = bus_at(url, incarnation, *definitions_of(kind))
    await bus.open(worker=False)
    await bus.publish_many([(Task(number=number), f"task-{number}") for number in range(count)])
    await bus.close()


async def work(url: str, incarnation: int, kind: str) -> None:
    """Handle what is there."""
    async with bus_at(url, incarnation, *definitions_of(kind)) as bus:
        await drained(bus)


# --- a message that takes its process with it -------------------------------------------------------------------------


@handler("aborting", key="number", retry=TWICE)
async def aborting(message: Task, ctx: Context) -> None:
    record(ctx, message.number)
    if message.number == 5:
        os.abort()
    await asyncio.sleep(0)


@handler("aborting-alone", retry=TWICE)
async def aborting_alone(message: Task, ctx: Context, connection: AsyncConnection) -> None:
    await here.words.execute(connection, DONE, (ctx.subscription, ctx.message_id, message.number, ctx.attempt))
    if message.number == 5:
        os.abort()


@handler("aborting-in-a-thread", thread=True, retry=TWICE)
def aborting_in_a_thread(message: Task, ctx: Context) -> None:
    record(ctx, message.number)
    if message.number == 5:
        os.abort()


@handler("killed", key="number", retry=TWICE)
async def killed(message: Task, ctx: Context) -> None:
    """As by a system that is out of memory."""
    await asyncio.sleep(0.001)
    record(ctx, message.number)
    if message.number == 5:
        os.kill(os.getpid(), signal.SIGKILL)


@handler("exiting", retry=TWICE)
async def exiting(message: Task, ctx: Context) -> None:
    record(ctx, message.number)
    await asyncio.sleep(0)
    if message.number in (5, 7):
        os._exit(7)


@handler("segfaulting", key="number", retry=TWICE)
def segfaulting(message: Task, ctx: Context) -> None:
    """A fault in native code."""
    record(ctx, message.number)
    if message.number == 5:
        ctypes.string_at(0)


# --- signals ----------------------------------------------------------------------------------------------------------


@handler("terminated", key="number", retry=TWICE)
async def terminated(message: Task, ctx: Context) -> None:
    """The number of this message says when the process is asked to stop; some are in hand, some run, some wait."""
    record(ctx, message.number)
    if message.number == present.terminate_at and ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.001 * (message.number % 3))


async def work_until_terminated(url: str, incarnation: int, at: int) -> None:
    """A worker with the usual manners: SIGTERM closes the bus."""
    present.terminate_at = at
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    async with bus_at(url, incarnation, terminated, concurrency=4, prefetch=8):
        await asked.wait()


# --- forks ------------------------------------------------------------------------------------------------------------


@handler("forking", key="number", retry=TWICE)
async def forking(message: Task, ctx: Context) -> None:
    """The child tries the parent's bus, is refused, and leaves the parent's locks and rows alone."""
    record(ctx, message.number)
    if message.number % 4 == 0:
        child = os.fork()
        if child == 0:
            code = 4
            try:
                code = await refused(message.number)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222  # nothing else is to run meanwhile
        assert os.waitstatus_to_exitcode(status) == 0, "the child could use the parent's bus"


async def refused(number: int) -> int:
    bus: Bus = present.bus
    try:
        await bus.store.append([], 1)
    except ForkedProcess as error:
        print(error)
    else:
        return 1
    try:
        # A connection of the child's own is welcome, and needs nothing of the parent's; this one has no transaction.
        bus.join(stranger(present.url))
    except NoOpenTransaction:
        pass
    else:
        return 2
    try:
        async with bus.transaction():
            return 3
    except ForkedProcess:
        return 0


async def work_and_fork(url: str, incarnation: int) -> None:
    async with bus_at(url, incarnation, forking) as bus:
        present.bus, present.url = bus, url
        await drained(bus)


# --- many processes ---------------------------------------------------------------------------------------------------


class Account(Saga, name="accounts", key="account", retry=PATIENT):
    """The state is a list of what was applied: a lost, doubled or forked transition shows."""

    account: str
    moves: tuple[str, ...] = ()
    balance: int = 0

    @starts
    def move(self, message: Move, ctx: Context) -> None:
        self.moves = (*self.moves, ctx.message_id)
        self.balance += message.amount
        record(ctx, message.amount)


@handler("mirror", retry=PATIENT)
async def mirror(message: Move, ctx: Context, connection: AsyncConnection) -> None:
    await here.words.execute(connection, DONE, (ctx.subscription, ctx.message_id, message.amount, 0))


MANY = (Account, mirror)


async def work_among_others(url: str, number: int, lease: int) -> None:
    """One of several workers on the real clock; ends when so many rows are there."""
    settings = {"lease": timedelta(milliseconds=lease), "lanes": 8}
    async with bus_at(url, 0, *MANY, **settings) as bus:

        async def are_there() -> bool:
            return await rows_in(bus) >= number

        await until(are_there, 60, every=0.01)


async def rows_in(bus: Bus) -> int:
    async with bus.transaction() as tx:
        (found,) = await here.words.execute(tx.connection, "SELECT count(*) FROM done")
    return int(found[0])


async def publish_moves(url: str, publisher: int, count: int) -> None:
    """One of several publishers of the same ids; each in another order."""
    bus = bus_at(url, 0, *MANY)
    await bus.open(worker=False)
    numbers = [(number * 7 + publisher * 13) % count for number in range(count)]
    for start in range(0, count, 10):
        await asyncio.gather(
            *(
                bus.publish(Move(account=f"account-{number % 5}", amount=number), message_id=f"move-{number}")
                for number in numbers[start : start + 10]
            )
        )
    await bus.close()


# --- beside the way: forgetting, and dead letters ---------------------------------------------------------------------


@handler("forgetting", retry=TWICE)
def forgetting(message: Task, ctx: Context) -> None:
    record(ctx, message.number)


async def forget(url: str, days_later: int) -> None:
    """Purge after more than a week, then deliver every message once more, as late as copies can be."""
    clock = LaterClock(timedelta(days=days_later))
    here.words = Words(url)
    async with Bus(url, forgetting, clock=clock, settings=Settings(lanes=4)) as bus:
        if days_later:
            await bus.purge()
        for number in range(COUNT):
            await bus.publish(Task(number=number), message_id=f"task-{number}", sent_at=LONG_AGO)
        await drained(bus)


LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


@handler("cured", retry=RetryPolicy(attempts=1))
def cured(message: Task, ctx: Context) -> None:
    if not present.cured:
        raise ValueError("not yet")
    record(ctx, message.number)


async def fail_all(url: str, incarnation: int) -> None:
    """Everything dies."""
    async with bus_at(url, incarnation, cured) as bus:
        await bus.publish_many([(Task(number=number), f"task-{number}") for number in range(COUNT)])
        await drained(bus)


async def replay_all(url: str, incarnation: int) -> None:
    """Every letter is replayed by an operator who clicks twice."""
    present.cured = True
    async with bus_at(url, incarnation, cured) as bus:
        letters = await bus.dead_letters.list(status=None)
        for letter in letters:
            await asyncio.gather(
                bus.dead_letters.replay(letter.id, reason="a test"), bus.dead_letters.replay(letter.id, reason="a test")
            )
        await drained(bus)


async def divide(url: str, lanes: int) -> None:
    """Change the number of lanes of any store."""
    bus = Bus(url)
    await bus.open(worker=False)
    await bus.store.divide(lanes)
    await bus.close()


async def open_unprivileged(path: str) -> None:
    """Try to use a file as somebody who may not."""
    if os.geteuid() == 0:
        for parent in Path(path).parents[:4]:
            with suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o011)
        os.seteuid(65534)
    try:
        await Bus(f"sqlite:///{path}", forgetting).open()
    except StoreError as error:
        print(f"{type(error).__name__}: {error}")


# --- native code that lets no other thread run ------------------------------------------------------------------------


@handler("holding", key="number", retry=TWICE)
async def holding(message: Task, ctx: Context) -> None:
    record(ctx, message.number)
    if present.folder:
        os.close(os.open(Path(present.folder, "begun"), os.O_WRONLY))  # waits until the test has opened it as well
        pipe, letter = os.open(Path(present.folder, "go-on"), os.O_RDWR), ctypes.create_string_buffer(1)
        # As a function of an extension that does not release the interpreter: not even the thread of the leases runs.
        assert ctypes.PyDLL(None).read(pipe, letter, 1) == 1


async def hold(url: str, incarnation: int, folder: str) -> None:
    """Handle what is there, without letting go of the interpreter before the test says so."""
    present.folder = folder
    await work(url, incarnation, "holding")


def definitions_of(kind: str) -> tuple[object, ...]:
    return {
        "aborting": (aborting,),
        "aborting-alone": (aborting_alone,),
        "aborting-in-a-thread": (aborting_in_a_thread,),
        "killed": (killed,),
        "exiting": (exiting,),
        "segfaulting": (segfaulting,),
        "terminated": (terminated,),
        "forking": (forking,),
        "holding": (holding,),
        "many": MANY,
    }[kind]

"""What a worker has to put up with: poison, hostile exceptions, hot keys, jumping clocks, name-sakes, bad files."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from tests.faults.nursery import Nursery
from tests.faults.oracle import prepare, query

from sagabus import (
    Bus,
    Connection,
    Context,
    Linear,
    RetryPolicy,
    Saga,
    Settings,
    event,
    failpoint,
    handler,
    handles,
    starts,
    timer,
)
from sagabus.clock import SECOND, SystemClock
from sagabus.errors import (
    MessageTooLarge,
    SchemaTooNew,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from sagabus.stores.sqlite import SqliteStore

TABLES = "CREATE TABLE done (number INTEGER, note TEXT)"
DONE = "INSERT INTO done VALUES (?, ?)"
FAST = {"backoff": Linear(timedelta(milliseconds=1), step=timedelta(0)), "jitter": False}
ONCE = RetryPolicy(attempts=1, transient_attempts=1)

pytestmark = pytest.mark.faults


@event("endurance.task")
class Task:
    number: int
    text: str = ""


@event("endurance.step")
class Step:
    key: str
    number: int


@pytest.fixture
def store(tmp_path: Path) -> Path:
    prepare(tmp_path / "bus.db", TABLES)
    return tmp_path / "bus.db"


def make_bus(store: Path, *definitions: object, **options: object) -> Bus:
    return Bus(f"sqlite:///{store}", *definitions, **options)


async def emptied(bus: Bus, store: Path) -> None:
    async with asyncio.timeout(30):
        while query(store, "SELECT 1 FROM sagabus_envelope"):
            await bus.idle()
            await asyncio.sleep(0.002)


def dead(store: Path) -> dict[str, tuple[str, int]]:
    return {row[0]: row[1:] for row in query(store, "SELECT message_id, error_type, attempts FROM sagabus_dead_letter")}


def numbers(store: Path) -> list[int]:
    return sorted(row[0] for row in query(store, "SELECT number FROM done"))


async def test_one_poison_in_a_hundred_costs_itself_only(store: Path) -> None:
    runs: Counter[int] = Counter()

    @handler("poisoned", retry=RetryPolicy(attempts=3, **FAST))
    def poisoned(message: Task, ctx: Context) -> None:
        runs[message.number] += 1
        ctx.execute(DONE, (message.number, ""))
        if message.number == 42:
            raise ValueError("poison")

    async with make_bus(store, poisoned) as bus:
        await bus.publish_many([(Task(number=n), f"t{n}") for n in range(100)])
        await emptied(bus, store)

    assert numbers(store) == [n for n in range(100) if n != 42]
    assert dead(store) == {"t42": ("ValueError", 3)}
    assert runs == Counter({n: 3 if n == 42 else 1 for n in range(100)})


async def test_attempts_are_counted_though_the_failed_transaction_rolls_back(store: Path) -> None:
    """Over several lives of the process: exactly as many runs as allowed."""
    runs: list[int] = []

    @handler("failing", retry=RetryPolicy(attempts=4, **FAST))
    def failing(message: Task, ctx: Context) -> None:
        runs.append(ctx.attempt)
        ctx.execute(DONE, (message.number, ""))
        raise ValueError("always")

    bus = make_bus(store, failing)
    await bus.open(worker=False)
    await bus.publish(Task(number=1), message_id="t1")
    await bus.close()
    while query(store, "SELECT 1 FROM sagabus_envelope"):
        async with bus:
            await bus.idle(20)

    assert runs == [1, 2, 3, 4]
    assert dead(store) == {"t1": ("ValueError", 4)}


def own_class() -> BaseException:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    return Unprintable()


HOSTILE: list[Callable[[], BaseException]] = [
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    StopIteration,
    StopAsyncIteration,
    RecursionError,
    MemoryError,
    BaseException,
    TimeoutError,
    own_class,
    lambda: ExceptionGroup("several", [ValueError("a"), ConnectionError("b")]),
    lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError("a")]),
]


@pytest.mark.parametrize("kind", ["async", "plain", "thread"])
async def test_whatever_a_handler_raises_the_worker_goes_on(kind: str, store: Path) -> None:
    def hostile(message: Task, ctx: Context) -> None:
        ctx.execute(DONE, (message.number, ""))
        if message.number < len(HOSTILE):
            raise HOSTILE[message.number]()  # noqa: RSE102  # some make their error

    async def hostile_async(message: Task, ctx: Context) -> None:
        await asyncio.sleep(0)
        hostile(message, ctx)

    made = handler("hostile", retry=ONCE, thread=kind == "thread")
    async with make_bus(store, made(hostile_async if kind == "async" else hostile)) as bus:
        for number in range(len(HOSTILE) + 3):
            await bus.publish(Task(number=number), message_id=f"t{number}")
        await emptied(bus, store)

    assert numbers(store) == [len(HOSTILE), len(HOSTILE) + 1, len(HOSTILE) + 2]
    assert set(dead(store)) == {f"t{number}" for number in range(len(HOSTILE))}


async def test_a_message_of_fifty_megabytes_is_refused_and_others_go_on(store: Path) -> None:
    @handler("reader")
    def reader(message: Task, ctx: Context) -> None:
        ctx.execute(DONE, (message.number, ""))

    async with make_bus(store, reader) as bus:
        with pytest.raises(MessageTooLarge, match=r"endurance.task: body of 5\d+ bytes exceeds the limit of 262144"):
            await bus.publish(Task(number=1, text="x" * 50_000_000), message_id="t1")
        await bus.publish(Task(number=1), message_id="t1")
        await emptied(bus, store)

    assert numbers(store) == [1]


async def test_a_handler_that_sends_fifty_megabytes_is_dead_lettered_at_once(store: Path) -> None:
    @handler("sender", retry=RetryPolicy(attempts=5, **FAST))
    def sender(message: Task, ctx: Context) -> None:
        ctx.execute(DONE, (message.number, ""))
        if message.number == 1:
            ctx.publish(Task(number=9, text="x" * 50_000_000))

    async with make_bus(store, sender) as bus:
        await bus.publish_many([(Task(number=n), f"t{n}") for n in range(3)])
        await emptied(bus, store)

    assert numbers(store) == [0, 2]
    assert dead(store) == {"t1": ("sagabus.errors.MessageTooLarge", 1)}


async def test_a_hot_key_holds_up_nobody_else(store: Path) -> None:
    """Two hundred slow messages of one key before it, and a cold key still gets its turn at once."""
    order: list[str] = []
    gate = asyncio.Event()

    @handler("keyed", key="key")
    async def keyed(message: Step) -> None:
        if message.key == "hot" and message.number == 0:
            await gate.wait()
        order.append(message.key)
        if message.key == "cold":
            gate.set()

    async with make_bus(store, keyed, settings=Settings(lanes=1)) as bus:
        await bus.publish_many([*(Step(key="hot", number=n) for n in range(200)), Step(key="cold", number=0)])
        await bus.idle(20)

    assert order[0] == "cold"
    assert order.count("hot") == 200


class JumpingClock(SystemClock):
    """A wall clock that an administrator sets while all is running."""

    offset = 0

    def now(self) -> int:
        return super().now() + self.offset


class Meter(Saga, name="meters", key="key"):
    key: str
    steps: tuple[int, ...] = ()

    @starts
    def step(self, message: Step, ctx: Context) -> None:
        self.steps = (*self.steps, message.number)
        ctx.execute(DONE, (message.number, self.key))
        ctx.set_timer("late", after=timedelta(hours=1))

    @timer("late")
    def late(self, ctx: Context) -> None:
        ctx.execute(DONE, (-1, self.key))


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(minutes=-5), timedelta(minutes=5)])
async def test_a_jump_of_the_wall_clock_stops_nobody_and_doubles_nothing(jump: timedelta, store: Path) -> None:
    clock = JumpingClock()
    async with make_bus(store, Meter, clock=clock, settings=Settings(lease=timedelta(milliseconds=200))) as bus:
        for number in range(40):
            if number == 20:
                clock.offset += int(jump.total_seconds() * SECOND)
            await bus.publish(Step(key=f"k{number % 3}", number=number), message_id=f"s{number}")
        await bus.idle(20)
        async with make_bus(store, Meter, clock=clock) as other:
            await other.publish(Step(key="k0", number=40), message_id="s40")
            await other.idle(20)

    assert numbers(store) == list(range(41))
    assert [row[0] for row in query(store, "SELECT state ->> 'steps' FROM sagabus_instance WHERE key = 'k1'")] == [
        "[" + ",".join(str(number) for number in range(40) if number % 3 == 1) + "]"
    ]


async def test_a_clock_set_forward_fires_timers_once(store: Path) -> None:
    clock = JumpingClock()
    async with make_bus(store, Meter, clock=clock) as bus:
        await bus.publish(Step(key="a", number=0), message_id="s0")
        await bus.idle(20)
        clock.offset += 7200 * SECOND
        await emptied(bus, store)
        clock.offset -= 7200 * SECOND
        await bus.idle(20)

    assert numbers(store) == [-1, 0]


@event("endurance.started")
class Started:
    key: str
    number: int


class Race(Saga, name="races", key="key"):
    key: str
    cancelled: bool = False

    @starts
    def begin(self, message: Started, ctx: Context) -> None:
        ctx.set_timer("race", after=timedelta(milliseconds=message.number % 4))

    @handles
    def cancel(self, message: Step, ctx: Context) -> None:
        ctx.cancel_timer("race")
        self.cancelled = True
        ctx.execute(DONE, (0, f"cancelled {self.key}"))

    @timer("race")
    def fire(self, ctx: Context) -> None:
        ctx.execute(DONE, (1, f"fired {self.key} {'too late' if self.cancelled else 'in time'}"))


async def test_a_timer_and_its_cancellation_race_and_one_of_them_wins(store: Path) -> None:
    async with make_bus(store, Race) as bus:
        for number in range(200):
            await bus.publish(Started(key=f"k{number}", number=number))
            if number % 2:
                await bus.idle(20)
            await bus.publish(Step(key=f"k{number}", number=number))
        await emptied(bus, store)

    notes = Counter(row[0] for row in query(store, "SELECT note FROM done"))
    assert set(notes.values()) == {1}
    assert sum(note.startswith("cancelled") for note in notes) == 200
    assert [note for note in notes if note.endswith("too late")] == []


async def test_workers_never_share_a_name(store: Path) -> None:
    """Not the host's name, not the process id: a new one at every start, also of the same bus object."""

    @handler("anybody")
    def anybody(message: Task) -> None: ...

    seen = set()
    buses = [make_bus(store, anybody) for _ in range(3)]
    for _ in range(2):
        for bus in buses:
            await bus.open()
        seen |= {row[0] for row in query(store, "SELECT worker FROM sagabus_worker")}
        for bus in buses:
            await bus.close()

    assert len(seen) == 6


async def test_every_connection_that_writes_is_as_durable_as_promised(store: Path) -> None:
    sqlite = SqliteStore(store)
    await sqlite.open()
    connections = [sqlite._write_connection, sqlite._unit_connection, sqlite._read_connection]

    assert {connection.execute("PRAGMA synchronous").get for connection in connections} == {2}
    assert {connection.execute("PRAGMA journal_mode").get for connection in connections} == {"wal"}
    assert {connection.execute("PRAGMA mmap_size").get for connection in connections} == {0}
    await sqlite.close()


def content(path: Path) -> object:
    if not path.is_file():
        return None
    try:
        return query(path, "SELECT sql FROM sqlite_schema"), query(path, "SELECT * FROM sagabus_schema_version")
    except sqlite3.DatabaseError:
        return path.read_bytes()


def not_a_database(path: Path) -> None:
    path.write_bytes(b"this is a letter to my aunt, and no database" * 200)


def torn(path: Path) -> None:
    prepare(path, TABLES)
    path.write_bytes(path.read_bytes()[:100] + bytes(4000))


def a_folder(path: Path) -> None:
    path.mkdir()


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE sagabus_schema_version (version INTEGER, checksum TEXT, applied_at INTEGER)")
        connection.execute("INSERT INTO sagabus_schema_version VALUES (99, 'x', 0)")
        connection.commit()


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE sagabus_schema_version (version INTEGER, checksum TEXT, applied_at INTEGER)")
        connection.execute("INSERT INTO sagabus_schema_version VALUES (1, 'another', 0)")
        connection.commit()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (not_a_database, StoreCorrupt),
        (torn, StoreCorrupt),
        (a_folder, StoreUnavailable),
        (newer, SchemaTooNew),
        (foreign, StoreCorrupt),
        (lambda path: path.symlink_to(path.parent / "nowhere" / "bus.db"), StoreUnavailable),
    ],
)
async def test_a_file_that_cannot_be_used_is_named_and_left_alone(
    make: Callable[[Path], None], error: type[StoreError], tmp_path: Path
) -> None:
    @handler("anybody")
    def anybody(message: Task) -> None: ...

    path = tmp_path / "bad.db"
    make(path)
    before = content(path)

    with pytest.raises(error, match=str(path)):
        await make_bus(path, anybody).open()

    assert content(path) == before


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_a_file_without_permission_is_named(mode: int, nursery: Nursery, tmp_path: Path) -> None:
    """In a process without privileges: root may read and write everything."""
    path = tmp_path / "private.db"
    prepare(path, TABLES)
    path.chmod(mode)

    end = nursery.run("tests.faults.programs:open_unprivileged", path)

    assert end.log.strip() == f"{StoreReadOnly.__name__}: {path}: no permission to read and write it"


@pytest.mark.parametrize("name", ["append.inbox_written", "append.envelopes_written", "append.before_commit"])
async def test_an_id_is_remembered_with_its_message_or_not_at_all(name: str, store: Path) -> None:
    """A publish that fails behind the inbox row leaves no row that would make its repetition a duplicate."""

    @handler("reader")
    def reader(message: Task, ctx: Context) -> None:
        ctx.execute(DONE, (message.number, ""))

    async with make_bus(store, reader) as bus:
        failpoint.arm(f"{name}=raise:StoreFull")
        with pytest.raises(StoreFull):
            await bus.publish(Task(number=1), message_id="t1")
        assert query(store, "SELECT * FROM sagabus_inbox") == []

        receipt = await bus.publish(Task(number=1), message_id="t1")
        await emptied(bus, store)

    assert receipt.status == "accepted"
    assert numbers(store) == [1]


@pytest.mark.parametrize("name", ["append.after_commit", "append.answered"])
async def test_a_publish_that_failed_after_its_commit_is_a_duplicate_when_repeated(name: str, store: Path) -> None:
    @handler("reader")
    def reader(message: Task, ctx: Context) -> None:
        ctx.execute(DONE, (message.number, ""))

    async with make_bus(store, reader) as bus:
        failpoint.arm(f"{name}=raise:StoreUnavailable")
        if name == "append.after_commit":
            with pytest.raises(StoreUnavailable):
                await bus.publish(Task(number=1), message_id="t1")
        else:
            await bus.publish(Task(number=1), message_id="t1")

        receipt = await bus.publish(Task(number=1), message_id="t1")
        await emptied(bus, store)

    assert receipt.status == "duplicate"
    assert numbers(store) == [1]


@pytest.mark.parametrize("name", ["commit.after_commit", "commit.settled", "unit.after_commit"])
async def test_a_commit_reported_as_failed_is_decided_by_the_rows(name: str, store: Path) -> None:
    """Done, then reported as failed: the runs are repeated, find their messages gone, and leave nothing."""

    @handler("buffered", key="number")
    def buffered(message: Task, ctx: Context) -> None:
        ctx.execute(DONE, (message.number, "buffered"))

    @handler("open", key="number")
    def with_connection(message: Task, ctx: Context, connection: Connection) -> None:
        connection.execute(DONE, (message.number, "open"))

    settings = Settings(lease=timedelta(milliseconds=300))
    async with make_bus(store, buffered, with_connection, settings=settings) as bus:
        failpoint.arm(f"{name}=raise:StoreUnavailable")
        await bus.publish_many([(Task(number=n), f"t{n}") for n in range(5)])
        await emptied(bus, store)
        await bus.publish(Task(number=5), message_id="t5")
        await bus.idle(20)

    assert sorted(query(store, "SELECT number, note FROM done")) == sorted(
        (number, note) for number in range(6) for note in ("buffered", "open")
    )
    assert dead(store) == {}

"""Everything about a bus that you may set, with safe defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from sagabus.clock import span_problems
from sagabus.envelope import MOST_LANES
from sagabus.errors import ConfigurationError
from sagabus.policies.deduplication import SHORTEST_WINDOW, Deduplication


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one bus. ConfigurationError lists every invalid one."""

    concurrency: int = 100
    """How many handlers may wait at the same time in one process. Keys run concurrently, messages of one key never do.
    """
    prefetch: int = 8_000
    """About the maximum of in-flight messages per subscription and worker. After a crash, a death is counted before
    each runs.
    """
    prefetch_bytes: int = 64 << 20
    """About the maximum of bytes in flight per worker, over all subscriptions. One message of each lane is always
    allowed.
    """
    state_bytes: int = 128 << 20
    """About the maximum of bytes in which a worker keeps states of sagas that have nothing in flight, 1,100 bytes for
    each besides its own. A state that is not kept is read from the store with the next message of its key.
    """
    lease: timedelta = timedelta(seconds=10)
    """How long a crashed worker keeps its lanes."""
    timeout: timedelta | None = timedelta(minutes=10)
    """How long one run of a handler may take. Then it is cancelled and has failed. None: without limit."""
    warn_after: timedelta = timedelta(seconds=30)
    """How long a run may last before the log says so."""
    threads: int = 32
    """Handlers with `thread=True` that may run at the same time in one process."""
    grace: timedelta = timedelta(seconds=30)
    """How long running handlers may take to finish when the bus is closed; then they are rolled back."""
    retention: timedelta = timedelta(days=7)
    """How long de-duplication records, finished sagas and closed dead letters are kept (R of the guarantee)."""
    history_retention: timedelta | None = None
    """How long the rows of sagas with `history=True` are kept; None: as long as their de-duplication records."""
    journal: Literal["off", "sampled", "all"] = "off"
    """Whether each handled message leaves a row in the store, in its commit and without its body: see
    docs/inspection.md. "sampled" takes whole conversations.
    """
    journal_sample: float = 0.01
    """The share of the conversations that `journal="sampled"` takes, from 0 to 1."""
    journal_retention: timedelta | None = None
    """How long the rows of the journal are kept; None: as long as de-duplication records."""
    audit_retention: timedelta = timedelta(days=365)
    """How long the audit log keeps what operators have changed."""
    short_retention: bool = False
    """True allows a retention under 24 hours."""
    purge_every: timedelta = timedelta(minutes=1)
    stuck_every: timedelta = timedelta(seconds=30)
    """How often a worker looks for instances of sagas with `stuck_after` that have not changed for too long."""
    purge_limit: int = 1_000
    """Rows of a kind that one purge removes at most."""
    max_message_size: int = 262_144
    max_message_depth: int = 32
    max_hops: int = 10_000
    """How many messages handlers may send to one another in a row, with no delay in between, before it is a loop."""
    max_sent: int = 10_000
    """How many messages and timers one run of a handler, one `bus.transaction()` or one `publish_many` may send. A
    message to many receivers counts once.
    """
    max_sent_bytes: int = 128 << 20
    """How many bytes of messages they may have, once for each receiver, and how many bytes of statements one run may
    give `ctx.execute`. One message, or one statement, always passes.
    """
    unheard: Literal["warn", "refuse"] = "warn"
    """What happens to an event that no subscription receives: a warning once per type, or Unroutable."""
    unknown_type_wait: timedelta = timedelta(0)
    """How long a message from a broker waits for a subscription to its type, before it becomes a dead letter. Set it
    for deployments that begin with the senders.
    """
    deduplication: Mapping[type, Deduplication | None] = field(default_factory=dict[type, Deduplication | None])
    """Per message class, for subscriptions without a rule of their own; None excludes the class from de-duplication."""
    lanes: int | None = None
    """Shares of each channel, the most workers that one channel can occupy: for a store that is made (16 for None). One
    that exists has its number, which `sagabus lanes` changes; a bus that asks for another says so in its log."""

    durability: Literal["require", "warn", "accept"] = "warn"
    """What a bus does if a crash of the machine may lose commits of its store, for example with
    `synchronous_commit=off`. With "require" it refuses to open, with "warn" it logs a WARNING for each reason, and with
    "accept" it says nothing.
    """
    redact: Callable[[str], str] | None = None
    """Gets the text, and then the traceback, of each error that becomes a record: of a retry, a dead letter, a line of
    the log. What it returns is kept instead. Values of `Hidden` fields are left out before.
    """

    def __post_init__(self) -> None:
        problems = [*self._of_counts(), *self._of_choices(), *self._of_durations()]
        if problems:
            raise ConfigurationError(*problems)

    def _of_counts(self) -> Iterator[str]:
        for name in _COUNTS:
            value: object = getattr(self, name)
            if value is None and name == "lanes":
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                yield f"Settings.{name} must be a whole number, not {value!r}"
            elif value < 1:
                yield f"Settings.{name} must be at least 1, not {value}"
            elif name == "lanes" and value > MOST_LANES:
                yield f"Settings.lanes must be at most {MOST_LANES}, not {value}"

    def _of_choices(self) -> Iterator[str]:
        if self.unheard not in ("warn", "refuse"):
            yield f"Settings.unheard must be 'warn' or 'refuse', not {self.unheard!r}"
        if self.durability not in ("require", "warn", "accept"):
            yield f'Settings.durability must be "require", "warn" or "accept", not {self.durability!r}'
        redact: object = self.redact
        if redact is not None and not callable(redact):
            yield f"Settings.redact must be a function that gets a text and returns one, not {redact!r}"
        if self.journal not in ("off", "sampled", "all"):
            yield f'Settings.journal must be "off", "sampled" or "all", not {self.journal!r}'
        given: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        share, short, rules = given["journal_sample"], given["short_retention"], given["deduplication"]
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1:
            yield f"Settings.journal_sample must be from 0 to 1, not {share!r}"
        if not isinstance(short, bool):
            yield f"Settings.short_retention must be True or False, not {short!r}"
        if not isinstance(rules, Mapping):
            yield f"Settings.deduplication must be a mapping from message classes to rules, not {rules!r}"

    def _of_durations(self) -> Iterator[str]:
        durations = {name: getattr(self, name) for name in _DURATIONS}
        durations = {name: value for name, value in durations.items() if value is not None or name not in _MAY_BE_NONE}
        yield from span_problems("Settings", **durations)
        for name, value in durations.items():
            if name not in _MAY_BE_ZERO and value == timedelta(0):
                yield f"Settings.{name} must be greater than zero"
        if _is_short(self.retention) and self.short_retention is not True:
            yield f"Settings.retention of {self.retention} is under 24 hours: pass short_retention=True to allow it"


_COUNTS: tuple[str, ...] = (
    *("concurrency", "prefetch", "prefetch_bytes", "state_bytes", "threads", "purge_limit", "lanes"),
    *("max_message_size", "max_message_depth", "max_hops", "max_sent", "max_sent_bytes"),
)
_DURATIONS: tuple[str, ...] = (
    *("lease", "grace", "purge_every", "stuck_every", "retention", "history_retention", "journal_retention"),
    *("audit_retention", "warn_after", "timeout", "unknown_type_wait"),
)
_MAY_BE_NONE = ("timeout", "history_retention", "journal_retention")
_MAY_BE_ZERO = ("grace", "unknown_type_wait")


def _is_short(retention: object) -> bool:
    return isinstance(retention, timedelta) and timedelta(0) < retention < SHORTEST_WINDOW

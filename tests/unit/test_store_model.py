"""A store against a dictionary: whatever happens in whatever order, both say the same, and the guarantees hold."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.store_model import LANES, Content, Letter, Model, Row, content_of, lane_of

from sagabus.clock import Clock
from sagabus.envelope import Cause, Envelope
from sagabus.outcome import (
    Admission,
    Completed,
    DeadLettered,
    Discarded,
    Effects,
    Failure,
    Marked,
    Outcome,
    RetryAt,
    Save,
    Stashed,
    Verdict,
)
from sagabus.store import Batch, Cursor, ReplayResult, Retention, Store, Subscription
from sagabus.stores.memory import MemoryStore
from sagabus.stores.sqlite import SqliteStore
from sagabus.testing.clock import ManualClock

CHANNEL = "orders"
SECOND, DAY = 1_000_000, 86_400_000_000
SUBSCRIPTION = Subscription(message_type="t", channel=CHANNEL, kind="event")

keys = st.sampled_from(["a", "b", "c"])
workers = st.sampled_from(["w1", "w2"])
picks = st.integers(min_value=0, max_value=1000)
ends: st.SearchStrategy[Callable[[Envelope], Outcome]] = st.sampled_from(
    [
        lambda each: RetryAt(envelope=each, delay=0, failure=Failure("E", "e")),
        lambda each: RetryAt(envelope=each, delay=20 * SECOND, failure=Failure("E", "e")),
        lambda each: RetryAt(envelope=each, delay=20 * SECOND, failure=Failure("E", "e"), holds=False),
        lambda each: RetryAt(envelope=each, delay=0, failure=Failure("E", "e"), deaths=-1),
        Marked,
        lambda each: Marked(each, deaths=-1),
        lambda each: Stashed(each, 60 * SECOND),
        lambda each: Stashed(each, 60 * SECOND, deaths=-1),
        lambda each: DeadLettered(cause=Cause.FAILED, envelope=each, reason="no"),
        lambda each: DeadLettered(cause=Cause.FAILED, envelope=each, reason="no", parks=True),
        lambda each: Discarded(each, "no"),
    ]
)


def is_markable(row: Row, outcome: Marked) -> bool:
    if outcome.deaths < 0:
        return row.deaths > 0
    return (row.attempt, row.deaths) == (outcome.envelope.attempt, outcome.envelope.deaths)


class StoreMachine(RuleBasedStateMachine):
    """Drives one store and the model side by side. A subclass says how to make the store."""

    def make_store(self, clock: Clock) -> Store:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = Model()
        self.runner = asyncio.Runner()
        self.store = self.make_store(self.clock)
        self.run(self.store.open())
        self.version = self.run(self.store.register([SUBSCRIPTION])).version
        self.leases: dict[str, dict[int, int]] = {"w1": {}, "w2": {}}
        self.hand: list[tuple[str, Envelope, int]] = []
        """What was handed out, to whom, at which version of its instance: late commits are part of life."""
        self.sent: list[Envelope] = []
        self.number = 0

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()

    def new_envelope(self, key: str, *, age: int = 0, **fields: Any) -> Envelope:
        self.number += 1
        return Envelope(
            message_id=f"m{self.number}",
            message_type="t",
            body=b"1",
            channel=CHANNEL,
            lane=lane_of(key),
            partition_key=key,
            sent_at=self.clock.now() - age,
            **fields,
        )

    # --- the way in

    def append(self, envelope: Envelope) -> None:
        assert envelope.partition_key is not None
        row = Row(envelope.partition_key, envelope.sent_at)
        expected = self.model.admit(content_of(envelope), row)

        assert self.run(self.store.append([envelope], self.version)) == [expected]

    @initialize(several=st.lists(keys, min_size=3, max_size=6))
    def begin(self, several: list[str]) -> None:
        for key in several:
            self.publish(key, 0)

    @rule(key=keys, age=st.sampled_from([0, 0, 0, SECOND, 3 * DAY]))
    def publish(self, key: str, age: int) -> None:
        envelope = self.new_envelope(key, age=age, guarded=True)
        self.sent.append(envelope)
        self.append(envelope)

    @precondition(lambda self: self.sent)
    @rule(pick=picks, collides=st.booleans())
    def publish_again(self, pick: int, collides: bool) -> None:
        envelope = self.sent[pick % len(self.sent)]
        self.append(Envelope(**{**_fields(envelope), "body": b"2"}) if collides else envelope)

    # --- workers

    @rule(worker=workers)
    def lease(self, worker: str) -> None:
        lanes = self.run(self.store.lease(worker, [CHANNEL], duration=30 * SECOND, window=10))
        for lane in lanes:
            known = self.model.epochs.get(lane.lane, 0)
            assert lane.epoch > known or (lane.epoch == known and self.model.owners[lane.lane] == worker)
            self.model.epochs[lane.lane] = lane.epoch
            self.model.owners[lane.lane] = worker
        self.leases[worker] = {lane.lane: lane.epoch for lane in lanes}

    @rule(worker=workers)
    def release(self, worker: str) -> None:
        self.run(self.store.release(worker))

    @rule(worker=workers)
    def fetch(self, worker: str) -> None:
        if not self.leases[worker]:
            self.lease(worker)
        lanes = set(self.leases[worker])
        fetched = self.run(self.store.fetch([Cursor(CHANNEL, lane, 0) for lane in lanes], 1000)).envelopes

        assert Counter(map(content_of, fetched)) == Counter(self.model.due(lanes, self.clock.now()))
        self.hand = [
            *self.hand[-4:],
            *((worker, each, self.model.version_of(str(each.partition_key))) for each in fetched),
        ]

    def choose(self, pick: int) -> tuple[str, Envelope, int] | None:
        """Mostly something due now, sometimes something that was handed out long ago and may be settled."""
        if pick % 4:
            worker = "w1" if pick % 3 else "w2"
            self.lease(worker)
            self.fetch(worker)
        return self.hand[-1 - pick % len(self.hand)] if self.hand else None

    # --- the way on

    @precondition(lambda self: self.model.stored or self.hand)
    @rule(pick=picks, does=st.sampled_from(["nothing", "set", "cancel", "complete", "send"]))
    def complete(self, pick: int, does: str) -> None:
        if (chosen := self.choose(pick)) is None:
            return
        worker, envelope, seen = chosen
        key = str(envelope.partition_key)
        sent: tuple[Envelope, ...] = ()
        if does == "set":
            sent = (self.new_envelope(key, timer="payment", delay=60 * SECOND),)
        elif does == "send":
            sent = (self.new_envelope("c", guarded=True),)
        effects = Effects(
            save=Save(
                saga=CHANNEL,
                key=key,
                base=seen,
                state=b"{}",
                status=None,
                timers={},
                completed=does == "complete",
                recorded=True,
            ),
            sent=sent,
            cancelled=("payment",) if does == "cancel" else (),
        )

        if self.commit(worker, Completed(envelope, effects), seen=seen) is Verdict.COMMITTED:
            self.model.take_effect(content_of(envelope), effects, self.clock.now())

    @precondition(lambda self: self.model.stored or self.hand)
    @rule(pick=picks, end=ends)
    def end_otherwise(self, pick: int, end: Callable[[Envelope], Outcome]) -> None:
        if (chosen := self.choose(pick)) is None:
            return
        worker, envelope, _ = chosen
        outcome = end(envelope)

        if self.commit(worker, outcome) is Verdict.COMMITTED:
            self.model.settle(outcome, self.clock.now())

    def commit(self, worker: str, outcome: Outcome, seen: int | None = None) -> Verdict:
        lanes = self.leases[worker]
        held = {(CHANNEL, lane): epoch for lane, epoch in lanes.items()}
        expected = self.verdict(lanes, outcome, seen)

        answers = self.run(self.store.commit(Batch([outcome], self.version, held)))

        assert [answer.verdict for answer in answers] == [expected]
        return expected

    def verdict(self, lanes: dict[int, int], outcome: Outcome, seen: int | None) -> Verdict:
        envelope = outcome.envelope
        row = self.model.stored.get(content_of(envelope))
        is_mark = isinstance(outcome, RetryAt | Stashed)
        if row is None or self.positions().get(content_of(envelope)) != envelope.position:
            return Verdict.GONE
        if lanes.get(envelope.lane, self.model.epochs.get(envelope.lane)) != self.model.epochs.get(envelope.lane):
            return Verdict.FENCED
        if is_mark and row.attempt != envelope.attempt:
            return Verdict.GONE
        if isinstance(outcome, Marked) and not is_markable(row, outcome):
            return Verdict.GONE
        if seen is not None and seen != self.model.version_of(row.key):
            return Verdict.CONFLICT
        return Verdict.COMMITTED

    def positions(self) -> dict[Content, int]:
        """A replayed message is a new envelope; only the store knows where."""
        found = self.run(self.store.inspect.envelopes(CHANNEL, limit=10_000))
        return {content_of(each): each.position for each in found}

    # --- operators and time

    @precondition(lambda self: self.model.letters)
    @rule(pick=picks)
    def replay(self, pick: int) -> None:
        letter_id, content, letter = self.some_letter(pick)
        force = letter.kind == Admission.COLLISION.value and pick % 2 == 0 and content not in self.model.accepted
        expected = self.replay_result(content, letter, force=force)

        assert self.run(self.store.replay(letter_id, force=force)) is expected

        if expected is ReplayResult.DONE:
            letter.status = "replayed"
            self.model.stored[content] = Row(letter.row.key, letter.row.sent_at, is_timer=letter.row.is_timer)
            self.model.accepted.add(content)
            if letter.parked:
                self.model.holds[letter.row.key] = content
        elif expected is ReplayResult.ALREADY_DONE and letter.status == "open":
            self.close(content, letter)

    def replay_result(self, content: Content, letter: Letter, *, force: bool) -> ReplayResult:
        if letter.status != "open":
            return ReplayResult.ALREADY_DONE
        if letter.kind == Admission.COLLISION.value and not force:
            return ReplayResult.COLLISION
        if letter.row.sent_at < self.model.horizon and not force:
            return ReplayResult.TOO_OLD
        replaced = letter.row.is_timer and self.model.timers(letter.row.key)
        return ReplayResult.ALREADY_DONE if replaced else ReplayResult.DONE

    @precondition(lambda self: self.model.letters)
    @rule(pick=picks)
    def discard(self, pick: int) -> None:
        letter_id, content, letter = self.some_letter(pick)
        expected = ReplayResult.DONE if letter.status == "open" else ReplayResult.ALREADY_DONE

        assert self.run(self.store.discard(letter_id)) is expected

        if expected is ReplayResult.DONE:
            self.close(content, letter)

    def close(self, content: Content, letter: Letter) -> None:
        letter.status = "discarded"
        self.model.withdrawn.add(content)
        if letter.parked:
            self.model.holds.pop(letter.row.key, None)

    def some_letter(self, pick: int) -> tuple[int, Content, Letter]:
        letters = self.run(self.store.inspect.dead_letters(status=None, limit=10_000))
        letter = letters[pick % len(letters)]
        content = content_of(letter.envelope)
        return letter.id, content, self.model.letters[content]

    @rule(limit=st.integers(min_value=1, max_value=4))
    def purge(self, limit: int) -> None:
        while self.run(self.store.purge([Retention(CHANNEL, DAY)], limit)).more:
            pass
        cutoff = self.clock.now() - DAY
        model = self.model
        model.horizon = max(model.horizon, cutoff)
        model.inbox = {name: row for name, row in model.inbox.items() if row[1] >= cutoff}
        model.versions = {key: row for key, row in model.versions.items() if row[1] is None or row[1] >= cutoff}
        model.history = [row for row in model.history if row[3] >= cutoff]
        kept = {content_of(each.envelope) for each in self.run(self.store.inspect.dead_letters(status=None))}
        assert all(letter.status != "open" for content, letter in model.letters.items() if content not in kept)
        model.letters = {content: letter for content, letter in model.letters.items() if content in kept}

    @rule(seconds=st.sampled_from([1, 25, 60, 3600, 2 * 86_400]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @rule(hours=st.sampled_from([-50, -1, 50]))
    def set_clock(self, hours: int) -> None:
        self.clock.jump(timedelta(hours=hours))

    # --- what holds at any time

    @invariant()
    def g1_no_message_takes_effect_twice(self) -> None:
        assert all(times == 1 for times in self.model.effects.values())

    @invariant()
    def g2_every_accepted_message_is_somewhere(self) -> None:
        stored = Counter(map(content_of, self.run(self.store.inspect.envelopes(CHANNEL, limit=10_000))))
        letters = self.run(self.store.inspect.dead_letters(status=None, limit=10_000))
        model = self.model

        assert stored == Counter(list(model.stored))
        assert {content_of(each.envelope): (each.status, each.parked) for each in letters if each.status == "open"} == {
            content: (letter.status, letter.parked)
            for content, letter in model.letters.items()
            if letter.status == "open"
        }
        found = {*stored, *model.effects, *model.withdrawn, *map(content_of, (each.envelope for each in letters))}
        assert model.accepted <= found

    @invariant()
    def g4_each_instance_is_one_chain_of_versions(self) -> None:
        loaded = self.run(self.store.load(CHANNEL, ["a", "b", "c"]))
        found = {each.key: each.instance.version for each in loaded if each.instance is not None}

        assert found == {key: version for key, (version, _) in self.model.versions.items()}

    @invariant()
    def each_transition_is_recorded_once_in_order(self) -> None:
        key = "abc"[self.number % 3]  # each in its turn: a look costs as much as a step
        found = self.run(self.store.inspect.history(CHANNEL, key))

        assert [(key, each.version, each.message_id, each.at) for each in found] == [
            row for row in self.model.history if row[0] == key
        ]

    @invariant()
    def g8_nothing_accepted_before_is_forgotten_above_the_horizon(self) -> None:
        for envelope in self.sent:
            if content_of(envelope) in self.model.accepted and envelope.sent_at >= self.model.horizon:
                assert envelope.message_id in self.model.inbox


def _fields(envelope: Envelope) -> dict[str, Any]:
    return {name: getattr(envelope, name) for name in envelope.__struct_fields__}


class MemoryMachine(StoreMachine):
    def make_store(self, clock: Clock) -> Store:
        return MemoryStore(clock, lanes=LANES)


class TestMemoryStoreAgainstTheModel(MemoryMachine.TestCase):
    settings = settings(max_examples=50, stateful_step_count=30, deadline=None, derandomize=True)


class SqliteMachine(StoreMachine):
    def make_store(self, clock: Clock) -> Store:
        self.folder = TemporaryDirectory()
        return SqliteStore(Path(self.folder.name) / "bus.db", clock=clock, lanes=LANES)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class TestSqliteStoreAgainstTheModel(SqliteMachine.TestCase):
    settings = settings(max_examples=25, stateful_step_count=30, deadline=None, derandomize=True)

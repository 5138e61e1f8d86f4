"""What is written as lines of text arrives in PostgreSQL as it was, or is not written so at all."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Effects, Save
from sagabus.store import Batch
from sagabus.stores.postgres import row_text
from sagabus.stores.postgres.flushing import HotStatements
from sagabus.stores.sql import rows
from sagabus.stores.sql.appending import inbox_row, scheduled
from sagabus.stores.sql.dialect import table_names
from sagabus.stores.sql.planning import Plan

URL = os.environ.get("SAGABUS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
NOW = 1_800_000_000_000_000
MARKS = "\x1f\x1e\x1a"

MESSAGE = Envelope(message_id="m", message_type="t", body=b"{}", channel="orders", partition_key="k", position=1)
SAVE = Save(saga="orders", key="k", base=0, state=b"{}", status=None, timers={}, completed=False)

text = st.text(
    st.one_of(st.sampled_from("a\"'\\{},\t\n\r \u20ac\U0001f600NUL"), st.characters(codec="utf-8")), max_size=8
)
clean = text.filter(lambda given: not set(given) & {*MARKS, "\0"})
number = st.integers(0, 2**31 - 1)
large = st.integers(-(2**62), 2**62)


def envelopes(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Envelope]:
    return st.builds(
        Envelope,
        message_id=texts,
        message_type=texts,
        body=texts.map(str.encode),
        channel=texts,
        lane=number,
        partition_key=st.none() | texts,
        headers=st.none() | st.dictionaries(texts, texts, max_size=2),
        correlation_id=st.none() | texts,
        causation_id=st.none() | texts,
        sent_at=large,
        due_at=st.sampled_from([0, 0, 1, NOW]),
        delay=st.sampled_from([0, 0, 0, 5]),
        attempt=st.sampled_from([0, 0, 3]),
        failed_at=st.none() | large,
        timer=st.none() | texts,
        stashed=st.booleans(),
        hops=number,
        guarded=st.booleans(),
    )


saves = st.builds(
    Save,
    saga=clean,
    key=clean,
    base=number,
    state=clean.map(str.encode),
    status=st.none() | clean,
    timers=st.dictionaries(clean, clean, max_size=2),
    completed=st.booleans(),
    shape=st.none() | clean,
)


class Server:
    """One connection, for tests that are not coroutines."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection: Any = self._loop.run_until_complete(asyncpg.connect(URL))

    def rows(self, set_of_rows: str, columns: str, parameter: str) -> list[tuple[Any, ...]]:
        found = self._connection.fetch(f"SELECT {columns} FROM {set_of_rows} AS r", parameter)
        return [tuple(row) for row in self._loop.run_until_complete(found)]

    def close(self) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        made = Server()
    except OSError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no server for postgres: {error}")
    yield made
    made.close()


often = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@often
@given(found=st.lists(envelopes(clean), max_size=5))
def test_envelopes_arrive_as_they_were(server: Server, found: list[Envelope]) -> None:
    packed = row_text.packed_envelopes(found, NOW)
    assert packed is not None
    expected = [scheduled(envelope, NOW) for envelope in found]
    assert server.rows(row_text.envelopes("$1"), rows.ENVELOPE_COLUMNS, packed) == expected


@often
@given(found=st.lists(envelopes(clean), max_size=5))
def test_envelopes_from_outside_arrive_with_their_records(server: Server, found: list[Envelope]) -> None:
    packed = row_text.packed_given(found, NOW)
    assert packed is not None
    columns = f"guarded, fingerprint, stamp, origin, {rows.ENVELOPE_COLUMNS}"
    expected = [(*guard(envelope), *scheduled(envelope, NOW)) for envelope in found]
    assert server.rows(row_text.given("$1"), columns, packed) == expected


def guard(envelope: Envelope) -> tuple[object, ...]:
    return (1, *inbox_row(envelope, NOW)[2:], envelope.sent_at) if envelope.guarded else (0, None, None, None)


@often
@given(found=st.lists(st.tuples(number, saves), max_size=5))
def test_instances_arrive_as_they_were(server: Server, found: list[tuple[int, Save]]) -> None:
    packed = row_text.packed_saves(found, NOW)
    assert packed is not None
    columns = "saga, key, version, read_version, state, status, timers, completed_at, shape"
    for row, (base, save) in zip(server.rows(row_text.instances("$1"), columns, packed), found, strict=True):
        state = save.state.decode()
        assert row[:6] == (save.saga, save.key, save.version, base, state, save.status)
        stored = rows.instance_of((*row[:3], *row[4:8], 0, 0, row[8]))
        assert (stored.timers, stored.shape) == (save.timers, save.shape)
        assert row[7] == (NOW if save.completed else None)


@often
@given(found=st.lists(st.tuples(envelopes(clean), saves), max_size=5))
def test_transitions_arrive_as_they_were(server: Server, found: list[tuple[Envelope, Save]]) -> None:
    packed = row_text.packed_transitions(found)
    assert packed is not None
    columns = "saga, key, version, 7 AS committed_at, message_id, message_type, timer, status, completed, state, shape"
    assert server.rows(row_text.transitions("$1"), columns, packed) == Plan(recorded=found).history(7)


@often
@given(envelope=envelopes(clean), mark=st.sampled_from([*MARKS, "\0"]), data=st.data())
def test_a_mark_inside_a_text_is_noticed_wherever_it_is(envelope: Envelope, mark: str, data: st.DataObject) -> None:
    names = ("channel", "message_id", "message_type", "partition_key", "correlation_id", "causation_id", "timer")
    name = data.draw(st.sampled_from(names))
    whole = data.draw(clean) + mark + data.draw(clean)
    fields = {field: getattr(envelope, field) for field in envelope.__struct_fields__}
    marked = Envelope(**{**fields, name: whole})
    assert row_text.packed_envelopes([envelope, marked], NOW) is None
    assert row_text.packed_given([marked, envelope], NOW) is None


@pytest.mark.parametrize("mark", [*MARKS, "\0"])
def test_a_mark_inside_an_instance_is_noticed(mark: str) -> None:
    assert row_text.packed_saves([(0, SAVE)], NOW) is not None
    for changed in ({"key": mark}, {"state": mark.encode()}, {"status": mark}, {"saga": f"a{mark}b"}):
        fields = {field: getattr(SAVE, field) for field in SAVE.__struct_fields__}
        assert row_text.packed_saves([(0, Save(**{**fields, **changed}))], NOW) is None
        assert row_text.packed_transitions([(MESSAGE, Save(**{**fields, **changed}))]) is None


@pytest.mark.parametrize("field", ["message_id", "message_type", "timer"])
@pytest.mark.parametrize("mark", [*MARKS, "\0"])
def test_a_mark_inside_what_made_a_transition_is_noticed(field: str, mark: str) -> None:
    assert row_text.packed_transitions([(MESSAGE, SAVE)]) is not None

    assert row_text.packed_transitions([(msgspec.structs.replace(MESSAGE, **{field: mark}), SAVE)]) is None


@pytest.mark.parametrize("recorded", [False, True])
def test_a_flush_is_one_statement_with_a_history_as_well(recorded: bool) -> None:
    hot = HotStatements(table_names("sagabus_", '"'))
    outcome = Completed(MESSAGE, Effects(save=msgspec.structs.replace(SAVE, recorded=recorded)))

    written = hot.flush(Batch([outcome], 1, {}), NOW)

    assert written is not None
    assert ("sagabus_history" in written.sql) is recorded


def test_a_body_that_is_no_text_is_noticed() -> None:
    assert row_text.packed_envelopes([Envelope(message_id="m", message_type="t", body=b"\xff")], NOW) is None

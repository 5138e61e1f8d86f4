"""What a look at the inbox reads, in which order: a purge between two statements makes no loss of what it took."""

import pytest

from sagabus.store.inspection import RecordsSeen
from sagabus.stores.sql.reading import records
from sagabus.stores.sql.steps import Answer


def test_the_horizon_is_read_after_the_records() -> None:
    steps = records("orders", ["m1", "m2", "m1"])

    first = next(steps)
    second = steps.send(Answer([("orders", "m2", "f")]))

    assert (first.name, first.rows, second.name) == ("known", [("orders", "m1"), ("orders", "m2")], "horizon_of")
    with pytest.raises(StopIteration) as end:
        steps.send(Answer([(7,)]))
    assert end.value.value == RecordsSeen(frozenset({"m2"}), 7)

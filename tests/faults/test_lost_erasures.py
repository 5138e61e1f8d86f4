"""The reply to a step of an erasure is lost: the call fails, and called again it ends what is left, counted once."""

from collections import Counter

import pytest
from tests.conftest import Take
from tests.faults.proxy import CommitOf
from tests.scenarios.when_a_subject_is_erased import ALL, EVERYTHING, MARK, WHY, plant, traces
from tests.support.databases import SERVERS, ServerDatabase
from tests.support.proxied_bus import wired

from sagabus import Bus, StoreUnavailable
from sagabus.store.erasing import Trace

pytestmark = pytest.mark.faults
LAST = [trace.value for trace in Trace][:-1]
"""What the entry of a step says last; there are no notes here."""


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("last", LAST)
async def test_what_a_step_has_erased_is_counted_though_its_reply_is_lost(kind: str, last: str, take: Take) -> None:
    database = take(kind)
    assert isinstance(database, ServerDatabase)
    async with Bus(database.url, *EVERYTHING, settings=ALL) as bus:
        await plant(bus, MARK)
    async with wired(database) as wire, wire.bus() as bus:
        there = (await bus.mend.erase(key=MARK, dry_run=True)).counts
        wire.proxy.swallow_reply_after(CommitOf(f'"{last}'.encode()), whole=wire.whole)

        with pytest.raises(StoreUnavailable):
            await bus.mend.erase(key=MARK, live=True, **WHY)
        rest = await bus.mend.erase(key=MARK, live=True, **WHY)

        said = [each.after["erased"] for each in (await bus.inspect.audit()).entries if each.verb == "subject.erase"]
        assert wire.proxy.swallowed == 1
        assert list(said[-1])[-1] == last
        assert said[:-1] == ([dict(rest.counts)] if rest.counts else [])
        assert Counter(said[-1]) + Counter(rest.counts) == Counter(there)
        assert traces(database, MARK) == {}

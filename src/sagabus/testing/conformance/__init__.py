"""The suites that every adapter has to pass, ours and yours: subclass one, give it a fixture, and run pytest.

    class TestMyStore(StoreConformance):
        async def make_store(self, clock: Clock) -> Store:
            return MyStore(clock=clock)

What a store declares it can do is tested; what it does not declare, it has to refuse. `TransportConformance` is the
suite of brokers.
"""

from __future__ import annotations

import pytest

_SUBJECTS = (
    *(
        "administration",
        "append",
        "columns",
        "commits",
        "crews",
        "dead_letters",
        "dividing",
        "erasing",
        "examining",
        "fencing",
        "fetching",
        "histories",
        "hostile_texts",
        "identifying",
        "inspecting",
        "joining",
        "journals",
        "keeping",
        "leasing",
        "look_alikes",
        "mending",
        "races",
        "raw_bodies",
        "replaying",
    ),
    *(
        "retention",
        "retries",
        "sagas",
        "surveying",
        "suspicion",
        "timers",
        "times",
        "transactions",
        "transport",
        "transport_trial",
        "trial",
    ),
)
pytest.register_assert_rewrite(*(f"{__name__}.{subject}" for subject in _SUBJECTS))

from sagabus.testing.conformance.stores import StoreConformance  # noqa: E402  # only after their asserts are told to speak
from sagabus.testing.conformance.transport import TransportConformance  # noqa: E402  # the same

__all__ = ["StoreConformance", "TransportConformance"]

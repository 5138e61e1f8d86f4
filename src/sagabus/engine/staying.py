"""The envelope that stands for a stuck instance: a timer that no run has set, made once for each version."""

from __future__ import annotations

from hashlib import blake2b

from sagabus.context import TIMER
from sagabus.definitions.saga import STUCK
from sagabus.envelope import Envelope, lane_of
from sagabus.store.examination import Still

_VERSION = "sagabus-stuck-version"


def envelope_of(saga: str, still: Still, lanes: int, now: int) -> Envelope:
    """The envelope; however many processes make it, the store accepts one of this id."""
    return Envelope(
        message_id=f"stuck:{blake2b(still.key.encode(), digest_size=16).hexdigest()}:{still.version}",
        message_type=TIMER,
        body=b"{}",
        channel=saga,
        lane=lane_of(still.key, lanes),
        partition_key=still.key,
        headers={_VERSION: str(still.version)},
        sent_at=now,
        due_at=1,
        timer=STUCK,
        guarded=True,
    )


def version_of(envelope: Envelope) -> int:
    """The version of the instance that was stuck."""
    said = (envelope.headers or {}).get(_VERSION, "")
    return int(said) if said.isdigit() else 0

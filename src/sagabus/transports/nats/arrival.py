"""One message out of a stream, and where it was in it."""

from __future__ import annotations

from sagabus.transport import WireMessage
from sagabus.transports import wire
from sagabus.transports.nats import headers
from sagabus.transports.nats.client import Raw

_PREFIX = b"$JS.ACK."
_SHORT = 9
"""Parts of the subject of an acknowledgement. With a domain there are two more in front, and may be one behind."""


def is_message(raw: Raw) -> bool:
    """Whether it is a message, and not word of the server's."""
    return raw.reply.startswith(_PREFIX)


class Arrival:
    """A message of the stream, handed to us by our consumer."""

    __slots__ = ("_raw", "again", "delivery", "sequence", "stream", "time")

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        parts = raw.reply.split(b".")
        at = 2 if len(parts) == _SHORT else 4
        self.stream = parts[at].decode("utf-8", "replace")
        again, sequence, delivery, time = map(int, parts[at + 2 : at + 6])
        self.again = again > 1
        self.sequence = sequence
        """In the stream."""
        self.delivery = delivery
        """The number of this delivery among all deliveries of the consumer, to whatever link: without a gap."""
        self.time = time // 1000
        """When the stream got it."""

    @property
    def reply(self) -> str:
        """Where it is acknowledged."""
        return self._raw.reply.decode("utf-8", "replace")

    @property
    def reply_bytes(self) -> bytes:
        """The same, as it came."""
        return self._raw.reply

    @property
    def subject_bytes(self) -> bytes:
        """Where it was published, as it came."""
        return self._raw.subject

    @property
    def subject(self) -> str:
        """Where it was published."""
        return self._raw.subject.decode("utf-8", "surrogateescape")

    def message(self) -> WireMessage:
        """What it says."""
        found = headers.read(self._raw.block)
        if wire.ID not in found and wire.TYPE not in found:
            found |= self._pseudo(found)
        return wire.read(found, self._raw.body, broker_time=self.time)

    def _pseudo(self, found: dict[str, object]) -> dict[str, object]:
        """What NATS knows of a message whose sender knows nothing of us."""
        known: dict[str, object] = {
            "nats-subject": self._raw.subject.decode("utf-8", "replace"),
            "nats-sequence": str(self.sequence),
            "nats-stream": self.stream,
        }
        if (own := found.get("Nats-Msg-Id")) is not None:
            known["nats-msg-id"] = own
        return known

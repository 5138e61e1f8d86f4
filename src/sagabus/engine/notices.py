"""What a bus says of messages that no handler will see: a line in the log, and a count in its statistics.

Publishers tell it what the store answered; the sender, what a handler publishes without any receiver.
"""

from __future__ import annotations

import logging
from collections import Counter

from sagabus.envelope import Envelope
from sagabus.outcome import Admission

log = logging.getLogger("sagabus")

UNHEARD = "unheard"
"""The status and the count of an event that no subscription receives."""
_WHY = {
    Admission.COLLISION: "another message with this id was accepted before",
    Admission.TOO_OLD: "it was stamped before the de-duplication horizon",
    Admission.DAMAGED: "its body is no text that the store can keep",
}
REFUSED = frozenset(_WHY)
"""Answers after which the message is a dead letter."""


class Notices:
    """Logs and counts, in the statistics that it is given: by (subscription, kind), unheard events by their type."""

    def __init__(self, statistics: Counter[tuple[str, str]] | None = None) -> None:
        self._statistics: Counter[tuple[str, str]] = Counter() if statistics is None else statistics
        self._warned: set[str] = set()

    def unheard(self, message_type: str, message_id: str) -> None:
        """An event had no receiver: a warning once for each type."""
        self._statistics[message_type, UNHEARD] += 1
        if message_type not in self._warned:
            self._warned.add(message_type)
            log.warning(
                "event %s: no subscription receives it, so %s has no effect; further ones are only counted. Start a "
                "bus with its handler or saga on this store, or register it by `sagabus migrate MODULE:BUS`",
                message_type,
                message_id,
            )

    def answered(self, envelope: Envelope, answer: Admission, *, is_joined: bool = False) -> None:
        """The store has not accepted an envelope: a copy is counted, a dead letter is an error."""
        self._statistics[envelope.channel, answer.value] += 1
        if answer in REFUSED:
            log.error(
                "%s: %s %s is a dead letter%s: %s",
                *(envelope.channel, envelope.message_type, envelope.message_id),
                " if the joined transaction commits" if is_joined else "",
                _WHY[answer],
            )

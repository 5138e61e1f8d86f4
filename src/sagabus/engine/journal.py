"""Which handled messages leave a row in the journal, and what it says.

Between `flush`, which commits outcomes, and the store, which writes the rows with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.observer import result_of
from sagabus.outcome import Completed, DeadLettered, Discarded, Outcome, RetryAt
from sagabus.settings import Settings
from sagabus.store import JournalRow

_ALL = 1 << 32


class Journal:
    """The journal of one worker."""

    def __init__(
        self, worker: str, settings: Settings, definitions: Mapping[str, HandlerDefinition | SagaDefinition]
    ) -> None:
        self._worker = worker
        self._below = {"off": 0, "sampled": round(settings.journal_sample * _ALL), "all": _ALL}[settings.journal]
        self.is_on = self._below > 0
        self._sagas = frozenset(name for name, each in definitions.items() if isinstance(each, SagaDefinition))

    @classmethod
    def of(
        cls, worker: str, settings: Settings, definitions: Mapping[str, HandlerDefinition | SagaDefinition]
    ) -> Journal | None:
        """The journal of a worker; None if none is wanted."""
        found = cls(worker, settings, definitions)
        return found if found.is_on else None

    def rows(self, outcomes: Sequence[Outcome], took: Iterable[float]) -> Mapping[int, JournalRow]:
        """The rows of these outcomes, by the position of the envelope. `took`: seconds that each run took."""
        below, found = self._below, dict[int, JournalRow]()
        for outcome, seconds in zip(outcomes, took, strict=True):
            envelope = outcome.envelope
            conversation = envelope.correlation_id or envelope.message_id
            if below != _ALL and not is_sampled(conversation, below):
                continue
            # fmt: off
            found[envelope.position] = JournalRow(  # by position, as in `sender`
                conversation, envelope.channel, envelope.message_id, envelope.message_type, envelope.partition_key,
                envelope.timer, envelope.causation_id, envelope.sent_at, envelope.attempt + 1, result_of(outcome),
                None if type(outcome) is Completed else _why(outcome), self._version(outcome), int(seconds * 1e6),
                self._worker,
            )
            # fmt: on
        return found

    def _version(self, outcome: Outcome) -> int | None:
        if type(outcome) is Completed and (save := outcome.effects.save) is not None:
            return save.version
        return 0 if outcome.envelope.channel in self._sagas else None


def is_sampled(conversation: str, below: int) -> bool:
    """Whether a conversation is among those whose rows are written: the same for all of its messages, in each process.

    `below`: the share, of 2**32.
    """
    return crc32(conversation.encode()) < below


def _why(outcome: Outcome) -> str | None:
    if isinstance(outcome, RetryAt | DeadLettered) and outcome.failure is not None:
        return outcome.failure.error_type
    if isinstance(outcome, DeadLettered | Discarded) and outcome.cause is not None:
        return outcome.cause.value
    return None

"""What the store's answers mean: books are closed, or a mailbox is to be rewound and runs again.

A lost race is never an attempt: the messages go back to their mailbox and run on what is really there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from msgspec.structs import replace

from sagabus.engine.flush import Entry, bytes_of
from sagabus.engine.in_flight import InFlight
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.page import may_have_held
from sagabus.engine.processing import Processing
from sagabus.envelope import Cause, Envelope
from sagabus.observer import Commit
from sagabus.outcome import (
    Completed,
    DeadLettered,
    Discarded,
    Outcome,
    RetryAt,
    Settled,
    Stashed,
    Verdict,
)
from sagabus.policies.deduplication import Duplicate, report_duplicate

log = logging.getLogger("sagabus")

_COMMITTED = Verdict.COMMITTED
_AGAIN = {Verdict.CONFLICT, Verdict.DROPPED, Verdict.STALE_ROUTING}


class Aftermath(NamedTuple):
    """What is to be done after a commit."""

    back: Mapping[Mailbox, list[Envelope]]
    """Mailboxes to rewind, with what goes back to them and runs again."""
    instead: Sequence[tuple[Mailbox, Outcome]]
    """Outcomes to commit in the place of those that the store refused."""
    has_moved: bool
    """A lane belongs to another worker now."""


class Settlement:
    """Keeps the books of what goes to a commit and of what comes back. Its caller, the committer, does the rest."""

    def __init__(self, hand: InFlight, processing: Processing, sagas: AbstractSet[str] = frozenset()) -> None:
        """`sagas`: which subscriptions are sagas, for observers."""
        self._hand, self._sagas = hand, sagas
        self._processing = processing
        self._observers = processing.observers

    def prepared(self, mailbox: Mailbox, outcome: Outcome) -> Outcome:
        """The outcome as it is to be committed; if it holds back its key, nothing more of the key runs here."""
        if type(outcome) is Completed:
            return outcome
        outcome = self._outlived(outcome)
        if _holds(outcome):
            self._hand.hold(mailbox, outcome.envelope)
        return outcome

    def died(self, mailbox: Mailbox, envelope: Envelope) -> Outcome:
        """What becomes of a message whose worker has died too often."""
        return self._processing.failing.died(mailbox.definition, envelope)

    def settle(self, entries: Sequence[Entry], answers: Sequence[Settled], seconds: float = 0.0) -> Aftermath:
        """Take note of the answers to one commit that took `seconds`, of a whole flush or of a single outcome."""
        back: dict[Mailbox, list[Envelope]] = {}
        instead: list[tuple[Mailbox, Outcome]] = []
        settled: list[Outcome] = []
        plain: list[Entry] = []
        lost: list[tuple[Outcome, Verdict]] = []
        for entry, answer in zip(entries, answers, strict=True):
            outcome = entry.outcome
            if answer.verdict is not _COMMITTED:
                lost.append((outcome, answer.verdict))
                self._lost(entry.mailbox, outcome, answer, back, instead)
                continue
            settled.append(outcome)
            if type(outcome) is Completed and not (outcome.envelope.due_at or answer.refused):
                plain.append(entry)
            else:
                self._committed(entry.mailbox, outcome, answer)
        self._hand.put_down_all(plain)
        self._hand.known.note_states(bytes_of(entries))
        took = _took(entries, answers) if self._observers.are_timing else ()
        self._observers.committed(Commit(settled, lost, took, seconds, self._sagas))
        return Aftermath(back, instead, any(verdict is Verdict.FENCED for _, verdict in lost))

    def forget(self, entries: Sequence[Entry]) -> None:
        """Keep no mailbox without a state, now that all of the aftermath is done."""
        forget = self._hand.forget
        for entry in entries:
            cell = entry.mailbox.cell
            if cell is None or cell.completed:
                forget(entry.mailbox)

    def _committed(self, mailbox: Mailbox, outcome: Outcome, answer: Settled) -> None:
        envelope = outcome.envelope
        if answer.refused:
            self._note_refused(answer)
        self._hand.put_down(envelope, mailbox)
        self._hand.unmark(envelope.position)
        if _holds(outcome):
            self._hand.hold_is_stored(mailbox)
        else:
            self._let_go(envelope)

    def _note_refused(self, answer: Settled) -> None:
        for sent, admission in answer.refused:
            self._observers.answered(sent, admission, self._processing.rules)

    def _outlived(self, outcome: Outcome) -> Outcome:
        """A marked run that reaches an outcome has killed no worker: the outcome takes its death back."""
        envelope = outcome.envelope
        mark = self._hand.marked.get(envelope.position)
        if mark is None:
            return outcome
        if isinstance(outcome, RetryAt | Stashed):
            return replace(outcome, deaths=-1)
        # Not one less than the outcome says: that may have been refused before, and be less already.
        return replace(outcome, envelope=replace(envelope, deaths=mark.envelope.deaths - 1))

    def _let_go(self, envelope: Envelope) -> None:
        # Its key may have been held back in the store, behind the cursor of its lane.
        if may_have_held(envelope):
            self._hand.rescan_lane((envelope.channel, envelope.lane))

    def _lost(
        self,
        mailbox: Mailbox,
        outcome: Outcome,
        answer: Settled,
        back: dict[Mailbox, list[Envelope]],
        instead: list[tuple[Mailbox, Outcome]],
    ) -> None:
        envelope = outcome.envelope
        verdict = answer.verdict
        again = back.setdefault(mailbox, [])
        if mailbox.held:
            self._hand.release_hold(mailbox)
        is_ours = self._hand.holds(envelope, mailbox)
        if verdict is Verdict.GONE:
            self._hand.unmark(envelope.position)
        if verdict in _AGAIN and is_ours:
            again.append(envelope)
        elif verdict in (Verdict.GONE, Verdict.FENCED) or not is_ours:
            self._hand.put_down(envelope, mailbox)
        else:
            instead.append((mailbox, self._instead(mailbox, envelope, answer)))

    def _instead(self, mailbox: Mailbox, envelope: Envelope, answer: Settled) -> Outcome:
        definition = mailbox.definition
        if answer.verdict is Verdict.DUPLICATE:
            self._duplicate(envelope)
            return Discarded(envelope, "duplicate: its de-duplication key was claimed by another message")
        if answer.verdict is Verdict.TOO_OLD:
            reason = "too old: stamped before the de-duplication horizon"
            return DeadLettered(envelope=envelope, cause=Cause.TOO_OLD, reason=reason, parks=definition.parks)
        if answer.verdict is Verdict.COLLISION:
            reason = "id collision: its de-duplication key was claimed with other content"
            return DeadLettered(envelope=envelope, cause=Cause.COLLISION, reason=reason, parks=definition.parks)
        error = answer.error or RuntimeError("the commit refused it")
        seen = mailbox.seen()
        return self._processing.failing.failed(definition, envelope, error, seen=seen, in_transaction=True)

    def _duplicate(self, envelope: Envelope) -> None:
        where = (envelope.channel, envelope.message_type, envelope.message_id)
        if self._processing.rules.report(*where):  # no publisher waits for this answer
            report_duplicate("log", Duplicate(*where))


def _took(entries: Sequence[Entry], answers: Sequence[Settled]) -> list[float]:
    return [entry.took for entry, answer in zip(entries, answers, strict=True) if answer.verdict is _COMMITTED]


def _holds(outcome: Outcome) -> bool:
    if type(outcome) is Completed or outcome.envelope.partition_key is None:
        return False
    return (isinstance(outcome, RetryAt) and outcome.holds) or (isinstance(outcome, DeadLettered) and outcome.parks)

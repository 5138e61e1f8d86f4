"""Tells the observers of a bus what happens, each only what it listens to.

The statistics of the bus and its log lines are two of them (`statistics`, `event_log`). Publishers, the sender and
`settlement` tell; no observer can disturb them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

from sagabus.context import Context
from sagabus.envelope import Envelope
from sagabus.observer import Bridged, Commit, Departure, Observer, Unheard, refused
from sagabus.outcome import Admission
from sagabus.policies.deduplication import DeduplicationRules
from sagabus.transport import WireMessage

Entered: TypeAlias = Sequence[object]
"""What observers returned when a run began, in their order."""

_OF_RUNS = ("enter", "exit", "departing", "sending")
_FAILED = "the observer %s failed"
log = logging.getLogger("sagabus")


class Observers:
    """All observers of one bus."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        given = tuple(observers)
        self._committed: Sequence[Callable[[Commit], None]] = [
            each.committed for each in given if _listens(each, "committed")
        ]
        self._refused = [each.refused for each in given if _listens(each, "refused")]
        self._unheard = [each.unheard for each in given if _listens(each, "unheard")]
        self._sending = [each.sending for each in given if _listens(each, "sending")]
        self._departing = [each.departing for each in given if _listens(each, "departing")]
        self._bridged = [each.bridged for each in given if _listens(each, "bridged")]
        self.are_timing = any(each.times_runs for each in given)
        """Whether any of them asks how long runs take."""
        around = [each for each in given if _listens(each, "enter") or _listens(each, "exit")]
        self._enters = [each.enter for each in around]
        self._exits = [(place, each.exit) for place, each in enumerate(around) if _listens(each, "exit")][::-1]

        runs = [each for each in given if any(_listens(each, name) for name in _OF_RUNS)]
        self.watch_all = not (runs and all(_listens(each, "watches") for each in runs))
        """Whether they are around all runs; otherwise `watch` says around which."""
        self._choosy = [each.watches for each in runs]

    def watch(self, envelope: Envelope) -> bool:
        """Whether any of them wants to be around the run of this message."""
        for watches in self._choosy:
            try:
                if watches(envelope):
                    return True
            except Exception:
                log.exception(_FAILED, _named(watches))
        return False

    @property
    def are_around(self) -> bool:
        """Whether any of them wants to know when runs begin and end."""
        return bool(self._enters)

    @property
    def are_leaving(self) -> bool:
        """Whether any of them wants to know when runs end."""
        return bool(self._exits)

    def enter_only(self, ctx: Context) -> None:
        """The same as `enter`, where none of them listens to the end."""
        for enter in self._enters:
            try:
                enter(ctx)
            except Exception:
                log.exception(_FAILED, _named(enter))

    @property
    def are_sending(self) -> bool:
        """Whether any of them may add headers to what is sent."""
        return bool(self._sending or self._departing)

    def committed(self, commit: Commit) -> None:
        """A commit has decided what became of some messages."""
        for tell in self._committed:
            _quietly(tell, commit)

    def answered(
        self, envelope: Envelope, answer: Admission, rules: DeduplicationRules, *, is_joined: bool = False
    ) -> None:
        """A store has not accepted an envelope."""
        reaction = rules.reaction(envelope.channel, envelope.message_type)
        record = refused(envelope, answer, is_joined=is_joined, reaction=reaction)
        for tell in self._refused:
            _quietly(tell, record)

    def unheard(self, message_type: str, message_id: str) -> None:
        """An event had no receiver."""
        record = Unheard(message_type, message_id)
        for tell in self._unheard:
            _quietly(tell, record)

    def departing(self, departure: Departure) -> None:
        """A message or a timer is about to be sent."""
        for tell in self._departing:
            try:
                tell(departure)
            except Exception:
                log.exception(_FAILED, _named(tell))
        if self._sending and departure.timer is None:
            for sending in self._sending:
                _quietly(sending, departure.message, departure.headers)

    @property
    def are_at_bridges(self) -> bool:
        """Whether any of them listens to what passes between the store and brokers."""
        return bool(self._bridged)

    def bridged(
        self,
        step: Literal["send", "receive", "settle"],
        place: str,
        messages: Iterable[WireMessage],
        seconds: float,
        *,
        refused: int = 0,
        error: BaseException | None = None,
    ) -> None:
        """A bridge has done a step."""
        if self._bridged:
            record = Bridged(step, place, tuple(messages), seconds, refused, error)
            for tell in self._bridged:
                _quietly(tell, record)

    def enter(self, ctx: Context) -> Entered:
        """A run begins. What each observer returned, for `exit`."""
        entered: list[object] = []
        for enter in self._enters:
            try:
                entered.append(enter(ctx))
            except Exception:
                log.exception(_FAILED, _named(enter))
                entered.append(None)
        return entered

    def exit(self, entered: Entered, ctx: Context, error: BaseException | None) -> None:
        """A run has ended; the last observer that entered leaves first."""
        for place, leave in self._exits:
            try:
                leave(entered[place], ctx, error)
            except Exception:
                log.exception(_FAILED, _named(leave))


def _listens(observer: Observer, name: str) -> bool:
    return getattr(type(observer), name) is not getattr(Observer, name)


def _quietly(call: Callable[..., Any], *arguments: object) -> Any:
    try:
        return call(*arguments)
    except Exception:
        log.exception(_FAILED, _named(call))
        return None


def _named(call: object) -> object:
    return getattr(call, "__qualname__", call)

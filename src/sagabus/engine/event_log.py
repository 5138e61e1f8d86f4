"""The log lines about what became of messages, written by an observer."""

from __future__ import annotations

import logging

from sagabus.observer import Commit, Observer, Refused, Unheard

log = logging.getLogger("sagabus")

_WHY = {
    "collision": "another message with this id was accepted before",
    "too old": "it was stamped before the de-duplication horizon",
    "damaged": "its body is no text that the store can keep",
}


class EventLog(Observer):
    """Dead letters are errors, ignored and stashed messages are information, completed ones no line."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def committed(self, commit: Commit) -> None:
        """See `Observer`."""
        for each in commit.not_completed:
            receiver = each.subscription if each.key is None else f"{each.subscription} {each.key}"
            where = (receiver, each.message_type, each.message_id)
            if each.result == "dead-lettered":
                log.error("%s: %s %s is a dead letter: %s", *where, each.reason)
            elif each.result == "discarded":
                log.info("%s: %s %s ignored: %s", *where, each.reason)
            elif each.result == "stashed":
                log.info("%s: %s %s stashed until its saga starts or changes its status", *where)

    def refused(self, refused: Refused) -> None:
        """See `Observer`; a copy is no line."""
        if refused.answer in _WHY:
            log.error(
                "%s: %s %s is a dead letter%s: %s",
                *(refused.subscription, refused.message_type, refused.message_id),
                " if the joined transaction commits" if refused.is_joined else "",
                _WHY[refused.answer],
            )

    def unheard(self, unheard: Unheard) -> None:
        """See `Observer`; a warning once for each type."""
        if unheard.message_type not in self._warned:
            self._warned.add(unheard.message_type)
            log.warning(
                "event %s: no subscription receives it, so %s has no effect; further ones are only counted. Start a "
                "bus with its handler or saga on this store, or register it by `sagabus migrate MODULE:BUS`",
                unheard.message_type,
                unheard.message_id,
            )

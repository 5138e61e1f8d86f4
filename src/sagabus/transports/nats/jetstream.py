"""JetStream's own calls: a request on a subject, and JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sagabus.errors import TransportError
from sagabus.transports.nats.connection import Connection

NO_MESSAGE = 10037
NO_STREAM = 10059
NO_CONSUMER = 10014
STREAM_EXISTS = (10058, 10065)
"""Its name, or its subjects."""
CONSUMER_EXISTS = (10013, 10148, 10105)
WRONG_SEQUENCE = 10071
TOO_LARGE = (10054, 10097)
"""For the stream, or in its headers."""


class Refusal(Exception):
    """JetStream's answer was an error. It never leaves this package."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class JetStream:
    """The calls of one connection."""

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection, self._place = connection, place

    async def call(self, action: str, **arguments: Any) -> Mapping[str, Any]:
        """What JetStream answers; Refusal where that is an error, TransportError where it answers nothing."""
        subject = f"$JS.API.{action}"
        try:
            reply = await self._connection.ask(subject, msgspec.json.encode(arguments) if arguments else b"")
        except TimeoutError:
            raise TransportError(f"no answer to {subject}", transport=self._place) from None
        if reply.denied:
            raise TransportError(reply.denied, transport=self._place)
        if reply.is_unheard:
            problem = "JetStream does not answer: enable it in the server (`jetstream {}`), and for the account"
            raise TransportError(problem, transport=self._place)
        return answer(reply.body)

    async def found(self, action: str, **arguments: Any) -> Mapping[str, Any] | None:
        """The same; None where what was asked for is not there."""
        try:
            return await self.call(action, **arguments)
        except Refusal as refusal:
            if refusal.code in {NO_MESSAGE, NO_STREAM, NO_CONSUMER}:
                return None
            raise TransportError(refusal.text, transport=self._place) from refusal

    async def takes(self, subject: str) -> bool:
        """Whether a stream takes messages on a subject: one that is meant for another stream is refused, and not kept.

        A 2.9 server shows a stream that it is about to make, and ends itself when that is asked for more.
        """
        try:
            reply = await self._connection.ask(subject, headers={"Nats-Expected-Stream": "none"})
        except TimeoutError:
            raise TransportError(f"no answer to {subject}", transport=self._place) from None
        return not reply.is_unheard


def answer(body: bytes) -> Mapping[str, Any]:
    """A reply of JetStream's; Refusal where it is an error."""
    try:
        found: Mapping[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise Refusal(0, "it answered without JSON") from None
    error = found.get("error")
    if error is not None:
        raise Refusal(int(error.get("err_code", 0)), str(error.get("description", "")))
    return found

"""Who receives what, and which link of a service does: short texts in a bucket, changed by compare-and-set.

`service.<service>` holds the types that the service receives, and its store. `event.<type>` holds the services that
want the type, and `command.<type>` the one service that receives it. `link.<service>` holds the link that receives.

A key is written before what relies on it: a service's own types before its consumer, and what publishers look at last.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Generic, TypeVar

import msgspec

from sagabus.errors import TransportError
from sagabus.transport import WireKind
from sagabus.transports.nats.connection import Connection
from sagabus.transports.nats.jetstream import WRONG_SEQUENCE, JetStream, Refusal, answer
from sagabus.transports.nats.names import Names, token


class Receives(msgspec.Struct, frozen=True):
    """What a service receives."""

    store: str = ""
    events: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class Services(msgspec.Struct, frozen=True):
    """Who receives messages of a type."""

    services: tuple[str, ...] = ()


class Holder(msgspec.Struct, frozen=True):
    """Which link of a service receives."""

    link: str = ""


S = TypeVar("S", Receives, Services, Holder)


class Record(Generic[S]):
    """What stands under a key, and the number of its last change: 0 where there has been none."""

    def __init__(self, value: S, version: int) -> None:
        self.value: S = value
        self.version = version


class Registry:
    """The bucket of one prefix."""

    def __init__(self, connection: Connection, jetstream: JetStream, names: Names, place: str) -> None:
        self._connection, self._jetstream, self._names, self._place = connection, jetstream, names, place
        self._has_keys = False

    @property
    def missing(self) -> str:
        """What a link says that finds nothing where it has written, or where others must have."""
        return f"the bucket {self._names.bucket} does not say who receives what: it was deleted, or is about to be read"

    async def is_lost(self) -> bool:
        """Whether there are messages, and nothing says who receives them."""
        if await self._jetstream.found(f"STREAM.INFO.{self._names.stream}") is None:
            return False
        bucket = await self._jetstream.found(f"STREAM.INFO.{self._names.bucket_stream}")
        return bucket is None or not bucket["state"]["messages"]

    async def service(self, service: str) -> Record[Receives]:
        """What a service receives."""
        return await self._read(_service(service), Receives)

    async def receivers(self, kind: WireKind, message_type: str) -> Record[Services]:
        """Who receives a type."""
        return await self._read(_receivers(kind, message_type), Services)

    async def holder(self, service: str) -> Record[Holder]:
        """Which link of a service receives."""
        return await self._read(_link(service), Holder)

    async def set_service(self, service: str, value: Receives, after: int) -> bool:
        """Say what a service receives; False where it has changed since."""
        return await self._write(_service(service), value, after)

    async def set_receivers(self, kind: WireKind, message_type: str, value: Services, after: int) -> bool:
        """Say who receives a type; False where it has changed since."""
        return await self._write(_receivers(kind, message_type), value, after)

    async def set_holder(self, service: str, link: str, after: int) -> bool:
        """Say which link receives; False where it has changed since."""
        return await self._write(_link(service), Holder(link), after)

    def link_subject(self, service: str) -> str:
        """Where every change of the holder is published."""
        return self._names.value(_link(service))

    async def _read(self, key: str, form: type[S]) -> Record[S]:
        stream = self._names.bucket_stream
        if not self._has_keys:
            # A 2.9 server that is asked for a message of a stream which it is about to make ends itself (seen).
            known = await self._jetstream.found(f"STREAM.INFO.{stream}")
            self._has_keys = known is not None and known["state"]["last_seq"] > 0
        found = None
        if self._has_keys:
            found = await self._jetstream.found(f"STREAM.MSG.GET.{stream}", last_by_subj=self._names.value(key))
        if found is None:
            self._has_keys = False  # the bucket may be gone
            return Record(form(), 0)
        message = found["message"]
        body = b64decode(message.get("data") or "")
        try:
            value = msgspec.json.decode(body, type=form) if body else form()  # a deleted key has no text
        except msgspec.DecodeError:
            problem = f"the key {key} of the bucket {self._names.bucket} has a text that is not ours: correct it"
            raise TransportError(problem, transport=self._place) from None
        return Record(value, int(message["seq"]))

    async def _write(self, key: str, value: Receives | Services | Holder, after: int) -> bool:
        expected = {"Nats-Expected-Last-Subject-Sequence": str(after)}
        try:
            reply = await self._connection.ask(self._names.value(key), msgspec.json.encode(value), headers=expected)
        except TimeoutError:
            raise TransportError(f"no answer to a change of {key}", transport=self._place) from None
        if reply.denied or reply.is_unheard:
            problem = reply.denied or f"the bucket {self._names.bucket} is not there"
            raise TransportError(problem, transport=self._place)
        try:
            answer(reply.body)
        except Refusal as refusal:
            if refusal.code == WRONG_SEQUENCE:
                return False
            raise TransportError(f"cannot change {key}: {refusal.text}", transport=self._place) from refusal
        return True


def _service(service: str) -> str:
    return f"service.{token(service)}"


def _receivers(kind: WireKind, message_type: str) -> str:
    return f"{kind}.{token(message_type)}"


def _link(service: str) -> str:
    return f"link.{token(service)}"

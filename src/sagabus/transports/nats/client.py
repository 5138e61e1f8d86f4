"""nats-py's client, of which messages are taken before it reads them: it stops to read where one of them is no text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import nats.errors
from nats.aio.client import Client

_DENIED = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]*)\"")


class Raw(NamedTuple):
    """A message as it came."""

    subject: bytes
    reply: bytes
    block: bytes
    """Its headers."""
    body: bytes


Receiver = Callable[[Raw], None]


class NatsClient(Client):
    """nats-py's client with its messages taken before it reads them, and with no way back to plain text."""

    def __init__(self, encrypted: bool) -> None:  # noqa: FBT001  # a class of this module only
        super().__init__()
        self._encrypted = encrypted
        self._receivers: dict[int, Receiver] = {}
        self.heard = ""
        self.denied: Callable[[str, str, str], None] = lambda what, subject, text: None
        self.reading_ended: Callable[[], None] = _nothing

    async def listen(self, subject: str, receiver: Receiver) -> Callable[[], Any]:
        number = self._sid + 1
        self._receivers[number] = receiver
        # A future in place of a callback: nats-py then begins no task for it.
        client: Any = self  # whose futures have no types
        subscription = await client.subscribe(subject, future=asyncio.get_running_loop().create_future())

        async def forget() -> None:
            self._receivers.pop(number, None)
            if not self.is_closed:
                await subscription.unsubscribe()

        return forget

    async def send(self, commands: bytes) -> None:
        """Pass on commands that are written already. nats-py looks at each header and subject, which costs more."""
        if self.is_closed or not self.is_connected:
            raise nats.errors.ConnectionClosedError
        await self._send_command(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    def check_encryption(self) -> None:
        """Raise where TLS is wanted and the connection has none."""
        if self._encrypted and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError

    def version(self) -> tuple[int, ...]:
        return tuple(map(int, re.findall(r"\d+", str(self._server_info.get("version", "")))[:3]))

    def drop(self) -> None:
        """Close the socket, whatever waits in it."""
        transport: Any = self._transport  # its class has no types
        if transport:
            transport.close()

    async def on_error(self, error: Exception) -> None:
        self.heard = said(error)
        if found := _DENIED.search(self.heard):
            self.denied(found[1], found[2], self.heard)

    async def on_closed(self) -> None:
        self.reading_ended()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:  # noqa: FBT001, FBT002
        # Without this, a server that offers no TLS would get the password in plain text.
        if self._encrypted and initial_connection:
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        receiver = self._receivers.get(sid)
        if receiver is not None:
            receiver(Raw(subject, reply, headers or b"", data))

    async def _read_loop(self) -> None:
        try:
            await super()._read_loop()
        finally:
            self.reading_ended()  # also where nats-py stops to read and says nothing


def said(error: BaseException) -> str:
    """An error of nats-py in words."""
    text = str(error).removeprefix("nats: ").strip("'")
    return text or type(error).__name__


def _nothing() -> None:
    return None

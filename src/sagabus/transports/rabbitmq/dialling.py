"""One connection to the first host that answers. Refused logins are no faults that waiting cures."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transports.login import password_now
from sagabus.transports.rabbitmq.driver import (
    URL,
    Connection,
    TCPTransportFactory,
    TLSTransportFactory,
    connected,
    when_closed,
)
from sagabus.transports.rabbitmq.faults import DRIVER_ERRORS, exceptions, is_unreadable, reason
from sagabus.transports.rabbitmq.mending import Mending
from sagabus.transports.rabbitmq.options import PLAIN, SECURE, Options

_PATIENCE = 20.0
"""Seconds for all hosts together: the bridge waits somewhat longer."""
_REFUSALS = (
    exceptions.AuthenticationError,
    exceptions.ProbableAuthenticationError,
    exceptions.IncompatibleProtocolError,
)


class Dialler:
    """Makes the connections of one transport."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._mends = False
        """A message came that the driver could not read: see `mending`."""

    async def sending(self) -> Connection:
        """One to send over. TransportError where no host answers. ConfigurationError where one refuses the login, the
        virtual host or TLS.
        """
        return await self._dial("sagabus out", mends=False)

    async def receiving(self) -> Connection:
        """One to receive from; the same errors."""
        connection = await self._dial("sagabus in", mends=self._mends)
        when_closed(connection, self._note)
        return connection

    def _note(self, closing: asyncio.Future[object]) -> None:
        self._mends = self._mends or is_unreadable(closing)

    async def _dial(self, name: str, *, mends: bool) -> Connection:
        options = self.options
        failed: list[str] = []
        for host, port in options.hosts:
            refusal = ""
            try:
                async with asyncio.timeout(_PATIENCE / len(options.hosts)):
                    # Half of the time is for the password, so that the host has the other half.
                    password = await password_now(options.password, options.place, _PATIENCE / 2 / len(options.hosts))
                    return await _connect(options, host, port, name, password=password or "", mends=mends)
            except TimeoutError:
                failed.append(f"{host}:{port}: no answer")
            except DRIVER_ERRORS as error:
                refusal = _refusal(error, options)
                failed.append(f"{host}:{port}: {reason(error)}")
            if refusal:
                raise ConfigurationError(
                    f"{options.place}: {host}:{port} refuses the connection: {refusal.rstrip('. ')}. "
                    "Correct the user, the password, the virtual host or the certificate in the URL, or the permissions"
                )
        raise TransportError(f"no broker answers: {'; '.join(failed)}", transport=options.place)


async def _connect(options: Options, host: str, port: int, name: str, *, password: str, mends: bool) -> Connection:
    context = None if options.tls is None else await options.tls.context()
    url = URL.build(
        scheme=PLAIN if options.tls is None else SECURE,
        user=options.user,
        password=password,
        host=host,
        port=port,
        path="/",
        query={"heartbeat": str(options.heartbeat), "name": name},
    )
    factory = TCPTransportFactory() if options.tls is None else TLSTransportFactory()
    connection = Connection(url, context=context, factory=Mending(factory) if mends else factory)
    connection.vhost = options.virtual_host  # in a URL, the driver does not read all of its escapes
    try:
        await connected(connection)
    except BaseException:
        try:
            with suppress(*DRIVER_ERRORS):
                await connection.close()
        finally:
            connection.cut()
        raise
    return connection


def _refusal(error: BaseException, options: Options) -> str:
    """What the broker refuses, or this end refuses of the broker; empty where it may be another time."""
    if isinstance(error, exceptions.InvalidFrameError):
        return f"it does not open the virtual host {options.virtual_host!r}"  # the driver does not say why
    if isinstance(error, _REFUSALS) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return reason(error)
    return ""

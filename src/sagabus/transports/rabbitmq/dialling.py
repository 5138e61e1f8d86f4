"""One connection to the first host that answers. Refused logins are no faults that waiting cures."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from yarl import URL

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transports.rabbitmq.driver import AbstractConnection, aiormq, connected
from sagabus.transports.rabbitmq.faults import DRIVER_ERRORS, exceptions, reason
from sagabus.transports.rabbitmq.options import PLAIN, SECURE, Options

_PATIENCE = 20.0
"""Seconds for all hosts together: the bridge waits somewhat longer."""
_REFUSALS = (
    exceptions.AuthenticationError,
    exceptions.ProbableAuthenticationError,
    exceptions.IncompatibleProtocolError,
)


async def dial(options: Options, name: str) -> AbstractConnection:
    """Connect, and log in. `name` is what the broker shows of the connection.

    TransportError where no host answers. ConfigurationError where one refuses the login, the virtual host or TLS.
    """
    failed: list[str] = []
    for host, port in options.hosts:
        refusal = ""
        try:
            async with asyncio.timeout(_PATIENCE / len(options.hosts)):
                return await _connect(options, host, port, name)
        except TimeoutError:
            failed.append(f"{host}:{port}: no answer")
        except DRIVER_ERRORS as error:
            if isinstance(error, exceptions.InvalidFrameError):
                refusal = f"it does not open the virtual host {options.virtual_host!r}"  # the driver does not say why
            elif _is_refusal(error):
                refusal = reason(error)
            else:
                failed.append(f"{host}:{port}: {reason(error)}")
        if refusal:
            raise ConfigurationError(
                f"{options.place}: {host}:{port} refuses the connection: {refusal}. "
                "Correct the user, the password, the virtual host or the certificate in the URL, or the permissions"
            )
    raise TransportError(f"no broker answers: {'; '.join(failed)}", transport=options.place)


async def _connect(options: Options, host: str, port: int, name: str) -> AbstractConnection:
    url = URL.build(
        scheme=PLAIN if options.tls is None else SECURE,
        user=options.user,
        password=options.password,
        host=host,
        port=port,
        path="/",
        query={"heartbeat": str(options.heartbeat), "name": name},
    )
    connection = aiormq.Connection(url, context=options.tls)
    connection.vhost = options.virtual_host  # in a URL, the driver does not read all of its escapes
    try:
        await connected(connection)
    except BaseException:
        with suppress(*DRIVER_ERRORS):
            await connection.close()
        raise
    return connection


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, _REFUSALS) or isinstance(error.__cause__, ssl.SSLCertVerificationError)

"""The management API of a RabbitMQ: the one way to see what policies do to a queue. AMQP knows nothing of them.

One request is one connection. It follows no redirection and no proxy, so that the login goes to the named host only.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transports.encryption import Encryption, is_local
from sagabus.url.login import Password, PasswordProblem
from sagabus.url.parsing import StoreUrl
from sagabus.url.transport import parsed_web

if TYPE_CHECKING:
    import socket

Answered = Mapping[str, object]

MANAGEMENT_OPTION = "management_password_file"
"""The option of the broker's URL that names a file with the password of a login of the API's own."""
PATIENCE = 2.0
"""Seconds for one request: two fit into what the doctor waits for one broker."""
_PORTS = {"http": 15672, "https": 15671}
_LARGEST = 1 << 20
_REFUSED = "refuses the login: correct it, and give the user the tag `management`"
_REFUSALS = {
    "Login failed": "refuses the login: correct it",
    "Not management user": "refuses the login, for it lacks the tag `management`: give it to the user",
    "User not authorised to access virtual host": (
        "says that the user has no permission in the virtual host: give it one, and it may be for nothing: "
        "rabbitmqctl set_permissions -p {} USER '^$' '^$' '^$'"
    ),
}
"""By the reasons that a RabbitMQ gives."""
_OK, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404


@dataclass(frozen=True, slots=True)
class Management:
    """Where the API is, and who asks it. Its `repr` shows nothing secret."""

    place: str
    host: str
    port: int
    path: str
    user: str = field(repr=False)
    password: Password
    tls: Encryption | None

    async def get(self, kind: str, virtual_host: str, name: str) -> Answered | None:
        """What the API has of a kind by name, None where it has nothing. TransportError, in words, where it does not
        say.
        """
        path = "/".join((self.path, "api", *(quote(each, safe="") for each in (kind, virtual_host, name))))
        problem = ""
        try:
            async with asyncio.timeout(PATIENCE):
                said = await self._said(path, await self.password.current(PATIENCE / 2))
        except PasswordProblem as error:
            problem = f"is not asked: {error.text}"
        except ConfigurationError as error:
            problem = f"is not asked: {error}"
        except TimeoutError:
            problem = f"has not answered within {PATIENCE:g} s"
        except (OSError, ValueError) as error:  # a name that is no name is a ValueError
            problem = f"does not answer ({error})"
        else:
            return self._read(said, virtual_host)
        raise TransportError(f"the management API at {self.place} {problem}: see whether it runs there")

    async def _said(self, path: str, password: str | None) -> bytes:
        context = None if self.tls is None else await self.tls.context()
        reader, writer = await asyncio.open_connection(self.host, self.port, ssl=context)
        try:
            writer.write("".join(f"{line}\r\n" for line in self._request(path, password or "")).encode())
            said = bytearray()
            while len(said) <= _LARGEST and (more := await reader.read(1 << 16)):
                said += more
            return bytes(said)
        finally:
            writer.transport.abort()  # all that counts has come, and a goodbye of TLS would wait for the other side
            with suppress(OSError):
                await writer.wait_closed()

    def _request(self, path: str, password: str) -> Iterator[str]:
        login = base64.b64encode(f"{self.user}:{password}".encode()).decode()
        host = f"[{self.host}]" if ":" in self.host else self.host
        yield f"GET {path} HTTP/1.1"  # proxies of a service mesh refuse an older version
        yield f"Host: {host}:{self.port}"
        yield f"Authorization: Basic {login}"
        yield "Accept: application/json"
        yield "Connection: close"  # so the answer ends with the connection
        yield ""

    def _read(self, said: bytes, virtual_host: str) -> Answered | None:
        status, body = 0, b""
        with suppress(HTTPException, OSError, ValueError):
            response = HTTPResponse(cast("socket.socket", _Received(said)))
            response.begin()
            status, body = response.status, response.read()
        found: object = None
        with suppress(ValueError, RecursionError):
            found = json.loads(body)
        if status == _OK and isinstance(found, dict):
            return cast("Answered", found)
        if status == _NOT_FOUND and isinstance(found, dict):
            return None
        if status in (_UNAUTHORISED, _FORBIDDEN):
            reason = cast("Answered", found).get("reason") if isinstance(found, dict) else None
            text = _REFUSALS.get(str(reason), _REFUSED).format(shlex.quote(virtual_host))
        else:
            what = f"answers {status}" if status not in (0, _OK) else "answers what cannot be read"
            text = f"{what}: correct the address, or see what stands there"
        raise TransportError(f"the management API at {self.place} {text}")


class _Received:
    """What has come, in the place of a connection from which it is read."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def makefile(self, *_: object, **__: object) -> BytesIO:
        return BytesIO(self._said)


def management_at(
    url: object, user: str, password: Password, *, tls: Encryption | None, trusted: bool, broker: StoreUrl
) -> Management:
    """The API at a URL, by default with the login of AMQP. `tls`: of AMQP, for https. `trusted`: so is the network.
    `broker`: its URL, which may name a file with the password of a login of the API's own.

    ConfigurationError for a URL that cannot be used, with no part of it that may be secret.
    """
    found = parsed_web(url)
    ((host, port),) = found.hosts
    if found.scheme == "http" and not is_local(host) and not trusted:
        other = "" if tls else ", or add tls=off to the broker's URL if the network is trusted"
        raise ConfigurationError(
            f"{found.place}: the password would cross the network in plain text: write https:{other}"
        )
    if found.path.rstrip("/").endswith("/api") or found.path.strip("/") == "api":
        raise ConfigurationError(f"{found.place}: leave out /api: it is put behind the address")
    if found.user is None and found.password is not None:
        raise ConfigurationError(f"{found.place}: has a password without a user: write user:password@ before the host")
    problems: list[str] = []
    own = Password.of(found, None, problems, options=broker, option=MANAGEMENT_OPTION)
    if own.is_given and found.user is None:
        problems.append(
            f"{found.place}: {MANAGEMENT_OPTION} is for a user of the API's own: write user@ before the host"
        )
    if problems:
        raise ConfigurationError(*problems)
    given = (user, password) if found.user is None else (found.user, own)
    encryption = None if found.scheme == "http" else tls or Encryption(found.place)
    path = quote(f"/{found.path.strip('/')}".rstrip("/"))
    return Management(found.place, host, port or _PORTS[found.scheme], path, *given, encryption)

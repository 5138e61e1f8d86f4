"""One connection to a server, on nats-py: what comes is handed to its receiver at once, and as bytes.

Nothing that nats-py waits for is ever cancelled. It swallows some cancellations, and an answer to a ping that is no
longer waited for ends its reading.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import nats.errors

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transports.lifetime import Lifetime
from sagabus.transports.login import password_now
from sagabus.transports.nats import headers as header_lines
from sagabus.transports.nats.address import FILES, Address
from sagabus.transports.nats.client import NatsClient, Raw, Receiver, said

_CONNECT = 3
"""Seconds for each step of making a connection."""
_ANSWER = 10.0
"""Seconds for an answer of the server's."""
_CLOSE = 2.0
_NO_RESPONDERS = 503
_SPACE = re.compile(r"\s|\0")
_FILE = "the file of the option"
_REFUSED = ("authorization violation", "authentication", "maximum account", "user authentication", _FILE)


class Reply(NamedTuple):
    """An answer."""

    body: bytes = b""
    is_unheard: bool = False
    """Nothing at the broker listens to the subject that was asked."""
    denied: str = ""
    """The user may not publish there, in the server's words."""


class Question(NamedTuple):
    """A message that is to be answered."""

    subject: str
    body: bytes
    block: bytes = b""
    """Its headers as they travel."""


class Connection:
    """An open connection. It ends with the life of its link, and never comes back."""

    def __init__(self, address: Address, life: Lifetime) -> None:
        self._address, self.life = address, life
        self._client = NatsClient(address.tls is not None)
        self._asked: dict[int, tuple[str, asyncio.Future[Reply]]] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._inbox = self._echo = self._secret = ""
        self._closing = False

    @property
    def largest(self) -> int:
        """How many bytes one message may have, with its headers."""
        return self._client.max_payload

    @property
    def version(self) -> tuple[int, ...]:
        """Of the server, such as (2, 9, 10)."""
        return self._client.version()

    @property
    def why(self) -> str:
        """What the server or the client said last."""
        error = self._client.last_error
        return "" if error is None else self._hidden(said(error))

    async def open(self) -> None:
        """Connect to the first host that answers. TransportError, or ConfigurationError where we are refused."""
        problems: list[str] = []
        refused = 0
        for host, port in self._address.hosts:
            try:
                await self._connect(host, port)
            except (nats.errors.Error, OSError, TimeoutError) as error:
                text = self._client.heard or said(error)
                refused += any(word in text.lower() for word in _REFUSED)
                problems.append(f"{host}:{port}: {self._hidden(text)}")
                await self._discard()
            except BaseException:
                await self._discard()
                raise
            else:
                return
        text = "; ".join(problems)
        if refused == len(problems):
            raise ConfigurationError(f"{self._address.place}: the broker refuses the user, password or key: {text}")
        raise TransportError(f"cannot connect: {text}", transport=self._address.place)

    async def close(self) -> None:
        """End it; what was published before is sent, unless the broker takes nothing."""
        self._closing = True
        try:
            if self._client.is_connected:  # nats-py would wait for ever for the end of one that TLS has failed on
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE):
                        await self._client.close()
        finally:
            self._client.drop()

    # --- messages -----------------------------------------------------------------------------------------------------

    def new_inbox(self) -> str:
        """A subject that is known here only."""
        return self._client.new_inbox()

    async def subscribe(self, subject: str, receiver: Receiver) -> Callable[[], Any]:
        """Hand what comes on a subject to a receiver, which neither waits nor raises. The result ends that."""
        with _edge(self):
            return await self._client.listen(subject, receiver)

    async def publish(self, subject: str, body: bytes = b"", *, reply: str = "") -> None:
        """Send a message and hear nothing of it; an answer goes to `reply`."""
        with _edge(self):
            await self._client.publish(subject, body, reply)

    def answer(self, subject: bytes, body: bytes = b"") -> None:
        """Send a message soon, from a receiver."""
        task = asyncio.get_running_loop().create_task(self._client.publish(subject.decode("ascii", "replace"), body))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def publish_all(self, subjects: Iterable[bytes], body: bytes) -> None:
        """Send one body on several subjects that came from the server, and hear nothing of it."""
        size = len(body)
        with _edge(self):
            await self._client.send(b"".join([b"PUB %b %d\r\n%b\r\n" % (each, size, body) for each in subjects]))

    async def asked(self, questions: Sequence[Question]) -> list[asyncio.Future[Reply]]:
        """Send messages in one go; each has its answer in a future. `forget` those not waited for."""
        loop, inbox, known, number = asyncio.get_running_loop(), self._inbox.encode(), self._asked, self._numbers
        commands: list[bytes] = []
        answers: list[asyncio.Future[Reply]] = []
        for subject, body, block in questions:
            number += 1
            answer: asyncio.Future[Reply] = loop.create_future()
            known[number] = (subject, answer)
            answers.append(answer)
            whole, size = block + body, len(block)
            verb, sizes = (b"HPUB", b"%d %d" % (size, len(whole))) if block else (b"PUB", b"%d" % len(whole))
            commands.append(b"%b %b %b.%d %b\r\n%b\r\n" % (verb, subject.encode(), inbox, number, sizes, whole))
        self._numbers = number
        with _edge(self):
            await self._client.send(b"".join(commands))
        return answers

    def forget(self, answers: Iterable[asyncio.Future[Reply]]) -> None:
        """No one waits for these."""
        late = {id(each) for each in answers if not each.done() or each.cancelled()}
        if late:
            self._asked = {number: asked for number, asked in self._asked.items() if id(asked[1]) not in late}

    async def ask(
        self,
        subject: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        patience: float = _ANSWER,
    ) -> Reply:
        """The answer to a message; TimeoutError where none comes in time."""
        with _edge(self):
            if _SPACE.search(subject):  # it would end there, and what follows be a command
                raise nats.errors.BadSubjectError
        block = b"" if headers is None else header_lines.block(headers)
        answers = await self.asked([Question(subject, body, block)])
        try:
            async with asyncio.timeout(patience):
                return await answers[0]
        finally:
            self.forget(answers)

    async def echo(self) -> None:
        """Hear from the server; TimeoutError where it does not answer."""
        await self.ask(self._echo)

    # --- making it ----------------------------------------------------------------------------------------------------

    async def _connect(self, host: str, port: int) -> None:
        address, client = self._address, NatsClient(self._address.tls is not None)
        self._client = client
        secret = await password_now(address.password, address.place, _ANSWER)
        self._secret = secret or ""
        context = None if address.tls is None else await address.tls.context()
        client.denied, client.reading_ended = self._denied, self._ended
        named = f"[{host}]" if ":" in host else host
        with _files(address.login):
            await client.connect(**self._options(f"nats://{named}:{port}", context, address.with_secret(secret)))
        client.check_encryption()
        self._inbox = client.new_inbox()
        await client.listen(f"{self._inbox}.*", self._answered)
        self._echo = client.new_inbox()
        await client.listen(self._echo, lambda raw: self.answer(raw.reply))

    def _options(self, server: str, tls: ssl.SSLContext | None, login: Mapping[str, Any]) -> Mapping[str, Any]:
        client = self._client
        return dict(
            servers=[server],
            name="sagabus",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # how often a host is tried again at once; 0 would be for ever
            reconnect_time_wait=0,
            connect_timeout=_CONNECT,
            ping_interval=20,
            pending_size=0,  # no waiting inside of publish
            tls=tls,
            inbox_prefix=self._address.inbox,
            error_cb=client.on_error,
            closed_cb=client.on_closed,
            **login,
        )

    def _hidden(self, text: str) -> str:
        """A text of others without the password or token."""
        return text.replace(self._secret, "…") if self._secret else text

    async def _discard(self) -> None:
        """Forget a connection that was not made: another host may be tried."""
        await self.close()
        self._closing = False

    def _answered(self, raw: Raw) -> None:
        number = raw.subject.rpartition(b".")[2]
        asked = self._asked.pop(int(number), None) if number.isdigit() else None
        if asked is not None and not asked[1].done():
            is_unheard = not raw.body and header_lines.status(raw.block) == _NO_RESPONDERS
            asked[1].set_result(Reply(raw.body, is_unheard=is_unheard))

    def _denied(self, what: str, subject: str, text: str) -> None:
        """The server does not let us publish or listen somewhere; it says so in lower case, as nats-py hands it on."""
        if what == "subscription":
            self.life.end(f"the broker does not let this user listen: {text}")
            return
        for asked, answer in list(self._asked.values()):
            if asked.lower() == subject and not answer.done():
                answer.set_result(Reply(denied=text))

    def _ended(self) -> None:
        if not self._closing:
            self.life.end(self.why or "the broker closed the connection")


@contextmanager
def _files(login: Mapping[str, Any]) -> Generator[None, None, None]:
    """What is wrong with the file of a login, as an error of nats-py without its path and content. It reads the file
    for each connection, and whatever its parser finds comes through.
    """
    option = next((option for option, name in FILES.items() if name in login), None)
    problem = ""
    try:
        yield
    except (nats.errors.Error, TimeoutError):
        raise
    except Exception as error:
        if option is None or (isinstance(error, OSError) and not error.filename):
            raise
        problem = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else "holds no login"
    if problem:
        raise nats.errors.Error(f"{_FILE} {option} {problem}: correct it")


class _edge:  # noqa: N801  # reads as a statement
    """Errors of the client's as ours: every one of them is the end of the link."""

    def __init__(self, connection: Connection) -> None:
        self._life = connection.life

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, nats.errors.Error | OSError):
            self._life.end(said(error))
            raise self._life.error() from error

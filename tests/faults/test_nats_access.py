"""Who may connect to NATS, and how: passwords, rights, TLS, and several hosts."""

import asyncio
import base64
import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.guarded_brokers import reload
from tests.support.nats_server import Streams, ids, note, receive, send
from tests.support.private_servers import require

from sagabus.errors import ConfigurationError, TransportError
from sagabus.testing.brokers import PrivateNats
from sagabus.transport import Answer, Topology
from sagabus.transports.nats import NatsTransport

pytestmark = pytest.mark.faults

PAGE = Path(__file__).resolve().parents[2] / "docs" / "nats.md"
RIGHTS = """{ users: [
    { user: me, password: hunter2, permissions: {
        publish: { deny: "sagabus.event.secret" }, subscribe: { deny: "sagabus.link.>" } } }
    { user: you, password: swordfish, permissions: { publish: { deny: "sagabus.event.secret" } } }
] }"""


@pytest.fixture(scope="module")
def guarded() -> Iterator[PrivateNats]:
    """A server that knows its users."""
    require(PrivateNats)
    with PrivateNats({"authorization": RIGHTS}) as server:
        yield server


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """A certificate of `localhost`, where the server's own user can read it."""
    folder = Path(tempfile.mkdtemp(prefix="sagabus-tls-"))
    folder.chmod(0o755)
    names = "subjectAltName=DNS:localhost"
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-x509", "-subj", "/CN=localhost", "-addext", names]
    command = ["openssl", "req", *options, "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "key.pem").chmod(0o644)
    yield folder
    shutil.rmtree(folder)


async def test_a_wrong_password_is_refused_and_not_shown(guarded: PrivateNats) -> None:
    transport = NatsTransport(f"nats://me:s3cret@127.0.0.1:{guarded.port}")

    with pytest.raises(ConfigurationError, match="refuses the user") as refused:
        await transport.connect()

    assert "s3cret" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="refuses the user"):
        await NatsTransport(guarded.url).connect()


async def test_what_a_user_may_not_publish_is_refused_and_costs_no_other(guarded: PrivateNats) -> None:
    link = await NatsTransport(f"nats://you:swordfish@127.0.0.1:{guarded.port}").connect()
    try:
        await link.declare(Topology("books", ("noted", "secret")))

        refused, taken = await link.send([note(0, "secret"), note(1)])

        assert (refused.answer, taken.answer) == (Answer.REFUSED, Answer.CONFIRMED)
        assert "permissions violation" in refused.reason
        assert ids(await receive(link, 1)) == ["m1"]
    finally:
        await link.close()


@pytest.mark.parametrize("prefix", ["sagabus", "shop"])
async def test_the_rights_on_the_page_are_enough(prefix: str) -> None:
    require(PrivateNats)
    (rights,) = re.findall(r"^permissions: (\{.+?^\})$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    rights = rights.replace("billing", "books").replace("sagabus", prefix)
    with PrivateNats(
        {"authorization": f"{{ users: [{{ user: me, password: hunter2, permissions: {rights} }}] }}"}
    ) as server:
        transport = NatsTransport(f"nats://me:hunter2@127.0.0.1:{server.port}?prefix={prefix}")
        link, standby = await transport.connect(), await transport.connect()
        try:
            for each in (link, standby):
                await each.declare(Topology("books", ("noted",), ("do",), "s1"))
            assert await send(link, note(0), note(1, "do", kind="command")) == [Answer.CONFIRMED] * 2
            await link.settle(await receive(link, 2))
            waits = asyncio.create_task(receive(standby, 1))
            await link.close()
            assert await send(standby, note(2)) == [Answer.CONFIRMED]
            await standby.settle(await waits)
            await standby.ping()
        finally:
            await link.close()
            await standby.close()


async def test_a_link_that_may_not_listen_ends_with_the_reason(guarded: PrivateNats) -> None:
    link = await NatsTransport(f"nats://me:hunter2@127.0.0.1:{guarded.port}").connect()
    try:
        with suppress(TransportError):
            await link.declare(Topology("books", ("noted",)))

        async with asyncio.timeout(20):
            why = await link.ended()

        assert "does not let this user listen" in why
        assert "sagabus.link" in why
    finally:
        await link.close()


async def test_a_token_is_a_way_to_connect() -> None:
    require(PrivateNats)
    with PrivateNats({"authorization": "{ token: s3cret }"}) as server:
        for login in ("s3cret@127.0.0.1:{}", "127.0.0.1:{}?token=s3cret"):
            link = await NatsTransport("nats://" + login.format(server.port)).connect()
            await link.ping()
            await link.close()


async def test_the_seed_of_a_key_is_a_way_to_connect(tmp_path: Path) -> None:
    require(PrivateNats)
    me, stranger = key("U"), key("U")
    with PrivateNats({"authorization": f"{{ users: [ {{ nkey: {public(me)} }} ] }}"}) as server:
        link = await NatsTransport(f"{server.url}?nkey={kept(tmp_path, me.seed)}").connect()
        await link.ping()
        await link.close()

        with pytest.raises(ConfigurationError, match="refuses the user"):
            await NatsTransport(f"{server.url}?nkey={kept(tmp_path, stranger.seed)}").connect()


async def test_a_key_is_read_for_each_connection(tmp_path: Path) -> None:
    require(PrivateNats)
    me, next_ = key("U"), key("U")
    file = kept(tmp_path, me.seed)
    with PrivateNats({"authorization": f"{{ users: [ {{ nkey: {public(me)} }} ] }}"}) as server:
        transport = NatsTransport(f"{server.url}?nkey={file}")
        await (await transport.connect()).close()
        await reload(server, authorization=f"{{ users: [ {{ nkey: {public(next_)} }} ] }}")
        with pytest.raises(ConfigurationError, match="refuses the user"):
            await transport.connect()
        for broken in (b"", b"no seed", next_.seed[:20]):  # as while it is written
            file.write_bytes(broken)
            with pytest.raises(ConfigurationError, match="the file of the option nkey holds no login"):
                await transport.connect()
        file.unlink()
        with pytest.raises(ConfigurationError, match="the file of the option nkey cannot be read") as missing:
            await transport.connect()
        assert file.name not in str(missing.value)
        file.write_bytes(next_.seed)
        await (await transport.connect()).close()


async def test_credentials_are_a_way_to_connect(tmp_path: Path) -> None:
    require(PrivateNats)
    operator, system, account, me = key("O"), key("A"), key("A"), key("U")
    unlimited = dict.fromkeys(("subs", "conn", "leaf", "imports", "exports", "data", "payload"), -1)
    stored = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    accounts = {account: claims(operator, account, limits=unlimited | stored)}
    accounts[system] = claims(operator, system, limits=unlimited)
    known = ", ".join(f'{public(each)}: "{text}"' for each, text in accounts.items())
    settings = {
        "operator": f'"{claims(operator, operator)}"',
        "system_account": public(system),
        "resolver": f"MEMORY\nresolver_preload: {{ {known} }}",
    }
    with PrivateNats(settings) as server:
        user = claims(account, me, subs=-1, data=-1, payload=-1)
        link = await NatsTransport(f"{server.url}?creds={kept(tmp_path, credentials(user, me.seed))}").connect()
        await link.declare(Topology("books", ("noted",)))
        assert await send(link, note(0)) == [Answer.CONFIRMED]
        await link.close()

        unknown = claims(key("A"), me)
        with pytest.raises(ConfigurationError, match="refuses the user"):
            await NatsTransport(f"{server.url}?creds={kept(tmp_path, credentials(unknown, me.seed))}").connect()

        file = kept(tmp_path, credentials(user, me.seed))
        transport = NatsTransport(f"{server.url}?creds={file}")
        for broken in (b"", credentials(user, me.seed)[:400], credentials(user, b"")):  # as while it is written
            file.write_bytes(broken)
            with pytest.raises(ConfigurationError, match=r"the file of the option creds|refuses the user"):
                await transport.connect()
        file.write_bytes(credentials(user, me.seed))
        await (await transport.connect()).close()


def key(kind: str) -> Any:
    """A new key of an operator, an account or a user."""
    nkeys = pytest.importorskip("nkeys", reason="creds and nkey need it: pip install 'nats-py[nkeys]'")
    kinds = {"O": nkeys.PREFIX_BYTE_OPERATOR, "A": nkeys.PREFIX_BYTE_ACCOUNT, "U": nkeys.PREFIX_BYTE_USER}
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), kinds[kind]))


def public(pair: Any) -> str:
    return str(pair.public_key.decode())


def claims(signer: Any, subject: Any, **said: Any) -> str:
    """A token that says who somebody is, as `nsc` makes one."""
    kind = {"O": "operator", "A": "account", "U": "user"}[public(subject)[0]]
    body = {"jti": os.urandom(8).hex(), "iat": 1, "iss": public(signer), "name": kind, "sub": public(subject)}
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, body | {"nats": {"type": kind, "version": 2, **said}}]
    signed = b".".join(map(encoded, (json.dumps(part).encode() for part in parts)))
    return (signed + b"." + encoded(signer.sign(signed))).decode()


def encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def credentials(user: str, seed: bytes) -> bytes:
    parts = {"NATS USER JWT": user, "USER NKEY SEED": seed.decode()}
    return "".join(
        f"-----BEGIN {name}-----\n{text}\n------END {name}------\n\n" for name, text in parts.items()
    ).encode()


def kept(folder: Path, text: bytes) -> Path:
    """A new file."""
    file = folder / f"{len(list(folder.iterdir()))}.creds"
    file.write_bytes(text)
    return file


async def test_tls_verifies_the_server(certificates: Path) -> None:
    require(PrivateNats)
    files = f'{{ cert_file: "{certificates}/cert.pem", key_file: "{certificates}/key.pem" }}'
    with PrivateNats({"tls": files}) as server:
        link = await NatsTransport(f"tls://localhost:{server.port}?ca={certificates}/cert.pem").connect()
        await link.declare(Topology("books", ("noted",)))
        assert await send(link, note(0)) == [Answer.CONFIRMED]
        await link.close()

        for other in (f"localhost:{server.port}", f"127.0.0.1:{server.port}?ca={certificates}/cert.pem"):
            with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
                await NatsTransport(f"tls://{other}").connect()


async def test_a_password_never_goes_to_a_server_without_tls(certificates: Path) -> None:
    """nats-py encrypts only where the server asks for it: one that is between could keep that back."""
    async with _plain_server() as (port, heard):
        with pytest.raises(TransportError):
            await NatsTransport(f"tls://me:hunter2@localhost:{port}?ca={certificates}/cert.pem").connect()

    assert heard
    assert b"CONNECT" not in b"".join(heard)


async def test_the_first_host_that_answers_is_taken() -> None:
    async with Streams() as streams:
        host, port = streams.server
        transport = NatsTransport(f"nats://127.0.0.1:1,{host}:{port}?prefix={streams.prefix}")

        link = await transport.connect()

        await link.ping()
        await link.close()


async def test_a_server_that_is_not_there_is_named_without_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    transport = NatsTransport("nats://me:hunter2@127.0.0.1:1,127.0.0.1:2")

    with caplog.at_level(logging.DEBUG), pytest.raises(TransportError, match=r"127\.0\.0\.1:2") as absent:
        await transport.connect()

    assert "hunter2" not in f"{absent.value} {caplog.text}"


async def test_a_server_without_jetstream_is_no_broker() -> None:
    require(PrivateNats)
    with (
        PrivateNats({"jetstream": "false"}) as server,
        pytest.raises(TransportError, match="JetStream does not answer: enable it"),
    ):
        await NatsTransport(server.url).connect()


@asynccontextmanager
async def _plain_server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Greets as NATS does and offers no TLS; with what it hears."""
    heard: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.9.10","headers":true,"max_payload":1000}\r\n')
        while said := await reader.read(4096):
            heard.append(said)
            writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard

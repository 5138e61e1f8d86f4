"""TLS to servers: what is verified, what is only a warning, and which errors no retry gets past."""

import asyncio
import logging
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.support.certificates import keep_key
from tests.support.private_servers import require

from sagabus import Bus, ConfigurationError, SagaBusError, StoreError, StoreUntrusted
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.postgres import PostgresStore
from sagabus.stores.sql.encryption import warn_unless_safe
from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

KINDS = ("postgres", "mysql")
VERIFY = {"postgres": "sslmode=verify-full&sslrootcert", "mysql": "ssl=verify&ssl_ca"}
AUTHORITY = {"postgres": "sslrootcert", "mysql": "ssl_ca"}
CERTIFICATE = {
    "postgres": "sslcert={0}/client.pem&sslkey={0}/client.key",
    "mysql": "ssl_cert={0}/client.pem&ssl_key={0}/client.key",
}
OFF = {"postgres": "sslmode=disable", "mysql": "ssl=off"}
HOW = {
    "postgres": "SELECT CASE WHEN ssl THEN 'TLS' ELSE '' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mysql": "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_version'",
}


@pytest.fixture(scope="module")
def servers(certificates: Path) -> Iterator[Mapping[str, PrivateServer]]:
    for kind in (PrivatePostgres, PrivateMariaDB):
        require(kind)
    found = {
        "postgres": PrivatePostgres(
            {
                "ssl": "on",
                "ssl_ca_file": str(certificates / "authority.pem"),
                "ssl_cert_file": str(certificates / "server.pem"),
                "ssl_key_file": str(keep_key(certificates, "server", "postgres")),
            }
        ),
        "mysql": PrivateMariaDB(
            {
                "ssl-ca": str(certificates / "authority.pem"),
                "ssl-cert": str(certificates / "server.pem"),
                "ssl-key": str(keep_key(certificates, "server", "mysql")),
            }
        ),
    }
    try:
        for server in found.values():
            server.start()
        yield found
    finally:
        for server in found.values():
            server.close()


async def how(kind: str, url: str) -> str:
    """How the bus's connections reach the server: the version of TLS, or nothing."""
    async with Bus(url) as bus, bus.transaction() as tx:
        ((found,),) = await tx.connection.execute(HOW[kind])
        return str(found)[:3]


def refusal(url: str) -> SagaBusError:
    """What opening a bus there ends in, without any patience."""

    async def attempt() -> None:
        async with asyncio.timeout(10), Bus(url):
            """Never opened."""

    with pytest.raises(SagaBusError) as caught:
        asyncio.run(attempt())
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_a_verified_connection_is_encrypted(
    kind: str, servers: Mapping[str, PrivateServer], certificates: Path
) -> None:
    assert asyncio.run(how(kind, f"{servers[kind].url}?{VERIFY[kind]}={certificates}/authority.pem")) == "TLS"


@pytest.mark.parametrize("kind", KINDS)
def test_who_names_an_authority_wants_it_used(
    kind: str, servers: Mapping[str, PrivateServer], certificates: Path
) -> None:
    url = f"{servers[kind].url}?{AUTHORITY[kind]}={certificates}"

    assert asyncio.run(how(kind, f"{url}/authority.pem")) == "TLS"
    assert isinstance(refusal(f"{url}/stranger.pem"), StoreUntrusted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_certificate_alone_is_never_sent_in_plain_text(
    kind: str, servers: Mapping[str, PrivateServer], certificates: Path
) -> None:
    own = CERTIFICATE[kind].format(certificates)

    assert isinstance(
        refusal(f"{servers[kind].url}?{own}"), (StoreUntrusted, ConfigurationError)
    )  # nothing verifies it
    assert asyncio.run(how(kind, f"{servers[kind].url}?{own}&{AUTHORITY[kind]}={certificates}/authority.pem")) == "TLS"


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_the_server_does_not_trust_is_refused_at_once(
    kind: str, servers: Mapping[str, PrivateServer], certificates: Path
) -> None:
    own = CERTIFICATE[kind].format(certificates).replace("client", "stranger")

    # With TLS 1.3 the refusal comes after the handshake, and neither driver hands its kind on.
    error = refusal(f"{servers[kind].url}?{own}&{AUTHORITY[kind]}={certificates}/authority.pem")

    assert isinstance(error, StoreError)


@pytest.mark.parametrize("kind", KINDS)
def test_another_name_or_authority_is_permanent_and_said_at_once(
    kind: str, servers: Mapping[str, PrivateServer], certificates: Path
) -> None:
    url = f"{servers[kind].url}?{VERIFY[kind]}={certificates}"
    for wrong in (f"{url}/stranger.pem", f"{url}/authority.pem".replace("127.0.0.1", "localhost")):
        error = refusal(wrong)

        assert isinstance(error, StoreUntrusted)
        assert not error.is_transient
        assert isinstance(error.__cause__, Exception)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_reported_before_anything_is_connected(kind: str, certificates: Path) -> None:
    make = PostgresStore if kind == "postgres" else MysqlStore

    with pytest.raises(ConfigurationError, match="cannot be read"):
        make(f"{kind.replace('postgres', 'postgresql')}://h/d?{AUTHORITY[kind]}=/no/such/file")
    with pytest.raises(ConfigurationError, match="of no effect"):
        make(
            f"{kind.replace('postgres', 'postgresql')}://h/d?{OFF[kind]}&{AUTHORITY[kind]}={certificates}/authority.pem"
        )


def test_a_server_without_tls_is_not_answered_in_plain_text(certificates: Path) -> None:
    require(PrivateMariaDB)
    with PrivateMariaDB() as server:
        error = refusal(f"{server.url}?{VERIFY['mysql']}={certificates}/authority.pem&deadline=3")

    assert isinstance(error, SagaBusError)


class Transport:
    """What a transport says of itself."""

    def __init__(self, peer: object, context: ssl.SSLContext | None) -> None:
        self._known = {"peername": peer, "sslcontext": context}

    def get_extra_info(self, name: str) -> object:
        return self._known[name]


UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE


@pytest.mark.parametrize(
    ("peer", "context", "warned"),
    [
        (("10.1.2.3", 5432), None, True),
        (("10.1.2.3", 5432), UNVERIFIED, True),
        (("10.1.2.3", 5432), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), False),
        (("2001:db8::1", 5432, 0, 0), None, True),
        (("fe80::1%eth0", 5432, 0, 2), None, True),
        (("127.0.0.1", 5432), None, False),
        (("::1", 5432, 0, 0), None, False),
        (("::ffff:127.0.0.1", 5432, 0, 0), None, False),
        (("::ffff:10.1.2.3", 5432, 0, 0), None, True),
        ("/run/server.sock", None, False),
        ("", None, False),
        (None, None, False),
    ],
)
def test_what_can_be_read_or_forged_on_its_way_is_a_warning(
    peer: object, context: ssl.SSLContext | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_unless_safe(Transport(peer, context), "mysql://h/d", verify="ssl=verify", mean_it="ssl=off")

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warned

"""Which connections to a broker are encrypted, and what is refused."""

import ssl
from pathlib import Path

import pytest

from sagabus.errors import ConfigurationError
from sagabus.transports.encryption import encryption_of, is_local
from sagabus.url.parsing import server_parts


def context(url: str) -> ssl.SSLContext | None:
    scheme, _, rest = url.partition(":")
    found = encryption_of(server_parts(scheme, rest), encrypted=scheme == "amqps", secure_scheme="amqps")
    return None if found is None else found.context_now()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "a.localhost", "", "127.8.9.1"])
def test_a_plain_connection_within_this_machine_is_no_problem(host: str) -> None:
    assert is_local(host.strip("[]"))
    assert context(f"amqp://{host}/") is None


def test_a_connection_by_tls_verifies_the_broker() -> None:
    made = context("amqps://broker.example/")

    assert made is not None
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("amqp://user:hunter2@broker.example/", "plain text"),
        ("amqp://user:hunter2@localhost,10.0.0.7/", "plain text"),
        ("amqp://localhost/?ca=/no/such/file", "only for TLS"),
        ("amqps://user:hunter2@broker/?ca=/no/such/file", "the option ca cannot be read"),
        ("amqps://broker/?key=/dev/null", "needs the option cert"),
        ("amqps://broker/?tls=off", "remove tls=off"),
        ("amqp://localhost/?tls=maybe", "one value, off"),
        ("amqps://broker/?cert=/dev/null", "cannot be used"),
    ],
)
def test_what_cannot_be_meant_is_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        context(url)

    assert "hunter2" not in str(caught.value)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        context(f"amqps://broker/?ca={tmp_path}/a&cert={tmp_path}/b&tls=off")

    assert len(caught.value.problems) == 3


def test_a_network_that_is_trusted_can_be_named() -> None:
    assert context("amqp://10.0.0.7/?tls=off") is None

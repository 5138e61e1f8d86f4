"""What the doctor hears of a RabbitMQ's policies: how the management API is asked, and how its answers are judged."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sagabus.bus.diagnosis import surroundings
from sagabus.errors import ConfigurationError, TransportError
from sagabus.transport import Hazard, Overseen, Topology
from sagabus.transports import transport_from_url
from sagabus.transports.memory import MemoryTransport
from sagabus.transports.rabbitmq import RabbitMQTransport, management

BOOKS = Topology("books", ("noted",))
SECRET = "hunter2"
MISSING = {"error": "Object Not Found", "reason": "Not Found"}


def http(body: object, status: str = "200 OK", *headers: str) -> bytes:
    """An answer; bytes stand for themselves."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(raw)}", *headers)
    return "\r\n".join((*lines, "", "")).encode() + raw


def queue(policy: str | None = "cut", operator_policy: str | None = None, **keys: Any) -> dict[str, Any]:
    definition = {name.replace("_", "-"): value for name, value in keys.items()}
    return {"policy": policy, "operator_policy": operator_policy, "effective_policy_definition": definition}


class Api:
    """A server that answers what it is told, and remembers what it was asked."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.answering: list[asyncio.Task[None]] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Api"]:
        async with await asyncio.start_server(self._answer, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self
            await asyncio.gather(*self.answering)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self.answering.append(task)
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        answer = self.answers.pop(0)
        if answer is None:
            await reader.read()  # silent until the other side gives up
        else:
            writer.write(answer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def transport(self, host: str = "localhost/", login: str = "", path: str = "", **options: str) -> RabbitMQTransport:
        address = f"http://{login}127.0.0.1:{self.port}{path}"
        query = "".join(f"&{name}={value}" for name, value in options.items())
        return RabbitMQTransport(f"amqp://app:{SECRET}@{host}?prefix=acme{query}", management=address)


def refusal(reason: object) -> dict[str, object]:
    return {"error": "not_authorised", "reason": reason}


async def found(*answers: object, host: str = "localhost/") -> list[Hazard]:
    async with Api(*map(http, answers)).listening() as api:
        return list(await api.transport(host).hazards(BOOKS))


# --- how it is asked --------------------------------------------------------------------------------------------------


async def test_the_queue_of_the_service_is_asked_for_by_the_login_of_amqp() -> None:
    async with Api(http(queue())).listening() as api:
        assert await api.transport("localhost/shop%2Feu").hazards(BOOKS) == ()

    (request,) = api.asked
    assert request.startswith("GET /api/queues/shop%2Feu/acme.service.books HTTP/1.1\r\n")
    assert "Connection: close\r\n" in request
    assert f"Authorization: Basic {base64.b64encode(f'app:{SECRET}'.encode()).decode()}\r\n" in request
    assert f"Host: 127.0.0.1:{api.port}\r\n" in request


async def test_the_api_may_have_a_login_and_a_path_of_its_own() -> None:
    async with Api(http(queue())).listening() as api:
        await api.transport(login="mon:p%40ss@", path="/mq/").hazards(BOOKS)

    (request,) = api.asked
    assert request.startswith("GET /mq/api/queues/%2F/acme.service.books HTTP/1.1\r\n")
    assert base64.b64encode(b"mon:p@ss").decode() in request


async def test_its_password_changes_with_that_of_amqp_or_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first")
    async with Api(http(queue()), http(queue()), http(queue())).listening() as api:
        of_amqp = f"amqp://app@localhost/?password_file={file}&management=http://127.0.0.1:{api.port}"
        own = f"amqp://app@localhost/?management=http://mon%40127.0.0.1:{api.port}&management_password_file={file}"
        transports = [RabbitMQTransport(of_amqp), RabbitMQTransport(own)]
        file.write_text("second")
        for transport in transports:
            await transport.hazards(BOOKS)
        file.unlink()
        with pytest.raises(TransportError, match="is not asked: the file of the option management_password_file"):
            await transports[1].hazards(BOOKS)

    logins = [base64.b64encode(f"{user}:second".encode()).decode() for user in ("app", "mon")]
    assert [login in request for login, request in zip(logins, api.asked, strict=True)] == [True, True]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("management=http://mon:x%40localhost&management_password_file=/dev/null", "keep one"),
        ("management=http://localhost&management_password_file=FILE", "for a user of the API's own: write user@"),
        ("management_password_file=FILE", "needs the address of the API"),
        ("management=http://mon%40localhost&management_password_file=/none", "cannot be read"),
    ],
)
def test_a_file_of_its_own_that_cannot_be_meant_is_refused(options: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("second")
    with pytest.raises(ConfigurationError, match=why):
        RabbitMQTransport(f"amqp://app:{SECRET}@localhost/?{options.replace('FILE', f'{tmp_path}/file')}")


async def test_what_breaks_lines_in_a_path_stays_in_it() -> None:
    async with Api(http(queue())).listening() as api:
        await api.transport(path="/a%0D%0AX:%201").hazards(BOOKS)

    assert "\r\nX: 1" not in api.asked[0]


async def test_the_address_may_stand_in_the_url() -> None:
    async with Api(http(queue(expires=5))).listening() as api:
        transport = transport_from_url(f"amqp://localhost/?management=http://127.0.0.1:{api.port}")
        assert isinstance(transport, Overseen)

        assert transport.unseen == ""
        assert len(await transport.hazards(BOOKS)) == 1


async def test_its_login_stands_there_with_escapes_and_is_refused_without() -> None:
    async with Api(http(queue())).listening() as api:
        url = f"amqp://localhost/?management=http://mon:{SECRET}%40127.0.0.1:{api.port}"
        await RabbitMQTransport(url).hazards(BOOKS)
        with pytest.raises(ConfigurationError, match="password may be cut") as refused:
            RabbitMQTransport(url.replace("%40", "@"))

    assert base64.b64encode(f"mon:{SECRET}".encode()).decode() in api.asked[0]
    assert SECRET not in repr(refused.value)


async def test_without_an_address_it_says_how_to_give_one() -> None:
    transport = RabbitMQTransport("amqp://localhost/")

    assert "add management=http://HOST:15672" in transport.unseen
    assert await transport.hazards(BOOKS) == ()


async def test_a_service_without_a_queue_has_nothing_to_ask() -> None:
    async with Api().listening() as api:
        assert await api.transport().hazards(Topology("shop")) == ()
    assert api.asked == []


def test_other_transports_are_not_asked() -> None:
    assert not isinstance(MemoryTransport.at("memory://shop"), Overseen)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        (f"ftp://u:{SECRET}@localhost", "management: write http://"),
        (f"u:{SECRET}@localhost:15672", "management: write http://"),
        (f"http://u:{SECRET}@localhost,other", "management: write http://"),
        (f"http://u:{SECRET}@/x", "management: write http://"),
        (f"http://u:{SECRET}@localhost?x={SECRET}", "management: write http://"),
        (f"http://u:{SECRET}@localhost:99999", "invalid host or port"),
        (f"http://u:a/{SECRET}@localhost", "its password may be cut"),
        (f"http://u:{SECRET}@broker.example:15672", "cross the network in plain text"),
        (f"http://u:{SECRET}@local\nhost", "management: write http://"),
        ("http://localhost:15672/api", "http://localhost:15672/api: leave out /api"),
        ("http://localhost/rabbit/api/", "leave out /api"),
        (f"http://:{SECRET}@localhost", "http://localhost: has a password without a user"),
        ("", "management: write http://"),
    ],
)
def test_what_is_wrong_with_an_address_is_named_and_nothing_secret_is(address: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        RabbitMQTransport("amqp://localhost/", management=address)

    assert SECRET not in f"{refused.value!s} {refused.value!r} {refused.value.__context__!r}"


def test_it_is_given_once_and_all_problems_are_named_together() -> None:
    with pytest.raises(ConfigurationError) as refused:
        RabbitMQTransport("amqp://localhost/?heartbeat=x&management=http://localhost", management="http://localhost")

    assert [problem.rpartition(": ")[2] for problem in refused.value.problems] == [
        "amqp://localhost/: heartbeat is a number of seconds from 1 to 600".rpartition(": ")[2],
        "leave it out of the URL, or out of the call",
    ]


def test_a_trusted_network_is_trusted_for_the_api_too() -> None:
    RabbitMQTransport("amqp://broker.example/?tls=off", management="http://broker.example:15672")
    RabbitMQTransport("amqps://broker.example/", management="https://broker.example:15671")


@pytest.mark.parametrize(("broker", "offers"), [("amqp://localhost/", True), ("amqps://localhost/", False)])
def test_an_encrypted_broker_is_not_offered_an_option_that_it_refuses(broker: str, offers: bool) -> None:
    with pytest.raises(ConfigurationError, match="in plain text: write https:") as refused:
        RabbitMQTransport(broker, management="http://broker.example:15672")

    assert ("tls=off" in str(refused.value)) is offers


def test_nothing_secret_is_shown() -> None:
    transport = RabbitMQTransport("amqp://localhost/", management=f"http://user:{SECRET}@localhost:15672")

    shown = f"{transport!r} {transport._dialler.options!r} {transport.unseen}"
    assert SECRET not in shown
    assert "user" not in shown


# --- answers that are none --------------------------------------------------------------------------------------------


NONSENSE: list[tuple[bytes | None, str]] = [
    (http({"error": "not_authorized"}, "401 Unauthorized"), "refuses the login.*the tag `management`"),
    (http(refusal("Login failed"), "401 Unauthorized"), "refuses the login: correct it$"),
    (http(refusal("Not management user"), "401 Unauthorized"), "lacks the tag `management`: give it to the user"),
    (
        http(refusal("User not authorised to access virtual host"), "401 Unauthorized"),
        r"no permission in the virtual host: give it one, .*rabbitmqctl set_permissions -p / USER ",
    ),
    (http(refusal(["x"]), "401 Unauthorized"), "refuses the login.*the tag `management`"),
    (http(b"", "403 Forbidden"), "refuses the login"),
    (http(b"", "302 Found", "Location: http://127.0.0.1:1/"), "answers 302"),
    (http(b"oh no", "500 Internal Server Error"), "answers 500"),
    (http(b"<html>", "404 Not Found"), "answers 404"),
    (http(b"{not json"), "answers what cannot be read"),
    (http(b"[" * 100_000), "answers what cannot be read"),
    (http([1, 2]), "answers what cannot be read"),
    (http(b"\xff\xfe"), "answers what cannot be read"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", "answers what cannot be read"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "answers what cannot be read"),
    (b"", "answers what cannot be read"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{", "answers what cannot be read"),
    (http({}), "does not say the policies of the queue: ask again in some seconds"),
    (http({"effective_policy_definition": ["x"]}), "does not say the policies"),
    (None, "has not answered within 0.2 s"),
]


@pytest.mark.parametrize(("answer", "problem"), NONSENSE, ids=[problem[:30] for _, problem in NONSENSE])
async def test_each_is_one_sentence_without_a_secret(
    answer: bytes | None, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management, "PATIENCE", 0.2 if answer is None else 5.0)
    async with Api(answer).listening() as api:
        with pytest.raises(TransportError, match=problem) as refused:
            await api.transport().hazards(BOOKS)

    assert f"the management API at http://127.0.0.1:{api.port}" in str(refused.value)
    assert SECRET not in f"{refused.value!s} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert len(api.asked) == 1  # a redirection is not followed


async def test_one_that_sends_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "_LARGEST", 10_000)
    async with Api(http(b"[" * 50_000_000)).listening() as api:
        with pytest.raises(TransportError, match="answers what cannot be read"):
            await api.transport().hazards(BOOKS)


async def test_an_answer_in_chunks_is_read() -> None:
    body = json.dumps(queue(expires=5)).encode()
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:9], body[9:], b""))
    async with Api(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks).listening() as api:
        assert len(await api.transport().hazards(BOOKS)) == 1


def test_two_requests_end_before_the_doctor_loses_patience() -> None:
    assert 2 * management.PATIENCE < surroundings._PATIENCE


async def test_one_that_is_not_there_is_named() -> None:
    async with Api().listening() as api:
        transport = api.transport()
    with pytest.raises(TransportError, match=r"does not answer \(.*\): see whether it runs there"):
        await transport.hazards(BOOKS)


# --- what is judged ---------------------------------------------------------------------------------------------------


KEYS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, []),
    ({"message_ttl": 60000}, [("error", "message-ttl=60000, which removes each message")]),
    ({"expires": 1000}, [("error", "expires=1000, which deletes the queue")]),
    ({"delivery_limit": 5}, [("error", "delivery-limit=5, which drops a message")]),
    ({"delivery_limit": -1}, [("warning", "delivery-limit=-1, which RabbitMQ 3 takes for a limit")]),
    ({"delivery_limit": 1_000_000_000}, []),
    ({"delivery_limit": "many"}, []),
    ({"max_length": 9}, [("note", "max-length=9, which lets it refuse")]),
    ({"max_length_bytes": 9, "overflow": "reject-publish"}, [("note", "max-length-bytes=9, which lets it refuse")]),
    ({"max_length": 9, "overflow": "drop-head"}, [("error", "max-length=9, which removes confirmed messages")]),
    ({"max_length_bytes": 9, "overflow": "reject-publish-dlx"}, [("error", "max-length-bytes=9, which removes")]),
    ({"overflow": "drop-head"}, [("warning", 'overflow="drop-head", which removes')]),
    ({"overflow": "reject-publish"}, []),
    ({"dead_letter_exchange": "x"}, [("note", 'dead-letter-exchange="x", which decides where')]),
    ({"dead_letter_routing_key": "x"}, [("note", "dead-letter-routing-key")]),
    ({"federation_upstream_set": "all"}, [("warning", "an order of its own")]),
    ({"queue_leader_locator": "balanced", "target_group_size": 3}, []),
    ({"expires": 1, "message_ttl": 2}, [("error", "expires=1"), ("error", "message-ttl=2")]),
]


@pytest.mark.parametrize(("keys", "expected"), KEYS, ids=[str(keys) for keys, _ in KEYS])
async def test_each_key_is_judged_by_what_it_does(keys: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    hazards = await found(queue(**keys))

    assert [each.severity for each in hazards] == [severity for severity, _ in expected]
    for each, (_, text) in zip(hazards, expected, strict=True):
        assert f"the policy 'cut' gives the queue acme.service.books {text}" in each.text or text in each.text
        assert (each.command is None) == (each.severity == "note")


@pytest.mark.parametrize("none", [{}, [], None])
async def test_a_queue_without_a_policy_is_well(none: object) -> None:
    assert await found({"policy": None, "operator_policy": None, "effective_policy_definition": none}) == []


@pytest.mark.parametrize("answer", [MISSING, {"detail": "Not Found"}])
async def test_a_queue_that_is_missing_there_is_no_queue_without_policies(answer: dict[str, str]) -> None:
    async with Api(http(answer, "404 Not Found")).listening() as api:
        with pytest.raises(TransportError, match=r"knows no queue acme.service.books in shop: .* correct the address"):
            await api.transport("localhost/shop").hazards(BOOKS)


async def test_the_command_clears_what_sets_the_key() -> None:
    (of_users,) = await found(queue("it's mine", message_ttl=1), host="localhost/shop")
    (of_operators,) = await found(queue(None, "all", message_ttl=1))

    assert of_users.command == """rabbitmqctl clear_policy -p shop 'it'"'"'s mine'"""
    assert of_operators.command == "rabbitmqctl clear_operator_policy -p / all"
    assert "the operator policy 'all' gives" in of_operators.text


async def test_of_two_policies_that_of_the_key_is_cleared() -> None:
    both = queue("mine", "all", message_ttl=1, delivery_limit=3, expires=7)
    mine = {"definition": {"message-ttl": 1, "delivery-limit": 5}}

    hazards = await found(both, mine)

    assert [each.command for each in hazards] == [
        "rabbitmqctl clear_operator_policy -p / all",  # delivery-limit: the lower one counts
        "rabbitmqctl clear_operator_policy -p / all",
        "rabbitmqctl clear_policy -p / mine",
    ]


@pytest.mark.parametrize("answer", [http(b"", "401 Unauthorized"), http(MISSING, "404 Not Found"), http({})])
async def test_a_user_who_may_not_see_them_is_told_where_to_look(answer: bytes) -> None:
    async with Api(http(queue("mine", "all", message_ttl=1)), answer).listening() as api:
        (hazard,) = await api.transport().hazards(BOOKS)

    assert hazard.command == "rabbitmqctl list_policies -p / && rabbitmqctl list_operator_policies -p /"
    assert "the policy 'mine' or the operator policy 'all' gives" in hazard.text

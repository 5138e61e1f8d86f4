"""Redis of more than one process: replicas, Sentinels, clusters; and what travels encrypted."""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.faults.test_redis import BOOKS, QUEUE, client, ids, linked, message, receive, send
from tests.support.private_servers import require
from tests.support.waiting import until

from sagabus.errors import ConfigurationError, TransportError
from sagabus.testing.brokers import PrivateRedis
from sagabus.testing.sandbox import HOST, ReservedPort
from sagabus.transport import Answer
from sagabus.transports.redis import RedisTransport

pytestmark = pytest.mark.faults


@pytest.fixture
def servers() -> Iterator[Sequence[PrivateRedis]]:
    """Two that know nothing of each other."""
    require(PrivateRedis)
    settings = {"repl-diskless-sync-delay": "0"}
    with PrivateRedis(settings) as one, PrivateRedis(settings) as other:
        yield one, other


async def follow(replica: PrivateRedis, leader: PrivateRedis) -> None:
    async with client(replica) as operator:
        await operator.replicaof(HOST, leader.port)

        async def is_linked() -> bool:
            return bool((await operator.info("replication"))["master_link_status"] == "up")

        await until(is_linked)


# --- replicas -----------------------------------------------------------------------------------------------------


async def test_what_too_few_replicas_have_is_unknown(servers: Sequence[PrivateRedis]) -> None:
    leader, replica = servers
    await follow(replica, leader)
    async with linked(RedisTransport(leader.url + "?wait=1")) as link:
        assert not [risk for risk in await link.durability_risks() if "replicas" in risk]
        await send(link, 0, 1)
        replica.freeze()

        known, unheard = await link.send([message(2), message(3, "unheard")])

        assert (known.answer, known.reason) == (Answer.UNKNOWN, "0 of 1 replicas have it")
        assert unheard.answer is Answer.UNROUTABLE
        replica.thaw()
        await send(link, 2)


async def test_a_failover_that_may_lose_messages_is_said(servers: Sequence[PrivateRedis]) -> None:
    leader, replica = servers
    await follow(replica, leader)
    async with linked(RedisTransport(leader.url)) as link:
        (risk,) = await link.durability_risks()

        assert "failover" in risk
        assert "wait=1" in risk


# --- Sentinels ----------------------------------------------------------------------------------------------------


class PrivateSentinel(PrivateRedis):
    """Watches one server, and alone decides on a failover."""

    def __init__(self, leader: PrivateRedis) -> None:
        super().__init__()
        self._leader = leader

    def _serve(self, folder: Path) -> Sequence[str]:
        lines = (
            f"port {self.port}",
            f"bind {HOST}",
            f"sentinel monitor main {HOST} {self._leader.port} 1",
            "sentinel down-after-milliseconds main 300",
            "sentinel failover-timeout main 2000",
        )
        settings = folder / "sentinel.conf"
        settings.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        settings.chmod(0o666)  # a Sentinel writes what it learns there
        return [self._path(self._programs[0]), str(settings), "--sentinel"]


async def test_a_sentinel_says_which_server_leads_also_after_a_failover(servers: Sequence[PrivateRedis]) -> None:
    leader, replica = servers
    await follow(replica, leader)
    with PrivateSentinel(leader) as sentinel:
        async with client(sentinel) as operator:

            async def knows_both() -> bool:
                return int((await operator.sentinel_masters())["main"]["num-slaves"]) == 1

            await until(knows_both)
        transport = RedisTransport(f"redis://{HOST}:1,{HOST}:{sentinel.port}?sentinel=main&wait=1")
        async with linked(transport) as link:
            await send(link, 0)
            leader.kill()
            assert await link.ended()

        async def has_followed() -> bool:
            try:
                link = await transport.connect()
            except TransportError:
                return False
            await link.close()
            return True

        await until(has_followed, every=0.1)
        async with linked(RedisTransport(f"redis://{HOST}:{sentinel.port}?sentinel=main")) as link:
            assert ids(await receive(link, 1)) == ["m0"]

        with pytest.raises(TransportError, match="knows no server 'other'"):
            await RedisTransport(f"redis://{HOST}:{sentinel.port}?sentinel=other").connect()


# --- clusters -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Iterator[Sequence[PrivateRedis]]:
    require(PrivateRedis)
    with ExitStack() as stack:
        nodes: list[PrivateRedis] = []
        for _ in range(2):
            bus = ReservedPort()
            stack.callback(bus.close)
            settings = {"cluster-enabled": "yes", "cluster-port": str(bus.number), "cluster-announce-ip": HOST}
            nodes.append(stack.enter_context(PrivateRedis(settings)))
        asyncio.run(joined(nodes))
        yield nodes


async def joined(nodes: Sequence[PrivateRedis]) -> None:
    one, other = [Redis.from_url(node.url) for node in nodes]
    shares: list[tuple[Any, int, int]] = [(one, 0, 8191), (other, 8192, 16383)]
    for operator, first, last in shares:
        await operator.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
    port = (await other.config_get("cluster-port"))["cluster-port"]
    await one.execute_command("CLUSTER", "MEET", HOST, nodes[1].port, int(port))
    for operator, *_ in shares:

        async def is_whole(operator: Any = operator) -> bool:
            return b"cluster_state:ok" in await operator.execute_command("CLUSTER", "INFO")

        await until(is_whole)
        await operator.aclose()


async def test_a_cluster_keeps_the_keys_of_a_prefix_on_one_node_whichever_is_named(
    cluster: Sequence[PrivateRedis],
) -> None:
    for node in cluster:
        async with linked(RedisTransport(node.url)) as link:
            await send(link, 0)
            await link.settle(await receive(link, 1))
    sizes = []
    for node in cluster:
        async with client(node) as operator:
            sizes.append(await operator.dbsize())

    assert min(sizes) == 0
    assert QUEUE.startswith("{sagabus}")


async def test_a_cluster_has_no_second_database(cluster: Sequence[PrivateRedis]) -> None:
    with pytest.raises(ConfigurationError, match=r"SELECT is not allowed|DB index"):
        await RedisTransport(cluster[0].url.replace("/0", "/1")).connect()


# --- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def encrypted(certificates: Path) -> Iterator[int]:
    """The port of a server that asks for a certificate of the client."""
    require(PrivateRedis)
    port = ReservedPort()
    key = Path(shutil.copy(certificates / "server.key", certificates / "redis.key"))
    key.chmod(0o644)
    settings = {
        "tls-port": str(port.number),
        "tls-cert-file": str(certificates / "server.pem"),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(certificates / "authority.pem"),
        "tls-auth-clients": "yes",
    }
    with PrivateRedis(settings):
        yield port.number
    port.close()


async def test_a_certificate_is_verified_and_given(encrypted: int, certificates: Path) -> None:
    files = f"ca={certificates}/authority.pem&cert={certificates}/client.pem&key={certificates}/client.key"
    async with linked(RedisTransport(f"rediss://{HOST}:{encrypted}?{files}"), BOOKS) as link:
        await send(link, 0)
        assert ids(await receive(link, 1)) == ["m0"]


@pytest.mark.parametrize("authority", ["stranger", ""])
async def test_a_certificate_of_a_stranger_is_not_trusted(encrypted: int, certificates: Path, authority: str) -> None:
    ca = f"ca={certificates}/{authority}.pem&" if authority else ""
    files = f"{ca}cert={certificates}/client.pem&key={certificates}/client.key"

    with pytest.raises(TransportError, match="certificate"):
        await RedisTransport(f"rediss://{HOST}:{encrypted}?{files}").connect()


async def test_a_name_that_the_certificate_does_not_have_is_not_trusted(encrypted: int, certificates: Path) -> None:
    files = f"ca={certificates}/authority.pem&cert={certificates}/client.pem&key={certificates}/client.key"

    with pytest.raises(TransportError, match=r"certificate|localhost"):
        await RedisTransport(f"rediss://localhost:{encrypted}?{files}").connect()

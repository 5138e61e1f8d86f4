"""Streams, bucket and consumer of a service: what is missing is made, and what could lose messages is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from sagabus.errors import ConfigurationError
from sagabus.transport import Part, Topology, WireKind
from sagabus.transports.nats.jetstream import CONSUMER_EXISTS, STREAM_EXISTS, JetStream, Refusal
from sagabus.transports.nats.names import Names, token
from sagabus.transports.nats.registry import Receives, Record, Registry, Services
from sagabus.transports.wire import feeds_another_store

log = logging.getLogger("sagabus")

ACK_WAIT = 3.0
"""Seconds after which what a link left without a word comes again. What a link holds needs no word: see `intake`."""
_LOOK = 0.02
_LOOKS = 50
"""Seconds between two looks at what another link makes, and how many looks."""
MOST_OPEN = 1000
"""Messages of one service that may be open."""
_STREAM: Mapping[str, Any] = {"retention": "interest", "discard": "new", "storage": "file"}
_BUCKET: Mapping[str, Any] = {
    "retention": "limits",
    "discard": "new",
    "storage": "file",
    "max_msgs_per_subject": 1,
    "allow_direct": True,
    "allow_rollup_hdrs": True,
    "deny_delete": True,
}
"""As `nats kv` makes one."""
_CONSUMER: Mapping[str, Any] = {
    "ack_policy": "explicit",
    "ack_wait": int(ACK_WAIT * 1e9),
    "max_deliver": -1,
    "max_ack_pending": MOST_OPEN,
    "replay_policy": "instant",
}


def parts(topology: Topology, names: Names, replicas: int) -> tuple[Part, ...]:
    """What a topology consists of."""
    if not topology.receives:
        return ()
    kept = {"replicas": str(replicas)}
    subjects = tuple(names.subject(kind, each) for kind, each in _types(topology))
    return (
        Part("stream", names.stream, _shown(_STREAM) | kept, names.subjects),
        Part("bucket", names.bucket, _shown(_BUCKET) | kept, (names.value(">"),)),
        Part("consumer", token(topology.service), {"stream": names.stream, **_shown(_CONSUMER)}, subjects),
    )


class Declaration:
    """One topology, and what there is of it."""

    def __init__(
        self, jetstream: JetStream, registry: Registry, names: Names, topology: Topology, replicas: int
    ) -> None:
        self._jetstream, self._registry, self._names = jetstream, registry, names
        self._topology, self._replicas = topology, replicas
        self._stream: Mapping[str, Any] | None = None
        self._bucket: Mapping[str, Any] | None = None
        self._consumer: Mapping[str, Any] | None = None
        self._service = Record(Receives(), 0)
        self._receivers: dict[tuple[WireKind, str], Record[Services]] = {}

    async def check(self, *, make: bool, move: bool) -> None:
        """Read what there is. ConfigurationError names all that is wrong, and what is missing if nothing is made."""
        await self._read()
        problems = [*self._conflicts(move=move), *self._losses()]
        if not make:
            problems += self._missing()
        if problems:
            raise ConfigurationError(*problems)

    async def make(self, *, move: bool) -> None:
        """Make what is missing. Publishers look for what is written last."""
        names, kept = self._names, {"num_replicas": self._replicas}
        if self._stream is None:
            await self._made(names.stream, {"subjects": names.subjects, **_STREAM, **kept})
        if self._bucket is None:
            await self._made(names.bucket_stream, {"subjects": (names.value(">"),), **_BUCKET, **kept})
        for subject in (names.subject("event", "ready"), names.value("ready")):
            # Another link may be about to make the stream.
            if not await _comes(partial(self._jetstream.takes, subject)):
                raise ConfigurationError(f"no stream takes what is published on {subject}")
        await self._write_service(move=move)
        if self._consumer is None:
            await self._make_consumer()
        for kind, message_type in _types(self._topology):
            await self._write_receiver(kind, message_type)

    # --- what there is ------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        names, found, service = self._names, self._jetstream.found, self._topology.service
        self._stream, self._bucket, self._consumer, self._service = await asyncio.gather(
            found(f"STREAM.INFO.{names.stream}"),
            found(f"STREAM.INFO.{names.bucket_stream}"),
            found(f"CONSUMER.INFO.{names.stream}.{token(service)}"),
            self._registry.service(service),
        )
        types = _types(self._topology)
        receivers = await asyncio.gather(*(self._registry.receivers(*each) for each in types))
        self._receivers = dict(zip(types, receivers, strict=True))

    def _conflicts(self, *, move: bool) -> Iterator[str]:
        service, store, fed = self._topology.service, self._topology.store, self._service.value.store
        for each in self._topology.commands:
            owners = self._receivers["command", each].value.services
            if owners and service not in owners:
                yield f"command {each!r} has a receiver already, service {owners[0]!r}"
        if store and fed not in {"", store} and not move:
            yield feeds_another_store(service)

    def _losses(self) -> Iterator[str]:
        """What could lose messages."""
        if self._stream is not None:
            stream = f"the stream {self._names.stream} could lose messages"
            yield from (f"{stream}: {problem}" for problem in _of_stream(self._stream["config"], self._names))
        if self._consumer is not None:
            consumer = f"the consumer {token(self._topology.service)} could lose messages"
            yield from (f"{consumer}: {problem}" for problem in _of_consumer(self._consumer["config"]))

    def _missing(self) -> Iterator[str]:
        if not self._topology.receives:
            return
        names, service = self._names, self._topology.service
        if self._stream is None:
            yield f"the stream {names.stream} is missing"
        if self._bucket is None:
            yield f"the bucket {names.bucket} is missing"
        if self._consumer is None:
            yield f"the consumer {token(service)} of service {service!r} is missing"
        for kind, message_type in _types(self._topology):
            if service not in self._receivers[kind, message_type].value.services:
                yield f"service {service!r} is not written down as a receiver of the {kind} {message_type!r}"

    # --- what is made -------------------------------------------------------------------------------------------------

    async def _made(self, stream: str, config: Mapping[str, Any]) -> None:
        try:
            await self._jetstream.call(f"STREAM.CREATE.{stream}", name=stream, **config)
        except Refusal as refusal:
            # Another link may be faster.
            there = partial(self._jetstream.found, f"STREAM.INFO.{stream}")
            if refusal.code not in STREAM_EXISTS or not await _comes(there):
                raise ConfigurationError(f"the stream {stream} cannot be made: {refusal.text}") from refusal

    async def _make_consumer(self) -> None:
        names, service = self._names, self._topology.service
        policy = "new"
        if self._service.version:
            # It was there, and with it went what waited. What the stream still holds for others may be among that.
            policy = "all"
            log.warning("the consumer of service %r is made again: what waited there may be lost", service)
        config = {"durable_name": token(service), "deliver_policy": policy, **_CONSUMER}
        action = f"CONSUMER.DURABLE.CREATE.{names.stream}.{token(service)}"
        try:
            await self._jetstream.call(action, stream_name=names.stream, config=config)
        except Refusal as refusal:
            # Another process of the service may be faster, and have chosen another policy.
            there = partial(self._jetstream.found, f"CONSUMER.INFO.{names.stream}.{token(service)}")
            if refusal.code not in CONSUMER_EXISTS and not await _comes(there):
                raise ConfigurationError(f"the consumer {token(service)} cannot be made: {refusal.text}") from refusal

    async def _write_service(self, *, move: bool) -> None:
        topology, record = self._topology, self._service
        while True:
            known = record.value
            if topology.store and known.store not in {"", topology.store} and not move:
                raise ConfigurationError(feeds_another_store(topology.service))
            wanted = Receives(
                topology.store or known.store,
                _joined(known.events, topology.events),
                _joined(known.commands, topology.commands),
            )
            if wanted == known and record.version:
                return
            if await self._registry.set_service(topology.service, wanted, record.version):
                return
            record = await self._registry.service(topology.service)

    async def _write_receiver(self, kind: WireKind, message_type: str) -> None:
        service, record = self._topology.service, self._receivers[kind, message_type]
        while service not in record.value.services:
            services = record.value.services
            if kind == "command" and services:
                raise ConfigurationError(f"command {message_type!r} has a receiver already, service {services[0]!r}")
            wanted = Services(_joined(services, (service,)))
            if await self._registry.set_receivers(kind, message_type, wanted, record.version):
                return
            record = await self._registry.receivers(kind, message_type)


async def _comes(looked: Callable[[], Awaitable[object]]) -> bool:
    """Whether something is there, or soon is."""
    for _ in range(_LOOKS):
        if await looked():
            return True
        await asyncio.sleep(_LOOK)
    return False


def _types(topology: Topology) -> list[tuple[WireKind, str]]:
    kinds: Mapping[WireKind, tuple[str, ...]] = {"event": topology.events, "command": topology.commands}
    return [(kind, each) for kind, types in kinds.items() for each in types]


def _joined(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*known, *more}))


def _of_stream(config: Mapping[str, Any], names: Names) -> Iterator[str]:
    if missing := [subject for subject in names.subjects if subject not in config.get("subjects", ())]:
        yield f"it does not take {' and '.join(missing)}"
    if config.get("retention") not in {"interest", "limits"}:
        yield "its retention is neither interest nor limits"
    if config.get("discard") != "new" and any(config.get(name, -1) > 0 for name in ("max_msgs", "max_bytes")):
        yield "it drops old messages when it is full: set discard to new"
    for name in ("max_age", "max_msgs_per_subject"):
        if config.get(name, 0) > 0:
            yield f"it has {name}, so that it drops what no consumer has acknowledged: remove that"
    if config.get("storage") != "file":
        yield "it is not kept in a file"
    if config.get("no_ack") or config.get("sealed") or config.get("mirror"):
        yield "it confirms nothing, or takes nothing: no_ack, sealed or mirror is set"


def _of_consumer(config: Mapping[str, Any]) -> Iterator[str]:
    wanted = {"ack_policy": "explicit", "max_deliver": -1}
    for name, value in wanted.items():
        if config.get(name, value) != value:
            yield f"its {name} is {config[name]}: set it to {value}"
    for name in ("filter_subject", "filter_subjects", "deliver_subject", "headers_only", "inactive_threshold"):
        if config.get(name):
            yield f"it has {name}: remove that"
    if config.get("mem_storage"):
        yield "the server keeps its state in memory: remove mem_storage"


def _shown(config: Mapping[str, Any]) -> dict[str, str]:
    plain = {name: value for name, value in config.items() if name != "ack_wait"}
    found = {name: msgspec.json.encode(value).decode().strip('"') for name, value in plain.items()}
    return found | ({"ack_wait": f"{ACK_WAIT:g} s"} if "ack_wait" in config else {})

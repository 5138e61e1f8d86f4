"""What operators have set by policies, and what that does to the queue of a service.

A policy changes a queue without a word to those who use it, and some keys win over what the queue was declared with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Literal, NamedTuple, TypeAlias, cast

from sagabus.errors import TransportError
from sagabus.transport import Hazard
from sagabus.transports.rabbitmq.management import Answered, Management
from sagabus.transports.rabbitmq.names import QUEUE

Severity: TypeAlias = Literal["error", "warning", "note"]
_LONGEST = 60
_NEVER = cast("int", QUEUE["x-delivery-limit"])
_REFUSES = QUEUE["x-overflow"]
_EFFECTIVE = "effective_policy_definition"
_LENGTHS = ("max-length", "max-length-bytes")
_REMOVES: Mapping[str, str] = {
    "message-ttl": "removes each message that has waited so many milliseconds",
    "expires": "deletes the queue with all in it when no process has received for so many milliseconds",
}
_FOREIGN = ("federation-upstream", "federation-upstream-set")
_WAY_OUT = "let its pattern leave this queue out, or clear it"


class Policies(NamedTuple):
    """What stands at a queue."""

    virtual_host: str
    policy: str | None
    operator_policy: str | None
    effective: Mapping[str, object]
    own: Mapping[str, object] | None
    """The keys of the policy, where there is an operator policy, too; None where they are unknown."""

    def source(self, key: str) -> tuple[str, str]:
        """What sets a key in words, and the command that clears it."""
        place = f"-p {quote(self.virtual_host)}"
        if self.policy is not None and (self.operator_policy is None or self._is_own(key)):
            return f"the policy {self.policy!r}", f"rabbitmqctl clear_policy {place} {quote(self.policy)}"
        if self.operator_policy is not None and (self.policy is None or self.own is not None):
            name = self.operator_policy
            return f"the operator policy {name!r}", f"rabbitmqctl clear_operator_policy {place} {quote(name)}"
        both = f"the policy {self.policy!r} or the operator policy {self.operator_policy!r}"
        return both, f"rabbitmqctl list_policies {place} && rabbitmqctl list_operator_policies {place}"

    def _is_own(self, key: str) -> bool:
        return self.own is not None and key in self.own and self.own[key] == self.effective[key]


async def hazards(api: Management, virtual_host: str, queue: str) -> Sequence[Hazard]:
    """What the policies of a queue do to it that may cost messages or their order.

    TransportError, in words, where the API does not say or has no such queue: it may be that of another broker.
    """
    answered = await api.get("queues", virtual_host, queue)
    if answered is None:
        text = f"knows no queue {queue} in {virtual_host}: declare the topology, or correct the address"
        raise TransportError(f"the management API at {api.place} {text}")
    found = await _policies(api, virtual_host, answered)
    return tuple(_judged(queue, found))


async def _policies(api: Management, virtual_host: str, answered: Answered) -> Policies:
    said = answered.get(_EFFECTIVE, "")
    if not isinstance(said, dict) and said not in ([], None):  # of none, either may come
        text = "does not say the policies of the queue: ask again in some seconds, and let it collect statistics"
        raise TransportError(f"the management API at {api.place} {text}")
    names = [str(name) if (name := answered.get(kind)) else None for kind in ("policy", "operator_policy")]
    policy, operator_policy = names
    own: Mapping[str, object] | None = None
    if policy is not None and operator_policy is not None:
        own = await _own(api, virtual_host, policy)
    effective: Mapping[str, object] = cast("Mapping[str, object]", said or {})
    return Policies(virtual_host, policy, operator_policy, effective, own)


async def _own(api: Management, virtual_host: str, policy: str) -> Mapping[str, object] | None:
    """The keys of a policy, for a user who may see them."""
    try:
        definition = (await api.get("policies", virtual_host, policy) or {}).get("definition")
    except TransportError:
        return None
    return cast("Mapping[str, object]", definition) if isinstance(definition, dict) else None


def _judged(queue: str, found: Policies) -> Iterator[Hazard]:
    for key in sorted(found.effective):
        judged = _of_key(key, found.effective)
        if judged is None:
            continue
        severity, what = judged
        source, command = found.source(key)
        value = json.dumps(found.effective[key])[:_LONGEST]
        text = f"{source} gives the queue {queue} {key}={value}, which {what}"
        if severity == "note":
            yield Hazard(text, severity)
        else:
            yield Hazard(f"{text}: {_WAY_OUT}", severity, command)


def _of_key(key: str, effective: Mapping[str, object]) -> tuple[Severity, str] | None:
    """How bad it is, and what it does."""
    value = effective[key]
    if key in _REMOVES:
        return "error", _REMOVES[key]
    if key == "delivery-limit":
        return _of_limit(value)
    # A policy's word on a full queue wins over that of the queue.
    drops = effective.get("overflow", _REFUSES) != _REFUSES
    if key in _LENGTHS:
        return ("error", "removes confirmed messages of a full queue") if drops else ("note", _FULL)
    if key == "overflow" and drops and not any(each in effective for each in _LENGTHS):
        return "warning", "removes confirmed messages as soon as the queue has a limit"
    if key.startswith("dead-letter-"):
        return "note", "decides where RabbitMQ puts what it drops, instead of the dead letters of the service"
    if key in _FOREIGN:
        return "warning", "brings in messages of another broker, in an order of its own"
    return None


_FULL = "lets it refuse what is new when it is full, so that senders wait"


def _of_limit(value: object) -> tuple[Severity, str] | None:
    if not isinstance(value, int) or value >= _NEVER:
        return None
    if value < 0:
        return "warning", "RabbitMQ 3 takes for a limit, and drops a message that comes back once"
    return "error", "drops a message that has come back so often"

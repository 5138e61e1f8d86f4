"""A topology as Mermaid text: one state diagram for each saga, one flowchart of the messages between subscriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sagabus.cli.analysis import Move, SagaShape, Topology
from sagabus.cli.text import printable

_PLAIN_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words with a meaning of their own in a state diagram.
_TAKEN = {
    "state",
    "end",
    "note",
    "as",
    "direction",
    "default",
    "style",
    "class",
    "classdef",
    "click",
    "hide",
    "scale",
    "root",
}

_OUTSIDE, _NOWHERE = "outside", "nowhere"


def state_diagram(saga: SagaShape) -> str:
    """The life of one saga: its statuses, and the messages and timers that move it."""
    ids = _ids(dict.fromkeys([*saga.statuses, *(move.status for move in saga.moves)]))
    lines = [
        "stateDiagram-v2",
        *(f'    state "{_label(status)}" as {name}' for status, name in ids.items() if status != name),
    ]
    lines += dict.fromkeys(line for move in saga.moves for line in _transitions(move, ids))
    lines += [
        f"    %% {_label(name)} computes a status at run time; its moves are not drawn" for name in saga.unresolved
    ]
    return "\n".join(lines)


def message_flow(topology: Topology) -> str:
    """Which subscription sends what to which; messages from outside, and without a receiver, have a separate node."""
    receivers, senders = topology.receivers(), topology.senders()
    names = {saga.name: f's{n}(["saga {_label(saga.name)}"])' for n, saga in enumerate(topology.sagas)}
    names |= {found.name: f'h{n}["{_label(found.name)}"]' for n, found in enumerate(topology.handlers)}
    nodes = {name: shape.partition("(")[0].partition("[")[0] for name, shape in names.items()}
    edges = list(dict.fromkeys((*_edges(topology, receivers, senders, nodes), *_leaving(topology, senders, nodes))))
    outside = {_OUTSIDE: f'{_OUTSIDE}(("outside"))', _NOWHERE: f'{_NOWHERE}(("no receiver"))'}
    outside |= {node: f'{node}{{{{"broker {_label(place)}"}}}}' for place, node in _broker_nodes(topology).items()}
    used = [shape for node, shape in outside.items() if any(node in (source, target) for source, _, target in edges)]
    lines = [f"    {shape}" for shape in [*names.values(), *used]]
    lines += [f'    {source} -- "{_label(message)}" --> {target}' for source, message, target in edges]
    return "\n".join(["flowchart LR", *lines])


def _edges(
    topology: Topology, receivers: dict[str, list[str]], senders: dict[str, list[str]], nodes: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    brokers = _broker_nodes(topology)
    for message in sorted({*receivers, *senders}):
        come = [brokers[topology.coming[message]]] if message in topology.coming else [_OUTSIDE]
        nowhere = [] if message in topology.leaving else [_NOWHERE]
        for source in [nodes[name] for name in senders.get(message, [])] or come:
            for target in [nodes[name] for name in receivers.get(message, [])] or nowhere:
                yield source, message, target


def _leaving(
    topology: Topology, senders: dict[str, list[str]], nodes: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    brokers = _broker_nodes(topology)
    for message, place in sorted(topology.leaving.items()):
        for name in senders[message]:
            yield nodes[name], message, brokers[place]


def _broker_nodes(topology: Topology) -> dict[str, str]:
    places = dict.fromkeys([*topology.leaving.values(), *topology.coming.values()])
    return {place: f"b{number}" for number, place in enumerate(places)}


def _transitions(move: Move, ids: dict[str, str]) -> Iterator[str]:
    source, status = "[*]" if move.source is None else ids[move.source.status], ids[move.status]
    trigger = _label(move.step.trigger)
    if move.target is None and source == status:
        yield f"    {status} --> [*]: {trigger}"
        return
    yield f"    {source} --> {status}: {trigger}"
    if move.target is None:
        yield f"    {status} --> [*]"


def _ids(statuses: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, status in enumerate(statuses):
        plain = _PLAIN_ID.fullmatch(status) and status.lower() not in _TAKEN
        found[status] = status if plain else f"status_{number}"
    return found


def _label(text: str) -> str:
    """Text that Mermaid takes for text: everything with a meaning of its own as a character entity."""
    return re.sub(r'["#;:<>`]', lambda found: f"#{ord(found.group())};", printable(text)) or "no status"

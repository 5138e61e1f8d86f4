"""Stateless subscriptions: a function, a name, and the same guarantee that sagas have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from sagabus.definitions.reaction import Reaction, invoker, seconds
from sagabus.definitions.signature import Signature, read_signature
from sagabus.errors import ConfigurationError
from sagabus.introspection.callables import carrying, check_answers, label_of, written
from sagabus.introspection.local_names import visible_names
from sagabus.message import field_names
from sagabus.message.correlation import KeySpec, key_reader
from sagabus.policies.deduplication import Deduplication
from sagabus.policies.retry import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerDefinition:
    """A handler as the bus runs it."""

    name: str
    function: Callable[..., object]
    """As it was written, to be read; what runs is in the reactions."""
    reactions: Mapping[str, tuple[Reaction, ...]]
    """By wire name; always one."""
    retry: RetryPolicy
    deduplication: Deduplication | None
    ordered: bool
    parks: bool
    has_instances: ClassVar[bool] = False
    timers: ClassVar[Mapping[str, Reaction]] = {}
    """Only sagas have any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerOptions:
    """What the decorator was given; a bus turns it into a definition."""

    name: str
    key: KeySpec | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    deduplication: Deduplication | None = None
    ordered: bool = True
    parks: bool = False
    thread: bool = False
    timeout: timedelta | None = None


def handler(
    name: str,
    *,
    key: KeySpec | None = None,
    retry: RetryPolicy | None = None,
    deduplication: Deduplication | None = None,
    ordered: bool = True,
    parks: bool = False,
    thread: bool = False,
    timeout: timedelta | None = None,
) -> Callable[[F], F]:
    """Make a function the subscription `name`: it receives the message class (or union) that its first parameter is
    annotated with.

    The function itself is returned and stays callable. A bound method, a partial or an object with `__call__` will do;
    of a bound method a partial is returned. `key`: the field (or a function) by which messages keep their order.
    Without it, messages of one saga instance or one partition key do. `ordered=False`: a message that waits for its
    retry holds back no others. `parks`: once a message is dead-lettered its key waits until the letter is replayed or
    discarded. `thread`: a plain function that may block runs in a thread. `timeout`: how long one run may take before
    it is cancelled and has failed (`Settings.timeout` by default). A function in a thread then continues without
    effect. A plain function in the event loop cannot be interrupted.
    """
    require_name("handler", name, "payments")
    options = HandlerOptions(
        name=name,
        key=key,
        retry=retry or RetryPolicy(),
        deduplication=deduplication,
        ordered=ordered,
        parks=parks,
        thread=thread,
        timeout=timeout,
    )

    def mark(function: F) -> F:
        _check_unnamed(function, name)
        return carrying(function, {"__sagabus_handler__": options, "__sagabus_names__": visible_names(1)})

    return mark


def _check_unnamed(function: object, name: str) -> None:
    """Raise ConfigurationError for a handler of another name, which the new one would take the place of."""
    before = getattr(function, "__sagabus_handler__", None)
    if isinstance(before, HandlerOptions) and before.name != name:
        label = label_of(function)
        raise ConfigurationError(
            f"{label} is the handler {before.name!r} already; for another subscription of the same function write "
            f"handler({name!r})(functools.partial({label}))"
        )


def define_handler(function: Callable[..., Any], problems: list[str]) -> HandlerDefinition | None:
    """The definition of a decorated function; None, and every reason in `problems`, when it cannot be one."""
    options = getattr(function, "__sagabus_handler__", None)
    label = label_of(function)
    if not isinstance(options, HandlerOptions):
        problems.append(f"{label} is neither a Saga class nor a function with @handler(...)")
        return None
    where = f"handler {options.name!r} ({label})"
    before = len(problems)
    check_name(options.name, where, problems)
    signature = read_signature(function, where, problems, method=False)
    if not signature.message_types and len(problems) == before:
        problems.append(f"{where}: takes no message; annotate its first parameter with a message class")
    reactions = _reactions(function, options, signature, where, problems)
    if len(problems) > before:
        return None
    return HandlerDefinition(
        name=options.name,
        function=written(function),
        reactions=reactions,
        retry=options.retry,
        deduplication=options.deduplication,
        ordered=options.ordered,
        parks=options.parks,
    )


def _reactions(
    function: Callable[..., Any], options: HandlerOptions, signature: Signature, where: str, problems: list[str]
) -> dict[str, tuple[Reaction, ...]]:
    is_async = inspect.iscoroutinefunction(written(function))
    if options.thread and is_async:
        problems.append(f"{where}: thread=True is for plain functions; this one is async")
    timeout = seconds(options.timeout, where, problems)
    check_answers(options.key, f"{where}: key", problems)
    reactions: dict[str, tuple[Reaction, ...]] = {}
    for message_type in signature.message_types:
        if isinstance(options.key, str) and options.key not in field_names(message_type):
            problems.append(f"{where}: message {message_type.name!r} has no field {options.key!r} to be its key")
            continue
        reaction = Reaction(
            name=label_of(function),
            where=where,
            invoke=invoker(signature.arguments, function, method=False, keywords=signature.keywords),
            is_async=is_async,
            message_type=message_type,
            wants_connection="connection" in signature.arguments,
            connection_kind=signature.connection_kind,
            in_thread=options.thread,
            timeout=timeout,
            key=key_reader(message_type, options.key) if options.key is not None else None,
            key_field=options.key if isinstance(options.key, str) else None,
            function=written(function),
        )
        reactions[message_type.name] = (reaction,)
    return reactions


def require_name(decorator: str, name: object, example: str) -> None:
    """ConfigurationError for a decorator that was given the function where its name belongs."""
    if callable(name):
        raise ConfigurationError(
            f'@{decorator} needs a name, such as @{decorator}("{example}"), before {label_of(name)}'
        )


def check_name(name: object, where: str, problems: list[str]) -> None:
    """A subscription's name is the key of its de-duplication and never changes: letters, digits, `_`, `.` and `-`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.append(f"{where}: a name is 1 to 128 of A-Z a-z 0-9 _ . - and begins with a letter, unlike {name!r}")
    elif name.startswith("sagabus."):
        problems.append(f"{where}: names that begin with 'sagabus.' are the library's own")

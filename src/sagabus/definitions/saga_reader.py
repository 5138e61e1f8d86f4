"""Reads a saga class once, while a bus is built, and notes all that is wrong with it."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from sagabus.clock import span_problems
from sagabus.definitions.handler import check_name
from sagabus.definitions.reaction import Reaction, When, declared, invoker, seconds
from sagabus.definitions.saga import STUCK, Mark, Saga, SagaDefinition, WhenSpec
from sagabus.definitions.saga_options import SagaOptions
from sagabus.definitions.signature import read_signature, timers_set_by
from sagabus.definitions.status import Statuses, read_statuses, texts_of
from sagabus.definitions.staying import limits_of
from sagabus.introspection.callables import check_answers, written
from sagabus.introspection.local_names import resolve_fields
from sagabus.message import MessageType, field_names
from sagabus.message.correlation import KeySpec, key_reader


def define_saga(cls: type[Saga], problems: list[str]) -> SagaDefinition | None:
    """The definition of a saga class; None, and every reason in `problems`, when it cannot be one."""
    options = cls.__sagabus_saga__
    if options is None:
        problems.append(f'saga {cls.__qualname__} has no name: class {cls.__name__}(Saga, name="...")')
        return None
    where = f"saga {options.name!r} ({cls.__qualname__})"
    before = len(problems)
    check_name(options.name, where, problems)
    reader = _Reader(cls, options, where, problems)
    reader.read()
    if len(problems) > before:
        return None
    return SagaDefinition(
        name=options.name,
        cls=cls,
        reactions={name: tuple(found) for name, found in reader.reactions.items()},
        starting=reader.starting(),
        given=reader.given(),
        timers=reader.timers,
        options=options,
        has_status="status" in reader.fields,
        statuses=reader.statuses,
        stuck_after=reader.stuck_after,
        waits_by_status="status" in reader.fields and not reader.has_predicates,
        retry=options.retry,
        deduplication=options.deduplication,
        ordered=options.ordered,
        parks=options.parks,
    )


_ANY_TEXT = Statuses(None)


class _Reader:
    """Reads one saga class and notes every problem."""

    def __init__(self, cls: type[Saga], options: SagaOptions, where: str, problems: list[str]) -> None:
        self.reactions: dict[str, list[Reaction]] = {}
        self.timers: dict[str, Reaction] = {}
        self.stuck_after: dict[str | None, int] = {}
        self.fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # made one at its definition
        self._cls = cls
        self.has_predicates = False
        self._keys: dict[str, KeySpec] = {}
        self._options = options
        self._where = where
        self._problems = problems
        self._statuses = _ANY_TEXT

    def read(self) -> None:
        """Read all methods, then what only shows over all of them."""
        self._check_options()
        self._statuses = self._read_statuses()
        for name, function, mark in _marked_methods(self._cls):
            where = f"{self._where}.{name}"
            if isinstance(function, (staticmethod, classmethod)) or not callable(function):
                self._problems.append(f"{where}: is no ordinary method: write `def {name}(self, message, ctx)`")
            elif mark.kind == "timer":
                self._read_timer(where, name, function, mark)
            else:
                self._read_method(where, name, function, mark)
        messages = {declared(reaction).cls for found in self.reactions.values() for reaction in found}
        for problem in self._options.policy_problems(messages):
            self._problem(problem)
        self._check_stuck()
        self._check_starts()
        self._check_timers_set()

    @property
    def statuses(self) -> frozenset[str] | None:
        """Every status that the saga may have; None where any text may be one."""
        return self._statuses.known

    def starting(self) -> dict[str, Reaction]:
        """The reaction of each message type that begins an instance."""
        found = {name: next((r for r in reactions if r.starts), None) for name, reactions in self.reactions.items()}
        return {name: reaction for name, reaction in found.items() if reaction is not None}

    def given(self) -> dict[str, tuple[str, ...]]:
        """The fields of the state that each starting message gives."""
        mine = [name for name, f in self.fields.items() if f.init]
        return {
            name: tuple(field for field in mine if field in field_names(reaction.message_type))
            for name, reaction in self.starting().items()
            if reaction.message_type is not None
        }

    def _check_options(self) -> None:
        options = self._options
        check_answers(options.key, f"{self._where}: key", self._problems)
        check_answers(getattr(self._cls, "initial", None), f"{self._where}.initial", self._problems)
        for setting in ("restart", "history", "lossy"):
            if not isinstance(getattr(options, setting), bool):
                self._problem(f"{setting} must be True or False, not {getattr(options, setting)!r}")
        for problem in options.evolution.problems(self.fields):
            self._problem(problem)
        self._check_patience(options.patience)
        if not options.ordered:
            self._problem("a saga is always handled in order; ordered=False is for handlers")

    def _check_patience(self, patience: object) -> None:
        problems = span_problems("Saga", patience=patience)
        if patience == timedelta(0):
            problems.append("patience must be greater than zero")
        for problem in problems:
            self._problem(problem.removeprefix("Saga."))

    def _check_stuck(self) -> None:
        options, has_method = self._options, STUCK in self.timers
        self.stuck_after, problems = limits_of(options.stuck_after, self._statuses, has_status="status" in self.fields)
        for problem in problems:
            self._problem(problem)
        if options.stuck_after is None and (has_method or options.on_stuck != "alarm"):
            self._problem("nothing says when it is stuck: give it stuck_after=timedelta(...)")
        if has_method and options.on_stuck != "alarm":
            self._problem(
                f"an instance that is stuck has @stuck to react, so on_stuck={options.on_stuck!r} is of no use"
            )

    def _read_timer(self, where: str, name: str, function: Callable[..., Any], mark: Mark) -> None:
        signature = read_signature(function, where, self._problems, method=True)
        timer_name = mark.timer or name
        if signature.message_types:
            self._problems.append(f"{where}: a timer method takes ctx only, no message")
        reaction = Reaction(
            name=name,
            where=where,
            invoke=invoker(signature.arguments, function, method=True, keywords=signature.keywords),
            is_async=inspect.iscoroutinefunction(written(function)),
            wants_connection="connection" in signature.arguments,
            connection_kind=signature.connection_kind,
            timeout=self._timeout(where, mark),
            timer=timer_name,
            function=function,
        )
        for each in (timer_name, *mark.aliases):
            if self.timers.setdefault(each, reaction) is not reaction:
                self._problems.append(f"{where}: timer {each!r} is handled twice")

    def _read_method(self, where: str, name: str, function: Callable[..., Any], mark: Mark) -> None:
        before = len(self._problems)
        signature = read_signature(function, where, self._problems, method=True)
        if not signature.message_types:
            if "message" not in signature.arguments and len(self._problems) == before:
                self._problems.append(f"{where}: takes no message; annotate its first parameter with a message class")
            return
        is_async = inspect.iscoroutinefunction(written(function))
        if mark.thread and is_async:
            self._problems.append(f"{where}: thread=True is for plain methods; this one is async")
        when = self._when(where, mark.when)
        timeout = self._timeout(where, mark)
        for message_type in signature.message_types:
            spec = self._key(where, message_type, mark)
            if spec is None:
                continue
            reaction = Reaction(
                name=name,
                where=where,
                invoke=invoker(signature.arguments, function, method=True, keywords=signature.keywords),
                is_async=is_async,
                message_type=message_type,
                wants_connection="connection" in signature.arguments,
                connection_kind=signature.connection_kind,
                in_thread=mark.thread,
                timeout=timeout,
                key=key_reader(message_type, spec),
                key_field=spec if isinstance(spec, str) else None,
                no_key=f"its field {spec!r} is empty" if isinstance(spec, str) else "the key function gives none",
                starts=mark.kind == "starts",
                when=when,
                when_text=_when_text(mark.when),
                function=function,
            )
            self._add(where, reaction)

    def _timeout(self, where: str, mark: Mark) -> float | None:
        return seconds(self._options.timeout if mark.timeout is None else mark.timeout, where, self._problems)

    def _add(self, where: str, reaction: Reaction) -> None:
        name = declared(reaction).name
        others = self.reactions.setdefault(name, [])
        if any(other.when is None for other in others):
            self._problems.append(
                f"{where}: message {name!r} is handled before by a method without `when`; this one could never run"
            )
        others.append(reaction)

    def _key(self, where: str, message_type: MessageType, mark: Mark) -> KeySpec | None:
        spec = mark.key if mark.key is not None else self._options.key
        check_answers(mark.key, f"{where}: key", self._problems)
        if spec is None:
            self._problems.append(f'{where}: no key: give the saga key="field", or this method key=...')
        elif isinstance(spec, str) and spec not in field_names(message_type):
            self._problems.append(
                f"{where}: message {message_type.name!r} has no field {spec!r} to correlate by "
                f"(it has {', '.join(field_names(message_type)) or 'none'}); name another with key=..."
            )
            return None
        if spec is not None and self._keys.setdefault(message_type.name, spec) != spec:
            self._problems.append(f"{where}: message {message_type.name!r} has two different keys in one saga")
        return spec

    def _when(self, where: str, spec: WhenSpec | None) -> When | None:
        if spec is None or callable(spec):
            self.has_predicates = self.has_predicates or spec is not None
            check_answers(spec, f"{where}: when", self._problems)
            return spec
        wanted = texts_of(spec)
        if not wanted:
            self._problems.append(
                f"{where}: when={spec!r} is no status; give a text, several, or a function of the state"
            )
        elif "status" not in self.fields:
            self._problems.append(f"{where}: when={spec!r} needs a field `status` in the saga")
        elif self._statuses.known is not None and not wanted <= self._statuses.known:
            unknown = ", ".join(sorted(map(repr, wanted - self._statuses.known)))
            known = ", ".join(sorted(self._statuses.known))
            self._problems.append(f"{where}: status {unknown} is not among those of the saga: {known}")
        held = self._statuses.standing_for(wanted or ())
        return lambda state: state.status in held

    def _read_statuses(self) -> Statuses:
        if "status" not in self.fields:
            return _ANY_TEXT
        resolve_fields(self._cls, self._names())
        try:
            hint = typing.get_type_hints(self._cls, include_extras=True)["status"]
        except Exception:  # noqa: BLE001  # the codec reports a field whose type cannot be read
            return _ANY_TEXT
        found = read_statuses(hint)
        if found is None:
            declared_as = getattr(hint, "__qualname__", hint)
            self._problem(
                f"its status is declared as {declared_as}; declare it as Literal[...], an Enum of texts, or str"
            )
        return found or _ANY_TEXT

    def _names(self) -> dict[str, Any]:
        names = dict(self._cls.__sagabus_names__)
        for _, function, _ in _marked_methods(self._cls):
            names.update(getattr(function, "__sagabus_names__", {}))
        return names

    def _check_starts(self) -> None:
        starting = [r for found in self.reactions.values() for r in found if r.starts]
        if not starting and not any(mark.kind == "starts" for _, _, mark in _marked_methods(self._cls)):
            self._problem("nothing can start it: mark the method of its first message with @starts")
        if hasattr(self._cls, "initial"):
            return
        for reaction in starting:
            message_type = declared(reaction)
            given = {*field_names(message_type), self._options.key}
            missing = [name for name, f in self.fields.items() if _is_required(f) and name not in given]
            if missing:
                self._problem(
                    f"message {message_type.name!r} starts it but does not give {', '.join(missing)}: "
                    "give the field a default, or write `@classmethod def initial(cls, message)`"
                )

    def _check_timers_set(self) -> None:
        for name, function, _ in _marked_methods(self._cls):
            for wanted in timers_set_by(function):
                if wanted not in self.timers:
                    self._problem(f"method {name} sets timer {wanted!r}, which no @timer({wanted!r}) handles")

    def _problem(self, text: str) -> None:
        self._problems.append(f"{self._where}: {text}")


def _marked_methods(cls: type[Saga]) -> Iterator[tuple[str, Callable[..., Any], Mark]]:
    seen: set[str] = set()
    for base in cls.__mro__:
        for name, value in vars(base).items():
            mark = getattr(value, "__sagabus_mark__", None)
            if isinstance(mark, Mark) and name not in seen:
                yield name, value, mark
            seen.add(name)


def _is_required(f: dataclasses.Field[Any]) -> bool:
    return f.init and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _when_text(spec: WhenSpec | None) -> str | None:
    if spec is None:
        return None
    if callable(spec):
        return getattr(spec, "__name__", "predicate")
    return "|".join(sorted(texts_of(spec) or ()))

"""What the signature of user code asks for, read once while a bus is built."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sagabus.context import Context
from sagabus.errors import MessageNotDeclared
from sagabus.introspection.callables import given_by_partial, why_not, written
from sagabus.introspection.local_names import evaluate
from sagabus.message import MessageType, message_type_of
from sagabus.store.connection import AsyncConnection, Connection

_ALLOWED = (
    "put @event or @command on the class if it should be one. A handler is given a message, a context "
    "(ctx: Context), and the open transaction (connection: Connection, AsyncConnection or a class of a driver)"
)
_DATABASE_PACKAGES = frozenset(
    ["aiosqlite", "apsw", "asyncmy", "asyncpg", "django", "MySQLdb", "psycopg", "pymysql", "sqlalchemy", "sqlite3"]
)

_GATHERING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_CONTEXT = ("ctx", "context")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes, found out from its parameters."""

    message_types: tuple[MessageType, ...]
    arguments: tuple[str, ...]
    """message, ctx and connection, in the order in which the function takes them."""
    keywords: Mapping[str, str]
    """Those of them that are taken by keyword only, with the name of the parameter."""
    connection_kind: type | None = None
    """The type that the open transaction is asked for as; None where the annotation does not say."""


def read_signature(function: Callable[..., object], where: str, problems: list[str], *, method: bool) -> Signature:
    """The signature of user code; whatever is wrong with it goes to `problems`, each with `where` in front."""
    refusal = why_not(function)
    if refusal is not None:
        problems.append(f"{where}: {refusal}")
        return Signature((), (), {})
    reader = _Reader(function, where, problems)
    given = given_by_partial(function)
    for parameter in _parameters(function)[1 if method else 0 :]:
        if parameter.name not in given:
            reader.read(parameter)
    reader.check()
    return Signature(tuple(reader.types), tuple(reader.arguments), reader.keywords, reader.kind)


class _Reader:
    """Reads one parameter after another."""

    def __init__(self, function: Callable[..., object], where: str, problems: list[str]) -> None:
        self.types: list[MessageType] = []
        self.arguments: list[str] = []
        self.keywords: dict[str, str] = {}
        self.kind: type | None = None
        self._function = function
        self._where = where
        self._problems = problems

    def read(self, parameter: inspect.Parameter) -> None:
        """Find out what a parameter is given; one with a default that is none of ours keeps its default."""
        before = len(self._problems)
        hint = _hint(self._function, parameter, f"{self._where}: parameter {parameter.name!r}", self._problems)
        if hint is Context or (hint is None and parameter.name in _CONTEXT):
            argument = "ctx"
        elif parameter.name == "connection" or _is_connection(hint):
            argument, self.kind = "connection", _class_of(hint)
        elif parameter.default is not parameter.empty and not _is_message(hint):
            return
        elif hint is None or parameter.kind in _GATHERING:
            if len(self._problems) == before:
                self._problem(_unannotated(parameter))
            return
        else:
            argument = "message"
            self.types += _message_types(hint, f"{self._where}: parameter {parameter.name!r}", self._problems)
        self.arguments.append(argument)
        if parameter.kind is parameter.KEYWORD_ONLY:
            self.keywords[argument] = parameter.name

    def check(self) -> None:
        """Note what only shows over all parameters."""
        if self.arguments.count("message") > 1:
            self._problem("takes more than one message; use a union of message classes instead")
        if self.arguments.count("connection") > 1:
            self._problem("asks for the open transaction more than once")
        if self.kind is AsyncConnection and not inspect.iscoroutinefunction(written(self._function)):
            self._problem("an AsyncConnection has to be awaited: make it `async def`")

    def _problem(self, text: str) -> None:
        self._problems.append(f"{self._where}: {text}")


def _unannotated(parameter: inspect.Parameter) -> str:
    if parameter.name in ("self", "cls"):
        return "is a method without its object: give the bus a bound one, such as Handlers().method"
    if parameter.kind in _GATHERING:
        return f"takes {parameter}, which says nothing of messages: name its parameters, or put functools.wraps on it"
    return f"parameter {parameter.name!r} has no annotation: name the message class it takes"


def _is_message(hint: object) -> bool:
    problems: list[str] = []
    return hint is not None and bool(_message_types(hint, "", problems)) and not problems


def timers_set_by(function: Callable[..., Any]) -> Iterator[str]:
    """The timers that a method sets by a literal name; computed names are checked when it runs."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or "set_timer" not in code.co_names:
        return
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "set_timer":
            first = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "name"), None)
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def _is_connection(hint: object) -> bool:
    """Whether an annotation asks for the open transaction: ours, or a class of a database's driver or library."""
    cls = _class_of(hint)
    if cls is None or "__sagabus_message__" in vars(cls):
        return False
    packages = {base.__module__.partition(".")[0] for base in cls.__mro__}
    return cls in (Connection, AsyncConnection) or not packages.isdisjoint(_DATABASE_PACKAGES)


def _class_of(hint: object) -> type | None:
    found = typing.get_origin(hint) or hint
    return found if isinstance(found, type) else None


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    if sys.version_info >= (3, 14):  # there a signature evaluates annotations, if nothing else is said
        import annotationlib

        return list(inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF).parameters.values())
    return list(inspect.signature(function).parameters.values())


def _hint(function: Callable[..., object], parameter: inspect.Parameter, where: str, problems: list[str]) -> Any:
    """What the annotation of one parameter means; None without one. Others of the function are never evaluated."""
    if parameter.annotation is inspect.Parameter.empty:
        return None
    globals_: dict[str, Any] = getattr(written(function), "__globals__", {})
    names: dict[str, Any] = getattr(function, "__sagabus_names__", {})
    try:
        return evaluate(parameter.annotation, globals_, names, extras=False)
    except Exception as error:  # noqa: BLE001  # an annotation may raise anything; it is the user's text
        if parameter.name not in _CONTEXT:
            unseen = "; import it outside of `if TYPE_CHECKING`" if isinstance(error, NameError) else ""
            problems.append(f"{where}: cannot read its annotation: {error}{unseen}")
        return None


def _message_types(hint: object, where: str, problems: list[str]) -> list[MessageType]:
    origin = typing.get_origin(hint)
    members = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
    found: list[MessageType] = []
    for member in members:
        try:
            found.append(message_type_of(member))
        except MessageNotDeclared:
            name = getattr(member, "__qualname__", None) or str(member)
            problems.append(f"{where} is {name}, which is no message; {_ALLOWED}")
    return found

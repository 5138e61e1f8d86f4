"""The text of one handler, and what the names in it stand for.

Nothing is run. Names are looked up where the function itself would find them, so a message is known by its class and
not by its spelling. None always means: only known at run time.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
from collections.abc import Callable, Iterable
from enum import Enum
from types import FunctionType, ModuleType, UnionType
from typing import TypeVar, Union, cast, get_args, get_origin

from sagabus.context import Context
from sagabus.message import MessageType

T = TypeVar("T")
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

_DEPTH = 8


class Code:
    """One function as text, with the names that stand in it for the saga instance and for the context."""

    def __init__(
        self,
        function: Callable[..., object],
        owner: type[object] | None = None,
        *,
        itself: str | None = None,
        context: str | None = None,
        callers: tuple[object, ...] = (),
    ) -> None:
        unwrapped = inspect.unwrap(function)
        self.function = cast(FunctionType, getattr(unwrapped, "__func__", unwrapped))
        self.owner = owner
        self.itself = itself
        """The name of the saga instance in this function (`self`)."""
        self.context = context
        """The name of the context in this function (`ctx`)."""
        self.node = _parsed(self.function)
        """The function's definition; None when its text cannot be had."""
        self._callers = (*callers, self.function)
        self._names = _names_of(self.function, self.node)
        self._locals = _assignments(self.node)

    def resolve(self, node: ast.expr) -> object:
        """The object that a constant, a name or a dotted name stands for."""
        if isinstance(node, ast.Constant):
            return cast(object, node.value)
        if isinstance(node, ast.Name):
            return self.owner if node.id == self.itself else self._names.get(node.id)
        if isinstance(node, ast.Attribute):
            holder = self.resolve(node.value)
            # Of modules and classes only: an attribute of anything else could be code that runs.
            return getattr(holder, node.attr, None) if isinstance(holder, ModuleType | type) else None
        return None

    def texts(self, node: ast.expr, depth: int = 0) -> frozenset[str] | None:
        """The texts that an expression may have; a member of an enumeration counts as its value."""
        if isinstance(node, ast.IfExp):
            return _union([self.texts(node.body, depth), self.texts(node.orelse, depth)])
        if isinstance(node, ast.Name) and node.id in self._locals and depth < _DEPTH:
            return _union(self.texts(value, depth + 1) if value else None for value in self._locals[node.id])
        value = self.resolve(node)
        value = cast(object, value.value) if isinstance(value, Enum) else value
        return frozenset({value}) if isinstance(value, str) else None

    def messages(self, node: ast.expr, depth: int = 0) -> frozenset[MessageType] | None:
        """The declared messages that an expression may be."""
        if depth > _DEPTH:
            return None
        if isinstance(node, ast.Await | ast.NamedExpr):
            return self.messages(node.value, depth)
        if isinstance(node, ast.IfExp):
            return _union([self.messages(node.body, depth), self.messages(node.orelse, depth)])
        if isinstance(node, ast.Name) and node.id in self._locals:
            return _union(self.messages(value, depth + 1) if value else None for value in self._locals[node.id])
        if isinstance(node, ast.Name):
            return declared(self._annotation(node.id))
        return self._made(node, depth) if isinstance(node, ast.Call) else None

    def followed(self, call: ast.Call) -> Code | None:
        """The code of a plain function that is handed this instance or context: what it does is done here."""
        target = self.resolve(call.func)
        if not isinstance(target, FunctionType) or target in self._callers or len(self._callers) > _DEPTH:
            return None
        given = self._given(call, target)
        itself, context = _name_given(given, self.itself), _name_given(given, self.context)
        if itself is None and context is None:
            return None
        return Code(target, self.owner, itself=itself, context=context, callers=self._callers)

    def loses_sight(self, call: ast.Call) -> bool:
        """Whether the call hands the context to code that cannot be followed."""
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if self.context is None or not any(_is_name(value, self.context) for value in given):
            return False
        return self.resolve(call.func) not in self._callers and self.followed(call) is None

    def context_method(self, call: ast.Call) -> str | None:
        """The method of the context that is called; None for any other call."""
        function = call.func
        found = (
            isinstance(function, ast.Attribute) and self.context is not None and _is_name(function.value, self.context)
        )
        return function.attr if found and isinstance(function, ast.Attribute) else None

    def is_itself(self, node: ast.expr) -> bool:
        """Whether the expression is the instance."""
        return self.itself is not None and _is_name(node, self.itself)

    def is_own(self, node: ast.expr, attribute: str) -> bool:
        """Whether the expression is this attribute of the instance."""
        return isinstance(node, ast.Attribute) and node.attr == attribute and self.is_itself(node.value)

    def _made(self, call: ast.Call, depth: int) -> frozenset[MessageType] | None:
        maker = self.resolve(call.func)
        if getattr(maker, "__name__", None) == "replace" and call.args:
            return self.messages(call.args[0], depth + 1)
        if isinstance(maker, FunctionType):
            return declared(_hint(maker, "return"))
        # A class, or a class method of one that makes it.
        return declared(maker if isinstance(maker, type) else getattr(maker, "__self__", None))

    def _annotation(self, name: str) -> object:
        return _hint(self.function, name)

    def _given(self, call: ast.Call, target: FunctionType) -> dict[str, ast.expr]:
        arguments = list(call.args)
        function = call.func
        if isinstance(function, ast.Attribute) and self.itself is not None and _is_name(function.value, self.itself):
            static = isinstance(inspect.getattr_static(self.owner, function.attr, None), staticmethod)
            arguments = arguments if static else [function.value, *arguments]
        code = target.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        given = dict(zip(names, arguments, strict=False))
        return given | {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}


def declared(annotation: object) -> frozenset[MessageType] | None:
    """The messages that a class, or a union of classes, declares."""
    if get_origin(annotation) in (Union, UnionType):
        return _union(declared(member) for member in get_args(annotation))
    found: object = vars(annotation).get("__sagabus_message__") if isinstance(annotation, type) else None
    return frozenset({found}) if isinstance(found, MessageType) else None


def first_argument(call: ast.Call, name: str) -> ast.expr | None:
    """The first argument of a call, which may also be given by name."""
    named = (keyword.value for keyword in call.keywords if keyword.arg == name)
    return call.args[0] if call.args else next(named, None)


def code_of(function: Callable[..., object], owner: type[object] | None = None) -> Code:
    """The text of a handler, or of a method of `owner`, with its instance and context found as a bus finds them."""
    names = list(inspect.signature(function).parameters)
    plain = cast(FunctionType, inspect.unwrap(function))
    context = next((name for name in names if _hint(plain, name) is Context or name in ("ctx", "context")), None)
    return Code(function, owner, itself=names[0] if owner is not None and names else None, context=context)


def _hint(function: FunctionType, name: str) -> object:
    written: object = function.__annotations__.get(name)
    if not isinstance(written, str):
        return written
    around: dict[str, object] = getattr(function, "__sagabus_names__", {})
    try:
        return eval(written, function.__globals__, around)  # noqa: S307 - the user's own annotation, as typing.get_type_hints does
    except Exception:  # noqa: BLE001 - an annotation may name what only a type checker imports
        return None


def _union(parts: Iterable[frozenset[T] | None]) -> frozenset[T] | None:
    found: frozenset[T] = frozenset()
    for part in parts:
        if part is None:
            return None
        found |= part
    return found


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _name_given(given: dict[str, ast.expr], name: str | None) -> str | None:
    return next((parameter for parameter, value in given.items() if name is not None and _is_name(value, name)), None)


def _parsed(function: Callable[..., object]) -> FunctionNode | None:
    try:
        # An indented method parses as the body of a block; taking the indentation away could alter its texts.
        text = inspect.getsource(function)
        tree = ast.parse(f"if True:\n{text}" if text[:1].isspace() else text)
    except (OSError, TypeError, SyntaxError):
        return None
    found = (node for node in ast.walk(tree) if isinstance(node, FunctionNode))
    return next(found, None)


def _names_of(function: FunctionType, node: FunctionNode | None) -> dict[str, object]:
    around: dict[str, object] = getattr(function, "__sagabus_names__", {})
    own = function.__code__.co_varnames
    names = {
        name: value for name, value in {**vars(builtins), **function.__globals__, **around}.items() if name not in own
    }
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # the cell is still empty: the name is bound later
            continue
    for found in ast.walk(node) if node else ():
        if isinstance(found, ast.ImportFrom):
            names |= _imported(found, names.get("__package__"))
    return names


def _imported(node: ast.ImportFrom, package: object) -> dict[str, object]:
    try:
        module = importlib.import_module(
            "." * node.level + (node.module or ""), package if isinstance(package, str) else None
        )
    except Exception:  # noqa: BLE001 - the user's module; what it holds is then not known
        return {}
    return {name.asname or name.name: getattr(module, name.name, None) for name in node.names}


def _assignments(node: FunctionNode | None) -> dict[str, list[ast.expr | None]]:
    """What is assigned to each local name; None for what no single expression says, such as a loop."""
    found: dict[str, list[ast.expr | None]] = {}
    plain: set[ast.expr] = set()
    for item in ast.walk(node) if node else ():
        for target, value in _plain_assignments(item):
            plain.add(target)
            found.setdefault(target.id, []).append(value)
    for item in ast.walk(node) if node else ():
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store) and item not in plain:
            found.setdefault(item.id, []).append(None)
    return found


def assigned(item: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    """Each target of an assignment with its value, in the order of the text; `a, b = x, y` assigns two."""
    if isinstance(item, ast.Assign):
        return [pair for target in item.targets for pair in _pairs(target, item.value)]
    if isinstance(item, ast.AnnAssign | ast.NamedExpr) and item.value is not None:
        return [(item.target, item.value)]
    return []


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    several = (ast.Tuple, ast.List)
    if not isinstance(target, several):
        return [(target, value)]
    if not isinstance(value, several) or len(value.elts) != len(target.elts):
        return []
    if any(isinstance(each, ast.Starred) for each in (*target.elts, *value.elts)):
        return []
    both = zip(target.elts, value.elts, strict=True)
    return [pair for each, part in both for pair in _pairs(each, part)]


def _plain_assignments(item: ast.AST) -> list[tuple[ast.Name, ast.expr]]:
    return [(target, value) for target, value in assigned(item) if isinstance(target, ast.Name)]

"""Names that annotations mean: those of the module, and those around a definition inside a function.

Postponed annotations (`from __future__ import annotations`) are text. What the text names is looked up here, for
messages, states and handlers by one rule.
"""

import inspect
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["evaluate", "resolve_fields", "visible_names"]


def visible_names(depth: int) -> dict[str, Any]:
    """Names around the user's definition, for annotations that are text and name classes of an enclosing function.

    `depth` counts frames from the caller of this function's caller: where the decorator stands.
    """
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame.f_back if frame is not None else None
    names: dict[str, Any] = {}
    for _ in range(2):
        if frame is None or frame.f_locals is frame.f_globals:
            break
        names = {**frame.f_locals, **names}
        frame = frame.f_back
    return names


def evaluate(annotation: object, globals_: Mapping[str, Any], names: Mapping[str, Any], *, extras: bool = True) -> Any:
    """What one annotation means; raises what its text raises, such as NameError. `extras`: keep `Annotated`."""
    # A class of its own, because only in a class may an annotation be a ClassVar; one field, so that no other can fail.
    holder = type("_Holder", (), {"__annotations__": {"it": annotation}})
    return typing.get_type_hints(holder, dict(globals_), dict(names), include_extras=extras)["it"]


def resolve_fields(cls: type[object], names: Mapping[str, Any]) -> None:
    """Make fields of a class readable whose types are classes of an enclosing function, and those of these classes.

    Only text that its module does not explain is replaced. What no name explains stays as it is: the codec reports it.
    """
    waiting, seen = [cls], {cls}
    while waiting:
        found = waiting.pop()
        for hint in _resolved({found.__name__: found, **names}, found):
            for part in _classes_in(hint):
                if part not in seen and _has_fields(part):
                    seen.add(part)
                    waiting.append(part)


def _resolved(names: Mapping[str, Any], cls: type[object]) -> Iterator[object]:
    for base in cls.__mro__:
        annotations: Mapping[str, Any] = inspect.get_annotations(base)
        module = vars(sys.modules.get(base.__module__, types))
        for name, annotation in annotations.items():
            try:
                yield evaluate(annotation, module, vars(base))
            except Exception:  # noqa: BLE001  # the user's text may raise anything; the names around may explain it
                try:
                    hint = evaluate(annotation, module, {**names, **vars(base)})
                except Exception:  # noqa: BLE001, S112  # reported where the class is read
                    continue
                base.__annotations__[name] = hint
                yield hint


def _classes_in(hint: object) -> Iterator[type[object]]:
    waiting = [hint]
    while waiting:
        part = waiting.pop()
        waiting += typing.get_args(part)
        part = typing.get_origin(part) or part
        if isinstance(part, type):
            yield part


def _has_fields(cls: type[object]) -> bool:
    return bool(getattr(cls, "__annotations__", None)) and not hasattr(cls, "model_validate_json")

"""What belongs to a saga's state: the annotated names of its body and of its mixins, and no other attribute.

`saga` asks when a class is made, and when a method assigns what the class does not declare.
"""

import copy
import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator
from typing import Any, ForwardRef, cast

from sagabus.errors import ConfigurationError
from sagabus.text import nearest

__all__ = ["adopt_mixins", "check_assignable"]

_HAS_FIELDS = {"__dataclass_fields__", "__sagabus_saga__"}
_CLASS_VARIABLE = re.compile(r"\s*(\w+\.)*ClassVar\b")


def adopt_mixins(cls: type[Any]) -> None:
    """Make the annotated names of bases that are no dataclasses fields of this class; else they would not be stored."""
    own = inspect.get_annotations(cls)
    inherited: dict[str, Any] = {}
    for name, annotation in _mixed_in(cls):
        if name in own or name in inherited or name in getattr(cls, "__dataclass_fields__", {}):
            continue
        default: object = inspect.getattr_static(cls, name, None)
        if hasattr(type(default), "__get__"):
            continue  # a property or a method gives the value
        if type(default) is dataclasses.Field:
            setattr(cls, name, copy.copy(cast("object", default)))  # a dataclass takes it off its own class only
        inherited[name] = annotation
    if inherited:
        cls.__annotations__ = {**inherited, **own}


def _mixed_in(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    for base in cls.__mro__[1:]:
        if not vars(base).keys().isdisjoint(_HAS_FIELDS) or base.__module__ in ("abc", "builtins", "typing"):
            continue
        for name, annotation in inspect.get_annotations(base).items():
            if isinstance(annotation, str):
                if not _CLASS_VARIABLE.match(annotation):
                    yield name, ForwardRef(annotation, module=base.__module__, is_class=True)
            elif typing.ClassVar not in (annotation, typing.get_origin(annotation)):
                yield name, annotation


def check_assignable(saga: object, name: str, fields: frozenset[str]) -> None:
    """Raise ConfigurationError for an attribute that the next message would not find.

    Names that begin with an underscore may be assigned, though they are not stored; so may properties.
    """
    cls: type[object] = type(saga)
    found: object = inspect.getattr_static(cls, name, None)
    if name.startswith("_") or hasattr(type(found), "__set__"):
        return
    options = getattr(cls, "__sagabus_saga__", None)
    where = f"saga {options.name!r} ({cls.__qualname__})" if options is not None else cls.__qualname__
    meant = nearest(name, fields)
    if meant is not None and found is None:
        hint = f"did you mean `self.{meant}`?"
    elif name in getattr(cls, "__dataclass_fields__", {}):
        hint = "it is a ClassVar, which all instances share: annotate it without ClassVar"
    else:
        hint = f"declare it in the body of the class: `{name}: <type> = <default>`"
    raise ConfigurationError(f"{where}: `self.{name}` is no field of its state, so it would be lost; {hint}")

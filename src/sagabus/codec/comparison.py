"""Where a value and what was read back from its bytes differ, and where a value holds a number that JSON has not.

Asked when a value is written, by `form`. It takes values apart, so it is for what `==` cannot settle.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from sagabus.codec.json_text import join
from sagabus.codec.pydantic_codec import is_model, model_parts

__all__ = ["difference", "non_finite", "parts"]

NOT_FINITE = "NaN and Infinity have no form in JSON"
_SCALARS = (str, int, bool, float, bytes, type(None), Decimal, datetime)
_MISSING = object()


def difference(value: object, found: object, path: str = "") -> tuple[str, str] | None:
    """Path and reason of the first difference; None where there is none."""
    if value is found:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return path, NOT_FINITE
    if type(value) is not type(found) and not _may_stand_for(value, found):
        return path, _changed_type(value, found)
    inside = None if isinstance(value, _SCALARS) else _inside(value)
    if inside is None:
        return None if _is_same(value, found) else (path, "comes back as another value")
    return _first_difference(inside, _inside(found) or {}, path)


def non_finite(value: object, path: str = "") -> str | None:
    """The path of the first NaN or Infinity, if there is one."""
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    for step, part in parts(value):
        if type(part) is not str and (found := non_finite(part, join(path, step))) is not None:
            return found
    return None


def parts(value: object) -> Iterator[tuple[object, object]]:
    """What an object, a mapping or a collection is made of, each part with its name, key or index."""
    if isinstance(value, _SCALARS):
        return
    if isinstance(value, set | frozenset):
        yield from enumerate(cast("Iterable[object]", value))
    else:
        yield from (_inside(value) or {}).items()


def _inside(value: object) -> Mapping[Any, object] | None:
    """The parts of a value that is compared part by part; None for one that is compared as a whole."""
    if isinstance(value, Mapping):
        return cast("Mapping[Any, object]", value)
    if isinstance(value, list | tuple):
        return dict(enumerate(cast("Iterable[object]", value)))
    cls = type(value)
    if is_model(cls):
        return model_parts(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name, _MISSING) for field in fields(value)}
    names: Iterable[str] | None = getattr(cls, "__struct_fields__", None)
    if names is None:
        names = [attribute.name for attribute in attributes] if (attributes := _attrs(cls)) else None
    return None if names is None else {name: getattr(value, name, _MISSING) for name in names}


def _attrs(cls: type[object]) -> tuple[Any, ...]:
    found: tuple[Any, ...] = getattr(cls, "__attrs_attrs__", ())
    return found


def _first_difference(inside: Mapping[Any, object], found: Mapping[Any, object], path: str) -> tuple[str, str] | None:
    for step, part in inside.items():
        other = found.get(step, _MISSING)
        if other is _MISSING:
            return join(path, step), "does not come back"
        if (differs := difference(part, other, join(path, step))) is not None:
            return differs
    extra = next((step for step in found if step not in inside), _MISSING)
    return None if extra is _MISSING else (join(path, extra), "comes back, though the value has none")


def _may_stand_for(value: object, found: object) -> bool:
    """Whether two types may hold one value: a whole number for a float, an enum's text, a tuple for its named form."""
    return _inside(value) is None and _is_same(value, found)


def _is_same(value: object, found: object) -> bool:
    if isinstance(value, datetime) and isinstance(found, datetime) and value.tzinfo and found.tzinfo:
        # `==` of two zones denies what is true in the hour that an end of summer time repeats.
        return value.astimezone(UTC) == found.astimezone(UTC)
    if isinstance(value, Decimal) and isinstance(found, Decimal) and value.is_nan():
        return str(value) == str(found)
    try:
        return bool(value == found)
    except Exception:  # noqa: BLE001  # an `__eq__` of the user's may raise anything, and has then shown nothing
        return False


def _changed_type(value: object, found: object) -> str:
    cls, other = type(value), type(found)
    if issubclass(cls, other) and not isinstance(found, _SCALARS):
        return f"{cls.__qualname__} comes back as {other.__qualname__}: declare the field as {cls.__qualname__}"
    return f"{cls.__qualname__} comes back as {other.__qualname__}"

"""Upcasters and renames, tried on what an older release stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

import msgspec

from sagabus.codec import JsonCodec
from sagabus.codec.states import StateCodec
from sagabus.definitions.saga import Saga
from sagabus.message import VERSION_HEADER, message_type_of

__all__ = ["upcast_message", "upcast_state"]

S = TypeVar("S", bound=Saga)
T = TypeVar("T")


def upcast_state(saga: type[S], stored: Mapping[str, object], *, version: int = 1) -> S:
    """The state that this release reads where `version` of the saga stored this mapping.

    It goes the way of a worker: upcasters in order, renames, dropped fields, then the class. Raises StateInvalid if the
    state cannot be read or an upcaster fails. Raises StateTooNew for a version or a nested field that this release does
    not know. A field that the class does not declare is kept, and is no attribute of what is returned.
    """
    return StateCodec().read(saga, msgspec.json.encode(stored), f"{version}.").state


def upcast_message(message: type[T], stored: Mapping[str, object], *, version: int = 1) -> T:
    """The message that this release receives where `version` of it was sent with this body.

    Raises MessageInvalid, or MessageTooNew for a version that this release does not know.
    """
    headers = {VERSION_HEADER: str(version)}
    return cast(T, JsonCodec().decode(message_type_of(message), msgspec.json.encode(stored), headers))

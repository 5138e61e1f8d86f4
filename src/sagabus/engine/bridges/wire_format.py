"""How messages are written for other services and read from them: the one place where a format is chosen.

Adapters map headers and bytes, and know no format. A message with the headers of sagabus is read as it is. One without
them is read by the rules for foreign messages, where a broker has such rules.
"""

from __future__ import annotations

import msgspec

from sagabus.errors import SagaBusError
from sagabus.policies.body_codecs import BodyCodec
from sagabus.policies.foreign import Foreign
from sagabus.transport import WireMessage

ENCODING = "sagabus-encoding"
"""Names what was done to the bytes of the body."""


class WireFormat:
    """That of one broker."""

    def __init__(self, foreign: Foreign | None = None, codec: BodyCodec | None = None) -> None:
        self._foreign, self._codec = foreign, codec

    def outgoing(self, message: WireMessage) -> WireMessage:
        """As it travels."""
        codec = self._codec
        if codec is None:
            return message
        headers = {**message.headers, ENCODING: codec.name}
        return msgspec.structs.replace(message, body=codec.encode(message.body), headers=headers)

    def incoming(self, message: WireMessage) -> WireMessage:
        """As the service reads it. One that cannot be read keeps its bytes, and says why in `problem`."""
        if ENCODING in message.headers:
            message = self._decoded(message)
        if self._foreign is None or message.type or (message.problem is not None and message.id):
            return message
        try:
            return self._foreign.read(message)
        except SagaBusError as error:
            return msgspec.structs.replace(message, problem=str(error))

    def _decoded(self, message: WireMessage) -> WireMessage:
        codec, headers = self._codec, dict(message.headers)
        name = headers.pop(ENCODING)
        if codec is None or codec.name != name:
            known = "no codec" if codec is None else f"the codec {codec.name!r}"
            return msgspec.structs.replace(
                message, problem=f"its body has the encoding {name!r}, and this service has {known}"
            )
        try:
            return msgspec.structs.replace(message, body=codec.decode(message.body), headers=headers)
        except Exception as error:  # noqa: BLE001  # whatever the user's codec meets in strange bytes
            return msgspec.structs.replace(
                message, problem=f"the codec {name!r} cannot read its body: {type(error).__name__}"
            )

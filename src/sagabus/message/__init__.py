"""What a message is: its declared class, its kind, the key that it names, and what a sender adds to it."""

from sagabus.message.declaration import (
    VERSION_HEADER,
    MessageType,
    Registry,
    command,
    event,
    field_names,
    get_field,
    message_type_of,
    required_field_names,
    version_in,
)

__all__ = [
    "VERSION_HEADER",
    "MessageType",
    "Registry",
    "command",
    "event",
    "field_names",
    "get_field",
    "message_type_of",
    "required_field_names",
    "version_in",
]

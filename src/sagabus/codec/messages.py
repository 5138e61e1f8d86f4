"""Messages as JSON bytes: strict both ways, bounded before parsing, one form of error.

Between `engine.sender` (encode) and `processing` (decode); `admit` is for bytes from outside. States: `states`.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Protocol, TypeAlias

import msgspec

from sagabus.codec.form import Form, Rules, Writer, model_form, native_form
from sagabus.codec.json_text import explain, first_repeated_key, is_as_written, plain
from sagabus.errors import MessageInvalid, MessageTooDeep, MessageTooLarge, MessageTooNew
from sagabus.message import MessageType, message_type_of, version_in

__all__ = ["Codec", "JsonCodec", "Reader", "fingerprint"]


Reader: TypeAlias = Callable[[bytes, Mapping[str, str] | None], object]


class Codec(Protocol):
    """Port: messages to bytes and back. Every call is pure, may be repeated, and may come from any thread."""

    def encode(self, message: object) -> bytes:
        """The message as bytes that `decode` accepts in every process with the same declaration. A store dead-letters
        other bytes than UTF-8 without NUL.

        Raises MessageNotDeclared, MessageInvalid, MessageTooLarge or MessageTooDeep; then nothing may be sent.
        """
        ...

    def decode(self, message_type: MessageType, body: bytes, headers: Mapping[str, str] | None = None) -> object:
        """The message in a stored body, checked against its declaration; fields it does not declare are ignored.

        `headers` say by which version it was sent. Raises MessageInvalid, MessageTooLarge or MessageTooDeep, whatever
        the bytes are, and MessageTooNew for a version that this declaration does not know.
        """
        ...

    def reader(self, message_type: MessageType) -> Reader:
        """`decode` of one message type, made once."""
        ...

    def writer(self, message_type: MessageType) -> Writer:
        """`encode` of the messages of one class, made once: the bytes, and the message that they are read as."""
        ...

    def admit(self, message_type: MessageType, body: bytes) -> object:
        """The message in bytes from outside: what passes reads the same for every JSON parser.

        Raises like `decode`; besides, MessageInvalid for a key that appears twice in one object.
        """
        ...


class JsonCodec:
    """JSON text in UTF-8. Integers are exact up to 4300 digits; NaN, Infinity and numbers beyond a double are refused.

    Encoding decodes the result once and compares, unless the types of all fields say that it comes back equal. So the
    sender refuses what a receiver would refuse or see changed. Constructors with side effects therefore see each
    message twice.
    """

    __slots__ = ("_forms", "_readers", "_rules")

    def __init__(self, max_size: int = 262_144, max_depth: int = 32) -> None:
        self._rules = Rules(max_size, max_depth, MessageInvalid, MessageTooLarge, MessageTooDeep)
        self._forms: dict[type[object], Form] = {}
        self._readers: dict[type[object], Reader] = {}

    def prepare(self, message_type: MessageType) -> None:
        """Find out now whether the fields can be read from JSON at all; raises ConfigurationError when not."""
        self._form_of(message_type)

    def encode(self, message: object) -> bytes:
        """Promise of the port; the check adds the cost of one decode."""
        form = self._forms.get(type(message)) or self._form_for(message)
        return form.write(message)[0]

    def writer(self, message_type: MessageType) -> Writer:
        """Promise of the port."""
        return self._form_of(message_type).write

    def decode(self, message_type: MessageType, body: bytes, headers: Mapping[str, str] | None = None) -> object:
        """Promise of the port; limits and UTF-8 are checked before anything is parsed."""
        return self.reader(message_type)(body, headers)

    def reader(self, message_type: MessageType) -> Reader:
        """Promise of the port; making it twice is harmless."""
        found = self._readers.get(message_type.cls)
        if found is None:
            found = self._readers[message_type.cls] = _reader(message_type, self._form_of(message_type))
        return found

    def admit(self, message_type: MessageType, body: bytes) -> object:
        """Promise of the port; parses twice, which only bytes from outside have to pay for."""
        message = self.decode(message_type, body)
        try:
            # Strict in undeclared fields too: they are stored, and other parsers will read them.
            value = msgspec.json.decode(body)
            repeated = None if is_as_written(value, body) else first_repeated_key(body)
        except ValueError as error:
            raise MessageInvalid(message_type.name, *explain(error)) from error
        if repeated is not None:
            raise MessageInvalid(message_type.name, repeated, "key appears twice")
        return message

    def _form_for(self, message: object) -> Form:
        message_type = message_type_of(message)
        if isinstance(message, type):
            raise MessageInvalid(message_type.name, "", "expected a message, got its class")
        return self._form_of(message_type)

    def _form_of(self, message_type: MessageType) -> Form:
        known = self._forms.get(message_type.cls)
        if known is None:
            known = self._forms[message_type.cls] = _message_form(message_type, self._rules)
        return known


def fingerprint(message_type_name: str, body: bytes) -> bytes:
    """16 bytes that differ when the type or the body does: tells a copy from another message under the same id."""
    name = message_type_name.encode()
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    return blake2b(b"%d:%b%b" % (len(name), name, body), digest_size=16).digest()


def _reader(message_type: MessageType, form: Form) -> Reader:
    version = message_type.version

    def bring(body: bytes, headers: Mapping[str, str] | None) -> bytes:
        sent = version_in(headers)
        return body if sent == version else _brought(message_type, form, body, sent)

    if version == 1:
        return form.reader(bring)  # without headers it is of that version
    read = form.read
    return lambda body, headers: read(bring(body, headers))


def _brought(message_type: MessageType, form: Form, body: bytes, version: int) -> bytes:
    """The body of another version as this one has it."""
    if version > message_type.version:
        raise MessageTooNew(message_type.name, version, message_type.version)
    form.check_limits(body)
    try:
        return msgspec.json.encode(message_type.evolution.bring(plain(body), version))
    except Exception as error:  # an upcaster is the user's, and may raise anything
        path, reason = explain(error)
        raise MessageInvalid(message_type.name, path, f"of version {version}: {reason}") from error


def _message_form(message_type: MessageType, rules: Rules) -> Form:
    form = model_form if message_type.shape == "pydantic" else native_form
    return form(message_type.cls, message_type.name, rules, is_lossy=message_type.lossy)

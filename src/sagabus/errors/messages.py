"""What is wrong with a message or its declaration."""

from sagabus.errors.general import SagaBusError, at_field
from sagabus.evolution import needed_message


class MessageError(SagaBusError):
    """Correct the message or its declaration: sending the same one again fails again."""


class MessageNotDeclared(MessageError):
    """Put @event or @command on this class: a declared base class does not declare its subclasses."""

    def __init__(self, class_name: str) -> None:
        super().__init__(class_name)
        self.class_name = class_name

    def __str__(self) -> str:
        return f"{self.class_name} is not a declared message: put @event(...) or @command(...) on the class itself"


class MessageInvalid(MessageError):
    """Correct the named field: the body does not read as the declared type."""

    def __init__(self, message_type: str, path: str, reason: str) -> None:
        super().__init__(message_type, path, reason)
        self.message_type = message_type
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return at_field(self.message_type, self.path, self.reason)


class MessageTooLarge(MessageError):
    """Send a reference instead, or raise the size limit, first on every process that reads."""

    def __init__(self, message_type: str, size: int, limit: int, headers: int = 0) -> None:
        super().__init__(message_type, size, limit, headers)
        self.message_type = message_type
        self.size = size
        """Bytes of the body and the headers."""
        self.limit = limit
        self.headers = headers
        """Bytes of the headers among them."""

    def __str__(self) -> str:
        if self.headers:
            body = self.size - self.headers
            sizes = f"body of {body} and headers of {self.headers} bytes"
            return f"{self.message_type}: {sizes} exceed the limit of {self.limit}"
        return f"{self.message_type}: body of {self.size} bytes exceeds the limit of {self.limit}"


class MessageTooDeep(MessageError):
    """Flatten the message, or raise the depth limit, first on every process that reads."""

    def __init__(self, message_type: str, limit: int) -> None:
        super().__init__(message_type, limit)
        self.message_type = message_type
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.message_type}: body is nested deeper than {self.limit} levels"


class TooManyMessages(MessageError):
    """Send the rest with later messages, or raise `Settings.max_sent`: no run, transaction or batch sends more."""

    def __init__(self, sender: str, limit: int, key: str | None = None) -> None:
        super().__init__(sender, limit, key)
        self.sender = sender
        """The subscription whose run it is, or the call from outside."""
        self.limit = limit
        self.key = key

    def __str__(self) -> str:
        where = self.sender if self.key is None else f"{self.sender}, key {self.key!r}"
        text = f"{where}: more than {self.limit} messages and timers at once"
        return f"{text}: send the rest with later messages, or raise Settings.max_sent"


class TooManyBytes(MessageError):
    """Send the rest with later messages, or raise `Settings.max_sent_bytes`: one run or batch sends no more bytes."""

    def __init__(self, sender: str, limit: int, key: str | None = None, what: str = "messages") -> None:
        super().__init__(sender, limit, key, what)
        self.sender = sender
        """The subscription whose run it is, or the call from outside."""
        self.limit = limit
        self.key = key
        self.what = what

    def __str__(self) -> str:
        where = self.sender if self.key is None else f"{self.sender}, key {self.key!r}"
        text = f"{where}: more than {self.limit} bytes of {self.what} at once"
        return f"{text}: leave the rest to later messages, or raise Settings.max_sent_bytes"


class MessageTooNew(MessageError):
    """Run a newer worker: this one knows only older versions of the message."""

    def __init__(self, message_type: str, version: int, known: int) -> None:
        super().__init__(message_type, version, known)
        self.message_type = message_type
        self.version = version
        self.known = known

    def __str__(self) -> str:
        return (
            f"{self.message_type}: sent with version {self.version}, but this release knows versions up to {self.known}"
        )

    @property
    def needs(self) -> str:
        """What a worker must know to take it, in the words by which workers register."""
        return needed_message(self.message_type, self.version)


class InvalidMessageId(MessageError):
    """Pass 1 to 200 printable characters: the id is the key of de-duplication."""

    def __init__(self, reason: str = "", *, message_id: object = None) -> None:
        super().__init__(reason)
        self.message_id = message_id


class InvalidTime(MessageError, ValueError):
    """Pass a timedelta from 0 to 1000 years, or an aware datetime."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(option, reason)
        self.option = option
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.option}: {self.reason}"


class UnknownMessageType(MessageError):
    """Register the class of this wire name here, or run a worker that knows it."""

    def __init__(self, message_type: str) -> None:
        super().__init__(message_type)
        self.message_type = message_type

    def __str__(self) -> str:
        return f"no message is registered under the name {self.message_type!r}"

"""What the server's errors mean for a link, by their first word. Their texts hold no password and no message."""

from __future__ import annotations

import re

import msgspec

from sagabus.errors import ConfigurationError, SagaBusError, TransportError
from sagabus.transport import Answer, Sent
from sagabus.transports.redis.driver import AuthenticationError, RedisError, ResponseError

_NOT_PERMITTED = ("NOPERM", "ERR The user executing the script can't", "ERR ACL failure in script")
"""How an error begins that a script met for want of a right: for those there is no word of their own."""
_SCRIPT = re.compile(r",? script: [0-9a-f]{40}.*", re.DOTALL)
_RESTS = frozenset({"OOM", "NOREPLICAS"})
"""The server answers, and refuses to write for now: the link is well, and what was sent is sent again."""
_words = msgspec.msgpack.Decoder(list[str])
_CONFIRMED = Sent(Answer.CONFIRMED)
_SETTINGS = ("ERR DB index is out of range", "ERR SELECT is not allowed", *_NOT_PERMITTED)
"""How errors begin that waiting does not cure, besides those of the login."""


def code(error: RedisError) -> str:
    """The word that says which error it is."""
    found = getattr(error, "status_code", None)
    return found if isinstance(found, str) and found else str(error).partition(" ")[0]


def text(error: RedisError) -> str:
    """The server's words, as they came, without what they say of the script that ran."""
    found, word = str(error), code(error)
    shown = found if found.startswith(word) else f"{word} {found}"
    return _SCRIPT.sub("", shown).rstrip(". ")


def all_sent(packed: bytes) -> list[Sent]:
    """What a script says of the messages of one batch, in MessagePack."""
    return [_CONFIRMED if words == "CONFIRMED" else sent(words) for words in _words.decode(packed)]


def sent(words: str) -> Sent:
    """What a script says of one message: the word of an answer, or the error that it met."""
    if words == "CONFIRMED":
        return _CONFIRMED
    if words == "UNROUTABLE":
        return Sent(Answer.UNROUTABLE, "no service receives it")
    answer = Answer.REFUSED if words.lstrip("-").startswith(_NOT_PERMITTED) else Answer.UNKNOWN
    return Sent(answer, words.lstrip("-"))


def rests(error: RedisError) -> bool:
    """Whether the link is well, and the server only does not write for now."""
    return isinstance(error, ResponseError) and code(error) in _RESTS


def is_forbidden(error: RedisError) -> bool:
    """Whether the user lacks a right."""
    return code(error) == "NOPERM"


def is_missing(error: RedisError) -> bool:
    """Whether the stream or its group is not there."""
    return code(error) == "NOGROUP" or "no such key" in str(error)


def raised(error: RedisError, place: str) -> SagaBusError:
    """What a call that met the error raises."""
    if isinstance(error, AuthenticationError) or text(error).startswith(_SETTINGS):
        return ConfigurationError(f"{place}: {text(error)}: correct the URL, or the rights of its user")
    return TransportError(text(error), transport=place)

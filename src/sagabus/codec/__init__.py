"""Messages and saga states as JSON, and what of a class survives that: `messages` and `states` stand on the rest."""

from sagabus.codec.form import Writer
from sagabus.codec.messages import Codec, JsonCodec, Reader, fingerprint

__all__ = ["Codec", "JsonCodec", "Reader", "Writer", "fingerprint"]

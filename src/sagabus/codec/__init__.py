"""Messages and saga states as JSON, and what of a class survives that: `messages` and `states` stand on the rest."""

from sagabus.codec.messages import Codec, JsonCodec, Reader, fingerprint

__all__ = ["Codec", "JsonCodec", "Reader", "fingerprint"]

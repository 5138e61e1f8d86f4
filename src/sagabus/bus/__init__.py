"""The bus that users hold: the composition root, and what it uses besides the engine."""

from sagabus.bus.bus import Bus

__all__ = ["Bus"]

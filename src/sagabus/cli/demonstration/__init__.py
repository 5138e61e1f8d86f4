"""The demonstration: duplicates and killed workers, and an audit by an oracle of its own. See `command` for its way."""

from sagabus.cli.demonstration.command import demo

__all__ = ["demo"]

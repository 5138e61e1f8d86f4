"""The command line: one module for each command, none of them imported before it is asked for."""

from sagabus.cli.main import main

__all__ = ["main"]

"""The benchmark: the whole bus against an honest ceiling, in the same run. See `command` for its way."""

from sagabus.cli.benchmark.command import bench

__all__ = ["bench"]

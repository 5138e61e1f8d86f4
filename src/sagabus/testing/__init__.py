"""What tests need: a bus under a clock moved by hand, a context that records, and suites for adapters."""

from sagabus.testing.captured import Messages
from sagabus.testing.clock import ManualClock
from sagabus.testing.harness import Harness
from sagabus.testing.recording import RecordingContext
from sagabus.testing.upcasting import upcast_message, upcast_state

__all__ = ["Harness", "ManualClock", "Messages", "RecordingContext", "upcast_message", "upcast_state"]

"""What tests need: a clock moved by hand, and the suites that every adapter has to pass."""

"""What is wrong with a running system, found by looking at it: its store, its workers, its brokers and its clocks.

`bus.doctor()` and `sagabus doctor` ask the same questions. Each is a function that gives findings, and each finding is
a sentence with the command that mends it. Nothing is changed unless that is asked for.
"""

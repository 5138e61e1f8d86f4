"""Texts for people: what comes from outside made safe to show, durations, sizes, and the names that were meant."""

from sagabus.text.hiding import discreet, hidden
from sagabus.text.nearest import known_names, nearest
from sagabus.text.safe import printable, printable_lines
from sagabus.text.spans import size_text, span_text
from sagabus.text.values import HIDDEN, Values

__all__ = [
    "HIDDEN",
    "Values",
    "discreet",
    "hidden",
    "known_names",
    "nearest",
    "printable",
    "printable_lines",
    "size_text",
    "span_text",
]

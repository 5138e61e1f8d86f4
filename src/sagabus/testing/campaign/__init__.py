"""A campaign: orders run through every kind of effect while processes die, and an oracle says what must be left.

`oracle` computes the expected effects from the plan alone.
The demonstration and the fault tests use the same one.
"""

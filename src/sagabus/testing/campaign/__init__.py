"""A campaign: orders run through every kind of effect while processes die, and an oracle says what must be left.

`oracle` plans the orders, and computes the expected effects from the plan alone.
`orders` is the application. `reading` has what it left, in the form of the oracle.
"""

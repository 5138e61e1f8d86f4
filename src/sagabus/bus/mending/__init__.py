"""`bus.mend`: what people on call change, each by what they saw, with a reason, in one commit with the audit log.

`bus.inspect` only looks.
"""

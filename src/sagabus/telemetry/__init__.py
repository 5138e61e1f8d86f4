"""Observers for logs, metrics and traces, each of which hangs on the port `observer`: the engine names none of them.

A module here imports a library of its own only when it is used. None of them writes a message's body anywhere.
"""

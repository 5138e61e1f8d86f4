"""Redis Streams, and Valkey: a stream for each service, which holds what the service has not settled.

From a URL to a link:
    transport       makes links, and shows what a topology consists of
    options         what the URL says
    link            one link: sends, and receives for one service
    receiving       takes from the stream of the service, by the right of a lease
At the server:
    scripts         what the server does at once, in Lua
    connection      one connection: commands go out as they come, and replies are matched in order
    answers         what the server's errors mean
    entries         messages as entries of a stream
    lease           the right of one link to receive
    declaring       what a service needs there, made or checked
    losses          whether the server has lost its data
    facts           what the server says of itself, and what a crash of it may lose
    connecting      finds the host that can be written to
    driver          redis-py
    names           what keys are called
"""

from sagabus.transports.redis.transport import RedisTransport

__all__ = ["RedisTransport"]

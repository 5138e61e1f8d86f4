"""NATS with JetStream: one stream for all messages of a prefix, and one durable pull consumer for each service.

    transport       from a URL to links
    link            one connection, in the words of the port
Out and in:
    sending         publishes a batch, and waits for the stream's confirms
    intake          takes messages in order, and acknowledges them
    ownership       which link of a service receives
    declaring       makes stream, bucket and consumer, and refuses what could lose messages
Below:
    registry        who receives what: keys of a bucket, changed by compare-and-set
    arrival         one message out of the stream
    jetstream       requests to JetStream
    connection      one connection to a server
    client          nats-py, and what is kept from it
    address, names, headers     what a URL says, and how things are written at NATS

A consumer of a 2.9 server has one filter, and its filters cannot be changed by compare-and-set in any version. So a
service's consumer sees the whole stream in order, and the link settles what is for others.
"""

from __future__ import annotations

from sagabus.errors import ConfigurationError

try:
    from sagabus.transports.nats.transport import NatsTransport
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "nats":
        raise
    raise ConfigurationError(f"the NATS transport needs nats-py: pip install 'sagabus[nats]' ({error})") from error

__all__ = ["NatsTransport"]

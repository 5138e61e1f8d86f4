"""RabbitMQ over AMQP 0-9-1: quorum queues with one active receiver, persistent messages, confirms in a window.

A `link` declares by `declaring`, sends by `publishing` and takes by `receiving`. `dialling` makes its connections.
What the URL says is in `options`, and what everything is called at the broker in `names`. `frames` writes a message,
`confirms` waits for what the broker says of a batch, and `message` reads what is delivered. `mending` lets the driver
read messages of strangers. `faults` has the errors of the `driver`, in words of the port. `policies` judges what
operators have set, as the API of `management` tells it.
"""

from sagabus.transports.rabbitmq.transport import RabbitMQTransport

__all__ = ["RabbitMQTransport"]

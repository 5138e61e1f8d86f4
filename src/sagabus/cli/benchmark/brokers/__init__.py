"""The benchmark over a broker: from the broker through a saga on the store to the broker, beside a bare client loop."""

"""The benchmark over a broker: from it through a saga on the store to it, in turn with a bare client."""

"""sagabus: messages and sagas that take effect exactly once."""

__all__: list[str] = []

"""Sagas and handlers as users write them, and how a bus reads them: once, with every problem listed."""

"""What people on call ask of a running system, as frozen records: what waits, since when, and who works on it.

One room for all who look: `bus.inspect`, the command line, exporters. It changes nothing and knows no screen. Each
question is bounded by the store's port (`store.survey`).
"""

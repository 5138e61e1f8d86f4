"""The names that traces and metrics use: those of OpenTelemetry's conventions for messaging, and ours.

The conventions are in development, so nothing but this table follows them when they change. Conventions of 1.45.
"""

from __future__ import annotations

SYSTEM = "messaging.system"
OPERATION = "messaging.operation.name"
TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
SUBSCRIPTION = "messaging.destination.subscription.name"
MESSAGE_ID = "messaging.message.id"
CONVERSATION = "messaging.message.conversation_id"
BATCH = "messaging.batch.message_count"
ERROR = "error.type"

OURS = "sagabus"
"""The value of SYSTEM."""
SAGA = "sagabus.saga"
KEY = "sagabus.key"
ATTEMPT = "sagabus.attempt"
TIMER = "sagabus.timer"
STATUS_BEGIN = "sagabus.saga.status.begin"
STATUS_END = "sagabus.saga.status.end"
RESULT = "sagabus.result"
VERDICT = "sagabus.verdict"
BROKER = "sagabus.broker"
LOST = "sagabus.flush.lost_count"
REFUSED = "sagabus.refused_count"

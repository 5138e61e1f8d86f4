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

# Metrics.

SENT = "messaging.client.sent.messages"
CONSUMED = "messaging.client.consumed.messages"
OPERATION_DURATION = "messaging.client.operation.duration"
PROCESS_DURATION = "messaging.process.duration"
DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds of the classes of both."""
OTHER_ERROR = "_OTHER"
"""The value of ERROR where no type is known."""
UNCONFIRMED = "unconfirmed"
"""The same of sent messages that a broker did not confirm, such as those that no queue takes."""
CREATED = {SYSTEM: OURS, OPERATION: "create", TYPE: "create"}
PROCESSED = {SYSTEM: OURS, OPERATION: "process", TYPE: "process"}
LABELS = {
    "subscription": SUBSCRIPTION,
    "message_type": DESTINATION,
    "saga": SAGA,
    "result": RESULT,
    "verdict": VERDICT,
    "cause": "sagabus.cause",
    "answer": "sagabus.answer",
    "reaction": "sagabus.reaction",
    "kind": "sagabus.kind",
    "part": "sagabus.part",
}
"""Attributes by the labels that `facts` has."""

"""Between the store and a broker: what leaves the service, and what comes for it.

Out:
    outbound        the consumer of the channel of all that leaves: sends, and waits for the broker's confirm
    batching        has it send all that is ready at once, without a run for each message
In:
    inbound         takes a batch, appends it with its inbox records, then acknowledges
    reception       from a message on the wire to envelopes, and what becomes of one that cannot be addressed
Both:
    bridge          the part of the bus that keeps a link to the broker, and runs both directions while there is one

No handler runs while a broker waits. A worker of its own takes what leaves. So a broker that is away holds up nothing
else, and nothing is written meanwhile.
"""

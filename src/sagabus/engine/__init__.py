"""The way of a message, in the order of its stops.

In:
    publisher       mints the id once, checks options, makes receipts
    outbox          the same inside a transaction: the bus's own, or the caller's
    sender          encodes, and addresses one envelope to each channel
    routing         says which channels receive a type
    acceptor        lets publications that overlap share a commit
    store.append    accepts: inbox record and queue row in one commit
Take:
    worker          makes the parts between here and the commit, starts and stops them
    intake          leases lanes, fetches, sorts into mailboxes
    crew            what the other workers know
    leases          what this worker owns, and for how long
    renewal         the thread that keeps the leases while the event loop is blocked
    in_flight       the worker's books
    held_lane       one lane of them: its cursors, and how much of it is in flight
    page            what a fetch has brought, by lane
    loud_keys       which keys have cursors of their own
    known_keys      the mailboxes of keys; idle ones are kept for their state, within bounds
    mailbox         one for each key, with the state that the last run left
    suspects        asked before a message begins: what a dead worker had in flight waits for its mark
    marks           counts deaths before a run, and takes back those that the worker outlived
Run:
    runner_pool     tasks that take ready mailboxes
    runner          runs one mailbox, message after message
    processing      calls the user's code, and waits for it where it has to be waited for
    run             one run under way
    consumer        a handler or a saga: what to call, and the Outcome of what it did
    saga_consumer   the same for sagas: on which state, and what becomes of it
    recoverability  makes an Outcome of an error
Commit and book:
    committer       gathers outcomes (`group_commit`), one flush in flight
    flush           writes one flush, and isolates the message behind a failing commit
    journal         which handled messages leave a row in the journal, and what it says
    shares          how much of a flush to try next, and which outcome is hopeless
    store.commit    applies outcomes, each wholly or not at all
    settlement      closes the books on what is committed, and says which mailbox runs again
At both ends:
    bridges         what leaves the service for a broker, and what comes from one
Outside the way:
    lifecycle       what runs until it is stopped: each such part starts, stops and says how it is
    health          whether the worker of this process can do its work
    housekeeping    forgets what is below the horizon
    seam            where a test harness puts its parts in, and drops the bus
"""

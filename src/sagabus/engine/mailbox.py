"""The in-flight messages of one key, one after another, each on the state that the one before left.

`intake` fills it, `runner` empties it. A worker believes what a run leaves before it is committed. If a commit
contradicts it, the mailbox is rewound. Its epoch rises, what was built on the wrong state is discarded, and its
messages run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sagabus.codec.states import Carried
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import Saga, SagaDefinition
from sagabus.envelope import Envelope, Instance
from sagabus.errors import StateInvalid
from sagabus.refs import LaneRef


class BelievedState(msgspec.Struct, eq=False, gc=False):
    """The instance as the last run left it, committed or not yet. Nothing in it leads back to it: see `Mailbox`."""

    version: int = 0
    body: bytes | None = None
    state: Saga | None = None
    """The live object; None after a failed run, whose changes must not be seen."""
    shape: str | None = None
    """By which the body was written."""
    carried: Carried | None = None
    """Fields of another release that stay in the instance; known once `state` has been read."""
    status: str | None = None
    timers: dict[str, str] = {}
    completed: bool = False
    damage: str | None = None
    """What of its row cannot be read: no message may run on it."""
    stash: tuple[Envelope, ...] = ()
    """Messages that wait for the saga to start or to change."""

    @classmethod
    def of(cls, instance: Instance | None, stash: tuple[Envelope, ...]) -> BelievedState:
        """The cell of what is stored."""
        if instance is None:
            return cls(stash=stash)
        # By position: it is made once for each state that is loaded.
        return cls(
            instance.version,
            instance.state,
            None,
            instance.shape,
            None,
            instance.status,
            dict(instance.timers),
            instance.completed,
            instance.damage,
            stash,
        )

    def moved(  # noqa: PLR0917  # by position: it is called once for each run of a saga
        self,
        version: int,
        body: bytes,
        state: Saga | None,
        shape: str | None,
        status: str | None,
        timers: dict[str, str],
        completed: bool,  # noqa: FBT001  # the same
    ) -> None:
        """A run has left it like this."""
        self.version, self.body, self.state, self.shape = version, body, state, shape
        self.status, self.timers, self.completed = status, timers, completed

    def was_read(self, state: Saga, carried: Carried | None) -> None:
        """Keep what its body reads as."""
        self.state, self.carried = state, carried

    def lend(self) -> None:
        """User code gets the live object: what it does to that must not be seen unless it succeeds."""
        self.state = None

    def start_afresh(self) -> None:
        """An instance starts here: nothing of an older release stays in it."""
        self.carried = None

    def put_aside(self, envelope: Envelope) -> None:
        """One message more waits for the saga."""
        self.stash += (envelope,)

    def take_up(self, envelope: Envelope) -> None:
        """A message that waited for the saga has run."""
        self.stash = tuple(other for other in self.stash if other.position != envelope.position)

    def wake(self) -> tuple[Envelope, ...]:
        """No message waits for the saga any more; those that did."""
        waiting, self.stash = self.stash, ()
        return waiting


class Mailbox(msgspec.Struct, eq=False, gc=False):
    """One key of one channel. Tens of thousands are kept, and the collector passes over them: they are in no cycle."""

    definition: HandlerDefinition | SagaDefinition
    key: str | None
    place: LaneRef
    lane_epoch: int
    """Of the lane when its messages were taken from it: under no later one may they commit."""
    queue: list[Envelope] | tuple[Envelope, ...] = ()
    """What waits: a list, or the empty tuple. The collector would look at an empty list of each idle mailbox."""
    cell: BelievedState | None = None
    epoch: int = 0
    active: bool = False
    """Waits for a runner or is with one."""
    running: Envelope | None = None
    unflushed: int = 0
    """Outcomes that are not committed yet."""
    in_flight: int = 0
    """What is in flight of it, those whose outcome is not committed yet among them; a large message counts as several.
    """
    has_stored_key: bool = True
    """The store knows the key; otherwise the subscription found it in the message."""
    returned: int = 0
    """How many of those in flight may have held back others in the store. Others that arrive meanwhile are too early: a
    fetch saw them between the commit that freed them and its answer.
    """
    held: bool = False
    """A retry of this key is on its way into the store: others wait there."""
    held_through: int = 0
    """The number of the last fetch that may not have known of the hold."""

    spoilt: tuple[object, ...] = ()
    """What a call had at hand that has failed at once: its message and its state. It is read once."""
    flushed: asyncio.Future[None] | None = None
    """A run that waits here for the answer to the last outcome."""

    @property
    def idle(self) -> bool:
        """Nothing is in flight."""
        return not self.active and not self.unflushed and not self.queue

    @property
    def lacks_state(self) -> bool:
        """Whether an instance has to be loaded before a message can run."""
        return self.cell is None and self.key is not None and self.definition.has_instances

    def spoil(self, message: object, state: Saga | None) -> None:
        """A call has failed that had these at hand."""
        self.spoilt = (message, state)

    def seen(self) -> list[object]:
        """What user code may have seen of the saga, and in a call that has failed just now; not twice."""
        found, self.spoilt = [each for each in self.spoilt if each is not None], ()
        return found if self.cell is None or self.cell.body is None else [*found, self.cell.body]

    def check_readable(self) -> None:
        """Raise StateInvalid where the row of the instance is damaged: no message may run on what is left of it."""
        if self.cell is not None and self.cell.damage is not None:
            reason = f"the stored row of this key cannot be read: {self.cell.damage}"
            raise StateInvalid(self.definition.name, "", reason)

    def is_ahead_of(self, fetch: int) -> bool:
        """Whether a fetch may not have known that the key was held back, or no longer was: what is due at once comes
        again.
        """
        return self.held_through >= fetch or (self.returned > 0 and self.definition.ordered)

    def activate(self) -> bool:
        """It waits for a runner from now on; False if it did so before, or is with one."""
        if self.active:
            return False
        self.active = True
        return True

    def rest(self) -> None:
        """No runner is with it, it waits for none, and nothing of it runs."""
        self.active = False
        self.running = None

    def believe(self, instance: Instance | None, stash: tuple[Envelope, ...]) -> None:
        """Go by what is stored."""
        self.cell = BelievedState.of(instance, stash)

    def forget_state(self) -> None:
        """The next run loads it again."""
        self.cell = None

    def found_key(self) -> None:
        """Its key stands in the message: the store does not know it."""
        self.has_stored_key = False

    def begin_next(self) -> Envelope:
        """The first message that waits runs now."""
        envelope = self.running = self.take_out_first()
        return envelope

    def begin_next_of(self, in_flight: Mapping[int, Mailbox]) -> Envelope | None:
        """The same for the first that is in flight in this mailbox still: its lane may have been lost. None without."""
        while isinstance(queue := self.queue, list):  # as `take_out_first`, without a call: each message passes here
            envelope = queue.pop(0)
            if not queue:
                self.queue = ()
            if in_flight.get(envelope.position) is self:
                self.running = envelope
                return envelope
        return None

    def ended(self) -> None:
        """Nothing runs."""
        self.running = None

    def break_off(self) -> Envelope | None:
        """What runs has come to no outcome, and what it has done to the state is forgotten; None where nothing ran."""
        envelope = self.running
        if envelope is not None:
            self.running = self.cell = None
        return envelope

    def take_out_first(self) -> Envelope:
        """The first message that waits, which waits no more. IndexError without any."""
        if not isinstance(self.queue, list):
            raise IndexError("nothing waits")
        envelope = self.queue.pop(0)
        if not self.queue:
            self.queue = ()
        return envelope

    def wait(self, envelope: Envelope) -> None:
        """One message more waits, behind the others."""
        if isinstance(self.queue, list):
            self.queue.append(envelope)
        else:
            self.queue = [envelope]

    def let_all_go(self) -> Sequence[Envelope]:
        """Nothing waits any more; what did."""
        waited, self.queue = self.queue, ()
        return waited

    def one_more(self) -> None:
        """One outcome more on its way."""
        self.unflushed += 1

    def none_is_on_its_way(self) -> None:
        """Let the run go on that waits for that."""
        if self.flushed is not None and not self.flushed.done():
            self.flushed.set_result(None)
        self.flushed = None

    async def all_settled(self) -> None:
        """Wait until no outcome is on its way."""
        while self.unflushed:
            if self.flushed is None:
                self.flushed = asyncio.get_running_loop().create_future()
            await asyncio.wait([self.flushed])

    def replace(self, envelope: Envelope) -> None:
        """Take the place of what waits with the same position."""
        self.queue = [envelope if each.position == envelope.position else each for each in self.queue] or ()

    def rewind(self, envelopes: list[Envelope]) -> None:
        """Forget the state and put envelopes back, in their order."""
        self.epoch += 1
        self.cell = None
        self.put_back(envelopes)

    def put_back(self, envelopes: list[Envelope]) -> None:
        """Queue envelopes again, in the order of their positions; timers behind what was accepted before them."""
        self.queue = sorted((*envelopes, *self.queue), key=_turn) or ()


def gives_way(envelope: Envelope) -> bool:
    """Whether it is a timer that was not tried yet: messages that were accepted before it was due run first."""
    return envelope.timer is not None and not envelope.attempt and envelope.failed_at is None


def _turn(envelope: Envelope) -> tuple[bool, int]:
    return gives_way(envelope), envelope.position


def activated(mailboxes: Iterable[Mailbox]) -> list[Mailbox]:
    """Those of them that wait for a runner from now on, and did not before."""
    found: list[Mailbox] = []
    for mailbox in mailboxes:
        if not mailbox.active:
            mailbox.active = True
            found.append(mailbox)
    return found


def settle_all(mailboxes: Iterable[Mailbox]) -> None:
    """One outcome of each is no longer on its way."""
    for mailbox in mailboxes:
        mailbox.unflushed -= 1
        if mailbox.flushed is not None and not mailbox.unflushed:
            mailbox.none_is_on_its_way()

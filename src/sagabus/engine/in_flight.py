"""What a worker has in flight: lanes, the envelopes of each, and the mailboxes that they are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.held_lane import HeldLane
from sagabus.engine.known_keys import KnownKeys
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.page import HasRun, largest_body, last_at_once, may_have_held, positions, timers_last
from sagabus.engine.weight import UNLIMITED, size_of
from sagabus.envelope import Envelope
from sagabus.refs import LaneLike, LaneRef
from sagabus.settings import Settings
from sagabus.store import Cursor, Lane, by_place


class Mark(NamedTuple):
    """A suspect whose death was counted before its run, as it is stored since, and the epoch of its lane then."""

    envelope: Envelope
    epoch: int


_FADING = 0.25


class InFlight:
    """The worker's own books; the store's rows are the truth behind them."""

    def __init__(
        self,
        definitions: Mapping[str, HandlerDefinition | SagaDefinition],
        lane_window: int,
        *,
        unit: int = UNLIMITED,
        largest: int = 0,
        states: int = UNLIMITED,
    ) -> None:
        """`unit` bytes count as one message more, a message has `largest` at most, and idle mailboxes `states`."""
        self._definitions = definitions
        self._unit = unit
        self._heaviest = 1 + largest / unit
        self.lane_window = lane_window
        """The maximum of in-flight envelopes per lane."""
        self.lanes: dict[LaneLike, HeldLane] = {}
        self.envelopes: dict[int, Mailbox] = {}
        """Position of each in-flight envelope, with its mailbox."""
        self.marked: dict[int, Mark] = {}
        """By position, the suspects of which a death is counted until their outcome is committed."""
        self.settled: set[int] = set()
        """Positions settled while a fetch was under way: it may still bring them."""
        self.restarted: set[LaneLike] = set()
        """Lanes to be fetched from their beginning since a fetch began: it may have seen a key held back in them."""
        self.fetches = 0
        """The number of the last fetch begun."""
        self.fetching = False
        self.known = KnownKeys(states)
        """Mailboxes by their key, and the states in them."""
        self._mailboxes = self.known.mailboxes

    @classmethod
    def of(
        cls, definitions: Mapping[str, HandlerDefinition | SagaDefinition], settings: Settings, lane_window: int
    ) -> InFlight:
        """The books of a worker with these settings: all windows of all its subscriptions have its bytes together."""
        unit = max(settings.prefetch_bytes // (settings.prefetch * max(len(definitions), 1)), 1)
        return cls(definitions, lane_window, unit=unit, largest=settings.max_message_size, states=settings.state_bytes)

    def hungry(self) -> list[Cursor]:
        """Lanes that have room for more, but for those with loud keys."""
        half = self.lane_window // 2
        return [
            Cursor(channel, lane, held.after)
            for (channel, lane), held in self.lanes.items()
            if held.in_flight <= half and not held.loud
        ]

    def go_on(
        self, cursors: Sequence[Cursor], envelopes: Sequence[Envelope], limit: int, now: float
    ) -> tuple[list[Envelope], bool]:
        """Move these cursors behind what they fetched, at most `limit` each. Returns the envelopes of lanes that are
        still owned, lane by lane, timers last. Also returns whether a lane gave `limit` envelopes: it may have more.

        Of a lane that was restarted meanwhile, only what may have held others back: the rest comes again, behind what
        stands before it.
        """
        found_in = by_place(envelopes)
        asked: set[LaneLike] = set()
        lanes, window = self.lanes, self.lane_window
        for cursor in cursors:
            place = (cursor.channel, cursor.lane)
            held = lanes.get(place)
            if held is None or place in self.restarted:
                continue
            asked.add(place)
            came = found_in.get(place)
            if came is None:
                held.go_on(held.after, window)
                held.at_end = now
                continue
            held.go_on(max(held.after, last_at_once(came)), window)
            if len(came) < limit:
                held.at_end = now
        found: list[Envelope] = []
        for place, same in found_in.items():
            if place in asked:
                found += timers_last(same, limit)
            elif place in self.lanes:
                found += filter(may_have_held, same)
        return found, any(len(same) >= limit for same in found_in.values())

    def own(self, lanes: Sequence[Lane]) -> list[Mailbox]:
        """Take note of the lanes owned now; the mailboxes of those that were lost, which are dropped.

        A lane that was lost and won again meanwhile starts from the beginning. Nothing waits for outcomes of its former
        time, or later messages of their keys could overtake them.
        """
        now = {(lane.channel, lane.lane): lane for lane in lanes}
        gone = {place for place, held in self.lanes.items() if place not in now or now[place].epoch != held.epoch}
        lost = [mailbox for mailbox in self.mailboxes() if mailbox.place in gone] if gone else []
        for position in [position for position, mailbox in self.envelopes.items() if mailbox.place in gone]:
            del self.envelopes[position]
        for place in gone:
            del self.lanes[place]
        for place, lane in now.items():
            if place not in self.lanes:
                held = HeldLane(lane)
                self.lanes[held.ref] = held
        for mailbox in lost:
            self._empty(mailbox)
        return lost

    def fullest(self) -> int:
        """The most envelopes that there are of one lane: of one of its loud keys, or of all others."""
        return max((held.fullest for held in self.lanes.values()), default=0)

    def most_lanes(self) -> int | None:
        """The most lanes of one channel that are owned; None without any."""
        return max(Counter(channel for channel, _ in self.lanes).values(), default=None)

    def in_use(self) -> list[Lane]:
        """Lanes with a message that runs now, or whose outcome is on its way."""
        places = {mailbox.place for mailbox in self.mailboxes() if mailbox.running is not None or mailbox.unflushed}
        return [held.lane for place, held in self.lanes.items() if place in places]

    def definition(self, channel: str) -> HandlerDefinition | SagaDefinition:
        """What runs on a channel."""
        return self._definitions[channel]

    def is_suspect(self, envelope: Envelope) -> bool:
        """Whether a worker that died may have had an envelope in flight."""
        held = self.lanes.get((envelope.channel, envelope.lane))
        return held is not None and held.lane.is_suspect(envelope.partition_key, envelope.position)

    def rescan_lane(self, place: LaneLike) -> None:
        """Fetch one lane from its beginning again."""
        held = self.lanes.get(place)
        if held is not None:
            held.begin_again()
            self.restarted.add(place)

    def rescan_in_time(self) -> None:
        """The same for every lane, for what may be free by now. One with loud keys has its own pace: see `HeldLane`."""
        for held in self.lanes.values():
            if held.loud:
                held.is_due_again = True
            else:
                held.after = 0

    def mailboxes(self) -> Iterator[Mailbox]:
        """Every mailbox with something in flight, and the idle ones that are kept."""
        yield from self._mailboxes.values()
        yield from {m for m in self.envelopes.values() if m.key is None}

    def mailbox(self, envelope: Envelope) -> Mailbox:
        """The mailbox of an envelope's key; one of its own for an envelope without a key."""
        channel, key = envelope.channel, envelope.partition_key
        if key is not None:
            found = self._mailboxes.get((channel, key))
            if found is not None and found.place[1] == envelope.lane:
                return found
        held = self.lanes.get((channel, envelope.lane))
        place, epoch = (LaneRef(channel, envelope.lane), -1) if held is None else (held.ref, held.epoch)
        found = Mailbox(self._definitions[channel], key, place, epoch)
        if key is not None:
            self.known.know(found, key)
        return found

    def take(self, envelope: Envelope, mailbox: Mailbox) -> None:
        """An envelope is in flight from now on, and waits for its run, behind those that were there."""
        self.envelopes[envelope.position] = mailbox
        if (held := self.lanes.get(mailbox.place)) is not None:
            held.take(mailbox, self.lane_window, self._weight(envelope))
        if envelope.due_at and may_have_held(envelope):
            mailbox.returned += 1
        mailbox.wait(envelope)

    def fresh(self, page: Sequence[Envelope]) -> Sequence[Envelope]:
        """Those that are not in flight, and were not settled while they were fetched."""
        in_flight, settled = self.envelopes, self.settled
        if in_flight.keys().isdisjoint(positions(page)) and settled.isdisjoint(positions(page)):
            return page
        return [each for each in page if each.position not in in_flight and each.position not in settled]

    def take_page(
        self, page: Iterable[Envelope], without_key: Callable[[Envelope], tuple[Envelope, Mailbox]]
    ) -> list[Mailbox]:
        """`take` all that comes in time; the mailbox of each. `without_key` finds that of an envelope without one."""
        in_flight, mailboxes, unit = self.envelopes, self._mailboxes, self._unit
        window, fetch = self.lane_window, self.fetches
        place: LaneRef | None = None
        held: HeldLane | None = None
        filled: list[Mailbox] = []
        for stored in page:
            envelope, key = stored, stored.partition_key
            if key is None:
                envelope, mailbox = without_key(stored)
            else:
                known = mailboxes.get((stored.channel, key))
                mailbox = known if known is not None and known.place[1] == stored.lane else self.mailbox(stored)
            is_plain = not (envelope.due_at or mailbox.held or mailbox.returned or mailbox.held_through >= fetch)
            if not is_plain and not self._lets_in(envelope, mailbox):
                continue
            in_flight[envelope.position] = mailbox
            if mailbox.place is not place:
                place = mailbox.place
                held = self.lanes.get(place)
            if held is not None:
                # Large messages count as several: they fill a window sooner.
                weight = 1 if envelope.headers is None and len(envelope.body) < unit else self._weight(envelope)
                held.take(mailbox, window, weight)
            if isinstance(queue := mailbox.queue, list):
                queue.append(envelope)
            else:
                mailbox.queue = [envelope]
            filled.append(mailbox)
        return filled

    def _lets_in(self, envelope: Envelope, mailbox: Mailbox) -> bool:
        """Whether it comes in time; if so, note whether others may have been held back for it."""
        if mailbox.held or (not may_have_held(envelope) and mailbox.is_ahead_of(self.fetches)):
            return False
        if may_have_held(envelope):
            mailbox.returned += 1
        return True

    def take_first(self, envelopes: Sequence[Envelope], mailbox: Mailbox) -> None:
        """The same for several, which run before all those that were there."""
        behind = mailbox.let_all_go()
        for envelope in envelopes:
            self.take(envelope, mailbox)
        for envelope in behind:
            mailbox.wait(envelope)

    def begin_fetch(self) -> None:
        """A fetch is under way."""
        self.fetches += 1
        self.fetching = True
        self.settled.clear()
        self.restarted.clear()

    def end_fetch(self) -> None:
        """It has its answer, or has failed."""
        self.fetching = False

    def narrow(self, window: int) -> None:
        """Fetch at most so much of a lane, if it was more."""
        self.lane_window = min(window, self.lane_window)

    def widen(self, window: int) -> None:
        """Fetch so much of a lane, now that the store knows of it."""
        self.lane_window = window

    def mark(self, mark: Mark) -> None:
        """A death of it is counted until its outcome is committed."""
        self.marked[mark.envelope.position] = mark

    def unmark(self, position: int) -> None:
        """No death of it is counted any more."""
        self.marked.pop(position, None)

    def hold(self, mailbox: Mailbox, envelope: Envelope) -> None:
        """A retry of the key is on its way into the store, from where all comes again that waits or runs behind it."""
        mailbox.held = True
        self._put_down_waiting(mailbox)
        running = mailbox.running
        if running is not None and running.position != envelope.position:
            # A refused commit has undone what it began on: it comes again from the store, when its key goes on.
            self.put_down(running, mailbox)

    def hold_is_stored(self, mailbox: Mailbox) -> None:
        """The store holds the key back from now on; a fetch that is under way may not know it."""
        mailbox.held = False
        mailbox.held_through = self.fetches

    def release_hold(self, mailbox: Mailbox) -> None:
        """The retry did not come into the store: all of the key comes again."""
        mailbox.held = False
        self.rescan_lane(mailbox.place)

    def fetch_again(self, mailbox: Mailbox) -> None:
        """All that waits of the key comes again, in order, by a fetch that begins later."""
        mailbox.held_through = self.fetches
        self._put_down_waiting(mailbox)
        self.rescan_lane(mailbox.place)

    def _put_down_waiting(self, mailbox: Mailbox) -> None:
        for envelope in mailbox.let_all_go():
            self.put_down(envelope, mailbox)

    def page(self, limit: int) -> int:
        """How many messages to fetch at once, where that many are wanted: fewer while they are large."""
        return max(int(limit / self._heaviest), 1)

    def note_page(self, envelopes: Sequence[Envelope]) -> None:
        """Note how large messages are now. Before any was seen they count as large, and again soon after one was."""
        if envelopes:
            self._heaviest = max(1 + largest_body(envelopes) / self._unit, 1 + (self._heaviest - 1) * _FADING)

    def holds(self, envelope: Envelope, mailbox: Mailbox) -> bool:
        """Whether an envelope is in flight in this very mailbox: the mailbox of a lost lane holds nothing any more."""
        return self.envelopes.get(envelope.position) is mailbox

    def put_down(self, envelope: Envelope, mailbox: Mailbox) -> None:
        """An envelope is no longer in flight. One that was not in this mailbox stays where it is."""
        position = envelope.position
        if self.envelopes.get(position) is not mailbox:
            return
        if envelope.due_at and may_have_held(envelope):
            mailbox.returned -= 1
        del self.envelopes[position]
        if self.fetching:
            self.settled.add(position)
        if (held := self.lanes.get(mailbox.place)) is not None:
            held.put_down(mailbox, self._weight(envelope))

    def put_down_all(self, settled: Sequence[HasRun]) -> None:
        """The same of many that were due at once and are committed now: no death of theirs is counted any more."""
        gone = [entry.outcome.envelope.position for entry in settled]
        if self.fetching:
            self.settled.update(gone)
        if self.marked:
            for position in gone:
                self.marked.pop(position, None)
        envelopes, unit = self.envelopes, self._unit
        place: LaneRef | None = None
        held: HeldLane | None = None
        for position, entry in zip(gone, settled, strict=True):
            mailbox = entry.mailbox
            if envelopes.get(position) is not mailbox:
                continue
            del envelopes[position]
            if mailbox.place is not place:
                place = mailbox.place
                held = self.lanes.get(place)
            if held is not None:
                envelope = entry.outcome.envelope
                weight = 1 if envelope.headers is None and len(envelope.body) < unit else self._weight(envelope)
                held.put_down(mailbox, weight)

    def _weight(self, envelope: Envelope) -> int:
        """How many of a window it counts as."""
        return 1 + size_of(envelope) // self._unit

    def in_flight_of(self, channel: str, key: str) -> int:
        """How many envelopes of a key there are."""
        mailbox = self._mailboxes.get((channel, key))
        return 0 if mailbox is None else mailbox.in_flight

    def drop(self, mailbox: Mailbox) -> None:
        """Forget a mailbox with everything in flight of it. What runs or is being committed ends by itself."""
        positions = [position for position, other in self.envelopes.items() if other is mailbox]
        for position in positions:
            del self.envelopes[position]
        held = self.lanes.get(mailbox.place)
        if held is not None:
            held.put_down(mailbox, mailbox.in_flight)
        self._empty(mailbox)

    def _empty(self, mailbox: Mailbox) -> None:
        mailbox.let_all_go()
        mailbox.returned = 0
        mailbox.rewind([])
        self.known.let_go(mailbox)

    def forget(self, mailbox: Mailbox) -> None:
        """Let go of a mailbox that is idle and has no state worth keeping: of a handler, or of a finished saga."""
        self.known.forget(mailbox, self.fetches)

    def tidy(self) -> None:
        """Keep the bytes of idle mailboxes bounded; those without state are not kept at all."""
        self.known.tidy(self.fetches)

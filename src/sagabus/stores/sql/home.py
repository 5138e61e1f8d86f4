"""What a store on a server says of itself to transactions that join it: see `sagabus.stores.sql.joining.Home`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.errors import WrongDatabase
from sagabus.outcome import Admission
from sagabus.store import Routing, Subscription
from sagabus.stores.sql import appending
from sagabus.stores.sql.connections import Native
from sagabus.stores.sql.dialect import Ready, Style
from sagabus.stores.sql.joining import Part, Words
from sagabus.stores.sql.steps import Answer, Query, Steps

_decode = msgspec.json.Decoder(Subscription).decode


class ReadyWords:
    """Statements each of which is one statement of the driver's."""

    def __init__(self, statements: Mapping[str, Ready]) -> None:
        self._statements = statements

    def parts(self, ask: Query) -> Sequence[Part]:
        """What to run for a question."""
        statement = self._statements[ask.name]
        given = statement.parameters(ask)
        placed = [given[place] for place in statement.order] if statement.order else given
        return [Part(statement.sql, tuple(placed), statement.gives)]

    def answer(self, ask: Query, answers: Sequence[Answer]) -> Answer:
        """The answer to the question, from the one there is."""
        return answers[0]


class ServerHome:
    """`find` asks whether the tables are visible, at no risk to the caller's transaction. The statement `look` gives
    the numbers in `meta` with the time, and locks that of the routing.
    """

    def __init__(
        self,
        database: str,
        place: str,
        *,
        clock: Clock | None,
        find: Query,
        words: Callable[[Style], Words],
        translate: Callable[[Query, Exception], Exception],
    ) -> None:
        self.database = database
        self.place = place
        self._identity: int | None = None
        self._clock = clock
        self._find = find
        self._make_words = words
        self._words: dict[Style, Words] = {}
        self._routing: tuple[int, Routing] | None = None
        self.translate = translate

    def of(self, identity: int | None) -> ServerHome:
        """Itself, knowing what tells its tables from all others of their name: a store that was opened has read it."""
        self._identity = identity
        return self

    def words(self, style: Style) -> Words:
        """The statements for drivers of this style."""
        found = self._words.get(style)
        if found is None:
            found = self._words[style] = self._make_words(style)
        return found

    def enter(self, native: Native) -> Steps[None]:
        """Find the tables, and make sure that they are ours."""
        if not (yield self._find).value:
            raise WrongDatabase(
                f"the connection sees no tables of the bus at {self.place}, or may not use them. Check its database, "
                "search path and user, and open a bus there once",
                store=self.place,
            )
        yield from self._look()

    def look(self) -> Steps[tuple[Routing, int]]:
        """The routing, held, and the time."""
        version, lanes, identity, now = yield from self._look()
        known = self._routing
        if known is None or known[0] != identity or known[1].version != version:
            # Of one version there is one routing, so this is not asked again.
            found = (yield Query("subscriptions")).rows
            known = self._routing = (identity, Routing(version, lanes, tuple(_decode(row[0]) for row in found)))
        return known[1], self._clock.now() if self._clock is not None else now

    def append(self, envelopes: Sequence[Envelope], now: int) -> Steps[list[Admission]]:
        """Accept envelopes; a race costs a savepoint."""
        return appending.append_inside(envelopes, now)

    def _look(self) -> Steps[tuple[int, int, int, int]]:
        found = (yield Query("look")).rows
        values = {row[0]: int(row[1]) for row in found}
        identity = values.get("identity", 0)
        if self._identity is not None and identity != self._identity:
            raise WrongDatabase(
                f"the connection is to other tables of these names than those of the bus at {self.place}",
                store=self.place,
            )
        return values["routing"], values.get("lanes", 0), identity, int(found[0][2])

"""What differs for statements that run on a user's connection: its character set and isolation are the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sagabus.envelope import Envelope
from sagabus.errors import StoreBusy, StoreError
from sagabus.outcome import Admission
from sagabus.stores.mysql.errors import DUPLICATE, kind_of
from sagabus.stores.mysql.fragments import LOCKABLE_ROWS, NOW
from sagabus.stores.mysql.prepared import forms, portions
from sagabus.stores.mysql.schema import versions
from sagabus.stores.mysql.statements import STATEMENTS
from sagabus.stores.sql.appending import Raced
from sagabus.stores.sql.dialect import Statement, Style
from sagabus.stores.sql.home import ServerHome
from sagabus.stores.sql.joining import Part
from sagabus.stores.sql.steps import Answer, Query, Row, Steps, causes

FIND = Query("is_home")

_DEADLOCK = 1213
_LARGEST_TEXT = 1_000_000
_USED = (
    *("savepoint", "rollback_to_savepoint", "release_savepoint", "subscriptions", "known", "horizons"),
    *("remember", "insert_envelopes", "cancel_timers", "let_loose", "bury"),
)
_LOOK = f"SELECT name, value, {NOW} FROM {{meta}} WHERE name IN ('routing', 'lanes', 'identity')"


def _locking(sql: str) -> Statement:
    """Reads what has been committed by now, even where the transaction otherwise sees the past (REPEATABLE READ)."""
    return Statement(f"{sql.rstrip().replace('{rows}', LOCKABLE_ROWS)} LOCK IN SHARE MODE", gives=True)


class MysqlWords:
    """The statements for drivers of one style, as text."""

    def __init__(self, names: Mapping[str, str], schema: str | None, prefix: str, style: Style) -> None:
        known = STATEMENTS["known"]
        statements = {name: STATEMENTS[name] for name in _USED} | {
            FIND.name: versions(schema, prefix)[FIND.name],
            # The lock makes registrations wait for who has routed by what they change, and the other way round.
            "look": _locking(_LOOK),
            "subscriptions": _locking(STATEMENTS["subscriptions"].sql),
            "known_by_now": _locking(known.sql)._replace(columns=known.columns),
        }
        self._forms = forms(statements, names, style)

    def parts(self, ask: Query) -> Sequence[Part]:
        """What to run for a question: as many statements as its rows need."""
        form = self._forms[ask.name]
        if form.row:
            return [
                Part(form.with_values(len(portion)), [value for row in portion for value in row], gives=False)
                for portion in portions(ask.rows or (), _LARGEST_TEXT)
            ]
        return [Part(form.ready.sql, parameters, form.ready.gives) for parameters in form.parameters(ask)]

    def answer(self, ask: Query, answers: Sequence[Answer]) -> Answer:
        """The answer to the question, from those of its parts. Ids and keys are kept as bytes."""
        if not self._forms[ask.name].ready.gives:
            return Answer((), sum(answer.changed for answer in answers))
        found: list[Row] = [
            [value.decode() if isinstance(value, bytes) else value for value in row]
            for answer in answers
            for row in answer.rows
        ]
        if ask == FIND and found[0][1] != "utf8mb4":
            raise StoreError(f"the connection's character set is {found[0][1]}: connect with charset=utf8mb4")
        return Answer(found)


class MysqlHome(ServerHome):
    """See `sagabus.stores.sql.joining.Home`."""

    def append(self, envelopes: Sequence[Envelope], now: int) -> Steps[list[Admission]]:
        """Accept envelopes. A record that another transaction was quicker with is looked for where it is now: at
        REPEATABLE READ the caller's transaction would never see it. Not before: that would lock what is not there yet.
        """
        steps = super().append(envelopes, now)
        raced = False
        question = next(steps)
        while True:
            if isinstance(question, Query):
                raced = raced or question.name == "rollback_to_savepoint"
                if raced and question.name == "known":
                    question = question._replace(name="known_by_now")
            try:
                answer = yield question
            except Exception as error:  # noqa: BLE001  # the logic decides what it means
                question = steps.throw(error)
            else:
                try:
                    question = steps.send(answer)
                except StopIteration as end:
                    answers: list[Admission] = end.value
                    return answers


def translate(place: str, ask: Query, error: Exception) -> Exception:
    """The store's error for a driver's, by its number."""
    numbers = [each.args[0] for each in causes(error) if each.args and isinstance(each.args[0], int)]
    if DUPLICATE in numbers:
        return Raced() if ask.name == "remember" else StoreBusy(f"{place}: another one was quicker", store=place)
    kind = next((kind for number in numbers if (kind := kind_of(number)) is not None), StoreError)
    undone = "; the database has rolled the whole transaction back" if _DEADLOCK in numbers else ""
    return kind(f"in the joined transaction ({ask.name}): {type(error).__name__}: {error}{undone}", store=place)

"""What the replay of a log must have left: the rows of the file in sagas and ledger, each case in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from sagabus.testing.campaign.oracle import Audit, Row, difference, torn

Applied: TypeAlias = Sequence[tuple[int, str]]


def audit_replay(cases: Mapping[str, Applied], sagas: Mapping[str, Applied], ledger: Counter[Row]) -> Audit:
    """Compare the rows of a log, in order, with what each saga applied, in order, and with the ledger."""
    wanted = _flat(cases)
    applied = _flat(sagas)
    found = Audit(difference=difference(wanted, applied) + difference(wanted, ledger))
    found.torn = torn({"sagas": applied, "ledger": ledger}, ("sagas", "ledger"), {*cases, *sagas})
    found.out_of_order = sum(out_of_order(_places(cases.get(key, ()), rows)) for key, rows in sagas.items())
    found.completed = sum(list(sagas.get(key, ())) == list(rows) for key, rows in cases.items())
    found.wrong_states = len(cases.keys() | sagas.keys()) - found.completed
    return found


def _flat(lists: Mapping[str, Applied]) -> Counter[Row]:
    return Counter((key, *entry) for key, entries in lists.items() for entry in entries)


def _places(wanted: Applied, rows: Applied) -> list[int]:
    places = {row: index for index, (row, _) in enumerate(wanted)}
    return [places[row] for row, _ in rows if row in places]


def out_of_order(rows: Iterable[int]) -> int:
    """How many of the rows came after one that they precede in the file."""
    highest = -1
    late = 0
    for row in rows:
        late += row < highest
        highest = max(highest, row)
    return late

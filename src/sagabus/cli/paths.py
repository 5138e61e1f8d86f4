"""The paths through a handler, and how each leaves the instance: its status, its timers, and whether it is finished.

Branches are followed apart, so a status set with `ctx.complete()` is not confused with the status of another branch. A
path that ends in `raise` counts for nothing, because its transaction is rolled back.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from sagabus.cli.source import Code, assigned, first_argument


class Mark(Enum):
    """What stands for a status that has no name here."""

    SAME = "as before"
    UNRESOLVED = "only known at run time"


ANY_TIMER = "*"
"""Stands for a timer whose name is only known at run time."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One way in which a run may leave its instance."""

    status: str | Mark = Mark.SAME
    completed: bool = False
    timers_set: frozenset[str] = frozenset()
    timers_cancelled: frozenset[str] = frozenset()

    def then(self, later: Ending) -> Ending:
        """What this becomes when `later` happens after it."""
        return Ending(
            self.status if later.status is Mark.SAME else later.status,
            self.completed or later.completed,
            (self.timers_set - later.timers_cancelled) | later.timers_set,
            (self.timers_cancelled - later.timers_set) | later.timers_cancelled,
        )


Endings = frozenset[Ending]
NOTHING: Endings = frozenset()
UNCHANGED: Endings = frozenset({Ending()})
ANYTHING: Endings = frozenset(
    Ending(Mark.UNRESOLVED, completed, timers)
    for completed in (False, True)
    for timers in (frozenset[str](), frozenset({ANY_TIMER}))
)


def endings_of(code: Code) -> Endings:
    """Every way in which a run of this code may leave its instance; anything at all when there is no text."""
    if code.node is None:
        return ANYTHING
    walk = _Walk(code)
    return walk.block(code.node.body, UNCHANGED) | walk.returned


class _Walk:
    """One pass over the statements; endings go in and come out of each."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self.returned = NOTHING
        self._jumped = NOTHING

    def block(self, statements: Iterable[ast.stmt], before: Endings) -> Endings:
        """What falls out at the end of a block."""
        for statement in statements:
            before = self._statement(statement, before)
        return before

    def _statement(self, node: ast.stmt, before: Endings) -> Endings:
        if isinstance(node, ast.Return):
            self.returned |= self._effects(node, before)
            return NOTHING
        if isinstance(node, ast.Raise):
            return NOTHING
        if isinstance(node, ast.Break | ast.Continue):
            self._jumped |= before
            return NOTHING
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return before
        return self._compound(node, before)

    def _compound(self, node: ast.stmt, before: Endings) -> Endings:
        if isinstance(node, ast.If):
            before = self._effects(node.test, before)
            return self.block(node.body, before) | self.block(node.orelse, before)
        if isinstance(node, ast.For | ast.AsyncFor | ast.While):
            return self._loop(node, before)
        if isinstance(node, ast.Try | ast.TryStar):
            return self._try(node, before)
        if isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                before = self._effects(item.context_expr, before)
            return self.block(node.body, before)
        return self._match(node, before) if isinstance(node, ast.Match) else self._effects(node, before)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, before: Endings) -> Endings:
        outer, self._jumped = self._jumped, NOTHING
        before = self._effects(node.test if isinstance(node, ast.While) else node.iter, before)
        # Twice round is enough: the last status set wins, and what was completed stays so.
        once = before | self.block(node.body, before)
        after = self.block(node.orelse, once | self.block(node.body, once)) | self._jumped
        self._jumped = outer
        return after

    def _try(self, node: ast.Try | ast.TryStar, before: Endings) -> Endings:
        returned = self.returned
        body = self.block(node.body, before)
        # A handler may be entered from anywhere in the body: before it, after it, and where it would have returned.
        entered = before | body | (self.returned - returned)
        after = self.block(node.orelse, body)
        for handler in node.handlers:
            after |= self.block(handler.body, entered)
        return self.block(node.finalbody, after)

    def _match(self, node: ast.Match, before: Endings) -> Endings:
        before = self._effects(node.subject, before)
        after = NOTHING
        for case in node.cases:
            after |= self.block(case.body, before)
        last = node.cases[-1]
        covered = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None and last.guard is None
        return after if covered else after | before

    def _effects(self, node: ast.AST, before: Endings) -> Endings:
        """What one simple statement or expression does to each ending."""
        if isinstance(node, ast.AnnAssign) and node.value is None:
            return before  # declares a type, and assigns nothing
        targets = [target for target, _ in assigned(node)]
        for item in ast.walk(node):
            change = UNCHANGED if item in targets else self._change(item)
            before = frozenset(ending.then(later) for ending in before for later in change)
        return before

    def _change(self, item: ast.AST) -> Endings:
        code = self._code
        if isinstance(item, ast.Assign | ast.AnnAssign):
            values = [value for target, value in assigned(item) if code.is_own(target, "status")]
            return self._set_to(values[-1]) if values else UNCHANGED
        if (
            isinstance(item, ast.Attribute)
            and isinstance(item.ctx, ast.Store | ast.Del)
            and code.is_own(item, "status")
        ):
            return frozenset({Ending(Mark.UNRESOLVED)})
        return self._called(item) if isinstance(item, ast.Call) else UNCHANGED

    def _called(self, call: ast.Call) -> Endings:
        method = self._code.context_method(call)
        if method == "complete":
            return frozenset({Ending(completed=True)})
        if method in ("set_timer", "cancel_timer"):
            return self._timed(call, cancels=method == "cancel_timer")
        if self._code.resolve(call.func) is setattr and len(call.args) == 3 and self._code.is_itself(call.args[0]):
            return self._set_by_name(call.args[1], call.args[2])
        if self._code.loses_sight(call):
            return UNCHANGED | frozenset({Ending(completed=True), Ending(timers_set=frozenset({ANY_TIMER}))})
        followed = self._code.followed(call)
        return UNCHANGED if followed is None else endings_of(followed)

    def _timed(self, call: ast.Call, *, cancels: bool) -> Endings:
        argument = first_argument(call, "name")
        names = None if argument is None else self._code.texts(argument)
        if names is None:
            return UNCHANGED if cancels else frozenset({Ending(timers_set=frozenset({ANY_TIMER}))})
        each = [frozenset({name}) for name in names]
        return frozenset(Ending(timers_cancelled=name) if cancels else Ending(timers_set=name) for name in each)

    def _set_by_name(self, name: ast.expr, value: ast.expr) -> Endings:
        names = self._code.texts(name)
        if names is None:
            return UNCHANGED | frozenset({Ending(Mark.UNRESOLVED)})
        return self._set_to(value) if "status" in names else UNCHANGED

    def _set_to(self, value: ast.expr) -> Endings:
        texts = self._code.texts(value)
        return frozenset({Ending(Mark.UNRESOLVED)}) if texts is None else frozenset(map(Ending, texts))

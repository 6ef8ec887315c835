# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""A plan: what will be said to the server, in which order, and why. Made without a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import (
    Session,
    attempts,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    LOCK_NOT_AVAILABLE,
    OBJECT_IN_USE,
    ReplicationError,
    ServerError,
)

# How long a step goes on that something still in use holds up.
PATIENCE_SECONDS = 30
# Check mode waits no longer than this for a lock.
REHEARSAL_LOCK_SECONDS = 3


class Way(Enum):
    """How a statement has to be sent."""

    TRANSACTION = "in a transaction, with its neighbours"
    AUTOCOMMIT = "by itself: the server refuses it in a transaction block, or cannot undo it"
    REPLICATION = "as a command on a replication connection"


@dataclass(frozen=True)
class Step:
    """One statement of a plan.

    :param reason: why it is needed, as the end of the sentence "while ...".
    :param prelude: run before each try of the statement; a step with one is tried again while the
        object is in use.
    :param rehearsal: what check mode runs in its place, and rolls back. A statement that may run
        in a transaction rehearses itself.
    :param undo: run where a later step fails, so that no run ends half way.
    :param wait_for: the statement's one value is asked for until it is true.
    """

    reason: str
    statement: sql.Composable
    way: Way = Way.TRANSACTION
    prelude: sql.Composable | None = None
    rehearsal: sql.Composable | None = None
    undo: sql.Composable | None = None
    wait_for: bool = False

    def rehearsed(self) -> sql.Composable | None:
        if self.rehearsal is None and self.way is Way.TRANSACTION:
            return self.statement
        return self.rehearsal


@dataclass
class Plan:
    """The steps from the state before to the state after; none: nothing to do."""

    steps: list[Step] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.steps)

    def statements(self) -> Iterator[sql.Composable]:
        """The statements in the order they are run, waits left out."""
        for step in self.steps:
            if step.prelude is not None:
                yield step.prelude
            if not step.wait_for:
                yield step.statement


def carry_out(plan: Plan, session: Session, check_mode: bool) -> list[str]:
    """Run the plan, or rehearse it in check mode. Return the statements, secrets hidden.

    :raises ReplicationError: the server refused a step; with `queries` that were done.
    """
    queries = [session.shown(statement) for statement in plan.statements()]
    if check_mode:
        _rehearse(plan, session)
    else:
        _run(plan, session)
    return queries


def _rehearse(plan: Plan, session: Session) -> None:
    """Let the server judge in check mode what it can judge without keeping anything."""
    rehearsed = [(step, step.rehearsed()) for step in plan.steps]
    if not any(statement is not None for _step, statement in rehearsed):
        return
    with session.transaction(keep=False):
        session.rows(sql.SQL(f"SET LOCAL lock_timeout = '{REHEARSAL_LOCK_SECONDS}s'"))
        for step, statement in rehearsed:
            if statement is None:
                continue
            try:
                session.rows(statement)
            except ServerError as exc:
                if exc.sqlstate != LOCK_NOT_AVAILABLE:
                    raise _told(exc, step) from None
                plan.warnings.append(
                    "Check mode could not try the change: another session holds a lock."
                )
                return


def _run(plan: Plan, session: Session) -> None:
    done: list[Step] = []
    for together, group in groupby(plan.steps, key=lambda step: step.way is Way.TRANSACTION):
        steps = list(group)
        try:
            if together and len(steps) > 1:
                with session.transaction():
                    for step in steps:
                        _run_step(step, session)
                done.extend(steps)
            else:
                for step in steps:
                    _run_step(step, session)
                    done.append(step)
        except ReplicationError as exc:
            exc.message += _undo(done, session)
            if done:
                kept = Plan(done)
                exc.result["queries"] = [session.shown(query) for query in kept.statements()]
                exc.result["changed"] = True
                exc.message += " What had been done before is listed in queries."
            raise exc from None


def _run_step(step: Step, session: Session) -> None:
    try:
        if step.wait_for:
            session.wait_until(step.statement, PATIENCE_SECONDS, step.reason)
        elif step.way is Way.REPLICATION:
            session.replication_command(step.statement)
        elif step.prelude is not None:
            _run_until_free(step.prelude, step.statement, session)
        else:
            session.rows(step.statement)
    except ServerError as exc:
        raise _told(exc, step) from None


def _run_until_free(prelude: sql.Composable, statement: sql.Composable, session: Session) -> None:
    refusal = None
    for _attempt in attempts(PATIENCE_SECONDS):
        session.rows(prelude)
        try:
            session.rows(statement)
        except ServerError as exc:
            if exc.sqlstate != OBJECT_IN_USE:
                raise
            refusal = exc
        else:
            return
    if refusal:
        raise refusal


def _undo(done: list[Step], session: Session) -> str:
    """Set right what a failed run must not leave behind; where that fails too, the sentence."""
    for step in reversed(done):
        if step.undo is not None:
            try:
                session.rows(step.undo)
            except ReplicationError as exc:
                return f" Nor was it possible to run {session.shown(step.undo)}: {exc.message}"
    return ""


def _told(exc: ServerError, step: Step) -> ServerError:
    return ServerError(f"The server refused to {step.reason}: {exc.message}", exc.sqlstate)

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg2 import sql

from ansible_collections.hmm.pg_replication.plugins.module_utils import _plan
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    Conninfo,
    HiddenLiteral,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    ServerError,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import (
    Plan,
    Step,
    Way,
    carry_out,
)
from tests.unit.render import render, statements

IN_USE = ServerError("it is in use.", "55006")
LOCKED = ServerError("a lock is held.", "55P03")
NO_SUCH = ServerError("there is no such thing.", "42704")


class FakeSession:
    """Writes down what it is told, and refuses what it shall refuse.

    Where a real one cannot be had: the tests with servers see the same sequences happen.
    """

    def __init__(self, **refusals: list[ReplicationError]) -> None:
        self.said: list[str] = []
        self.refusals = refusals

    def shown(self, statement: sql.Composable) -> str:
        return render(statement)

    def rows(self, statement: sql.Composable) -> list[Any]:
        return self._say(render(statement))

    def replication_command(self, command: sql.Composable) -> None:
        self._say(f"replication: {render(command)}", render(command))

    def wait_until(self, statement: sql.Composable, seconds: float, what: str) -> None:
        self._say(f"wait {seconds} s: {render(statement)}: {what}")

    @contextmanager
    def transaction(self, keep: bool = True) -> Iterator[None]:
        self.said.append("BEGIN")
        try:
            yield
        except BaseException:
            self.said.append("ROLLBACK")
            raise
        self.said.append("COMMIT" if keep else "ROLLBACK")

    def _say(self, text: str, key: str | None = None) -> list[Any]:
        self.said.append(text)
        waiting = self.refusals.get(key or text, [])
        if waiting:
            raise waiting.pop(0)
        return []


def step(text: str, way: Way = Way.TRANSACTION, **more: Any) -> Step:
    for key in ("prelude", "rehearsal", "undo"):
        if key in more:
            more[key] = sql.SQL(more[key])
    return Step(f"do {text}", sql.SQL(text), way, **more)


def run(
    *steps: Step, check_mode: bool = False, **refusals: list[ReplicationError]
) -> tuple[list[str], list[str]]:
    session = FakeSession(**refusals)
    queries = carry_out(Plan(list(steps)), session, check_mode)  # type: ignore[arg-type]
    return session.said, queries


def failed_run(
    *steps: Step, check_mode: bool = False, **refusals: list[ReplicationError]
) -> tuple[list[str], ReplicationError]:
    session = FakeSession(**refusals)
    with pytest.raises(ReplicationError) as raised:
        carry_out(Plan(list(steps)), session, check_mode)  # type: ignore[arg-type]
    return session.said, raised.value


@pytest.fixture(autouse=True)
def _three_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plan, "attempts", lambda _seconds: iter(range(3)))


def test_a_plan_without_steps_changes_nothing() -> None:
    assert not Plan().changed
    assert Plan([step("a")]).changed
    assert run() == ([], [])
    assert run(check_mode=True) == ([], [])


def test_neighbours_share_a_transaction() -> None:
    said, queries = run(
        step("a"),
        step("b"),
        step("c", Way.AUTOCOMMIT),
        step("d"),
        step("e", Way.REPLICATION),
        step("f"),
        step("g"),
    )
    assert said == [
        *("BEGIN", "a", "b", "COMMIT"),
        "c",
        "d",  # alone it needs no transaction of ours
        "replication: e",
        *("BEGIN", "f", "g", "COMMIT"),
    ]
    assert queries == ["a", "b", "c", "d", "e", "f", "g"]


def test_waits_are_no_queries() -> None:
    said, queries = run(
        step("a", Way.AUTOCOMMIT), step("w", Way.AUTOCOMMIT, wait_for=True), step("b")
    )
    assert said == ["a", "wait 30 s: w: do w", "b"]
    assert queries == ["a", "b"]


def test_a_prelude_is_a_query_too() -> None:
    assert statements(Plan([step("a", prelude="p"), step("b")])) == ["p", "a", "b"]


def test_queries_show_no_secret() -> None:
    secret = sql.SQL("CONNECTION {}").format(HiddenLiteral(Conninfo({"password": "sesame"})))
    assert run(Step("connect", secret))[1] == ["CONNECTION 'password=********'"]


# --- what is in use ------------------------------------------------------------------------------


def test_what_is_in_use_is_tried_again_with_its_prelude() -> None:
    said, queries = run(step("drop", Way.AUTOCOMMIT, prelude="end"), drop=[IN_USE, IN_USE])
    assert said == ["end", "drop"] * 3
    assert queries == ["end", "drop"]


def test_not_for_ever() -> None:
    said, error = failed_run(step("drop", Way.AUTOCOMMIT, prelude="end"), drop=[IN_USE] * 9)
    assert said == ["end", "drop"] * 3
    assert error.message == "The server refused to do drop: it is in use."
    assert isinstance(error, ServerError)
    assert error.sqlstate == "55006"


def test_another_error_is_final() -> None:
    said, error = failed_run(step("drop", Way.AUTOCOMMIT, prelude="end"), drop=[NO_SUCH])
    assert said == ["end", "drop"]
    assert error.message == "The server refused to do drop: there is no such thing."


def test_without_a_prelude_nothing_is_tried_again() -> None:
    assert failed_run(step("drop", Way.AUTOCOMMIT), drop=[IN_USE])[0] == ["drop"]


# --- failing -------------------------------------------------------------------------------------


def test_a_failing_transaction_leaves_nothing() -> None:
    said, error = failed_run(step("a"), step("b"), step("c"), b=[NO_SUCH])
    assert said == ["BEGIN", "a", "b", "ROLLBACK"]
    assert error.message == "The server refused to do b: there is no such thing."
    assert error.result == {}


def test_what_was_done_before_is_told() -> None:
    said, error = failed_run(
        step("a", Way.AUTOCOMMIT, prelude="p"),
        step("b", Way.AUTOCOMMIT, wait_for=True),
        step("c"),
        step("d"),
        d=[NO_SUCH],
    )
    assert said[-4:] == ["BEGIN", "c", "d", "ROLLBACK"]
    assert error.result == {"queries": ["p", "a"], "changed": True}
    assert error.message == (
        "The server refused to do d: there is no such thing."
        " What had been done before is listed in queries."
    )


def test_undo_goes_backwards_over_what_was_done() -> None:
    said, error = failed_run(
        step("a", Way.AUTOCOMMIT, undo="undo a"),
        step("b", Way.AUTOCOMMIT),
        step("c", Way.AUTOCOMMIT, undo="undo c"),
        step("d", Way.REPLICATION, undo="undo d"),
        d=[NO_SUCH],
    )
    assert said == ["a", "b", "c", "replication: d", "undo c", "undo a"]
    assert error.result["changed"] is True


def test_an_undo_that_fails_is_told() -> None:
    said, error = failed_run(
        step("a", Way.AUTOCOMMIT, undo="u"), step("b", Way.AUTOCOMMIT), b=[NO_SUCH], u=[LOCKED]
    )
    assert said == ["a", "b", "u"]
    assert error.message == (
        "The server refused to do b: there is no such thing. Nor was it possible to run u: a lock"
        " is held. What had been done before is listed in queries."
    )


# --- check mode ----------------------------------------------------------------------------------


def test_a_rehearsal_is_rolled_back() -> None:
    said, queries = run(
        step("a"),
        step("b", Way.AUTOCOMMIT),
        step("c", Way.AUTOCOMMIT, rehearsal="try c"),
        step("d", Way.REPLICATION),
        step("e", rehearsal="try e"),
        check_mode=True,
    )
    assert said == ["BEGIN", "SET LOCAL lock_timeout = '3s'", "a", "try c", "try e", "ROLLBACK"]
    assert queries == ["a", "b", "c", "d", "e"]


def test_nothing_to_rehearse() -> None:
    said, queries = run(
        step("b", Way.AUTOCOMMIT, prelude="p"), step("d", Way.REPLICATION), check_mode=True
    )
    assert said == []
    assert queries == ["p", "b", "d"]


def test_a_rehearsal_finds_what_the_server_refuses() -> None:
    said, error = failed_run(step("a"), step("b"), step("c"), check_mode=True, b=[NO_SUCH])
    assert said[-2:] == ["b", "ROLLBACK"]
    assert error.message == "The server refused to do b: there is no such thing."
    assert error.result == {}


def test_a_rehearsal_does_not_wait_for_locks() -> None:
    plan = Plan([step("a"), step("b")])
    session = FakeSession(a=[LOCKED])
    carry_out(plan, session, check_mode=True)  # type: ignore[arg-type]
    assert session.said == ["BEGIN", "SET LOCAL lock_timeout = '3s'", "a", "ROLLBACK"]
    assert plan.warnings == ["Check mode could not try the change: another session holds a lock."]

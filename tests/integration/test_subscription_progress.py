# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module subscription_progress on servers of every version, and its action plugin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Database
from tests.integration.playbooks import login, play
from tests.lab.modules import Outcome, run_module
from tests.lab.waiting import wait_until

MODULE = "subscription_progress"
TABLES = ("documents", "users")


@pytest.fixture
def ship(database: Database, subscriber_database: Database) -> Database:
    """A ship whose tables are about to be subscribed to."""
    for side in (database, subscriber_database):
        for table in TABLES:
            side.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, note text)")
    database.sql("INSERT INTO documents SELECT id, md5(id::text) FROM generate_series(1, 1000) id")
    database.sql("CREATE PUBLICATION fleet FOR TABLE documents, users")
    return subscriber_database


def subscribe(ship: Database, shore: Database) -> None:
    ship.sql(f"CREATE SUBSCRIPTION {ship.name} CONNECTION '{shore.dsn()}' PUBLICATION fleet")


@contextmanager
def held(ship: Database, table: str) -> Iterator[Any]:
    """While this lasts, nobody can write to the table, so that its copy waits."""
    connection = ship.server.connect(ship.name)
    connection.autocommit = False
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK {table} IN SHARE ROW EXCLUSIVE MODE")
        yield connection
    finally:
        connection.close()


def look(ship: Database, **more: Any) -> dict[str, Any]:
    outcome = run_module(MODULE, name=ship.name, ca_cert=ship.server.ca_cert, **ship.login, **more)
    assert not outcome.failed, outcome.msg
    assert not outcome.changed
    return outcome.result


def refused(ship: Database, **more: Any) -> Outcome:
    outcome = run_module(MODULE, ca_cert=ship.server.ca_cert, **{**ship.login, **more})
    assert outcome.failed
    assert "Traceback" not in outcome.raw
    return outcome


def wait_for(state: str, ship: Database) -> dict[str, Any]:
    return wait_until(
        lambda: (found := look(ship))["progress"]["state"] == state and found, f"it is {state}"
    )


def states(found: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    return {table["name"]: (table["state"], table["copying"]) for table in found["tables"]}


def test_a_copy_from_its_begin_to_its_end(ship: Database, database: Database, major: int) -> None:
    with held(ship, "users"):
        subscribe(ship, database)
        expected = {"public.documents": ("ready", False), "public.users": ("data_copy", True)}
        found = wait_until(
            lambda: states(now := look(ship)) == expected and now, f"tables are {expected}"
        )
        assert found["progress"]["state"] == "running"
        assert found["progress"]["message"].startswith("1 of 2 tables are ready, public.users in")
        assert found["progress"]["done_bytes"] > 0
    found = wait_for("done", ship)
    assert (found["ready"], found["total"], found["enabled"]) == (2, 2, True)
    assert found["progress"]["step"] == "copy"
    assert found["progress"]["total_bytes"] == 0
    assert found["sync_errors"] == (0 if major >= 15 else None)
    ((size,),) = ship.sql("SELECT pg_table_size('documents') + pg_table_size('users')")
    assert found["progress"]["done_bytes"] == size
    assert look(ship, total_bytes=size * 2)["progress"]["total_bytes"] == size * 2


def test_an_error_stops_it(ship: Database, database: Database, major: int) -> None:
    if major < 15:
        pytest.skip("disable_on_error needs PostgreSQL 15")
    ship.sql("INSERT INTO documents VALUES (7)")
    ship.sql(
        f"CREATE SUBSCRIPTION {ship.name} CONNECTION '{database.dsn()}' PUBLICATION fleet"
        " WITH (disable_on_error = true)"
    )
    found = wait_for("failed", ship)
    assert not found["enabled"]
    wait_until(lambda: look(ship)["sync_errors"], "the error is counted")
    message = look(ship)["progress"]["message"]
    assert message.startswith(f"Subscription {ship.name} is disabled, ")
    assert "in the copy" in message


def test_no_such_subscription(ship: Database) -> None:
    assert refused(ship, name="nothing").msg == (
        f"name: there is no subscription nothing in the database {ship.name}."
    )


def test_waiting(ship: Database, database: Database, tmp_path: Path) -> None:
    task = (
        f"- name: Wait\n  hmm.pg_replication.{MODULE}:\n    name: {ship.name}\n"
        "    wait: true\n    interval: 0.2\n    total_bytes: 100000\n    timeout: {}\n"
    )
    defaults = login(ship.server, ship.name)
    with held(ship, "users"):
        subscribe(ship, database)
        late = play(tmp_path, task.format(1), defaults, {})
        assert late.code != 0
        assert "is not done after" in late.output
        look_only = play(tmp_path, task.format(1), defaults, {}, "--check")
        assert look_only.code == 0, look_only.output

    run = play(tmp_path, task.format(60), defaults, {})
    assert run.code == 0, run.output
    assert "ship: copy " in run.output
    assert "All 2 tables are ready." in run.output

    ship.sql(f"ALTER SUBSCRIPTION {ship.name} DISABLE")
    failed = play(tmp_path, task.format(60), defaults, {})
    assert failed.code != 0
    assert f"Subscription {ship.name} is disabled" in failed.output

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module replication_role: what a ship can do with its role, and what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._scram import salt_of, verifier
from tests.integration.conftest import Database
from tests.lab.modules import Outcome, four_calls, run_module

MODULE = "replication_role"
PASSWORD = "of-a-ship-0123"
SHIP, OTHER = "ship_oslo", "ship_algeciras"


@pytest.fixture
def login(database: Database) -> Iterator[dict[str, Any]]:
    database.sql("CREATE SCHEMA s")
    database.sql("CREATE TABLE documents (id int PRIMARY KEY, title text, secret text)")
    database.sql("CREATE TABLE s.chunks (id int PRIMARY KEY, body text)")
    database.sql("INSERT INTO documents VALUES (1, 'open', 'not for ships')")
    # Else everybody may, and a grant is nothing to see.
    database.sql(f"REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC")
    yield {**database.login, "ca_cert": database.server.ca_cert}
    for role in (SHIP, OTHER):
        run_module(MODULE, **database.login, roles=[{"name": role, "state": "absent"}])


def role(name: str = SHIP, **other: Any) -> dict[str, Any]:
    return {"name": name, "verifier": verifier(PASSWORD, salt_of(name)), **other}


def made(login: dict[str, Any], *roles: dict[str, Any]) -> Outcome:
    outcome = run_module(MODULE, **login, roles=list(roles))
    assert not outcome.failed, outcome.msg
    return outcome


def as_ship(database: Database, statement: str, password: str = PASSWORD) -> list[tuple[Any, ...]]:
    """What the server answers to the ship, by TCP and with its password."""
    connection = psycopg2.connect(database.dsn(user=SHIP, password=password))
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
    finally:
        connection.close()


def test_a_role_has_just_what_it_needs(login: dict[str, Any], database: Database) -> None:
    tables = [{"name": "documents", "columns": ["id", "title"], "where": "id > 0"}, "s.chunks"]
    roles = [
        role(connection_limit=3, settings={"wal_sender_timeout": "7min"}, tables=tables),
        role(OTHER),
    ]
    _check, real, *_again = four_calls(MODULE, **login, roles=roles)
    assert real.changed
    for call in (_check, real):
        assert PASSWORD not in call.raw
        assert "SCRAM-SHA-256$" not in call.raw

    assert database.sql(
        "SELECT rolcanlogin, rolreplication, rolsuper, rolconnlimit, rolpassword FROM pg_authid"
        " WHERE rolname = %s",
        (SHIP,),
    ) == [(True, True, False, 3, verifier(PASSWORD, salt_of(SHIP)))]
    assert as_ship(database, "SHOW wal_sender_timeout") == [("7min",)]
    assert as_ship(database, "SELECT id, title FROM documents") == [(1, "open")]
    assert as_ship(database, "SELECT * FROM s.chunks") == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_ship(database, "SELECT secret FROM documents")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        as_ship(database, "SELECT 1", "another")
    # The other one has no business in this database.
    assert database.sql(
        "SELECT has_database_privilege(%s, current_database(), 'connect')", (OTHER,)
    ) == [(False,)]


def test_what_is_not_needed_any_more_is_revoked(login: dict[str, Any], database: Database) -> None:
    made(login, role(tables=["documents", "s.chunks"]), role(OTHER, tables=["documents"]))
    assert as_ship(database, "SELECT secret FROM documents") == [("not for ships",)]
    narrower = role(tables=[{"name": "documents", "columns": ["id"]}])
    _check, real, *_again = four_calls(MODULE, **login, roles=[narrower])
    assert real.changed
    assert as_ship(database, "SELECT id FROM documents") == [(1,)]
    for statement in ("SELECT secret FROM documents", "SELECT * FROM s.chunks"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            as_ship(database, statement)
    assert database.sql("SELECT has_table_privilege(%s, 'documents', 'select')", (OTHER,)) == [
        (True,)
    ]


def test_columns_outlast_the_table(login: dict[str, Any], database: Database) -> None:
    wanted = role(tables=[{"name": "documents", "columns": ["id"]}])
    made(login, wanted)
    database.sql(f"GRANT SELECT ON documents TO {SHIP}")
    four_calls(MODULE, **login, roles=[wanted])
    assert as_ship(database, "SELECT id FROM documents") == [(1,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_ship(database, "SELECT secret FROM documents")


def test_drift_is_set_right(login: dict[str, Any], database: Database) -> None:
    wanted = role(connection_limit=3, settings={"wal_sender_timeout": "7min"})
    made(login, wanted)
    database.sql(f"ALTER ROLE {SHIP} NOREPLICATION CONNECTION LIMIT 9")
    database.sql(f"ALTER ROLE {SHIP} SET work_mem = '9MB'")
    _check, real, *_again = four_calls(MODULE, **login, roles=[wanted])
    assert real.changed
    assert database.sql(
        "SELECT rolreplication, rolconnlimit, rolconfig FROM pg_roles WHERE rolname = %s", (SHIP,)
    ) == [(True, 3, ["wal_sender_timeout=7min"])]


def test_a_password_changes_and_is_kept_where_none_is_given(
    login: dict[str, Any], database: Database
) -> None:
    made(login, role(connects=True))
    changed = {"name": SHIP, "connects": True, "verifier": verifier("another", salt_of(SHIP))}
    _check, real, *_again = four_calls(MODULE, **login, roles=[changed])
    assert real.changed
    assert as_ship(database, "SELECT 1", "another") == [(1,)]
    assert not made(login, {"name": SHIP, "connects": True}).changed
    assert as_ship(database, "SELECT 1", "another") == [(1,)]


def test_a_role_that_leaves_is_gone_with_its_sessions(
    login: dict[str, Any], database: Database
) -> None:
    made(login, role(tables=["documents"]), role(OTHER))
    session = psycopg2.connect(database.dsn(user=SHIP, password=PASSWORD))
    leaving = [{"name": SHIP, "state": "absent"}, {"name": "never_was", "state": "absent"}]
    _check, real, *_again = four_calls(MODULE, **login, roles=leaving)
    assert real.changed
    assert database.sql(
        "SELECT rolname FROM pg_roles WHERE rolname IN (%s, %s)", (SHIP, OTHER)
    ) == [(OTHER,)]
    with pytest.raises(psycopg2.Error), session.cursor() as cursor:
        cursor.execute("SELECT 1")
    session.close()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            {"name": SHIP, "verifier": PASSWORD},
            "roles[0].verifier: this is no SCRAM verifier; make it of the password by the filter",
        ),
        (role(tables=["nowhere"]), "roles: there is no table nowhere in database "),
        (role(tables=[{"name": "documents", "columns": ["nope"]}]), "nope"),
        ({"name": "postgres"}, "roles: postgres is a superuser, and no ship's role"),
        (role(settings={"no_such_setting": 1}), "no_such_setting"),
    ],
)
def test_what_cannot_be_is_refused_in_check_mode_too(
    login: dict[str, Any], database: Database, entry: dict[str, Any], sentence: str
) -> None:
    for check in (True, False):
        outcome = run_module(MODULE, check_mode=check, **login, roles=[entry])
        assert outcome.failed
        assert sentence in outcome.msg
        assert PASSWORD not in outcome.raw
        assert "SCRAM-SHA-256$" not in outcome.raw
        assert "Traceback" not in outcome.raw
    assert database.sql("SELECT FROM pg_roles WHERE rolname = %s", (SHIP,)) == []

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module table_checksum: the same for the same rows, wherever they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import Clusters, Database, majors
from tests.lab import Lab
from tests.lab.modules import Outcome, run_module
from tests.lab.waiting import wait_until

MODULE = "table_checksum"

# Of every type whose text hangs on a setting, and of those that need quoting in a row.
DOCUMENTS = """
CREATE TABLE documents ({columns});
INSERT INTO documents ({names})
SELECT {values} FROM generate_series(1, 500) AS i ORDER BY {order}
"""
COLUMNS = {
    "id": ("int PRIMARY KEY", "i"),
    "note": ("text", "CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'ß\",(\\' || i END"),
    "double": ("float8", "sqrt(i)"),
    "single": ("float4", "i / 3.0"),
    "exact": ("numeric", "i / 7.0"),
    "at": ("timestamptz", "'2026-03-29 00:00+00'::timestamptz + i * interval '7 hours'"),
    "day": ("date", "'2026-01-01'::date + i"),
    "lasts": ("interval", "i * interval '1 month 3 days 2.5 seconds'"),
    "bytes": ("bytea", "decode(md5(i::text), 'hex')"),
    "price": ("money", "i::money"),
    "words": ("text[]", "ARRAY['a,b', '\"', NULL, i::text]"),
    "facts": ("jsonb", "jsonb_build_object('i', i)"),
    "padded": ("char(9)", "i::text"),
    "flag": ("bool", "i % 2 = 0"),
    "place": ("point", "point(i / 3.0, i)"),
    "kind": ("regclass", "'pg_class'::regclass"),
}
OTHERWISE = {
    "bytea_output": "escape",
    "datestyle": "German, DMY",
    "extra_float_digits": "-3",
    "intervalstyle": "iso_8601",
    "timezone": "Asia/Seoul",
    "quote_all_identifiers": "on",
}
# Rows that are stored twice, in a table whose name and columns need quotes.
ODD = 'public."Od.d ""{t%s"'
ODD_TABLE = """
CREATE TABLE "Od.d ""{t%s" (id int, "B c" text);
INSERT INTO "Od.d ""{t%s" VALUES (1, 'x'), (1, 'x'), (2, '{}');
"""
PARTS = """
CREATE TABLE parts (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE parts_{split} PARTITION OF parts FOR VALUES FROM (0) TO ({split});
CREATE TABLE parts_rest PARTITION OF parts FOR VALUES FROM ({split}) TO (1000);
INSERT INTO parts SELECT i, i::text FROM generate_series(1, 100) AS i;
"""
ALL: list[Any] = [
    "documents",
    ODD,
    "public.parts",
    {"name": "documents", "columns": ["note", "id"], "where": "note <> '{a' AND id > 10"},
]


def fill(database: Database, backwards: bool) -> None:
    """The rows; another way round, with the columns in another order and with other settings."""
    if backwards:
        for name, value in OTHERWISE.items():
            database.sql(f"ALTER DATABASE {database.name} SET {name} = '{value}'")
    columns = dict(reversed(COLUMNS.items())) if backwards else COLUMNS
    database.sql(
        DOCUMENTS.format(
            columns=", ".join(f'"{name}" {kind}' for name, (kind, _value) in columns.items()),
            names=", ".join(f'"{name}"' for name in columns),
            values=", ".join(value for _kind, value in columns.values()),
            order="-i.i" if backwards else "i.i",
        )
    )
    database.sql(ODD_TABLE)
    database.sql(PARTS.format(split=70 if backwards else 30))


def run(database: Database, tables: list[Any], **more: Any) -> Outcome:
    login = {**database.login, "ca_cert": database.server.ca_cert}
    outcome = run_module(MODULE, tables=tables, **{**login, **more})
    assert "Traceback" not in outcome.raw
    return outcome


def rows(database: Database, tables: list[Any], **more: Any) -> list[dict[str, Any]]:
    outcome = run(database, tables, **more)
    assert not outcome.failed, outcome.msg
    assert not outcome.changed
    found: list[dict[str, Any]] = outcome.result["tables"]
    return found


@pytest.fixture(scope="module")
def reference(clusters: Clusters) -> Iterator[list[dict[str, Any]]]:
    """What the newest version says of the rows."""
    server = clusters.get(majors()[-1], "publisher")
    database = Database(server, "checksum_reference")
    server.sql(f"CREATE DATABASE {database.name}")
    fill(database, backwards=False)
    yield rows(database, ALL)
    server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


def test_the_same_on_every_version(reference: list[dict[str, Any]], database: Database) -> None:
    fill(database, backwards=True)
    found = rows(database, ALL)
    assert [table["rows"] for table in found] == [500, 3, 100, 367]
    assert found == reference
    assert found[1]["name"] == ODD


CHANGES = [
    "UPDATE documents SET note = '' WHERE id = 4",
    "UPDATE documents SET note = NULL WHERE id = 5",
    "UPDATE documents SET double = double + 1e-15 WHERE id = 2",
    "DELETE FROM documents WHERE id = 500",
    "UPDATE documents SET id = 501 WHERE id = 499",
]


def test_a_difference_is_seen(database: Database) -> None:
    fill(database, backwards=False)
    seen = rows(database, ["documents"])
    for change in CHANGES:
        database.sql(change)
        seen += rows(database, ["documents"])
    assert len({table["checksum"] for table in seen}) == len(CHANGES) + 1


def test_no_rows(database: Database) -> None:
    database.sql("CREATE TABLE empty (id int)")
    assert rows(database, ["empty"]) == [{"name": "public.empty", "rows": 0, "checksum": "0"}]


def test_inheritance(database: Database) -> None:
    database.sql("CREATE TABLE parent (id int)")
    database.sql("CREATE TABLE child () INHERITS (parent)")
    database.sql("INSERT INTO child VALUES (1)")
    found = rows(database, ["parent", {"name": "parent", "only": True}])
    assert [table["rows"] for table in found] == [1, 0]


def test_all_tables_are_of_one_moment(database: Database) -> None:
    """What is written while the first table is read is not seen in the second."""
    database.sql("CREATE TABLE a (id int)")
    database.sql("CREATE TABLE b (id int)")
    blocker = database.server.connect(database.name)
    blocker.autocommit = False
    outcomes: list[list[dict[str, Any]]] = []
    try:
        with blocker.cursor() as cursor:
            cursor.execute("LOCK a IN ACCESS EXCLUSIVE MODE")
        reader = threading.Thread(target=lambda: outcomes.append(rows(database, ["a", "b"])))
        reader.start()
        wait_until(
            lambda: database.sql(
                "SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()"
            ),
            "the first table is waited for",
        )
        database.sql("INSERT INTO b VALUES (1)")
    finally:
        blocker.close()
    reader.join()
    assert [table["rows"] for table in outcomes[0]] == [0, 0]


def test_a_standby_says_the_same(lab: Lab, major: int) -> None:
    primary = lab.server(major)
    standby = primary.create_standby()
    try:
        fill(Database(primary, "postgres"), backwards=False)
        standby.wait_caught_up(primary)
        ashore, aboard = (
            run(Database(server, "postgres"), ALL).result for server in (primary, standby)
        )
    finally:
        primary.discard()
    assert aboard["tables"] == ashore["tables"]
    assert aboard["encoding"] == "UTF8"
    assert _lsn(aboard["lsn"]) >= _lsn(ashore["lsn"])


def _lsn(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


@pytest.fixture
def reader(database: Database) -> Iterator[dict[str, str]]:
    database.sql("CREATE ROLE checksum_reader LOGIN PASSWORD 'reader-word'")
    yield {"login_user": "checksum_reader", "login_password": "reader-word"}
    database.sql("DROP OWNED BY checksum_reader")
    database.sql("DROP ROLE checksum_reader")


def test_rows_that_the_role_may_not_read(database: Database, reader: dict[str, str]) -> None:
    database.sql("CREATE TABLE secret (id int)")
    told = run(database, ["secret"], **reader)
    assert told.msg.startswith(
        "tables[0]: public.secret cannot be read: permission denied for table secret."
    )
    database.sql("GRANT SELECT ON secret TO checksum_reader")
    assert rows(database, ["secret"], **reader)[0]["rows"] == 0
    database.sql("ALTER TABLE secret ENABLE ROW LEVEL SECURITY")
    told = run(database, ["secret"], **reader)
    assert 'would be affected by row-level security policy for table "secret"' in told.msg


def test_what_is_not_there(database: Database) -> None:
    database.sql("CREATE TABLE t (id int)")
    told = run(database, ["nowhere", {"name": "t", "columns": ["nothing"]}])
    assert told.msg == (
        "2 problems, nothing was changed:\n"
        f"- tables[0]: there is no table public.nowhere in the database {database.name}.\n"
        "- tables[1].columns: public.t has no column 'nothing'."
    )
    told = run(database, [{"name": "t", "where": "nothing = 1"}])
    assert told.msg == ('tables[0]: public.t cannot be read: column "nothing" does not exist.')
    assert run(database, [{"name": "t", "where": "true); DROP TABLE t; --"}]).failed


def test_nothing_can_be_written(database: Database) -> None:
    """Whatever stands in a filter."""
    database.sql("CREATE SEQUENCE counter")
    database.sql("CREATE TABLE t AS SELECT 1 AS id")
    told = run(database, [{"name": "t", "where": "nextval('public.counter') > 0"}])
    assert "read-only transaction" in told.msg

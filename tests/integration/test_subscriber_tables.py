# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules schema_dump and subscriber_tables: from how tables are made ashore to the same aboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Database
from tests.lab.clients import find_clients, lacking
from tests.lab.modules import Outcome, four_calls, run_module

ASHORE = """
CREATE SCHEMA "Odd s";
CREATE EXTENSION citext;
CREATE TYPE state AS ENUM ('new', 'done');
CREATE FUNCTION first_state() RETURNS state LANGUAGE sql IMMUTABLE AS 'SELECT ''new''::state';
CREATE TABLE staff (id int PRIMARY KEY);
CREATE TABLE documents (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  title citext NOT NULL,
  state state NOT NULL DEFAULT first_state(),
  owner int NOT NULL REFERENCES staff);
CREATE INDEX documents_title ON documents (title);
CREATE TABLE "Odd s"."Chunks" (
  id int, document_id bigint REFERENCES documents, embedding float8[] NOT NULL, PRIMARY KEY (id))
  PARTITION BY RANGE (id);
CREATE TABLE "Odd s".low PARTITION OF "Odd s"."Chunks" FOR VALUES FROM (0) TO (10);
GRANT SELECT ON documents TO PUBLIC;
COMMENT ON TABLE documents IS 'told to nobody';
"""
TABLES = [
    {"name": "documents", "columns": ["id", "title", "state"]},
    {"name": "Odd s.Chunks"},
]


def login(database: Database) -> dict[str, Any]:
    return {**database.login, "ca_cert": database.server.ca_cert}


def done(name: str, /, database: Database, **options: Any) -> Outcome:
    outcome = run_module(name, **login(database), **options)
    assert not outcome.failed, outcome.msg
    assert database.server.password not in outcome.raw
    return outcome


def refused(name: str, /, database: Database, **options: Any) -> str:
    """The same sentence in check mode and in a real run."""
    told = set()
    for check in (True, False):
        outcome = run_module(name, check_mode=check, **login(database), **options)
        assert outcome.failed, outcome.result
        assert "Traceback" not in outcome.raw
        assert database.server.password not in outcome.raw
        told.add(outcome.msg)
    (sentence,) = told
    return sentence


@pytest.fixture
def ashore(database: Database) -> Database:
    clients = find_clients()
    reason = lacking(clients, database.server.major)
    if reason:
        pytest.skip(reason)
    database.sql(ASHORE)
    return database


@pytest.fixture
def programs() -> str:
    clients = find_clients()
    return str(clients.bin) if clients else ""


def test_tables_come_aboard(ashore: Database, subscriber_database: Database, programs: str) -> None:
    aboard = subscriber_database
    looked = done("subscriber_tables", aboard, tables=TABLES, state="inspected")
    assert not looked.changed
    assert [table["name"] for table in looked.result["missing"]] == [
        "public.documents",
        "Odd s.Chunks",
    ]

    missing = looked.result["missing"]
    dumped = done("schema_dump", ashore, tables=missing, bin_directory=programs)
    assert not dumped.changed
    assert dumped.result["extensions"] == ["citext"]
    assert dumped.result["left_out"] == [
        "documents_owner_fkey of public.documents, which leads to public.staff"
    ]
    for unwanted in ("GRANT", "OWNER TO", "told to nobody", "staff"):
        assert unwanted not in dumped.result["schema"]

    options = {"tables": TABLES, "schema": dumped.result["schema"], "extensions": ["citext"]}
    _check, real, *_again = four_calls("subscriber_tables", **login(aboard), **options)
    assert real.changed
    assert aboard.sql(
        "SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = 'documents'::regclass"
        " AND attnum > 0 ORDER BY attnum"
    ) == [("id", True), ("title", True), ("state", True), ("owner", False)]
    # What a publisher sends fits: the type, the partition and the key are there.
    aboard.sql("INSERT INTO documents OVERRIDING SYSTEM VALUE VALUES (7, 'a', 'done', NULL)")
    aboard.sql("""INSERT INTO "Odd s"."Chunks" VALUES (1, 7, '{1}')""")
    assert aboard.sql("SELECT indexname FROM pg_indexes WHERE tablename = 'documents'") == [
        ("documents_pkey",),
        ("documents_title",),
    ]
    again = done("subscriber_tables", aboard, tables=TABLES, state="inspected")
    assert again.result["missing"] == []


def test_a_table_that_is_there_keeps_what_it_is(
    ashore: Database, subscriber_database: Database, programs: str
) -> None:
    """Only what is missing is made; a foreign key may lead to what was there."""
    aboard = subscriber_database
    aboard.sql("CREATE TABLE documents (id bigint PRIMARY KEY, title text, own_note text)")
    told = refused("subscriber_tables", aboard, tables=TABLES[:1])
    assert told.startswith("Table public.documents has no column state here: add it by ALTER TABLE")
    aboard.sql("ALTER TABLE documents ADD state text")
    looked = done("subscriber_tables", aboard, tables=TABLES, state="inspected")
    dumped = done(
        "schema_dump",
        ashore,
        tables=looked.result["missing"],
        present=looked.result["present"],
        bin_directory=programs,
    )
    assert dumped.result["left_out"] == []
    options = {"tables": TABLES, "schema": dumped.result["schema"]}
    four_calls("subscriber_tables", **login(aboard), **options)
    assert aboard.sql("SELECT own_note FROM documents") == []
    assert aboard.sql(
        "SELECT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
        """ AND conrelid = '"Odd s"."Chunks"'::regclass"""
    ) == [("documents",)]


def test_what_cannot_be_dumped_is_named(ashore: Database, programs: str, tmp_path: Path) -> None:
    ashore.sql("CREATE VIEW seen AS SELECT 1")
    told = refused("schema_dump", ashore, tables=["nowhere", "seen"], bin_directory=programs)
    assert "nowhere" in told
    assert "seen" in told
    told = refused("schema_dump", ashore, tables=["documents"], bin_directory=str(tmp_path))
    assert told.startswith(f"{tmp_path}/pg_dump cannot be run: ")
    assert told.endswith("or name their folder in bin_directory.")
    assert refused("schema_dump", ashore, tables=[]).startswith("tables: name the tables")


# --- aboard, on every version: it needs no pg_dump ---------------------------------------------------

PLAIN = "CREATE TABLE public.documents (id int PRIMARY KEY, title text NOT NULL)"


def test_columns_that_are_not_published_may_be_empty(database: Database) -> None:
    database.sql(PLAIN)
    tables = [{"name": "documents", "columns": ["id"]}]
    _check, real, *_again = four_calls("subscriber_tables", **login(database), tables=tables)
    assert real.result["nullable"] == ["public.documents.title"]
    assert database.sql(
        "SELECT attnotnull FROM pg_attribute"
        " WHERE attrelid = 'documents'::regclass AND attname = 'title'"
    ) == [(False,)]


def test_rows_in_the_way_are_named_or_deleted_on_request(database: Database) -> None:
    database.sql(PLAIN)
    database.sql("INSERT INTO documents VALUES (1, 'own')")
    told = refused("subscriber_tables", database, tables=["documents"])
    assert "documents" in told
    assert "truncate" in told
    kept = done("subscriber_tables", database, tables=["documents"], copy_data=False)
    assert not kept.changed
    assert database.sql("SELECT count(*) FROM documents") == [(1,)]
    _check, real, *_again = four_calls(
        "subscriber_tables", **login(database), tables=["documents"], truncate=True
    )
    assert real.changed
    assert real.result["with_rows"] == ["public.documents"]
    assert database.sql("SELECT count(*) FROM documents") == [(0,)]


def test_a_schema_that_fails_leaves_nothing(database: Database) -> None:
    broken = f"{PLAIN}; CREATE TABLE public.chunks (id no_such_type)"
    options = {"tables": ["documents", "chunks"], "schema": broken}
    assert "no_such_type" in refused("subscriber_tables", database, **options)
    assert database.sql("SELECT to_regclass('public.documents')::text") == [(None,)]
    told = refused("subscriber_tables", database, tables=["documents", "chunks"], schema=PLAIN)
    assert "chunks" in told
    told = refused("subscriber_tables", database, tables=["documents"])
    assert "documents" in told
    assert "schema" in told

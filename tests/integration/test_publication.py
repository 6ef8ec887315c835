# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module publication on real servers: what it predicts, what it does, and what it refuses."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from psycopg2 import sql

from tests.integration.conftest import Clusters, Database
from tests.lab import Server
from tests.lab.modules import Outcome, four_calls, run_module
from tests.lab.waiting import wait_until

ROWS_SINCE = 15  # the version that brought row filters, column lists and schemas

SCHEMA = """
CREATE TABLE documents (id int PRIMARY KEY, title text, body text);
CREATE TABLE chunks (id int PRIMARY KEY, document int, body text);
CREATE TABLE users (id int PRIMARY KEY, name text);
CREATE SCHEMA archive;
CREATE TABLE archive.old (id int PRIMARY KEY);
CREATE SCHEMA empty;
CREATE TABLE parts (id int, region text, body text, PRIMARY KEY (id, region))
  PARTITION BY LIST (region);
CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu');
CREATE TABLE parts_asia PARTITION OF parts FOR VALUES IN ('kr', 'jp') PARTITION BY LIST (region);
CREATE TABLE parts_kr PARTITION OF parts_asia FOR VALUES IN ('kr');
CREATE TABLE mother (id int PRIMARY KEY, body text);
CREATE TABLE child (extra text, PRIMARY KEY (id)) INHERITS (mother);
CREATE TABLE grandchild (PRIMARY KEY (id)) INHERITS (child);
"""


@dataclass(frozen=True)
class Publisher:
    """A database with tables, and the publication fleet in it."""

    database: Database
    major: int

    @property
    def login(self) -> dict[str, Any]:
        """By the socket: nothing here is about how to connect, and it is the quickest."""
        server = self.database.server
        socket = {"login_unix_socket": server.socket_dir, "login_port": server.port}
        return {**socket, "login_db": self.database.name}

    def run(self, check_mode: bool = False, **params: Any) -> Outcome:
        return run_module(
            "publication",
            check_mode=check_mode,
            **{**self.login, "name": "fleet", **params},
        )

    def done(self, **params: Any) -> Outcome:
        outcome = self.run(**params)
        assert not outcome.failed, outcome.msg
        return outcome

    def refused(self, **params: Any) -> str:
        """Both modes refuse, with one message, and nothing changes."""
        before = self.everything()
        check, real = self.run(check_mode=True, **params), self.run(**params)
        assert check.failed, check.result
        assert real.failed, real.result
        assert check.msg == real.msg
        assert self.everything() == before
        return real.msg

    def ensure(self, **params: Any) -> Outcome:
        """The four calls, and what they return is what a later run reads."""
        params = {**self.login, "name": "fleet", **params}
        check, real, check_again, real_again = four_calls("publication", **params)
        states = [call.result["publication"] for call in (check, real, check_again, real_again)]
        assert states == [states[0]] * 4
        assert check.queries == real.queries
        if states[0]["state"] == "present":
            assert self.read(states[0]["name"]) == states[0]
        return real

    def read(self, name: str = "fleet", **params: Any) -> dict[str, Any]:
        outcome = self.run(check_mode=True, name=name, **params)
        assert not outcome.failed, outcome.msg
        assert not outcome.changed, outcome.queries
        return outcome.result["publication"]

    def sql(self, query: object, params: tuple[object, ...] | None = None) -> list[tuple]:
        return self.database.sql(query, params)

    def everything(self) -> list[tuple]:
        """All that the catalogs say of publications, oids included."""
        query = """
            SELECT p::text, obj_description(p.oid, 'pg_publication'),
                   array(SELECT r::text FROM pg_publication_rel r WHERE prpubid = p.oid ORDER BY 1)
              FROM pg_publication p ORDER BY 1"""
        return self.sql(query)

    def declared(self, name: str = "fleet") -> dict[str, tuple[list[str] | None, str | None]]:
        """Its tables with columns and filter, read apart from the module."""
        columns, where = "NULL", "NULL"
        if self.major >= ROWS_SINCE:
            columns = (
                "(SELECT array_agg(attname::text ORDER BY 1) FROM pg_attribute"
                " WHERE attrelid = prrelid AND attnum = ANY (prattrs))"
            )
            where = "pg_get_expr(prqual, prrelid)"
        rows = self.sql(
            f"SELECT prrelid::regclass::text, {columns}, {where} FROM pg_publication_rel"
            " WHERE prpubid = (SELECT oid FROM pg_publication WHERE pubname = %s)",
            (name,),
        )
        return {table: (columns, where) for table, columns, where in rows}

    def sent(self) -> set[str]:
        """The tables that are sent in the end, partitions and schemas expanded."""
        rows = self.sql(
            "SELECT schemaname || '.' || tablename FROM pg_publication_tables"
            " WHERE pubname = 'fleet'"
        )
        return {table for (table,) in rows}


@pytest.fixture
def publisher_of(database: Database, major: int) -> Publisher:
    database.sql(SCHEMA)
    return Publisher(database, major)


@pytest.fixture(scope="module")
def shared(clusters: Clusters, major: int) -> Iterator[Publisher]:
    """A database that the tests of a version share; each leaves it without publications."""
    server = clusters.get(major, "publisher")
    database = Database(server, "publication_shared")
    server.sql(f"CREATE DATABASE {database.name}")
    database.sql(SCHEMA)
    yield Publisher(database, major)
    server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture
def fleet(shared: Publisher) -> Iterator[Publisher]:
    yield shared
    for (name,) in shared.sql("SELECT pubname FROM pg_publication"):
        shared.sql(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(name)))


def need(major: int, since: int) -> None:
    if major < since:
        pytest.skip(f"PostgreSQL {since} brought it")


# --- options -------------------------------------------------------------------------------------

DOCUMENTS = {"documents": (None, None)}
FILTERED = [{"name": "documents", "where": "id > 100"}]

# since, options, what the state returned has to hold, what an own query answers
OPTIONS: dict[str, tuple[int, dict[str, Any], dict[str, Any], str, object]] = {
    "nothing given": (
        13,
        {},
        {"tables": [], "all_tables": False},
        "SELECT puballtables FROM pg_publication",
        False,
    ),
    "empty list": (
        13,
        {"tables": []},
        {"tables": []},
        "SELECT puballtables OR EXISTS (SELECT FROM pg_publication_tables) FROM pg_publication",
        False,
    ),
    "all tables": (
        13,
        {"all_tables": True},
        {"all_tables": True},
        "SELECT puballtables FROM pg_publication",
        True,
    ),
    "publish": (
        13,
        {"publish": [" Insert ", "truncate"]},
        {"publish": ["insert", "truncate"]},
        "SELECT ARRAY[pubinsert, pubupdate, pubdelete, pubtruncate] FROM pg_publication",
        [True, False, False, True],
    ),
    "publish nothing": (
        13,
        {"publish": []},
        {"publish": []},
        "SELECT pubinsert OR pubupdate OR pubdelete OR pubtruncate FROM pg_publication",
        False,
    ),
    "via root": (
        13,
        {"publish_via_partition_root": True},
        {"publish_via_partition_root": True},
        "SELECT pubviaroot FROM pg_publication",
        True,
    ),
    "comment": (
        13,
        {"comment": "it's 100 % \\ 한국"},
        {"comment": "it's 100 % \\ 한국"},
        "SELECT obj_description(oid, 'pg_publication') FROM pg_publication",
        "it's 100 % \\ 한국",
    ),
    "owner": (
        13,
        {"owner": "pg_monitor"},
        {"owner": "pg_monitor"},
        "SELECT pubowner::regrole::text FROM pg_publication",
        "pg_monitor",
    ),
    "schemas": (
        15,
        {"schemas": ["archive", "empty", "archive"]},
        {"schemas": ["archive", "empty"]},
        "SELECT array(SELECT pnnspid::regnamespace::text FROM pg_publication_namespace ORDER BY 1)",
        ["archive", "empty"],
    ),
    "generated columns": (
        18,
        {"publish_generated_columns": "stored"},
        {"publish_generated_columns": "stored"},
        "SELECT pubgencols::text FROM pg_publication",
        "s",
    ),
    "columns": (
        15,
        {"tables": [{"name": "documents", "columns": ["title", "id"]}]},
        {"tables": [{"name": "public.documents", "columns": ["id", "title"]}]},
        "SELECT prattrs::text FROM pg_publication_rel",
        "1 2",
    ),
    "where": (
        15,
        {"tables": FILTERED},
        {"tables": [{"name": "public.documents", "where": "(id > 100)"}]},
        "SELECT pg_get_expr(prqual, prrelid) FROM pg_publication_rel",
        "(id > 100)",
    ),
    "tables and schemas": (
        15,
        {"tables": ["documents"], "schemas": ["archive"]},
        {"tables": [{"name": "public.documents"}], "schemas": ["archive"]},
        "SELECT count(*) FROM pg_publication_tables",
        2,
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_create_with(fleet: Publisher, case: str) -> None:
    since, params, state, query, answer = OPTIONS[case]
    need(fleet.major, since)
    created = fleet.ensure(**params)
    assert created.changed
    assert {key: created.result["publication"][key] for key in state} == state
    assert fleet.sql(query) == [(answer,)]
    assert fleet.done(state="absent").changed
    assert fleet.sql("SELECT pubname FROM pg_publication") == []


@pytest.mark.parametrize("case", OPTIONS)
def test_alter_to_and_back(fleet: Publisher, case: str) -> None:
    """An existing publication with other contents gets there, and back again."""
    since, params, state, _query, _answer = OPTIONS[case]
    need(fleet.major, since)
    plain = {"tables": ["users", "chunks"], "comment": "", "owner": "postgres"}
    plain["publish"] = ["insert", "update", "delete", "truncate"]
    plain["publish_via_partition_root"] = False
    if fleet.major >= 18:
        plain["publish_generated_columns"] = "none"
    first = fleet.done(**plain).result["publication"]
    altered = fleet.ensure(**params)
    if params:
        assert altered.changed
        assert {key: altered.result["publication"][key] for key in state} == state
    else:
        assert not altered.changed
    assert fleet.done(**plain).result["publication"] == first
    assert not fleet.done(**plain).changed


@pytest.mark.parametrize(
    ("since", "params", "told"),
    [
        (15, {"schemas": ["archive"]}, "schemas needs PostgreSQL 15 or newer"),
        (15, {"tables": FILTERED}, "where needs PostgreSQL 15 or newer"),
        (
            15,
            {"tables": [{"name": "documents", "columns": ["id"]}]},
            "columns needs PostgreSQL 15 or newer",
        ),
        (
            18,
            {"publish_generated_columns": "none"},
            "publish_generated_columns needs PostgreSQL 18 or newer",
        ),
    ],
)
def test_an_older_server_says_so(
    fleet: Publisher, since: int, params: dict[str, Any], told: str
) -> None:
    if fleet.major >= since:
        pytest.skip("this server has it")
    assert told in fleet.refused(**params)
    assert f"this server is {fleet.major}." in fleet.refused(**params)


def test_absent_is_nothing_to_do_when_absent(fleet: Publisher) -> None:
    gone = fleet.ensure(state="absent", cascade=True)
    assert gone.result["changed"] is False
    assert gone.result["publication"] == {"name": "fleet", "state": "absent"}
    assert gone.diff["before"] == gone.diff["after"]


def test_the_diff_is_the_change(fleet: Publisher) -> None:
    created = fleet.done(tables=["users"])
    assert created.diff["before"] == {"name": "fleet", "state": "absent"}
    assert created.diff["after"] == created.result["publication"]
    added = fleet.done(tables=["users", "chunks"])
    assert added.diff["before"] == created.result["publication"]
    assert added.diff["after"]["tables"] == [{"name": "public.chunks"}, {"name": "public.users"}]
    dropped = fleet.done(state="absent", cascade=True)
    assert dropped.queries == ['DROP PUBLICATION "fleet" CASCADE']
    assert dropped.diff["before"] == added.result["publication"]
    assert dropped.diff["after"] == {"name": "fleet", "state": "absent"}


# --- drift ---------------------------------------------------------------------------------------

DECLARED = {
    13: {
        "tables": ["documents", "chunks", "parts"],
        "publish": ["insert", "update", "delete"],
        "publish_via_partition_root": False,
        "owner": "postgres",
        "comment": "for the fleet",
    },
    15: {
        "tables": [
            {"name": "documents", "columns": ["id", "title"], "where": "id > 100"},
            {"name": "chunks", "where": "id > 0 AND id < 1e6"},
            "parts",
        ],
        "schemas": [],
    },
    18: {"publish_generated_columns": "none"},
}
ROWS = "TABLE documents (id, title) WHERE (id > 100), chunks WHERE (id > 0 AND id < 1e6), parts"
ARCHIVE = "TABLES IN SCHEMA archive"
DRIFT = {
    "table added": (13, "ALTER PUBLICATION fleet ADD TABLE users"),
    "table removed": (13, "ALTER PUBLICATION fleet DROP TABLE chunks"),
    "another table": (13, "ALTER PUBLICATION fleet SET TABLE users"),
    "leaf added": (13, "ALTER PUBLICATION fleet ADD TABLE parts_kr"),
    "no table left": (13, "ALTER PUBLICATION fleet DROP TABLE documents, chunks, parts"),
    "all tables": (13, "DROP PUBLICATION fleet; CREATE PUBLICATION fleet FOR ALL TABLES"),
    "dropped": (13, "DROP PUBLICATION fleet"),
    "publish": (13, "ALTER PUBLICATION fleet SET (publish = 'insert, update, delete, truncate')"),
    "via root": (13, "ALTER PUBLICATION fleet SET (publish_via_partition_root)"),
    "owner": (13, "ALTER PUBLICATION fleet OWNER TO pg_monitor"),
    "comment": (13, "COMMENT ON PUBLICATION fleet IS NULL"),
    "other comment": (13, "COMMENT ON PUBLICATION fleet IS 'for the fleet '"),
    "other filter": (15, f"ALTER PUBLICATION fleet SET {ROWS.replace('100', '101')}"),
    "no filter": (15, f"ALTER PUBLICATION fleet SET {ROWS.replace(' WHERE (id > 100)', '')}"),
    "new filter": (15, f"ALTER PUBLICATION fleet SET {ROWS}, users WHERE (id > 1)"),
    "more columns": (15, f"ALTER PUBLICATION fleet SET {ROWS.replace('title', 'title, body')}"),
    "no columns": (15, f"ALTER PUBLICATION fleet SET {ROWS.replace(' (id, title)', '')}"),
    "schema": (15, f"ALTER PUBLICATION fleet SET {ROWS.replace(' (id, title)', '')}, {ARCHIVE}"),
    "generated": (18, "ALTER PUBLICATION fleet SET (publish_generated_columns = stored)"),
}  # fmt: skip


@pytest.mark.parametrize("case", DRIFT)
def test_drift_is_seen_and_repaired(fleet: Publisher, case: str) -> None:
    since, drift = DRIFT[case]
    need(fleet.major, since)
    params: dict[str, Any] = {}
    for version, more in DECLARED.items():
        params.update(more if fleet.major >= version else {})
    state, declared = fleet.done(**params).result["publication"], fleet.declared()
    fleet.sql(drift)
    repaired = fleet.ensure(**params)
    assert repaired.changed
    assert repaired.result["publication"] == state
    assert fleet.declared() == declared
    if case not in ("all tables", "dropped"):
        assert len(repaired.queries) == 1


@pytest.mark.parametrize("where", ["title = 'a b'", "title = E'a\\tb'", "title <> 'a  b'"])
def test_a_blank_within_a_filters_literal_is_a_change(fleet: Publisher, where: str) -> None:
    need(fleet.major, ROWS_SINCE)
    tables = [{"name": "documents", "where": where}]
    options = {"publish": ["insert"], "tables": tables}
    fleet.done(**options)
    state = fleet.read()
    other = where.replace("a  b", "a b") if "a  b" in where else where.replace("b'", " b'")
    fleet.sql(f"ALTER PUBLICATION fleet SET TABLE documents WHERE ({other})")
    repaired = fleet.ensure(**options)
    assert repaired.changed
    assert repaired.result["publication"] == state


# --- what is published ---------------------------------------------------------------------------


def test_an_empty_list_publishes_nothing(fleet: Publisher) -> None:
    fleet.ensure(tables=["documents", "users"])
    assert fleet.sent() == {"public.documents", "public.users"}
    emptied = fleet.ensure(tables=[])
    assert emptied.queries == [
        'ALTER PUBLICATION "fleet" DROP TABLE "public"."documents", "public"."users"'
    ]
    assert fleet.sent() == set()


def test_without_contents_an_existing_publication_keeps_its_own(fleet: Publisher) -> None:
    fleet.done(tables=["documents"])
    assert fleet.ensure(publish=["insert"]).changed
    assert fleet.declared() == DOCUMENTS


def test_a_partitioned_table_stands_for_its_partitions(publisher_of: Publisher) -> None:
    fleet = publisher_of
    fleet.ensure(tables=["parts"])
    assert fleet.declared() == {"parts": (None, None)}
    assert fleet.sent() == {"public.parts_eu", "public.parts_kr"}
    fleet.sql("CREATE TABLE parts_jp PARTITION OF parts_asia FOR VALUES IN ('jp')")
    assert not fleet.done(tables=["parts"]).changed
    assert fleet.sent() == {"public.parts_eu", "public.parts_kr", "public.parts_jp"}
    assert fleet.done(publish_via_partition_root=True).changed
    assert fleet.sent() == {"public.parts"}
    assert fleet.done(tables=["parts", "parts_kr"]).changed
    assert fleet.done(tables=[{"name": "parts", "only": True}]).changed
    assert fleet.declared() == {"parts": (None, None)}


def test_a_filter_on_a_partitioned_table(fleet: Publisher) -> None:
    need(fleet.major, ROWS_SINCE)
    tables = [{"name": "parts", "where": "id > 100", "columns": ["id", "region"]}]
    told = fleet.refused(tables=tables)
    assert "publish_via_partition_root is false" in told
    fleet.done(tables=["parts"])
    on = fleet.ensure(tables=tables, publish_via_partition_root=True)
    assert ["SET (publish_via" in query for query in on.queries] == [True, False]
    assert fleet.declared() == {"parts": (["id", "region"], "(id > 100)")}
    assert "publish_via_partition_root" in fleet.refused(publish_via_partition_root=False)
    off = fleet.ensure(tables=["parts"], publish_via_partition_root=False)
    assert ["SET (publish_via" in query for query in off.queries] == [False, True]


CHILDREN = dict.fromkeys(("mother", "child", "grandchild"), (None, None))


def test_inheritance_children_come_along(publisher_of: Publisher) -> None:
    fleet = publisher_of
    fleet.ensure(tables=["mother"])
    assert fleet.declared() == CHILDREN
    fleet.sql("CREATE TABLE latecomer (PRIMARY KEY (id)) INHERITS (mother)")
    late = fleet.ensure(tables=["mother"])
    assert late.queries == ['ALTER PUBLICATION "fleet" ADD TABLE "public"."latecomer"']
    assert fleet.declared() == {**CHILDREN, "latecomer": (None, None)}
    fleet.ensure(tables=[{"name": "mother", "only": True}])
    assert fleet.declared() == {"mother": (None, None)}
    assert fleet.done(tables=["documents"], append=True).changed
    assert fleet.done(tables=["child"]).changed
    assert fleet.declared() == {"child": (None, None), "grandchild": (None, None)}


def test_inheritance_children_are_created_as_the_server_itself_would(fleet: Publisher) -> None:
    fleet.sql("CREATE PUBLICATION server FOR TABLE mother")
    fleet.done(tables=["mother"])
    assert fleet.declared() == fleet.declared("server") == CHILDREN
    assert not fleet.done(name="server", tables=["mother"]).changed
    fleet.sql("DROP PUBLICATION server; CREATE PUBLICATION server FOR TABLE ONLY mother")
    fleet.done(tables=[{"name": "mother", "only": True}])
    assert fleet.declared() == fleet.declared("server") == {"mother": (None, None)}


def test_inheritance_children_have_the_filter_of_their_parent(fleet: Publisher) -> None:
    need(fleet.major, ROWS_SINCE)
    mother = {"name": "mother", "where": "mother.id > - '1'::int", "columns": ["id"]}
    fleet.done(tables=[mother])
    assert set(fleet.declared()) == set(CHILDREN)
    assert all(columns == ["id"] and where for columns, where in fleet.declared().values())
    own = {"name": "child", "where": "id > 5", "only": True}
    fleet.ensure(tables=[{**mother, "where": "id > 100"}, own])
    assert fleet.declared() == {
        "mother": (["id"], "(id > 100)"),
        "child": (None, "(id > 5)"),
        "grandchild": (["id"], "(id > 100)"),
    }


def test_a_list_of_all_columns_is_not_no_list(fleet: Publisher) -> None:
    need(fleet.major, ROWS_SINCE)
    every = [{"name": "users", "columns": ["id", "name"]}]
    fleet.ensure(tables=["users"])
    assert fleet.ensure(tables=every).changed
    assert fleet.declared() == {"users": (["id", "name"], None)}
    assert fleet.ensure(tables=["users"]).changed
    assert fleet.declared() == {"users": (None, None)}


def test_append(fleet: Publisher) -> None:
    fleet.done(tables=["documents"])
    assert fleet.ensure(tables=["users"], append=True).queries == [
        'ALTER PUBLICATION "fleet" ADD TABLE "public"."users"'
    ]
    assert not fleet.done(tables=["documents"], append=True).changed
    assert set(fleet.declared()) == {"documents", "users"}
    fleet.done(all_tables=True, append=True)
    assert fleet.sql("SELECT puballtables FROM pg_publication") == [(True,)]
    assert not fleet.done(tables=["documents"], append=True).changed
    assert fleet.done(all_tables=False, tables=["users"]).changed
    if fleet.major >= ROWS_SINCE:
        fleet.ensure(tables=FILTERED, schemas=["archive"], append=True)
        assert fleet.declared() == {"users": (None, None), "documents": (None, "(id > 100)")}
        fleet.done(tables=["documents"], append=True)
        assert fleet.declared() == {"users": (None, None), "documents": (None, None)}
        assert fleet.read()["schemas"] == ["archive"]
        fleet.done(all_tables=True)
        told = fleet.refused(tables=FILTERED, append=True)
        assert told.startswith("tables[0]: the publication is of all tables")


def test_all_tables_and_a_list_keep_the_rest(fleet: Publisher) -> None:
    """The publication is made anew, and is the same but for what it publishes."""
    kept = {"comment": "kept", "publish": ["insert"], "publish_via_partition_root": True}
    fleet.ensure(tables=["documents"], **kept)
    changed = fleet.ensure(all_tables=True)
    assert changed.queries[0] == 'DROP PUBLICATION "fleet"'
    assert {key: changed.result["publication"][key] for key in kept} == kept
    fleet.ensure(tables=["users"], owner="pg_monitor")
    again = fleet.ensure(tables=["users", "documents"], new_name="navy")
    assert again.result["publication"]["owner"] == "pg_monitor"
    back = fleet.ensure(name="navy", all_tables=True, owner="postgres", new_name="fleet")
    assert back.result["publication"]["comment"] == "kept"
    assert fleet.sql("SELECT pubname::text FROM pg_publication") == [("fleet",)]


# --- filters -------------------------------------------------------------------------------------

TYPES = """
CREATE TYPE mood AS ENUM ('calm', 'stormy');
CREATE DOMAIN knots AS numeric CHECK (VALUE >= 0);
CREATE COLLATION korean (provider = libc, locale = 'C');
CREATE FUNCTION one() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE TABLE logbook (
  id int PRIMARY KEY, big bigint, small smallint, speed numeric(6, 2), ratio float8, active boolean,
  at timestamptz, day date, span interval, tags text[], numbers int[], weather mood, wind knots,
  name varchar(20), code char(3), sorted text COLLATE "C", own text COLLATE korean, data jsonb,
  ship uuid, address inet, raw bytea, bits bit(4), "Mixed Case" int, "a""b" text, "선박" text,
  "100%%" int, "select" int);
""".replace("%%", "%")

FILTERS = [
    "id > 100",
    "(id > 100)",
    "((id) > (100))",
    " id>100 ",
    "id\n>\n100",
    "NOT id > 100",
    "{table}.id > 100",
    "id BETWEEN 1 AND 10",
    "id NOT BETWEEN SYMMETRIC 10 AND 1",
    "id IN (1, 2, 3)",
    "id IN (1)",
    "id NOT IN (1, 2)",
    "id = ANY ('{{1,2}}')",
    "id = ANY (ARRAY[1, 2])",
    "id % 2 = 0",
    "id > -1",
    "id > - '1'::int",
    "id + 1 * 2 > 3 - (4 - 5)",
    "id > 1 AND big > 2 OR small > 3",
    "id > 1 AND (big > 2 OR small > 3)",
    "id > 3000000000",
    "big > 1 AND small < 2::smallint",
    "big = id",
    "speed > 1.50",
    "speed > 1e3",
    "speed = 'NaN'",
    "speed::int > 4",
    "ratio > 0.1",
    "active",
    "NOT active",
    "active IS TRUE",
    "active IS NOT UNKNOWN",
    "active = true",
    "true",
    "false",
    "NULL",
    "active IS DISTINCT FROM false",
    "name IS NULL",
    "name IS NOT NULL AND id IS NOT NULL",
    "at > '2026-01-01 00:00:00+09'",
    "at > timestamptz '2026-01-01 00:00:00 UTC'",
    "day >= '2026-11-22'",
    "day >= DATE '2026-11-22' - 7",
    "span > interval '1 day 2 hours'",
    "tags @> ARRAY['x', 'y']",
    "tags && '{{a,\"b c\"}}'",
    "'x' = ANY (tags)",
    "numbers = '{{1,2}}'",
    "name = 'x'",
    "name::text = 'x'",
    "code = 'abc'",
    "name LIKE 'a%'",
    "name NOT LIKE '%!_x' ESCAPE '!'",
    "name ILIKE 'A_'",
    "name SIMILAR TO 'a|b'",
    "name ~ '^a.*$'",
    "name = 'it''s'",
    "name = E'tab\\there'",
    "name = E'back\\\\slash'",
    "name = e'\\''",
    "name = '서울 — 부산'",
    "name = '\"'",
    "name = '%s %(x)s %'",
    "name = '; DROP TABLE logbook; --'",
    "name = '/* no comment */'",
    "name = '{{}}{{0}}'",
    "name = ''",
    "name || 'x' = 'yx'",
    "lower(name) = 'x'",
    "length(name) > 3",
    "coalesce(name, 'x') = 'x'",
    "nullif(id, 1) = 2",
    "greatest(id, 2) > 3",
    "CASE WHEN id > 1 THEN true ELSE active END",
    "substring(name from 1 for 2) = 'ab'",
    "position('a' in name) > 0",
    "extract(year from day) = 2026",
    "sorted < 'x'",
    "sorted < 'x' COLLATE \"C\"",
    "name COLLATE \"C\" < 'x'",
    "data->>'a' = 'b'",
    "data @> '{{\"a\": 1}}'",
    "data ? 'a'",
    "ship = '00000000-0000-0000-0000-000000000001'",
    "address << '10.0.0.0/8'",
    "raw = E'\\\\x00ff'",
    "bits = B'1010'",
    '"Mixed Case" > 1',
    '"a""b" = \'x\'',
    "선박 = 'x'",
    '"100%" = 1',
    '"select" = 1',
    "(id, big) = (1, 2)",
    "(id, big) < (1, 2)",
    "id = 1 IS TRUE",
    "md5(name) < '8'",
    "hashtext(name) % 4 = 1",
]

# What a row filter may not hold: the server says so, in both modes.
NOT_FILTERS = [
    "weather = 'calm'",
    "wind > 3",
    "one() = id",
    "own = 'x'",
    "random() > 0.5",
    "at > now()",
    "count(id) > 1",
    "id IN (SELECT 1)",
    "id",
    "nothing > 1",
    "id >",
    "xmin = '1'",
    "id > 'x'",
    "tags[1] = 'x'",
    "id::text = '5'",
    "public.logbook.id > 5",
]


LOGBOOKS = [f"logbook_{number}" for number in range(16)]


@pytest.fixture(scope="module")
def logbooks(shared: Publisher) -> Publisher:
    """As many tables as filters are tried at a time."""
    shared.sql(TYPES)
    for name in LOGBOOKS:
        shared.sql(f"CREATE TABLE {name} (LIKE logbook INCLUDING ALL)")
    return shared


def batches() -> Iterator[list[dict[str, str]]]:
    for start in range(0, len(FILTERS), len(LOGBOOKS)):
        yield [
            {"name": name, "where": where.format(table=name)}
            for name, where in zip(LOGBOOKS, FILTERS[start:], strict=False)
        ]


@pytest.mark.usefixtures("logbooks")
def test_every_spelling_of_a_filter_converges(fleet: Publisher) -> None:
    """Check mode tells, by a check constraint, what the server then stores for the publication."""
    need(fleet.major, ROWS_SINCE)
    fleet.sql("CREATE PUBLICATION fleet WITH (publish = 'insert')")
    for tables in batches():
        check, real, again = (
            fleet.done(check_mode=check_mode, tables=tables) for check_mode in (True, False, True)
        )
        stored = {table: where for table, (_columns, where) in fleet.declared().items()}
        for call in (check, real, again):
            shown = call.result["publication"]["tables"]
            assert {
                table["name"].removeprefix("public."): table["where"] for table in shown
            } == stored
        assert real.changed
        assert again.queries == []
        # The text that a run returns can stand in the task as well.
        assert (
            fleet.done(tables=[t for t in shown if "\\" not in t["where"]], append=True).queries
            == []
        )


@pytest.mark.usefixtures("logbooks")
def test_what_is_no_filter_is_refused(fleet: Publisher) -> None:
    need(fleet.major, ROWS_SINCE)
    for where in NOT_FILTERS:
        fleet.refused(tables=[{"name": "logbook", "where": where}], publish=["insert"])


@pytest.mark.parametrize(
    "where", ["id > 1); DROP TABLE documents; --", "id > 1) ; SELECT (1", "$$ $$ = title", "--"]
)
def test_a_filter_cannot_leave_its_parenthesis(fleet: Publisher, where: str) -> None:
    told = fleet.refused(tables=[{"name": "documents", "where": where}])
    assert told.startswith("tables[0].where: ")
    assert "is not possible in" in told


def test_columns_and_a_filter_in_the_servers_own_words(fleet: Publisher) -> None:
    """The catalog names a column list's columns as used, too: they are not the filter's."""
    need(fleet.major, ROWS_SINCE)
    table = {"name": "documents", "columns": ["id", "title"], "where": "(id > 100)"}
    assert fleet.ensure(tables=[table]).changed
    assert not fleet.ensure(publish=["insert", "update", "delete", "truncate"]).changed


# --- replica identity ----------------------------------------------------------------------------

IDENTITIES = """
CREATE SCHEMA bare;
CREATE TABLE bare.t (id int, note text);
CREATE SCHEMA identified;
CREATE TABLE identified.t (id int PRIMARY KEY);
CREATE SCHEMA mixed;
CREATE SCHEMA elsewhere;
CREATE TABLE mixed.root (id int) PARTITION BY LIST (id);
CREATE TABLE elsewhere.leaf PARTITION OF mixed.root FOR VALUES IN (1);
CREATE TABLE keyed (id int PRIMARY KEY, note text, other text);
CREATE TABLE no_key (id int, note text, other text);
CREATE TABLE by_index (id int PRIMARY KEY, note text NOT NULL, other text);
CREATE UNIQUE INDEX by_index_note ON by_index (note);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_note;
CREATE TABLE lost_index (LIKE by_index INCLUDING ALL);
ALTER TABLE lost_index REPLICA IDENTITY USING INDEX lost_index_note_idx;
DROP INDEX lost_index_note_idx;
CREATE TABLE full_row (id int, note text, other text);
ALTER TABLE full_row REPLICA IDENTITY FULL;
CREATE TABLE nothing (id int PRIMARY KEY, note text, other text);
ALTER TABLE nothing REPLICA IDENTITY NOTHING;
CREATE TABLE later (id int PRIMARY KEY DEFERRABLE, note text, other text);
CREATE TABLE including (id int, note text, other text, PRIMARY KEY (id) INCLUDE (note));
CREATE TABLE leafless (id int, note text, other text) PARTITION BY LIST (id);
CREATE TABLE leafless_1 PARTITION OF leafless FOR VALUES IN (1);
CREATE TABLE rooted (id int PRIMARY KEY, note text, other text) PARTITION BY LIST (id);
CREATE TABLE rooted_1 PARTITION OF rooted FOR VALUES IN (1);
CREATE TABLE generated (id int PRIMARY KEY, note text, other text,
  twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE generated_full (LIKE generated INCLUDING GENERATED);
ALTER TABLE generated_full REPLICA IDENTITY FULL;
CREATE TABLE generated_key (id int, note text, other text,
  twice int GENERATED ALWAYS AS (id * 2) STORED PRIMARY KEY);
INSERT INTO bare.t VALUES (1, 'a');
INSERT INTO identified.t VALUES (1);
INSERT INTO mixed.root VALUES (1);
"""
VIRTUAL = """
CREATE TABLE unstored (id int, note text, other text, twice int GENERATED ALWAYS AS (id * 2));
ALTER TABLE unstored REPLICA IDENTITY FULL;
"""
SIMPLE = ["keyed", "no_key", "by_index", "lost_index", "full_row", "nothing", "later", "including"]
SIMPLE += ["leafless", "rooted", "generated", "generated_full", "generated_key"]
# Entry by entry: what is published of a table, besides its name.
CONTENTS: list[dict[str, Any]] = [
    {},
    {"columns": ["id"]},
    {"columns": ["note"]},
    {"columns": ["id", "note", "other"]},
    {"where": "id > 0"},
    {"where": "note = 'a'"},
    {"where": "id > 0", "columns": ["id", "note"]},
    {"where": "note IS NOT NULL", "columns": ["note", "id"]},
    {"where": "id > 0 AND other IS NULL"},
]


@pytest.fixture(scope="module")
def identities(shared: Publisher) -> Publisher:
    shared.sql(IDENTITIES)
    if shared.major >= 18:
        shared.sql(VIRTUAL)
    for table in [*SIMPLE, *(["unstored"] if shared.major >= 18 else [])]:
        shared.sql(f"INSERT INTO {table} (id, note) VALUES (1, 'a')")
    return shared


def refused_writes(fleet: Publisher, tables: list[str], operations: list[str]) -> set[str]:
    """The tables of which the server lets no row be updated, or none be deleted."""
    refused = set()
    connection = psycopg2.connect(fleet.database.dsn(sslmode="disable"))
    try:
        with connection.cursor() as cursor:
            for table, operation in itertools.product(tables, operations):
                statement = {"update": "UPDATE {} SET id = id + 0", "delete": "DELETE FROM {}"}
                cursor.execute("SAVEPOINT before")
                try:
                    cursor.execute(statement[operation].format(table))
                    assert cursor.rowcount == 1
                except (
                    psycopg2.errors.ObjectNotInPrerequisiteState,
                    psycopg2.errors.InvalidColumnReference,
                ):
                    refused.add(LEAVES.get(table, table))
                cursor.execute("ROLLBACK TO before")
    finally:
        connection.close()
    return refused


def judged(fleet: Publisher, written: list[str], **params: Any) -> None:
    """What the module refuses is what the server would refuse to write, no more and no less."""
    fleet.sql("DROP PUBLICATION IF EXISTS fleet")
    check = fleet.run(check_mode=True, **params)
    published = fleet.done(**params, require_replica_identity=False)
    operations = set(published.result["publication"]["publish"]) & {"update", "delete"}
    named = set(re.findall(r"Table (?:public\.)?([\w.]+)", check.msg))
    assert named == refused_writes(fleet, written, sorted(operations)), (params, check.msg)
    assert check.failed == bool(named)


LEAVES = {"leafless": "leafless_1", "rooted": "rooted_1", "mixed.root": "elsewhere.leaf"}
UPDATES: list[dict[str, Any]] = [{}, {"publish": ["delete"]}, {"publish": ["insert", "truncate"]}]


@pytest.mark.usefixtures("identities")
@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: " ".join(content) or "all")
def test_replica_identity_is_judged_as_the_server_does(
    fleet: Publisher, content: dict[str, Any]
) -> None:
    need(fleet.major, ROWS_SINCE if content else 13)
    tables = [*SIMPLE, *(["unstored"] if fleet.major >= 18 else [])]
    entries = [{"name": table, **content} for table in tables]
    options = UPDATES if content in CONTENTS[:2] else UPDATES[:1]
    if fleet.major >= 18:
        options = [*options, {"publish_generated_columns": "stored"}]
    for option in options:
        judged(fleet, tables, tables=entries, publish_via_partition_root=True, **option)


@pytest.mark.usefixtures("identities")
def test_replica_identity_of_schemas_is_judged_as_the_server_does(fleet: Publisher) -> None:
    need(fleet.major, ROWS_SINCE)
    tables = {"bare": "bare.t", "identified": "identified.t", "mixed": "mixed.root"}
    for schemas in (["identified"], ["mixed", "identified", "bare"]):
        judged(fleet, [tables[schema] for schema in schemas], schemas=schemas)
    fleet.done(schemas=["bare"], publish=["insert"])
    assert "Table bare.t has no replica identity" in fleet.refused(publish=["insert", "update"])
    more = {"tables": ["identified.t"], "append": True, "publish": ["delete"]}
    assert "Table bare.t has no replica identity" in fleet.refused(**more)
    assert fleet.ensure(publish=["insert", "delete"], schemas=["identified"]).changed


@pytest.mark.usefixtures("identities")
def test_replica_identity_of_all_tables(fleet: Publisher) -> None:
    tables = [*SIMPLE, "bare.t", "identified.t", "mixed.root"]
    tables += ["unstored"] if fleet.major >= 18 else []
    judged(fleet, tables, all_tables=True)
    fleet.ensure(all_tables=True, publish=["insert", "truncate"], state="present")
    assert "Table bare.t has no replica identity" in fleet.refused(publish=["insert", "update"])
    fleet.done(publish=["update"], require_replica_identity=False)
    assert refused_writes(fleet, ["bare.t", "identified.t"], ["update"]) == {"bare.t"}


@pytest.mark.usefixtures("identities")
def test_what_is_wrong_with_the_identity_is_said(fleet: Publisher) -> None:
    assert fleet.refused(tables=["no_key", "keyed", "leafless"]) == (
        "2 problems, nothing was changed:"
        "\n- Table public.leafless_1 has no replica identity, so updates and deletes of it would"
        " fail on the publisher: give it a primary key, or ALTER TABLE public.leafless_1 REPLICA"
        " IDENTITY FULL, or set publish to insert and truncate, or require_replica_identity to"
        " false."
        "\n- Table public.no_key has no replica identity, so updates and deletes of it would fail"
        " on the publisher: give it a primary key, or ALTER TABLE public.no_key REPLICA IDENTITY"
        " FULL, or set publish to insert and truncate, or require_replica_identity to false."
    )


def test_a_foreign_or_unlogged_partition_needs_no_identity(publisher_of: Publisher) -> None:
    fleet = publisher_of
    fleet.sql("""
        CREATE FOREIGN DATA WRAPPER nowhere;
        CREATE SERVER far FOREIGN DATA WRAPPER nowhere;
        CREATE TABLE spread (id int) PARTITION BY LIST (id);
        CREATE UNLOGGED TABLE spread_2 PARTITION OF spread FOR VALUES IN (2);
        CREATE FOREIGN TABLE spread_1 PARTITION OF spread FOR VALUES IN (1) SERVER far;
        INSERT INTO spread VALUES (2);
    """)
    fleet.ensure(tables=["spread"])
    assert refused_writes(fleet, ["spread_2"], ["update", "delete"]) == set()


# --- names ---------------------------------------------------------------------------------------

NAMES = ["MySub", "my-sub", "a.b", 'a"b', "100%", "%s", "함대", " a ", "select", "x" * 63, "é" * 31]


@pytest.mark.parametrize("name", NAMES)
def test_every_legal_name(fleet: Publisher, name: str) -> None:
    """Of the publication, its schema, table, column and owner."""
    quoted = sql.Identifier(name)
    table = sql.Identifier(name, name)
    for statement in (
        sql.SQL("CREATE ROLE {}").format(quoted),
        sql.SQL("CREATE SCHEMA {}").format(quoted),
        sql.SQL("CREATE TABLE {} ({} int PRIMARY KEY, more int)").format(table, quoted),
    ):
        fleet.sql(statement)
    try:
        written = ".".join(['"{}"'.format(name.replace('"', '""'))] * 2)
        rows = fleet.major >= ROWS_SINCE
        column = '"{}"'.format(name.replace('"', '""'))
        narrowed = {"columns": [name], "where": f"{column} > 1"} if rows else {}
        options = {"name": name, "tables": [{"name": written, **narrowed}], "owner": name}
        done = fleet.ensure(**options, comment=name)
        owners = fleet.sql(
            "SELECT pubname::text, pg_get_userbyid(pubowner)::text FROM pg_publication"
        )
        assert owners == [(name, name)]
        (shown,) = done.result["publication"]["tables"]
        assert not fleet.done(name=name, tables=[shown]).changed
        assert fleet.done(name=name, new_name="plain", owner="postgres").changed
        assert fleet.done(name="plain", new_name=name).changed
        if rows:
            assert fleet.done(name=name, tables=[], schemas=[name]).changed
            assert not fleet.done(name=name, tables=[], schemas=[name]).changed
        assert fleet.done(name=name, state="absent").changed
    finally:
        fleet.sql(sql.SQL("DROP SCHEMA {} CASCADE").format(quoted))
        fleet.sql("DROP PUBLICATION IF EXISTS plain")
        fleet.sql(sql.SQL("DROP OWNED BY {}").format(quoted))
        fleet.sql(sql.SQL("DROP ROLE {}").format(quoted))


def test_the_search_path_finds_a_table(publisher_of: Publisher) -> None:
    fleet = publisher_of
    fleet.sql("CREATE TABLE archive.users (id int PRIMARY KEY)")
    fleet.sql(f"ALTER DATABASE {fleet.database.name} SET search_path = archive, public")
    fleet.ensure(tables=["users", "documents"])
    shown = [table["name"] for table in fleet.read()["tables"]]
    assert shown == ["archive.users", "public.documents"]
    told = fleet.refused(tables=["public.old", "parts_eu", "nowhere.users", "documents.users"])
    assert told.count("does not exist in database") == 3
    assert "tables[0]: table public.old does not exist" in told


def test_a_table_named_twice(fleet: Publisher) -> None:
    fleet.ensure(tables=["documents", "public.documents", "documents"])
    assert fleet.declared() == DOCUMENTS
    if fleet.major >= ROWS_SINCE:
        twice = [{"name": "users", "where": w} for w in ("id > 1", "(id)>1")]
        assert fleet.ensure(tables=twice).changed
        told = fleet.refused(tables=["documents", *FILTERED])
        assert told == (
            "tables[1]: table public.documents is named twice, with different columns or where."
        )


@pytest.mark.parametrize(
    ("kind", "create"),
    [
        ("view", "CREATE VIEW odd AS SELECT 1 AS id"),
        ("materialized view", "CREATE MATERIALIZED VIEW odd AS SELECT 1 AS id"),
        ("unlogged table", "CREATE UNLOGGED TABLE odd (id int PRIMARY KEY)"),
        ("unlogged table without a key", "CREATE UNLOGGED TABLE odd (id int)"),
        ("sequence", "CREATE SEQUENCE odd"),
        ("index", "CREATE INDEX odd ON documents (title)"),
        ("type", "CREATE TYPE odd AS (id int)"),
        (
            "foreign table",
            """CREATE FOREIGN DATA WRAPPER none; CREATE SERVER far FOREIGN DATA WRAPPER none;
               CREATE FOREIGN TABLE odd (id int) SERVER far""",
        ),
    ],
)
def test_what_cannot_be_published(publisher_of: Publisher, kind: str, create: str) -> None:
    fleet = publisher_of
    fleet.sql(create)
    created = fleet.refused(tables=["documents", "odd"])
    assert created.startswith("The server refused to create the publication: "), kind
    fleet.done(tables=["documents"])
    added = fleet.refused(tables=["documents", "odd"], comment="never")
    assert added.startswith("The server refused to change the publication's tables: "), kind
    assert fleet.declared() == DOCUMENTS


def test_system_and_temporary_tables(fleet: Publisher) -> None:
    assert "refused" in fleet.refused(tables=["pg_class"])
    connection = fleet.database.server.connect(fleet.database.name)
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE odd (id int PRIMARY KEY)")
            cursor.execute("SELECT pg_my_temp_schema()::regnamespace::text")
            (schema,) = cursor.fetchone()
        assert "refused" in fleet.refused(tables=[f"{schema}.odd"])
        assert "does not exist" in fleet.refused(tables=["odd"])
    finally:
        connection.close()


# --- roles ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Role:
    """A role without superuser's rights, made for one test."""

    fleet: Publisher
    name: str

    @property
    def login(self) -> dict[str, Any]:
        return {"login_user": self.name, "login_password": "secret"}

    def may(self, *grants: str) -> None:
        for grant in grants:
            self.fleet.sql(f"{grant.format(db=self.fleet.database.name, me=self.name)}")


@pytest.fixture
def role(publisher_of: Publisher) -> Iterator[Role]:
    server = publisher_of.database.server
    name = f"sailor_{publisher_of.database.name}"
    server.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    server.sql(f"CREATE ROLE {name}_group")
    yield Role(publisher_of, name)
    for gone in (name, f"{name}_group"):
        publisher_of.sql(f"REASSIGN OWNED BY {gone} TO postgres")
        publisher_of.sql(f"DROP OWNED BY {gone}")
        server.sql(f"DROP ROLE {gone}")


def test_an_owner_needs_no_superuser(publisher_of: Publisher, role: Role) -> None:
    fleet = publisher_of
    role.may("GRANT CREATE ON DATABASE {db} TO {me}")
    for table in ("documents", "users", "chunks", "parts", "parts_eu", "parts_kr"):
        role.may(f"ALTER TABLE {table} OWNER TO {{me}}")
    rows = fleet.major >= ROWS_SINCE
    where = {"where": "id BETWEEN 1 AND 5", "columns": ["id"]} if rows else {}
    tables = [{"name": "documents", **where}, "users", "parts"]
    created = fleet.ensure(tables=tables, comment="mine", **role.login)
    assert created.result["publication"]["owner"] == role.name
    assert fleet.ensure(tables=["users"], publish=["insert"], **role.login).changed
    assert fleet.ensure(new_name="navy", **role.login).changed
    assert fleet.ensure(name="navy", state="absent", **role.login).changed


def test_what_a_role_may_not_is_refused_while_planning(publisher_of: Publisher, role: Role) -> None:
    fleet = publisher_of
    login = role.login
    told = fleet.refused(tables=[], **login)
    assert told.startswith("The server refused to create the publication: permission denied for")
    role.may("GRANT CREATE ON DATABASE {db} TO {me}", "ALTER TABLE users OWNER TO {me}")
    assert "must be owner of table documents" in fleet.refused(tables=["documents"], **login)
    assert "superuser" in fleet.refused(all_tables=True, **login)
    fleet.done(tables=["users"])
    assert "must be owner of publication fleet" in fleet.refused(publish=["insert"], **login)
    assert "must be owner of publication fleet" in fleet.refused(state="absent", **login)
    assert not fleet.ensure(tables=["users"], **login).changed
    fleet.done(owner=role.name)
    assert "must be owner of table" in fleet.refused(tables=["users", "documents"], **login)
    assert "superuser" in fleet.refused(all_tables=True, **login)
    told = fleet.refused(owner="postgres", **login)
    assert "change the publication's owner" in told
    if fleet.major >= ROWS_SINCE:
        assert "superuser" in fleet.refused(schemas=["archive"], **login)
    assert 'role "nobody" does not exist' in fleet.refused(owner="nobody")


def test_filters_without_the_privilege_of_temporary_tables(
    publisher_of: Publisher, role: Role
) -> None:
    fleet = publisher_of
    need(fleet.major, ROWS_SINCE)
    role.may(
        "GRANT CREATE ON DATABASE {db} TO {me}",
        "ALTER TABLE users OWNER TO {me}",
        "REVOKE TEMPORARY ON DATABASE {db} FROM PUBLIC",
    )
    tables = [{"name": "users", "where": "id > 100"}]
    told = fleet.refused(tables=tables, **role.login)
    assert told.startswith(
        "tables[0].where: a temporary table is needed to compare the filter 'id > 100' with the"
        " catalog's, and the server refused it: permission denied to create temporary tables in"
    )
    fleet.done(tables=tables, owner=role.name)
    assert not fleet.ensure(tables=tables, **role.login).changed


def test_the_owner_changes_last(publisher_of: Publisher, role: Role) -> None:
    """From PostgreSQL 16 on one may give a publication away, and have no right on it then."""
    fleet = publisher_of
    group = f"{role.name}_group"
    inherit = " WITH INHERIT FALSE, SET TRUE" if fleet.major >= 16 else ""
    role.may(
        "GRANT CREATE ON DATABASE {db} TO {me}",
        f"GRANT CREATE ON DATABASE {{db}} TO {group}",
        f"GRANT {group} TO {{me}}{inherit}",
        "ALTER TABLE users OWNER TO {me}",
    )
    fleet.done(tables=[], **role.login)
    options = {"tables": ["users"], "publish": ["insert"], "comment": "ours", "new_name": "navy"}
    given = fleet.ensure(owner=group, **options, **role.login)
    assert "OWNER TO" in given.queries[-1]
    assert given.result["publication"]["owner"] == group


# --- standby -------------------------------------------------------------------------------------


def test_a_standby_is_told_to_ask_the_primary(server: Server, publisher_of: Publisher) -> None:
    fleet = publisher_of
    fleet.done(tables=["users"])
    standby = server.create_standby(name="publication_standby")
    try:
        there = Publisher(Database(standby, fleet.database.name), fleet.major)
        assert not there.ensure(tables=["users"]).changed
        told = (
            "This server is a standby: change the publication on the primary, and it arrives here."
        )
        assert there.refused(tables=["users", "documents"]) == told
        assert there.refused(state="absent") == told
        assert there.refused(name="other") == told
        assert not there.ensure(name="other", state="absent").changed
        if fleet.major >= ROWS_SINCE:
            fleet.done(tables=FILTERED)
            standby.wait_caught_up(server)
            assert not there.ensure(tables=FILTERED).changed
    finally:
        server.discard_standby(standby)


# --- rename --------------------------------------------------------------------------------------


def test_rename(fleet: Publisher) -> None:
    fleet.done(tables=["users"], comment="same")
    ((before, oid),) = fleet.sql("SELECT pubname::text, oid FROM pg_publication")
    renamed = fleet.ensure(new_name="Navy")
    assert renamed.queries == ['ALTER PUBLICATION "fleet" RENAME TO "Navy"']
    assert (before, renamed.result["publication"]["name"]) == ("fleet", "Navy")
    assert fleet.sql("SELECT pubname::text, oid FROM pg_publication") == [("Navy", oid)]
    assert not fleet.ensure(new_name="Navy", tables=["users"]).changed
    assert fleet.ensure(new_name="Navy", tables=["documents"]).changed
    fleet.done(tables=[])
    assert fleet.refused(new_name="Navy") == (
        "new_name: the publications 'fleet' and 'Navy' both exist."
    )
    assert fleet.refused(name="none", new_name="fresh", tables=["users"]) == (
        "new_name: neither publication 'none' nor 'fresh' exists. To create one, leave new_name out."
    )


# --- how many statements, and which locks --------------------------------------------------------


@contextmanager
def statements(fleet: Publisher) -> Iterator[list[str]]:
    """What clients send to the database meanwhile, by the server's log.

    Not counted is what psycopg2 sends at connect where a server's DateStyle is not ISO.
    """
    server = fleet.database.server
    log = server.log_text
    start = len(log())
    seen: list[str] = []
    yield seen
    mark = f"mark {time.monotonic_ns()}"
    server.sql(f"SELECT '{mark}'")
    wait_until(lambda: mark in log()[start:], "the log is written")
    own = re.compile(rf"@{fleet.database.name} LOG:  statement: (.*)")
    found = own.findall(log()[start:])
    seen.extend(line for line in found if not line.startswith("SET DATESTYLE"))


def test_one_statement_where_nothing_is_to_do(publisher_of: Publisher) -> None:
    fleet = publisher_of
    options: dict[str, Any] = {"tables": ["documents", "mother", "parts"], "comment": "c"}
    if fleet.major >= ROWS_SINCE:
        options["tables"] += [{"name": "users", "where": "id > 100", "columns": ["id"]}]
    fleet.done(**options)
    for check_mode in (True, False):
        with statements(fleet) as sent:
            assert not fleet.done(check_mode=check_mode, **options).changed
        assert len(sent) == 1, sent
    with statements(fleet) as sent:
        assert not fleet.done(name="other", state="absent").changed
    assert len(sent) == 1, sent


def test_two_statements_add_nine_tables(publisher_of: Publisher) -> None:
    fleet = publisher_of
    names = [f"table_{number}" for number in range(9)]
    for name in names:
        fleet.sql(f"CREATE TABLE {name} (id int PRIMARY KEY)")
    fleet.done(tables=["documents"])
    with statements(fleet) as sent:
        assert fleet.done(tables=["documents", *names]).changed
    assert len(sent) == 2, sent
    assert sent[1].startswith('ALTER PUBLICATION "fleet" ADD TABLE')
    with statements(fleet) as sent:
        assert fleet.done(tables=names[1:], append=False).changed
    assert len(sent) == 2, sent


def test_changes_that_belong_together_are_one_transaction(publisher_of: Publisher) -> None:
    fleet = publisher_of
    fleet.done(tables=["documents"])
    with statements(fleet) as sent:
        fleet.done(tables=["users"], publish=["insert"], comment="c", new_name="navy")
    assert [sent[1], sent[-1]] == ["BEGIN", "COMMIT"]
    assert len(sent) == 7
    fleet.sql("CREATE ROLE gone")
    fleet.sql("DROP ROLE gone")
    before = fleet.everything()
    assert fleet.run(name="navy", all_tables=True, publish=["insert"], owner="gone").failed
    assert fleet.everything() == before


@contextmanager
def locked(fleet: Publisher, table: str, mode: str) -> Iterator[None]:
    connection = psycopg2.connect(fleet.database.dsn(sslmode="disable"))
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN {mode} MODE")
            yield
    finally:
        connection.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter patience, for the sake of the test's."""
    module = "ansible_collections.hmm.pg_replication.plugins"
    monkeypatch.setattr(f"{module}.module_utils._plan.REHEARSAL_LOCK_SECONDS", 1)
    monkeypatch.setattr(f"{module}.modules.publication.REHEARSAL_LOCK_SECONDS", 1)
    monkeypatch.setattr(f"{module}.modules.publication.PATIENCE_SECONDS", 1)


@pytest.mark.usefixtures("impatient")
def test_check_mode_does_not_hang_on_a_lock(fleet: Publisher) -> None:
    with locked(fleet, "documents", "SHARE UPDATE EXCLUSIVE"):
        predicted = fleet.run(check_mode=True, tables=["documents"])
        assert predicted.changed
        told = "Check mode could not try the change: another session holds a lock."
        assert told in str(predicted.result["warnings"])
    assert fleet.done(tables=["documents"]).queries == predicted.queries


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("where", ["(id > 100)", "id >= 101"])
def test_no_run_hangs_on_a_table_that_cannot_be_read(
    fleet: Publisher, where: str, check_mode: bool
) -> None:
    """The server locks a table, to read it, in order to write a filter of it as text."""
    need(fleet.major, ROWS_SINCE)
    fleet.done(tables=FILTERED)
    tables = [{"name": "documents", "where": where}]
    if not check_mode:
        # Were it longer, the real run would rightly wait for the table itself.
        tables = [{"name": "documents", "where": "(id > 100)"}] if where[0] == "(" else tables
    with locked(fleet, "documents", "ACCESS EXCLUSIVE"):
        started = time.monotonic()
        outcome = fleet.run(check_mode=check_mode, tables=tables)
        assert time.monotonic() - started < 10
    if outcome.failed:
        assert "Another session holds a lock on it" in outcome.msg
    else:
        assert where == "(id > 100)"
        assert not outcome.changed


# --- rows ----------------------------------------------------------------------------------------


def subscribe(fleet: Publisher, subscriber: Database) -> None:
    subscriber.sql(
        sql.SQL("CREATE SUBSCRIPTION s CONNECTION {} PUBLICATION fleet").format(
            sql.Literal(fleet.database.dsn())
        )
    )
    wait_until(
        lambda: (
            subscriber.sql("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
            == [(True,)]
        ),
        "the tables are in step",
    )


def test_no_row_is_lost_while_the_publication_changes(
    publisher_of: Publisher, subscriber_database: Database
) -> None:
    """The table is always published, so all that is written to it arrives, whatever else changes."""
    fleet = publisher_of
    subscriber_database.sql(SCHEMA)
    fleet.done(tables=["documents"])
    subscribe(fleet, subscriber_database)
    always: list[list[Any]] = [["documents", "users"], ["chunks", "documents"], ["documents"]]
    if fleet.major >= ROWS_SINCE:
        always += [
            [{"name": "documents", "where": "id > 0"}, "users"],
            [{"name": "documents", "where": "id > -1", "columns": ["id"]}],
        ]
    changes: list[dict[str, Any]] = [{"tables": tables} for tables in always]
    changes.append({"all_tables": True})
    written = itertools.count(1)
    stop = threading.Event()

    def write() -> None:
        connection = fleet.database.server.connect(fleet.database.name)
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO documents VALUES (%s)", (next(written),))
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for change in changes * 2:
            assert fleet.done(**change).changed
    finally:
        stop.set()
        writer.join()
    total = next(written) - 1
    assert total > len(changes) * 2
    wait_until(
        lambda: (
            subscriber_database.sql("SELECT count(*), max(id) FROM documents") == [(total, total)]
        ),
        f"{total} rows came",
    )


def test_rows_arrive_as_the_publication_says(
    publisher_of: Publisher, subscriber_database: Database
) -> None:
    fleet = publisher_of
    need(fleet.major, ROWS_SINCE)
    subscriber_database.sql(SCHEMA)
    documents = {"name": "documents", "where": "id % 2 = 0", "columns": ["id", "title"]}
    fleet.done(tables=[documents, "mother", "users"], publish=["insert", "update"])
    subscribe(fleet, subscriber_database)
    fleet.sql("INSERT INTO documents SELECT n, 'title', 'body' FROM generate_series(1, 6) AS n")
    fleet.sql("INSERT INTO grandchild (id) VALUES (7)")
    fleet.sql("UPDATE documents SET title = 'new' WHERE id = 4; DELETE FROM documents WHERE id = 6")
    fleet.sql("INSERT INTO users VALUES (99)")
    wait_until(lambda: subscriber_database.sql("SELECT id FROM users"), "the last row came")
    rows = subscriber_database.sql("SELECT * FROM documents ORDER BY id")
    assert rows == [(2, "title", None), (4, "new", None), (6, "title", None)]
    assert subscriber_database.sql("SELECT id FROM grandchild") == [(7,)]

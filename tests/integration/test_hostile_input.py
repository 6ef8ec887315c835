# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a task holds, a module does what it says or fails with a sentence, and nothing else.

After every single run the catalogs have to be as they were, but for the object that the run was
about, which is dropped before they are compared. The same inputs each time: a seed, no clock.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg2 import sql

from tests.integration.conftest import Database
from tests.lab.modules import Outcome, run_module

Params = dict[str, Any]

# Runs per server and module.
MANY, FEW = 170, 52
THOROUGH = (13, 18)
SECRET = "open-sesame"

INJECTIONS = (
    "'; DROP TABLE canary; --",
    '"; DROP TABLE canary; --',
    "'); DROP TABLE canary; --",
    "true); DROP TABLE canary; --",
    "true)); DROP TABLE canary; --",
    "true))); DROP TABLE canary; --",
    "true) OR (true)); COMMIT; DROP TABLE canary; --",
    " PUBLICATION p WITH (connect = false, slot_name = NONE); DROP TABLE canary; --",
    "\\'); DROP TABLE canary; --",
    "E'\\'); DROP TABLE canary; --'",
    "\u2014E'\\') ; DROP TABLE canary; --'",
    "1E'\\') ; DROP TABLE canary; --'",
    "$$; DROP TABLE canary; $$",
    "'||(SELECT pg_terminate_backend(pg_backend_pid()))||'",
    "*/ DROP TABLE canary /*",
    "x'; ALTER SYSTEM SET log_statement = 'none'; --",
    "x' SUPERUSER; CREATE ROLE evil SUPERUSER; --",
    "x\n; CREATE DATABASE evil;\n--",
    "evil', (SELECT lo_create(0)::text)) --",
    "' host=192.0.2.1 dbname='evil",
    "x host=192.0.2.1",
    "(pg_stat_reset() IS NULL)",
    "pg_switch_wal() IS NULL",
    "id IN (SELECT 1)",
)
PIECES = (
    *("'", '"', "''", '""', "\\", "\\'", "$$", "$a$", "$1", ";", "--", "/*", "*/", "(", ")"),
    *("E'", "U&'", "B'", "\x00", "\n", "\r", "\t", "\x1b", "\x7f", " ", "", ".", ","),
    *("%s", "%(a)s", "%%", "{}", "{0}", "{{ 7 * 7 }}", "{% raw %}", "\u2014", "\u00a0", "\u202e"),
    *("선", "ß", "😀", "ﬀ", "NULL", "none", "NONE", "*", "=", "id", "note", "true", "0/0", "1"),
    *("x" * 64, "선" * 22, "pg_", "canary", "public", "DEFAULT", "current_user", "../../evil"),
)


def hostile(chance: random.Random) -> str:
    """A whole injection, pieces of one, or both in one text."""
    parts = [chance.choice(PIECES) for _turn in range(chance.randint(0, 4))]
    if not parts or chance.random() < 0.5:
        parts.insert(chance.randint(0, len(parts)), chance.choice(INJECTIONS))
    return "".join(parts)


def connection(chance: random.Random, text: str) -> Any:
    """A connection with something hostile in it, and a password that must not be seen."""
    return chance.choice(
        [
            {"host": text, "password": SECRET},
            {"dbname": text, "password": SECRET},
            {"password": SECRET + text},
            {"password": text + SECRET, "host": "127.0.0.1"},
            {text: SECRET},
            {"application_name": text, "options": text, "port": text, "password": SECRET},
            f"password={SECRET} {text}",
            f"host={text} password='{SECRET}'",
            f"postgresql://boss:{SECRET}@{text}/evil",
            f"{text} password={SECRET}",
        ]
    )


# --- the modules ---------------------------------------------------------------------------------
#
# One generator a module: what may be asked for with something hostile in one place of it. The place
# that reaches the server's SQL most directly comes first, and gets every injection.


def replication_slot(chance: random.Random, text: str) -> list[Params]:
    logical = {"slot_type": "logical", "name": "made"}
    return [
        {**logical, "plugin": text},
        {"name": text},
        {"name": ["made", text]},
        {"name": text, "state": "absent", "force": True},
        {"name": "made", "copy_from": text},
        {"name": "made", "advance_to": text},
        {**logical, "copy_from": "there", "plugin": text},
        {**logical, "login_db": text},
        {"name": "made", "login_user": text},
        {"name": "made", "connect_params": {"application_name": text}},
        {"name": "made", "connect_params": connection(chance, text)},
    ]


def publication(chance: random.Random, text: str) -> list[Params]:
    made: Params = {"name": "made"}
    table = {"name": "canary"}
    return [
        {**made, "tables": [{**table, "where": text}]},
        {"name": text},
        {"name": text, "state": "absent"},
        {"name": text, "tables": ["canary"], "comment": text},
        {**made, "new_name": text},
        {**made, "tables": [text]},
        {**made, "tables": [f"public.{text}", "canary"]},
        {**made, "tables": [{**table, "columns": ["id", text]}]},
        {**made, "tables": [{**table, "where": f"id > 0 AND note = {text}"}]},
        {**made, "tables": [{**table, "where": f"note = '{text}'"}]},
        {**made, "tables": [{**table, text: text}]},
        {**made, "schemas": [text]},
        {**made, "publish": [text]},
        {**made, "owner": text},
        {**made, "comment": text},
        {**made, "connect_params": connection(chance, text)},
    ]


def subscription(chance: random.Random, text: str) -> list[Params]:
    # Nobody is called: what matters is what this server is told.
    made: Params = {
        "name": "made",
        "connection": {"host": "127.0.0.1", "port": 1, "password": SECRET},
        "publications": ["p"],
        "connect": False,
    }
    return [
        {**made, "connection": {"host": text, "password": SECRET}},
        {**made, "name": text, "slot_name": "none"},
        {**made, "name": text, "state": "absent", "force": True},
        {**made, "connection": connection(chance, text)},
        {**made, "publications": [text]},
        {**made, "publications": ["p", text]},
        {**made, "slot_name": text},
        {**made, "skip_lsn": text},
        {**made, "owner": text},
        {**made, "comment": text},
        {**made, "new_name": text},
    ]


def inputs(module: str, chance: random.Random, runs: int) -> Iterator[Params]:
    for text in INJECTIONS:
        yield from [GENERATORS[module](chance, text)[0]] * 2  # to create, and to alter
    for _turn in range(runs - 2 * len(INJECTIONS)):
        yield chance.choice(GENERATORS[module](chance, hostile(chance)))


GENERATORS: dict[str, Callable[[random.Random, str], list[Params]]] = {
    "replication_slot": replication_slot,
    "publication": publication,
    "subscription": subscription,
}
DROP = {
    "publication": ["DROP PUBLICATION IF EXISTS {}"],
    "subscription": [
        "COMMENT ON SUBSCRIPTION {} IS NULL",  # or the server keeps it when the rest is gone
        "ALTER SUBSCRIPTION {} DISABLE",
        "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
        "DROP SUBSCRIPTION {}",
    ],
}
# That there is something to alter as well as to create.
BEFOREHAND: dict[str, Params] = {
    "replication_slot": {"name": "made"},
    "publication": {"name": "made", "tables": ["canary"], "comment": "as it was"},
    "subscription": {
        "name": "made",
        "connection": "host=127.0.0.1 port=1",
        "publications": ["p"],
        "connect": False,
    },
}

# --- what may not change -------------------------------------------------------------------------

SNAPSHOT = """
SELECT json_build_object(
  'roles', (SELECT json_agg(r ORDER BY oid) FROM pg_authid AS r),
  'members', (SELECT json_agg(m ORDER BY m.roleid) FROM pg_auth_members AS m),
  'databases', (SELECT json_agg(json_build_array(datname, datdba, datacl)) FROM pg_database),
  'schemas', (SELECT json_agg(n ORDER BY oid) FROM pg_namespace AS n WHERE nspname !~ '^pg_t'),
  'relations', (SELECT json_agg(json_build_array(oid, relname, relowner, relacl) ORDER BY oid)
                FROM pg_class WHERE oid >= 16384),
  'columns', (SELECT json_agg(json_build_array(attrelid, attname) ORDER BY attrelid, attnum)
              FROM pg_attribute WHERE attrelid >= 16384),
  'functions', (SELECT json_agg(p.oid ORDER BY p.oid) FROM pg_proc AS p WHERE oid >= 16384),
  'publications', (SELECT json_agg(p ORDER BY oid) FROM pg_publication AS p),
  'published', (SELECT json_agg(p ORDER BY oid) FROM pg_publication_rel AS p),
  'subscriptions', (SELECT json_agg(s ORDER BY oid) FROM pg_subscription AS s),
  'slots', (SELECT json_agg(json_build_array(slot_name, plugin) ORDER BY slot_name)
            FROM pg_replication_slots),
  'origins', (SELECT json_agg(o ORDER BY roident) FROM pg_replication_origin AS o),
  'settings', (SELECT json_agg(s) FROM pg_db_role_setting AS s),
  'files', (SELECT json_agg(json_build_array(name, setting)) FROM pg_file_settings),
  'comments', (SELECT json_agg(d ORDER BY objoid) FROM pg_description AS d WHERE objoid >= 16384),
  'global comments', (SELECT json_agg(d ORDER BY objoid) FROM pg_shdescription AS d
                      WHERE objoid >= 16384),
  'large objects', (SELECT json_agg(l.oid) FROM pg_largeobject_metadata AS l),
  'triggers', (SELECT json_agg(t.oid) FROM pg_trigger AS t),
  'rows', (SELECT json_agg(c ORDER BY id) FROM canary AS c)
)::text
"""


class Target:
    """A database with a canary in it, and one connection to look after it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.sql("CREATE TABLE canary (id int PRIMARY KEY, note text)")
        database.sql("INSERT INTO canary VALUES (1, 'alive')")
        database.sql("SELECT pg_create_logical_replication_slot('there', 'pgoutput')")
        self._connection = database.server.connect(database.name)

    def close(self) -> None:
        self._connection.close()

    def ask(self, statement: sql.Composable) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def snapshot(self) -> str:
        return str(self.ask(sql.SQL(SNAPSHOT))[0][0])

    def run(self, module: str, params: Params) -> Outcome:
        server = self.database.server
        login = {
            "login_unix_socket": server.socket_dir,
            "login_port": server.port,
            "login_db": self.database.name,
        }
        return run_module(module, **{**login, **params})

    def drop_what_it_is_about(self, module: str, params: Params) -> None:
        names = params["name"] if isinstance(params["name"], list) else [params["name"]]
        names = [name for name in (*names, params.get("new_name")) if name and "\x00" not in name]
        if module == "replication_slot":
            self.ask(
                sql.SQL(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                    " WHERE slot_name = ANY ({}::text[])"
                ).format(sql.Literal(names))
            )
            return
        catalog, column = {
            "publication": ("pg_publication", "pubname"),
            "subscription": ("pg_subscription", "subname"),
        }[module]
        there = sql.SQL("SELECT {} FROM {} WHERE {} = ANY ({}::text[])").format(
            sql.Identifier(column),
            sql.Identifier(catalog),
            sql.Identifier(column),
            sql.Literal(names),
        )
        for (name,) in self.ask(there):
            for statement in DROP[module]:
                self.ask(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.fixture
def target(database: Database) -> Iterator[Target]:
    target = Target(database)
    yield target
    target.close()


@pytest.mark.parametrize("module", GENERATORS)
def test_hostile_input(target: Target, module: str) -> None:
    major = target.database.server.major
    chance = random.Random(f"{module} {major}")
    before = target.snapshot()
    seen: Counter[str] = Counter()
    runs = MANY if major in THOROUGH else FEW
    for number, params in enumerate(inputs(module, chance, runs)):
        if number % 2:
            made = target.run(module, BEFOREHAND[module])
            assert made.changed, made.msg
        try:
            outcome = target.run(module, params)
        except Exception as error:
            raise AssertionError(f"run {number}: {params!r}") from error
        assert "Traceback" not in outcome.raw, params
        assert SECRET not in outcome.raw, params
        assert outcome.msg or not outcome.failed, params
        seen["failed" if outcome.failed else "done"] += 1
        target.drop_what_it_is_about(module, {**BEFOREHAND[module], "name": "made"})
        target.drop_what_it_is_about(module, params)
        assert target.snapshot() == before, params
    if major in THOROUGH:  # neither is all of it refused, nor all of it let through
        assert seen["failed"], seen
        assert seen["done"], seen


def test_the_canary_is_looked_after(target: Target) -> None:
    """What the injections try would be seen."""
    for done, undone in (
        ("UPDATE canary SET note = 'dead'", "UPDATE canary SET note = 'alive'"),
        ("CREATE TABLE evil ()", "DROP TABLE evil"),
        ("CREATE ROLE evil SUPERUSER", "DROP ROLE evil"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "ALTER SYSTEM RESET work_mem"),
        ("COMMENT ON TABLE canary IS 'evil'", "COMMENT ON TABLE canary IS NULL"),
        ("CREATE PUBLICATION evil", "DROP PUBLICATION evil"),
        (
            "SELECT pg_create_physical_replication_slot('evil')",
            "SELECT pg_drop_replication_slot('evil')",
        ),
    ):
        before = target.snapshot()
        target.ask(sql.SQL(done))
        assert target.snapshot() != before, done
        target.ask(sql.SQL(undone))
        assert target.snapshot() == before, undone

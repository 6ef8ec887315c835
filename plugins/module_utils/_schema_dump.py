# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""How the tables of a publication are made, as SQL for a subscriber.

pg_dump --table leaves out the types and functions that a table needs, and takes along foreign keys
to tables that the subscriber will not have. So all of the database's schema is dumped, and what
these tables need is chosen from the archive's table of contents by its catalog identity.

PostgreSQL: pg_dump; pg_restore, "--use-list"; the catalog pg_depend.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    SECRET_KEYWORDS,
    Conninfo,
    hide,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    describe,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName, unique
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import name_array

LOCK_WAIT = "60s"

Identity = tuple[int, int]

# An entry of an archive's table of contents: its number, catalog identity, and what it is.
_ENTRY = re.compile(r"(?P<number>\d+); (?P<catalog>\d+) (?P<oid>\d+) (?P<text>.+)")
_FIRST_OBJECT = "\n--\n-- Name: "
_LAST_LINES = "\n--\n-- PostgreSQL database dump complete"


@dataclass(frozen=True)
class Needed:
    """What the tables are made of, on the publisher.

    :param parts: catalog identities of the tables and of what belongs to them alone.
    :param shared: those of types, functions and the like: others may use them too, and a
        subscriber may have them.
    :param unnumbered: entries of the table of contents that have no identity, as they are written.
    :param left_out: foreign keys that lead to tables which the subscriber will not have.
    """

    parts: frozenset[Identity] = frozenset()
    shared: frozenset[Identity] = frozenset()
    unnumbered: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()
    extensions: tuple[tuple[str, str], ...] = ()
    schemas: tuple[str, ...] = ()
    bare: tuple[tuple[str, str, str], ...] = ()


# --- what the tables need ------------------------------------------------------------------------

# part: it goes with a table. A dependency leads up (a default needs its function) and down (an
# index belongs to its table). Foreign keys are not followed: they would bring their tables along.
_READ = """
WITH RECURSIVE
wanted AS (
  SELECT c.oid, c.relkind, w.schema, w.name
    FROM unnest({schemas}, {names}) AS w (schema, name)
    LEFT JOIN pg_namespace AS n ON n.nspname = w.schema
    LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name),
present AS (
  SELECT c.oid
    FROM unnest({present_schemas}, {present_names}) AS w (schema, name)
    JOIN pg_namespace AS n ON n.nspname = w.schema
    JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name),
relative (oid) AS (
  SELECT oid FROM wanted WHERE relkind IN ('r', 'p')
  UNION
  SELECT CASE WHEN parent.relkind = 'p' THEN i.inhrelid ELSE i.inhparent END
    FROM relative AS r
    JOIN pg_inherits AS i ON r.oid IN (i.inhrelid, i.inhparent)
    JOIN pg_class AS parent ON parent.oid = i.inhparent
   WHERE CASE WHEN parent.relkind = 'p' THEN r.oid = i.inhparent ELSE r.oid = i.inhrelid END),
foreign_key AS (
  SELECT k.oid, k.conname, k.conrelid::regclass::text AS source,
         k.confrelid::regclass::text AS target, k.conparentid,
         k.confrelid IN (SELECT oid FROM relative UNION ALL SELECT oid FROM present) AS kept
    FROM pg_constraint AS k
   WHERE k.contype = 'f' AND k.conrelid IN (SELECT oid FROM relative)),
needed (classid, objid, part) AS (
  SELECT 'pg_class'::regclass::oid, oid, true FROM relative
  UNION
  SELECT next.classid, next.objid, n.part AND next.down
    FROM needed AS n
    CROSS JOIN LATERAL (
      SELECT d.classid, d.objid, true AS down
        FROM pg_depend AS d
       WHERE d.refclassid = n.classid AND d.refobjid = n.objid AND d.deptype IN ('a', 'i', 'P', 'S')
         AND d.classid NOT IN ('pg_trigger'::regclass, 'pg_rewrite'::regclass,
                               'pg_publication_rel'::regclass)
         AND (d.classid <> 'pg_constraint'::regclass
              OR d.objid NOT IN (SELECT oid FROM pg_constraint WHERE contype = 'f'))
         AND (d.classid <> 'pg_class'::regclass
              OR d.objid NOT IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'p', 'f')))
         AND n.part
      UNION ALL
      SELECT d.refclassid, d.refobjid, false
        FROM pg_depend AS d
       WHERE d.classid = n.classid AND d.objid = n.objid AND d.deptype = 'n'
         AND d.refclassid NOT IN ('pg_namespace'::regclass, 'pg_extension'::regclass,
                                  'pg_language'::regclass)
         AND (d.refclassid <> 'pg_class'::regclass
              OR d.refobjid IN (SELECT oid FROM pg_class WHERE relkind = 'S'))
      UNION ALL
      -- The element of an array, and the columns of a composite type.
      SELECT 'pg_type'::regclass, t.typelem, false
        FROM pg_type AS t
       WHERE n.classid = 'pg_type'::regclass AND t.oid = n.objid AND t.typelem <> 0
      UNION ALL
      SELECT 'pg_class'::regclass, t.typrelid, false
        FROM pg_type AS t
       WHERE n.classid = 'pg_type'::regclass AND t.oid = n.objid AND t.typrelid <> 0
    ) AS next),
kind AS (
  SELECT classid, objid, bool_or(part) AS part FROM needed GROUP BY classid, objid)
SELECT
  ARRAY(SELECT format('%I.%I', schema, name) FROM wanted WHERE oid IS NULL) AS absent,
  ARRAY(SELECT format('%I.%I', schema, name) FROM wanted WHERE relkind NOT IN ('r', 'p'))
    AS no_tables,
  (SELECT json_agg(json_build_array(classid::bigint, objid::bigint))
     FROM (SELECT classid, objid FROM kind WHERE part
           UNION ALL
           SELECT 'pg_constraint'::regclass, oid FROM foreign_key WHERE kept) AS parts) AS parts,
  (SELECT json_agg(json_build_array(classid::bigint, objid::bigint))
     FROM kind WHERE NOT part) AS shared,
  ARRAY(SELECT format('%s of %s, which leads to %s', conname, source, target)
          FROM foreign_key WHERE NOT kept AND conparentid = 0 ORDER BY 1) AS left_out,
  (SELECT json_agg(entry) FROM (
     -- What the archive tells apart by name alone.
     SELECT concat_ws(' ', what, n.nspname, c.relname, pg_get_userbyid(c.relowner)) AS entry
       FROM kind AS k
       JOIN pg_class AS c ON k.classid = 'pg_class'::regclass AND c.oid = k.objid
       JOIN pg_namespace AS n ON n.oid = c.relnamespace
       CROSS JOIN unnest(CASE WHEN c.relkind = 'S' THEN ARRAY['SEQUENCE OWNED BY']
                              WHEN c.relkind IN ('i', 'I') THEN ARRAY['INDEX ATTACH']
                              ELSE ARRAY['TABLE ATTACH', 'ROW SECURITY'] END) AS what
      WHERE k.part
        AND (what NOT LIKE '%ATTACH'
             OR EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid
                           AND i.inhparent IN (SELECT objid FROM kind WHERE part)))) AS entries)
    AS unnumbered,
  (SELECT json_agg(DISTINCT ARRAY[e.extname, n.nspname])
     FROM kind AS k
     JOIN pg_depend AS d ON d.classid = k.classid AND d.objid = k.objid AND d.deptype = 'e'
                        AND d.refclassid = 'pg_extension'::regclass
     JOIN pg_extension AS e ON e.oid = d.refobjid
     JOIN pg_namespace AS n ON n.oid = e.extnamespace) AS extensions,
  ARRAY(SELECT DISTINCT n.nspname::text
          FROM kind AS k
          LEFT JOIN pg_class AS c ON k.classid = 'pg_class'::regclass AND c.oid = k.objid
          LEFT JOIN pg_type AS t ON k.classid = 'pg_type'::regclass AND t.oid = k.objid
          LEFT JOIN pg_proc AS p ON k.classid = 'pg_proc'::regclass AND p.oid = k.objid
          JOIN pg_namespace AS n
            ON n.oid IN (c.relnamespace, t.typnamespace, p.pronamespace)
         WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema', 'public')
           AND k.objid >= 16384
         ORDER BY 1) AS schemas,
  (SELECT json_agg(ARRAY[n.nspname, c.relname, a.attname]::text[] ORDER BY n.nspname, c.relname, a.attnum)
     FROM wanted AS w
     JOIN pg_class AS c ON c.oid = w.oid
     JOIN pg_namespace AS n ON n.oid = c.relnamespace
     JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE a.attnotnull AND NOT a.atthasdef AND a.attidentity = '') AS bare
"""


def read_needed(
    session: Session,
    tables: Mapping[TableName, frozenset[str] | None],
    present: Iterable[TableName],
) -> Needed:
    """What the tables need, in one statement.

    :param present: tables that the subscriber has: foreign keys may lead there.
    :raises ReplicationError: a table does not exist, or is none.
    """
    kept = list(present)
    row = session.read(
        sql.SQL(_READ).format(
            schemas=name_array(table.schema or "" for table in tables),
            names=name_array(table.name for table in tables),
            present_schemas=name_array(table.schema or "" for table in kept),
            present_names=name_array(table.name for table in kept),
        )
    )[0]
    fail_with_all(
        [
            *(
                f"Table {name} does not exist in database {session.database}: correct its name, or"
                " create it first."
                for name in row["absent"]
            ),
            *(f"{name} is not a table, and cannot be published." for name in row["no_tables"]),
        ]
    )
    return Needed(
        parts=frozenset(map(_identity, row["parts"] or ())),
        shared=frozenset(map(_identity, row["shared"] or ())),
        unnumbered=frozenset(row["unnumbered"] or ()),
        left_out=tuple(row["left_out"]),
        extensions=tuple((name, schema) for name, schema in row["extensions"] or ()),
        schemas=tuple(row["schemas"]),
        bare=tuple(
            (schema, table, column)
            for schema, table, column in row["bare"] or ()
            if _is_left_out(tables[TableName(schema, table)], column)
        ),
    )


def _identity(pair: list[int]) -> Identity:
    return pair[0], pair[1]


def _is_left_out(columns: frozenset[str] | None, column: str) -> bool:
    return columns is not None and column not in columns


# --- what of the archive makes them --------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One object of the archive."""

    line: str
    shared: bool


def chosen(contents: str, needed: Needed) -> list[Entry]:
    """What is needed of a table of contents, in its order, which is that of dependencies."""
    entries = []
    for line in contents.splitlines():
        match = _ENTRY.fullmatch(line)
        if not match:
            continue
        identity = int(match["catalog"]), int(match["oid"])
        if identity in needed.parts or (
            identity[0] == 0 and match["text"].rstrip() in needed.unnumbered
        ):
            entries.append(Entry(line, shared=False))
        elif identity in needed.shared:
            entries.append(Entry(line, shared=True))
    return entries


def runs(entries: Iterable[Entry]) -> Iterator[tuple[bool, list[str]]]:
    """Shared entries one by one, the others together with their neighbours."""
    for shared, group in groupby(entries, key=lambda entry: entry.shared):
        lines = [entry.line for entry in group]
        if shared:
            yield from ((True, [line]) for line in lines)
        else:
            yield False, lines


def objects_of(script: str) -> str:
    """A script of pg_restore without what stands before its first object and after its last.

    Those lines are for psql and for a server of the publisher's own version.
    """
    _preamble, found, rest = script.partition(_FIRST_OBJECT)
    if not found:
        return ""
    body, found, _end = rest.rpartition(_LAST_LINES)
    return (_FIRST_OBJECT + (body if found else rest)).strip() + "\n"


def if_new(script: str) -> str:
    """SQL that passes over an object which is there already."""
    quote, block = (_dollar_quote(tag, script) for tag in ("sql", "block"))
    return (
        f"DO {block}BEGIN EXECUTE {quote}{script}{quote};"
        " EXCEPTION WHEN duplicate_object OR duplicate_function OR duplicate_table THEN NULL;"
        f" END{block};\n"
    )


def _dollar_quote(tag: str, text: str) -> str:
    number = 0
    while f"${tag}{number}$" in text:
        number += 1
    return f"${tag}{number}$"


def prologue(needed: Needed) -> sql.Composable:
    """What comes before the objects: settings of this transaction, schemas and extensions."""
    statements = [
        # As in every dump: names are qualified, and functions may come before what they use.
        sql.SQL(
            "SELECT pg_catalog.set_config('search_path', '', true),"
            " pg_catalog.set_config('check_function_bodies', 'off', true)"
        ),
        *(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name))
            for name in unique([*needed.schemas, *(schema for _name, schema in needed.extensions)])
            if name not in ("public", "pg_catalog")
        ),
        *(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {}").format(
                sql.Identifier(name), sql.Identifier(schema)
            )
            for name, schema in needed.extensions
        ),
    ]
    return _script(statements)


def epilogue(needed: Needed) -> sql.Composable:
    """What comes after the objects: columns that are not published may be without a value."""
    return _script(
        sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL").format(
            sql.Identifier(schema, table), sql.Identifier(column)
        )
        for schema, table, column in needed.bare
    )


def _script(statements: Iterable[sql.Composable]) -> sql.Composable:
    return sql.Composed([part for statement in statements for part in (statement, sql.SQL(";\n"))])


class Dumper:
    """pg_dump and pg_restore of the server's version."""

    def __init__(self, conninfo: Conninfo, bin_directory: Path | None, major: int) -> None:
        self._conninfo = conninfo
        self._secrets = {
            keyword: value for keyword, value in conninfo.items() if keyword in SECRET_KEYWORDS
        }
        if unhidden := sorted(set(self._secrets) - {"password"}):
            raise ReplicationError(
                f"connect_params: {unhidden[0]} would stand on pg_dump's command line; use a key"
                " without passphrase, or run the task as postgres on the server itself."
            )
        # Debian's wrapper in PATH would take the version of a cluster of its own choice.
        debian = Path(f"/usr/lib/postgresql/{major}/bin")
        self._folder = bin_directory or (debian if debian.is_dir() else None)

    def dump(self, needed: Needed) -> str:
        """The SQL of the needed objects, in their order."""
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "schema.dump")
            public = {
                keyword: value
                for keyword, value in self._conninfo.items()
                if keyword not in self._secrets
            }
            self._run(
                "pg_dump",
                "--format=custom",
                "--schema-only",
                "--no-publications",
                "--no-subscriptions",
                f"--lock-wait-timeout={LOCK_WAIT}",
                "--no-password",
                f"--file={archive}",
                f"--dbname={Conninfo(public).dsn()}",
            )
            entries = chosen(self._run("pg_restore", "--list", str(archive)), needed)
            chosen_list = Path(folder, "chosen")
            parts = []
            for shared, lines in runs(entries):
                chosen_list.write_text("\n".join([*lines, ""]), encoding="utf-8")
                script = objects_of(
                    self._run(
                        "pg_restore",
                        "--no-owner",
                        "--no-privileges",
                        "--no-tablespaces",
                        f"--use-list={chosen_list}",
                        "--file=-",
                        str(archive),
                    )
                )
                parts.append(if_new(script) if shared else script)
        return "\n".join(parts)

    def _run(self, program: str, *arguments: str) -> str:
        found = program if self._folder is None else str(self._folder / program)
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        if self._secrets:
            environment["PGPASSWORD"] = self._secrets["password"]
        try:
            done = subprocess.run(
                [found, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except OSError as exc:
            raise ReplicationError(
                f"{found} cannot be run: {describe(None, exc.strerror)} Install PostgreSQL's client"
                " programs of the server's version, or name their folder in bin_directory."
            ) from None
        if done.returncode != 0:
            said = hide(done.stderr.decode(errors="replace"), self._secrets.values())
            raise ReplicationError(f"{program} failed. {describe(None, said)}")
        return done.stdout.decode()

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Checksums of tables' rows that are the same wherever the rows are: any order, server, version.

A row is hashed as the text of a record, so that settings that change how values are written are
pinned. PostgreSQL: Client Connection Defaults; Composite Types, "Input and Output Syntax".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    ServerError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication import (
    TableRequest,
    table_requests,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import table_identifier

# Both ends know a table by schema and name, so that a search_path has no say.
DEFAULT_SCHEMA = "public"
LOCK_SECONDS = 30
# All that a value's text hangs on. What is written with the fewest digits that read back as the
# same number is the same text on every version from 12 on.
PINNED = {
    "bytea_output": "hex",
    "DateStyle": "ISO, YMD",
    "extra_float_digits": "1",
    "IntervalStyle": "postgres",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "quote_all_identifiers": "off",
    # A policy would leave rows out without a word: an error is better.
    "row_security": "off",
    "TimeZone": "UTC",
    "xmlbinary": "base64",
}
_KINDS = ("r", "p")  # ordinary and partitioned tables (pg_class.relkind)
_SERIALIZATION_FAILURE = "40001"


@dataclass(frozen=True)
class ChecksumRequest:
    """The options of the module table_checksum; every table with its schema."""

    tables: tuple[TableRequest, ...]

    def name(self, entry: TableRequest) -> TableName:
        return TableName(entry.table.schema or DEFAULT_SCHEMA, entry.table.name)


def checksum_request(params: Mapping[str, Any]) -> ChecksumRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong.
    """
    tables = table_requests(params["tables"])
    if not tables:
        raise ReplicationError("tables: the list is empty; name at least one table.")
    return ChecksumRequest(tables)


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A table that is there."""

    kind: str = "r"
    columns: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Source:
    """What the statements have to know of the database."""

    database: str
    lsn: str | None = None
    encoding: str = "UTF8"
    tables: Mapping[TableName, Found] | None = None

    def table(self, name: TableName) -> Found | None:
        return (self.tables or {}).get(name)


_SOURCE = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_lsn() END::text AS lsn,
       current_setting('server_encoding') AS encoding,
       (SELECT json_agg(found) FROM (
          SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind,
                 (SELECT coalesce(json_agg(attname), '[]'::json) FROM pg_attribute
                   WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
            FROM (VALUES {names}) AS asked (schema, name)
            JOIN pg_class c ON c.relname = asked.name
            JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = asked.schema
       ) AS found) AS tables
"""


def read_source(session: Session, request: ChecksumRequest) -> Source:
    """The position, and the tables asked for that exist, in one statement."""
    names = [
        sql.SQL("({}::name, {}::name)").format(*map(sql.Literal, request.name(entry)))
        for entry in request.tables
    ]
    row = session.read(
        sql.SQL(_SOURCE).format(names=sql.SQL(", ").join(names)), lock_seconds=LOCK_SECONDS
    )[0]
    return Source(
        database=session.database,
        lsn=row["lsn"],
        encoding=row["encoding"],
        tables={
            TableName(table["schema"], table["name"]): Found(
                table["kind"], frozenset(table["columns"])
            )
            for table in row["tables"] or ()
        },
    )


# --- planning ------------------------------------------------------------------------------------


def begin() -> sql.Composable:
    """What a transaction begins with in which every table is read as of one moment."""
    settings = sql.SQL("; ").join(
        sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in PINNED.items()
    )
    return sql.SQL("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; {}").format(settings)


def statements(request: ChecksumRequest, source: Source) -> list[sql.Composable]:
    """One statement for each table, in their order.

    :raises ReplicationError: a table or a column is not there; all problems in one error.
    """
    fail_with_all(_problems(request, source))
    return [_statement(request.name(entry), entry, source) for entry in request.tables]


def _problems(request: ChecksumRequest, source: Source) -> Iterator[str]:
    for entry in request.tables:
        name = request.name(entry)
        found = source.table(name)
        if found is None:
            yield f"{entry.option}: there is no table {name} in the database {source.database}."
        elif found.kind not in _KINDS:
            yield f"{entry.option}: {name} is not a table, so that it is not replicated."
        else:
            for column in sorted((entry.columns or frozenset()) - found.columns):
                yield f"{entry.option}.columns: {name} has no column {column!r}."


def _statement(name: TableName, entry: TableRequest, source: Source) -> sql.Composable:
    found = source.table(name)
    # The columns by their names, for their order may be another on the other end.
    columns = sorted(entry.columns or (found.columns if found else ()))
    return sql.SQL(
        "SELECT count(*)::bigint AS rows, coalesce(sum(hashtextextended("
        '(ROW({columns})::text) COLLATE "C", 0)), 0)::text AS checksum FROM {only}{table}{where}'
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        only=sql.SQL("ONLY " if entry.only else ""),
        table=table_identifier(name),
        # Checked by check_expression(): it cannot end the parenthesis.
        where=sql.SQL(" WHERE (") + sql.SQL(entry.where) + sql.SQL(")")
        if entry.where
        else sql.SQL(""),
    )


# --- doing ---------------------------------------------------------------------------------------


def read_checksums(session: Session, request: ChecksumRequest) -> dict[str, Any]:
    """Rows and checksum of every table, all of them as of one moment, and the position then."""
    with session.transaction(keep=False):
        session.rows(begin())
        source = read_source(session, request)
        tables = [
            _checksum(session, request, entry, statement)
            for entry, statement in zip(request.tables, statements(request, source))
        ]
    return {"lsn": source.lsn, "encoding": source.encoding, "tables": tables}


def _checksum(
    session: Session, request: ChecksumRequest, entry: TableRequest, statement: sql.Composable
) -> dict[str, Any]:
    name = str(request.name(entry))
    try:
        row = session.read(statement, lock_seconds=LOCK_SECONDS)[0]
    except ServerError as exc:
        message = f"{entry.option}: {name} cannot be read: {exc.message}"
        if exc.sqlstate == _SERIALIZATION_FAILURE:
            message += (
                " Try again, or let queries run longer on this standby"
                " (max_standby_streaming_delay, max_standby_archive_delay)."
            )
        raise ReplicationError(message) from None
    return {"name": name, "rows": row["rows"], "checksum": row["checksum"]}

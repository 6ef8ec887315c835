# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The tables of a subscriber: what is asked for, what is there, and the plan between them.

PostgreSQL: Logical Replication, "Restrictions" (the schema is not replicated) and "Column Lists".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    TableName,
    check_identifier,
    if_given,
    unique,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan, Step
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication import (
    TableRequest,
    table_requests,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import (
    name_array,
    table_identifier,
)

DEFAULT_SCHEMA = "public"
# Ordinary and partitioned tables: what a subscriber can apply rows to (pg_class.relkind).
_TABLE_KINDS = ("r", "p")


@dataclass(frozen=True)
class SubscriberRequest:
    """The module's options, checked as far as that goes without a server.

    :param columns: of each table; None: all of them.
    :param copied: the rows of tables new to the subscription will be copied.
    """

    columns: Mapping[TableName, frozenset[str] | None]
    inspect: bool = False
    extensions: tuple[str, ...] = ()
    schema: str = ""
    subscription: str | None = None
    copied: bool = True
    truncate: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table that is there.

    :param bare: it is NOT NULL, and nothing but an insert gives it a value.
    """

    name: str
    bare: bool = False
    key: bool = False


@dataclass(frozen=True)
class SubscriberTable:
    """A table that is there.

    :param subscribed: the subscription has it: its rows were copied, or are being.
    """

    kind: str = "r"
    columns: tuple[Column, ...] = ()
    subscribed: bool = False


@dataclass(frozen=True)
class SubscriberState:
    """What the server has of all that.

    :param others: the subscription has tables that are not asked for.
    """

    in_recovery: bool = False
    subscription: bool = False
    others: bool = False
    extensions: frozenset[str] = frozenset()
    available: frozenset[str] = frozenset()
    tables: Mapping[TableName, SubscriberTable] = field(default_factory=dict)
    with_rows: frozenset[TableName] = frozenset()


@dataclass
class SubscriberPlan(Plan):
    """A plan, and what it finds and does, for the result."""

    missing: list[dict[str, Any]] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    with_rows: list[str] = field(default_factory=list)
    nullable: list[str] = field(default_factory=list)
    subscribed: bool = False
    refresh: bool = False


# --- what is asked for ---------------------------------------------------------------------------


def qualified(entries: Iterable[TableRequest]) -> dict[TableName, frozenset[str] | None]:
    """The columns of each table by its name with its schema.

    Both ends know a table by schema and name, so that a search_path has no say.
    """
    return {
        TableName(entry.table.schema or DEFAULT_SCHEMA, entry.table.name): entry.columns
        for entry in entries
    }


def subscriber_request(params: Mapping[str, Any]) -> SubscriberRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong.
    """
    if not params["tables"]:
        raise ReplicationError("tables: name the tables that are published to this subscriber.")
    return SubscriberRequest(
        columns=qualified(table_requests(params["tables"]) or ()),
        inspect=params["state"] == "inspected",
        extensions=tuple(
            unique(
                check_identifier(f"extensions[{index}]", name)
                for index, name in enumerate(params["extensions"])
            )
        ),
        schema=(params["schema"] or "").strip(),
        subscription=if_given(check_identifier, "subscription", params),
        copied=params["copy_data"],
        truncate=params["truncate"],
    )


# --- what is there -------------------------------------------------------------------------------

# A generated column, one with a default and an identity column need no value from an insert.
_READ = """
WITH RECURSIVE
wanted AS (
  SELECT c.oid, n.nspname, c.relname, c.relkind
    FROM unnest({schemas}, {names}) AS w (schema, name)
    JOIN pg_namespace AS n ON n.nspname = w.schema
    JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name),
-- A partitioned table is subscribed to by itself or by its partitions.
family (root, oid) AS (
  SELECT oid, oid FROM wanted
  UNION
  SELECT f.root, i.inhrelid FROM family AS f JOIN pg_inherits AS i ON i.inhparent = f.oid),
subscription AS (
  SELECT oid FROM pg_subscription
   WHERE subname = {subscription}
     AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())),
subscribed AS (
  SELECT srrelid AS oid FROM pg_subscription_rel
   WHERE srsubid IN (SELECT oid FROM subscription))
SELECT pg_is_in_recovery() AS in_recovery,
       EXISTS (SELECT FROM subscription) AS subscription,
       EXISTS (SELECT FROM subscribed WHERE oid NOT IN (SELECT oid FROM family)) AS others,
       ARRAY(SELECT extname::text FROM pg_extension) AS extensions,
       ARRAY(SELECT name::text FROM pg_available_extensions) AS available,
       (SELECT coalesce(json_agg(found), '[]'::json) FROM (
          SELECT c.nspname, c.relname, c.relkind,
                 EXISTS (SELECT FROM subscribed AS s JOIN family AS f ON f.oid = s.oid
                          WHERE f.root = c.oid) AS subscribed,
                 (SELECT coalesce(json_agg(json_build_object(
                             'name', a.attname,
                             'bare', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '',
                             'key', EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid
                                               AND i.indisprimary AND a.attnum = ANY (i.indkey))
                         ) ORDER BY a.attnum), '[]'::json)
                    FROM pg_attribute AS a
                   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
            FROM wanted AS c
          ) AS found) AS tables
"""


def read_subscriber(session: Session, request: SubscriberRequest) -> SubscriberState:
    """What is there, in one statement, and in one more which tables have rows."""
    row = session.read(
        sql.SQL(_READ).format(
            subscription=sql.Literal(request.subscription),
            schemas=name_array(table.schema or "" for table in request.columns),
            names=name_array(table.name for table in request.columns),
        )
    )[0]
    tables = {
        TableName(found["nspname"], found["relname"]): SubscriberTable(
            kind=found["relkind"],
            columns=tuple(Column(**column) for column in found["columns"]),
            subscribed=found["subscribed"],
        )
        for found in row["tables"]
    }
    new = [
        name
        for name, table in tables.items()
        if table.kind in _TABLE_KINDS and not table.subscribed
    ]
    return SubscriberState(
        in_recovery=row["in_recovery"],
        subscription=row["subscription"],
        others=row["others"],
        extensions=frozenset(row["extensions"]),
        available=frozenset(row["available"]),
        tables=tables,
        with_rows=_with_rows(session, new) if request.copied else frozenset(),
    )


def _with_rows(session: Session, tables: list[TableName]) -> frozenset[TableName]:
    if not tables:
        return frozenset()
    columns = sql.SQL(", ").join(
        sql.SQL("EXISTS (SELECT FROM {}) AS {}").format(
            table_identifier(name), sql.Identifier(f"table_{number}")
        )
        for number, name in enumerate(tables)
    )
    found = session.rows(sql.SQL("SELECT ") + columns)[0].values()
    return frozenset(name for name, has_rows in zip(tables, found) if has_rows)


# --- the plan ------------------------------------------------------------------------------------


def plan_subscriber(request: SubscriberRequest, state: SubscriberState) -> SubscriberPlan:
    """The steps that give the subscriber its tables.

    :raises ReplicationError: what stands in the way, every problem in one error.
    """
    missing = [name for name in request.columns if name not in state.tables]
    plan = SubscriberPlan(
        missing=[_as_entry(name, request.columns[name]) for name in missing],
        present=[str(name) for name in request.columns if name in state.tables],
        with_rows=sorted(map(str, state.with_rows)),
        subscribed=state.subscription,
        refresh=state.subscription and (state.others or not _all_subscribed(request, state)),
    )
    if request.inspect:
        return plan
    fail_with_all(_problems(request, state, missing))
    nullable = _unfilled(request, state)
    extensions = [name for name in request.extensions if name not in state.extensions]
    truncated = sorted(state.with_rows)
    plan.steps = [
        *map(_create_extension, extensions),
        *(_create_tables(request, missing) if missing and request.schema else ()),
        *(_drop_not_null(table, column) for table, column in nullable),
        *([_truncate(truncated)] if truncated else ()),
    ]
    plan.nullable = [f"{table}.{column.name}" for table, column in nullable]
    plan.before = {
        "extensions": sorted(set(request.extensions) - set(extensions)),
        "tables": plan.present,
        "not_null_without_a_value": plan.nullable,
        "with_rows_of_their_own": plan.with_rows,
    }
    plan.after = {
        "extensions": sorted(request.extensions),
        "tables": list(map(str, request.columns)),
        "not_null_without_a_value": [],
        "with_rows_of_their_own": [],
    }
    return plan


def _as_entry(name: TableName, columns: frozenset[str] | None) -> dict[str, Any]:
    """A table as lists of tables have it."""
    return {"name": str(name), **({} if columns is None else {"columns": sorted(columns)})}


def _all_subscribed(request: SubscriberRequest, state: SubscriberState) -> bool:
    return all(name in state.tables and state.tables[name].subscribed for name in request.columns)


def _problems(
    request: SubscriberRequest, state: SubscriberState, missing: list[TableName]
) -> list[str]:
    problems = []
    if state.in_recovery:
        problems.append("This server is a standby: nothing can be created in it.")
    problems += [
        f"extensions: {name} is not installed on this machine: install the package that brings it"
        " (in Debian postgresql-VERSION-NAME, for example postgresql-15-pgvector for vector)."
        for name in request.extensions
        if name not in state.extensions | state.available
    ]
    if missing and not request.schema:
        problems.append(
            f"Missing here: {', '.join(map(str, missing))}. Give the SQL that creates them as"
            " schema; hmm.pg_replication.schema_dump makes it on the publisher."
        )
    for name, table in sorted(state.tables.items()):
        problems += _table_problems(name, table, request)
    if state.with_rows and not request.truncate:
        names = ", ".join(map(str, sorted(state.with_rows)))
        problems.append(
            f"Tables that are to be copied have rows here already, which the copy would conflict"
            f" with: {names}. Set truncate to true to delete all rows of them here first, or"
            " empty them by hand."
        )
    return problems


def _table_problems(
    name: TableName, table: SubscriberTable, request: SubscriberRequest
) -> list[str]:
    if table.kind not in _TABLE_KINDS:
        return [f"{name} is not a table here: rename or drop it, so that the table can be created."]
    wanted = request.columns[name]
    if wanted is None:
        return []
    unknown = sorted(wanted - {column.name for column in table.columns})
    problems = [
        f"Table {name} has no column {column} here: add it by ALTER TABLE, or take it out of the"
        " columns that are wanted."
        for column in unknown
    ]
    problems += [
        f"Table {name}: {column.name} is part of its primary key here, so that it needs a value:"
        " add it to the columns that are wanted."
        for column in table.columns
        if column.bare and column.key and column.name not in wanted
    ]
    return problems


def _unfilled(request: SubscriberRequest, state: SubscriberState) -> list[tuple[TableName, Column]]:
    """The columns that nothing gives a value, and that may not be without."""
    return [
        (name, column)
        for name, wanted in request.columns.items()
        if wanted is not None and name in state.tables
        for column in state.tables[name].columns
        if column.bare and column.name not in wanted
    ]


def _create_extension(name: str) -> Step:
    return Step(
        f"create the extension {name}",
        # Where its own file does not name a schema: not in the session's, which is pg_catalog.
        sql.SQL("SET LOCAL search_path = public; CREATE EXTENSION {} CASCADE").format(
            sql.Identifier(name)
        ),
    )


def _create_tables(request: SubscriberRequest, missing: list[TableName]) -> list[Step]:
    there = sql.SQL(", ").join(
        sql.SQL("{}::regclass").format(sql.Literal('"{}"."{}"'.format(*map(_escaped, name))))
        for name in missing
    )
    return [
        Step(f"create {', '.join(map(str, missing))} from schema", sql.SQL(request.schema)),
        # In the same transaction: a schema of other tables is not kept.
        Step(
            "find the tables that schema was to create",
            sql.SQL("SELECT {}").format(there),
        ),
    ]


def _escaped(part: str | None) -> str:
    return (part or "").replace('"', '""')


def _drop_not_null(table: TableName, column: Column) -> Step:
    return Step(
        f"let {table}.{column.name} be without a value",
        sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL").format(
            table_identifier(table), sql.Identifier(column.name)
        ),
    )


def _truncate(tables: list[TableName]) -> Step:
    return Step(
        f"empty {', '.join(map(str, tables))}",
        sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(table_identifier, tables))),
    )

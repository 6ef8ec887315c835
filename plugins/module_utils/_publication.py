# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Publications: what is asked for, and what is there.

PostgreSQL: Logical Replication, "Publication", "Row Filters", "Column Lists"; the catalogs
pg_publication, pg_publication_rel and pg_publication_namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    INSUFFICIENT_PRIVILEGE,
    ReplicationError,
    ServerError,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    TableName,
    check_expression,
    check_identifier,
    if_given,
    parse_table_name,
    unique,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._replica_identity import (
    RELATIONS,
    Filter,
    PublishedTable,
    Relation,
    relation_of,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import (
    name_array,
    table_identifier,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import PUBLICATION

OPERATIONS = ("insert", "update", "delete", "truncate")


@dataclass(frozen=True)
class Publication:
    """What a publication is."""

    name: str
    owner: str
    comment: str | None = None
    all_tables: bool = False
    tables: Mapping[TableName, PublishedTable] | None = None
    schemas: frozenset[str] = frozenset()
    publish: frozenset[str] = frozenset(OPERATIONS)
    publish_via_partition_root: bool = False
    publish_generated_columns: str | None = None

    def shown(self) -> dict[str, Any]:
        content: dict[str, Any] = {"all_tables": True}
        if not self.all_tables:
            content = {
                "all_tables": False,
                "tables": [
                    _shown_table(name, table) for name, table in sorted(self.published.items())
                ],
                "schemas": sorted(self.schemas),
            }
        state = {
            "name": self.name,
            "state": "present",
            "owner": self.owner,
            "comment": self.comment,
            **content,
            "publish": [operation for operation in OPERATIONS if operation in self.publish],
            "publish_via_partition_root": self.publish_via_partition_root,
        }
        if self.publish_generated_columns is not None:
            state["publish_generated_columns"] = self.publish_generated_columns
        return state

    @property
    def published(self) -> Mapping[TableName, PublishedTable]:
        return self.tables or {}


def _shown_table(name: TableName, table: PublishedTable) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": str(name)}
    if table.columns is not None:
        shown["columns"] = sorted(table.columns)
    if table.where is not None:
        shown["where"] = table.where.text
    return shown


@dataclass(frozen=True)
class TableRequest:
    """One entry of the option tables."""

    option: str
    table: TableName
    columns: frozenset[str] | None = None
    where: str | None = None
    only: bool = False


@dataclass(frozen=True)
class PublicationRequest:
    """The options of the module publication; None: left as it is."""

    name: str
    present: bool = True
    tables: tuple[TableRequest, ...] | None = None
    schemas: tuple[str, ...] | None = None
    all_tables: bool | None = None
    append: bool = False
    publish: frozenset[str] | None = None
    publish_via_partition_root: bool | None = None
    publish_generated_columns: str | None = None
    require_replica_identity: bool = True
    owner: str | None = None
    comment: str | None = None
    new_name: str | None = None
    cascade: bool = False

    @property
    def declares_content(self) -> bool:
        """Whether the task says what is published, and so, unless it appends, all that is."""
        return bool(self.tables is not None or self.schemas is not None or self.all_tables)


def publication_request(params: Mapping[str, Any]) -> PublicationRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong, or makes no sense beside another.
    """
    request = PublicationRequest(
        name=check_identifier("name", params["name"]),
        present=params["state"] == "present",
        tables=table_requests(params["tables"]),
        schemas=_identifiers("schemas", params["schemas"]),
        all_tables=params["all_tables"],
        append=params["append"],
        publish=_operations(params["publish"]),
        publish_via_partition_root=params["publish_via_partition_root"],
        publish_generated_columns=params["publish_generated_columns"],
        require_replica_identity=params["require_replica_identity"],
        owner=if_given(check_identifier, "owner", params),
        comment=params["comment"],
        new_name=if_given(check_identifier, "new_name", params),
        cascade=params["cascade"],
    )
    if request.all_tables and (request.tables or request.schemas):
        raise ReplicationError("all_tables: it cannot be true beside tables or schemas.")
    if request.append and not request.declares_content:
        raise ReplicationError("append: name the tables or schemas that are to be added.")
    if request.new_name and not request.present:
        raise ReplicationError("new_name: it makes no sense with state: absent.")
    if request.new_name == request.name:
        raise ReplicationError("new_name: it is the name already.")
    with_columns = [table.option for table in request.tables or () if table.columns is not None]
    if request.schemas and with_columns:
        raise ReplicationError(
            f"{with_columns[0]}.columns: a publication with schemas cannot have column lists;"
            " make two publications."
        )
    return request


def _identifiers(option: str, names: Iterable[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    return tuple(
        unique(check_identifier(f"{option}[{index}]", name) for index, name in enumerate(names))
    )


def _operations(values: Iterable[str] | None) -> frozenset[str] | None:
    if values is None:
        return None
    operations = frozenset(value.strip().lower() for value in values) - {""}
    for operation in sorted(operations.difference(OPERATIONS)):
        raise ReplicationError(
            f"publish: {operation!r} is not an operation; possible are {', '.join(OPERATIONS)}."
        )
    return operations


_TABLE_KEYS = {"name", "columns", "where", "only"}


def table_requests(entries: Iterable[Any] | None) -> tuple[TableRequest, ...] | None:
    """Read an option that lists tables as publications do; None: not given."""
    if entries is None:
        return None
    return tuple(_table(f"tables[{index}]", entry) for index, entry in enumerate(entries))


def _table(option: str, entry: Any) -> TableRequest:
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise ReplicationError(
            f"{option}: write a table's name, or a mapping with name and, where wanted, columns,"
            " where and only."
        )
    unknown = sorted(set(entry).difference(_TABLE_KEYS))
    if unknown:
        raise ReplicationError(
            f"{option}: {unknown[0]!r} is unknown; possible are {', '.join(sorted(_TABLE_KEYS))}."
        )
    columns, where, only = entry.get("columns"), entry.get("where"), entry.get("only", False)
    if columns is not None and not (
        isinstance(columns, list) and columns and all(isinstance(name, str) for name in columns)
    ):
        raise ReplicationError(
            f"{option}.columns: a list of column names; leave it out to publish all columns."
        )
    if where is not None and not isinstance(where, str):
        raise ReplicationError(f"{option}.where: an SQL expression, as a string.")
    if not isinstance(only, bool):
        raise ReplicationError(f"{option}.only: true or false.")
    return TableRequest(
        option=option,
        table=parse_table_name(f"{option}.name", entry["name"]),
        columns=frozenset(_identifiers(f"{option}.columns", columns) or ()) if columns else None,
        where=None if where is None else check_expression(f"{option}.where", where),
        only=only,
    )


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Catalog:
    """What the plan has to know of the database.

    :param found: the publications named name and new_name, where they exist.
    :param asked: for every entry of the option tables the oid of the table, where it exists.
    :param covered: of the tables that are or would be published with their schema or with all
        tables, those that may miss a replica identity; each with the schemas it comes with.
    :param filters: the row filters asked for, as the server writes them, by entry.
    """

    version: int
    database: str
    user: str
    in_recovery: bool = False
    found: Mapping[str, Publication] | None = None
    asked: tuple[int | None, ...] = ()
    relations: Mapping[int, Relation] | None = None
    covered: tuple[tuple[Relation, frozenset[str]], ...] = ()
    filters: Mapping[str, Filter] | None = None

    def publication(self, name: str | None) -> Publication | None:
        return (self.found or {}).get(name or "")

    def relation(self, oid: int) -> Relation:
        return (self.relations or {})[oid]

    def by_name(self, name: TableName) -> Relation:
        return self._names[name]

    @cached_property
    def _names(self) -> dict[TableName, Relation]:
        return {relation.name: relation for relation in (self.relations or {}).values()}


# A table without a schema is looked up where the session would look: in its search_path, which is
# pg_catalog alone while this is read.
_READ = """
WITH RECURSIVE
path (place, schema) AS (
  SELECT 0, 'pg_catalog'
  UNION ALL
  SELECT place, CASE WHEN part[2] IS NOT NULL THEN lower(part[2])
                     WHEN part[1] = '$user' THEN current_user
                     ELSE replace(part[1], '""', '"') END
    FROM pg_settings
    CROSS JOIN regexp_matches(reset_val, '"((?:[^"]|"")*)"|([^", ]+)', 'g')
               WITH ORDINALITY AS item (part, place)
   WHERE name = 'search_path'),
wanted AS (SELECT * FROM pg_publication WHERE pubname = ANY ({names})),
entry (position, schema, name) AS (VALUES {entries}),
asked AS (
  SELECT DISTINCT ON (position) position, c.oid
    FROM entry
    JOIN pg_class c ON c.relname = entry.name
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN path ON entry.schema IS NULL AND path.schema = n.nspname
   WHERE path.place IS NOT NULL OR n.nspname = entry.schema
   ORDER BY position, path.place),
tree (oid) AS (
  SELECT oid FROM asked
  UNION SELECT prrelid FROM pg_publication_rel WHERE prpubid IN (SELECT oid FROM wanted)
  UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.oid),
{relations},
cover (oid, schema) AS (
  SELECT c.oid, n.nspname
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE {all_tables} OR (SELECT bool_or(puballtables) FROM wanted)
      OR n.nspname = ANY ({in_schemas}) OR n.nspname = ANY ({schemas_there})
  UNION SELECT inhrelid, cover.schema FROM pg_inherits
          JOIN cover ON inhparent = cover.oid
          JOIN pg_class c ON c.oid = inhrelid AND c.relispartition)
SELECT pg_is_in_recovery() AS in_recovery,
       current_user AS user,
       (SELECT json_agg(json_build_object(
                 'name', p.pubname,
                 'owner', pg_get_userbyid(p.pubowner),
                 'comment', obj_description(p.oid, 'pg_publication'),
                 'all_tables', p.puballtables,
                 'publish', array_remove(ARRAY[
                    CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
                    CASE WHEN pubdelete THEN 'delete' END,
                    CASE WHEN pubtruncate THEN 'truncate' END], NULL),
                 'publish_via_partition_root', p.pubviaroot,
                 'publish_generated_columns', {generated},
                 'schemas', {schemas},
                 'tables', (
                    SELECT json_agg(json_build_object(
                             'schema', n.nspname, 'name', c.relname,
                             'columns', {columns}, 'where', {filter}, 'where_columns', {filtered}))
                      FROM pg_publication_rel r
                      JOIN pg_class c ON c.oid = r.prrelid
                      JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE r.prpubid = p.oid)))
          FROM wanted p) AS publications,
       (SELECT json_agg(json_build_array(position, oid)) FROM asked) AS asked,
       (SELECT json_agg(found) FROM relation WHERE oid IN (SELECT oid FROM tree)) AS relations,
       (SELECT json_agg(json_build_array(
                 found, (SELECT json_agg(schema) FROM cover WHERE cover.oid = c.oid)))
          FROM relation
          JOIN pg_class c USING (oid)
         WHERE oid IN (SELECT oid FROM cover)
           AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384
           AND CASE WHEN c.relreplident <> 'f'
                         AND NOT EXISTS (SELECT FROM identity WHERE indrelid = c.oid) THEN true
                    ELSE EXISTS (SELECT FROM pg_attribute
                                  WHERE attrelid = c.oid AND attgenerated <> '') END) AS covered
"""
# What a version brought to the catalogs, as an expression; NULL stands for it in older ones.
_SINCE = {
    "generated": (18, "CASE p.pubgencols WHEN 's' THEN 'stored' ELSE 'none' END"),
    "schemas": (
        15,
        """(SELECT json_agg(nspname)
             FROM pg_publication_namespace
             JOIN pg_namespace n ON n.oid = pnnspid
            WHERE pnpubid = p.oid)""",
    ),
    "columns": (
        15,
        """(SELECT json_agg(attname)
             FROM pg_attribute
            WHERE attrelid = r.prrelid AND attnum = ANY (r.prattrs))""",
    ),
    "filter": (15, "pg_get_expr(r.prqual, r.prrelid)"),
    # Its dependencies would name the columns of the column list as well.
    "filtered": (
        15,
        """(SELECT json_agg(DISTINCT attname)
             FROM regexp_matches(r.prqual::text, ':varattno ([0-9]+)', 'g') AS used (number)
             JOIN pg_attribute ON attrelid = r.prrelid AND attnum = number[1]::int)""",
    ),
    "schemas_there": (
        15,
        """ARRAY(SELECT nspname
                   FROM pg_publication_namespace
                   JOIN pg_namespace ON pg_namespace.oid = pnnspid
                  WHERE pnpubid IN (SELECT oid FROM wanted))""",
    ),
}


def read_catalog(session: Session, request: PublicationRequest, patience: int) -> Catalog:
    """All that one publication and the tables asked for have to do with, in one statement.

    :param patience: how many seconds to wait for a table that another session locks.
    """
    expressions = {
        slot: sql.SQL(expression if session.major >= since else "NULL")
        for slot, (since, expression) in _SINCE.items()
    }
    row = session.read(
        sql.SQL(_READ).format(
            names=name_array([request.name, *filter(None, [request.new_name])]),
            entries=_entries(request.tables or ()),
            relations=sql.SQL(RELATIONS),
            all_tables=sql.Literal(bool(request.all_tables)),
            in_schemas=name_array(request.schemas or ()),
            **expressions,
        ),
        lock_seconds=patience,  # pg_get_expr() waits for whoever locks the table
    )[0]
    asked = {position: int(oid) for position, oid in row["asked"] or ()}
    catalog = Catalog(
        version=session.server_version,
        database=session.database,
        user=row["user"],
        in_recovery=row["in_recovery"],
        found={item["name"]: _publication(item) for item in row["publications"] or ()},
        asked=tuple(asked.get(position) for position in range(len(request.tables or ()))),
        relations={item["oid"]: relation_of(item) for item in row["relations"] or ()},
        covered=tuple(
            (relation_of(item), frozenset(schemas)) for item, schemas in row["covered"] or ()
        ),
    )
    return replace(catalog, filters=_deparsed(session, request, catalog, patience))


def _entries(tables: Iterable[TableRequest]) -> sql.Composable:
    entries = [
        sql.SQL("({}, {}::name, {}::name)").format(
            sql.Literal(position), sql.Literal(entry.table.schema), sql.Literal(entry.table.name)
        )
        for position, entry in enumerate(tables)
    ]
    return sql.SQL(", ").join(entries or [sql.SQL("(-1, NULL::name, NULL::name)")])


def _publication(item: Mapping[str, Any]) -> Publication:
    return Publication(
        name=item["name"],
        owner=item["owner"],
        comment=item["comment"],
        all_tables=item["all_tables"],
        tables={
            TableName(table["schema"], table["name"]): PublishedTable(
                columns=None if table["columns"] is None else frozenset(table["columns"]),
                where=None
                if table["where"] is None
                else Filter(table["where"], frozenset(table["where_columns"] or ())),
            )
            for table in item["tables"] or ()
        },
        schemas=frozenset(item["schemas"] or ()),
        publish=frozenset(item["publish"]),
        publish_via_partition_root=item["publish_via_partition_root"],
        publish_generated_columns=item["publish_generated_columns"],
    )


def _deparsed(
    session: Session, request: PublicationRequest, catalog: Catalog, patience: int
) -> dict[str, Filter]:
    """The row filters asked for, as the server would write them in its catalog.

    The server keeps a filter as a parsed tree and writes it in its own way, so only it can tell
    whether two texts are the same filter. Where the text is the catalog's own, nothing is asked.
    Otherwise the filters become check constraints of temporary tables that are rolled back: the
    catalog writes those the same way, and no lock is taken that holds up anyone.
    """
    there = catalog.publication(request.name) or catalog.publication(request.new_name)
    published = there.published if there else {}
    filters: dict[str, Filter] = {}
    unsettled: list[tuple[TableRequest, Relation]] = []
    for entry, oid in zip(request.tables or (), catalog.asked):
        if entry.where is None or oid is None:
            continue
        relation = catalog.relation(oid)
        stored = published.get(relation.name, PublishedTable()).where
        if stored and stored.text in (entry.where, f"({entry.where})"):
            filters[entry.option] = stored
        else:
            unsettled.append((entry, relation))
    possible = request.present and not catalog.in_recovery
    if unsettled and possible and session.major >= PUBLICATION["where"].create:
        with session.transaction(keep=False):
            for entry, relation in unsettled:
                filters[entry.option] = _deparse(session, entry, relation, patience)
    return filters


def _deparse(session: Session, entry: TableRequest, relation: Relation, patience: int) -> Filter:
    # Named like the table itself, for filters that say documents.id.
    probe = sql.Identifier("pg_temp", relation.name.name)
    try:
        row = session.rows(
            sql.SQL(
                "SET LOCAL lock_timeout = {patience}; DROP TABLE IF EXISTS {probe};"
                " CREATE TEMPORARY TABLE {probe} (LIKE {table}, CHECK ({where}));"
                " SELECT pg_get_expr(conbin, conrelid) AS text, array(SELECT attname::text"
                " FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)) AS columns"
                " FROM pg_constraint WHERE contype = 'c' AND conrelid = {name}::regclass"
            ).format(
                patience=sql.Literal(f"{patience}s"),
                probe=probe,
                name=sql.Literal(f"pg_temp.{_quoted(relation.name.name)}"),
                table=table_identifier(relation.name),
                where=sql.SQL(entry.where or ""),
            )
        )[0]
    except ServerError as exc:
        raise ReplicationError(
            f"{entry.option}.where: {_refusal(exc, entry.where or '')}"
        ) from None
    return Filter(row["text"], frozenset(row["columns"]), entry.where)


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _refusal(exc: ServerError, where: str) -> str:
    if exc.sqlstate == INSUFFICIENT_PRIVILEGE:
        return (
            f"a temporary table is needed to compare the filter {where!r} with the catalog's, and"
            f" the server refused it: {exc.message} Or write the filter as the server writes it."
        )
    return f"the server refused the filter {where!r}: {exc.message}"

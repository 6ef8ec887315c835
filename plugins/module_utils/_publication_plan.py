# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The plan from a publication as it is to the publication as it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    TableName,
    unique,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan, Step
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication import (
    OPERATIONS,
    Catalog,
    Publication,
    PublicationRequest,
    TableRequest,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._replica_identity import (
    Filter,
    Gap,
    PublishedTable,
    Relation,
    descendants,
    identity_gap,
    written,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import table_identifier
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import (
    PUBLICATION,
    missing_at_create,
)

_SETTINGS = ("publish", "publish_via_partition_root", "publish_generated_columns")


def plan_publication(request: PublicationRequest, catalog: Catalog) -> Plan:
    """The steps that make the publication what is asked for.

    :raises ReplicationError: what is impossible, all problems in one error.
    """
    before = catalog.publication(request.name)
    if request.new_name and catalog.publication(request.new_name):
        if before:
            raise ReplicationError(
                f"new_name: the publications {request.name!r} and {request.new_name!r} both exist."
            )
        before = catalog.publication(request.new_name)
    if request.new_name and not before:
        raise ReplicationError(
            f"new_name: neither publication {request.name!r} nor {request.new_name!r} exists. To"
            " create one, leave new_name out."
        )
    if not request.present:
        steps = [_drop(request)] if before else []
        after = {"name": request.name, "state": "absent"}
    else:
        wanted = _wanted(request, catalog, before)
        steps = _steps(before, wanted, catalog)
        after = wanted.shown()
    if steps and catalog.in_recovery:
        raise ReplicationError(
            "This server is a standby: change the publication on the primary, and it arrives here."
        )
    shown = before.shown() if before else {"name": request.name, "state": "absent"}
    return Plan(steps, shown, after)


def _drop(request: PublicationRequest) -> Step:
    statement = sql.SQL("DROP PUBLICATION {}" + (" CASCADE" if request.cascade else ""))
    return Step("drop the publication", statement.format(sql.Identifier(request.name)))


# --- what is wanted ------------------------------------------------------------------------------


def _wanted(
    request: PublicationRequest, catalog: Catalog, before: Publication | None
) -> Publication:
    problems = [f"{missing}." for missing in _missing_options(request, catalog.version)]
    problems.extend(
        f"{entry.option}: table {entry.table} does not exist in database {catalog.database}."
        for entry, oid in zip(request.tables or (), catalog.asked)
        if oid is None
    )
    fail_with_all(problems)

    base = before or Publication(
        request.name,
        owner=catalog.user,
        publish_generated_columns="none"
        if catalog.version // 10000 >= PUBLICATION["publish_generated_columns"].create
        else None,
    )
    given = {
        option: getattr(request, option)
        for option in (*_SETTINGS, "owner", "comment")
        if getattr(request, option) is not None
    }
    wanted = replace(base, name=request.new_name or base.name, **given)
    wanted = replace(wanted, comment=wanted.comment or None)
    if request.declares_content:
        wanted = _with_content(wanted, request, catalog)
    elif wanted.all_tables and request.all_tables is False:
        raise ReplicationError(
            "all_tables: the publication is of all tables; say in tables or schemas what it is to"
            " publish instead (tables: [] for nothing)."
        )
    if request.require_replica_identity and (
        request.declares_content or request.publish is not None
    ):
        fail_with_all(_identity_problems(wanted, catalog))
    return wanted


def _missing_options(request: PublicationRequest, version: int) -> list[str]:
    used = {
        "publish_via_partition_root": request.publish_via_partition_root is not None,
        "publish_generated_columns": request.publish_generated_columns is not None,
        "schemas": bool(request.schemas),
        "columns": any(entry.columns for entry in request.tables or ()),
        "where": any(entry.where for entry in request.tables or ()),
    }
    missing = (
        missing_at_create(PUBLICATION, option, version) for option, given in used.items() if given
    )
    return [sentence for sentence in missing if sentence]


def _with_content(
    wanted: Publication, request: PublicationRequest, catalog: Catalog
) -> Publication:
    declared = _declared_tables(request, catalog)
    schemas = frozenset(request.schemas or ())
    if not request.append:
        return replace(
            wanted, all_tables=bool(request.all_tables), tables=declared, schemas=schemas
        )
    if wanted.all_tables:
        narrowed = [entry.option for entry in request.tables or () if entry.columns or entry.where]
        if narrowed:
            raise ReplicationError(
                f"{narrowed[0]}: the publication is of all tables, so nothing can be appended with"
                " columns or where."
            )
        return wanted
    if request.all_tables:
        return replace(wanted, all_tables=True, tables={}, schemas=frozenset())
    return replace(
        wanted,
        tables={**wanted.published, **declared},
        schemas=wanted.schemas | schemas,
    )


def _declared_tables(
    request: PublicationRequest, catalog: Catalog
) -> dict[TableName, PublishedTable]:
    """The tables asked for, each of its own, with those that inherit from them.

    A table that is named itself counts as it is named; a child that is not, as its parent.
    """
    named: dict[TableName, PublishedTable] = {}
    inherited: dict[TableName, PublishedTable] = {}
    for entry, oid in zip(request.tables or (), catalog.asked):
        relation = catalog.relation(oid or 0)
        table = PublishedTable(entry.columns, _filter(entry, catalog))
        if named.setdefault(relation.name, table) != table:
            raise ReplicationError(
                f"{entry.option}: table {relation.name} is named twice, with different columns or"
                " where."
            )
        if not entry.only and not relation.partitioned:
            for child in descendants(relation, catalog.relations or {}):
                inherited.setdefault(child.name, replace(table, where=_plain(table.where)))
    return {**inherited, **named}


def _plain(where: Filter | None) -> Filter | None:
    """The filter for a table that inherits it: the text of the task may name the parent."""
    return where and replace(where, source=None)


def _filter(entry: TableRequest, catalog: Catalog) -> Filter | None:
    if entry.where is None:
        return None
    return (catalog.filters or {}).get(entry.option, Filter(entry.where, frozenset()))


# --- replica identity ----------------------------------------------------------------------------


def _identity_problems(wanted: Publication, catalog: Catalog) -> list[str]:
    """Tables whose updates or deletes the publisher would refuse once they are published.

    PostgreSQL: Logical Replication, "Publication" and "Row Filters", "Column Lists".
    """
    if not wanted.publish & {"update", "delete"}:
        return []
    gaps = [
        (relation, PublishedTable())
        for relation, schemas in catalog.covered
        if wanted.all_tables or wanted.schemas & schemas
    ]
    for name, table in wanted.published.items():
        gaps.extend(
            (relation, table)
            for relation in written(catalog.by_name(name), catalog.relations or {})
        )
    problems = [
        _identity_problem(relation, table, wanted, catalog.version)
        for relation, table in sorted(gaps, key=lambda gap: gap[0].name)
    ]
    return unique(problem for problem in problems if problem)


def _identity_problem(
    relation: Relation, table: PublishedTable, wanted: Publication, version: int
) -> str | None:
    generated = wanted.publish_generated_columns == "stored"
    found = identity_gap(relation, table, generated, version)
    if found is None:
        return None
    gap, columns = found
    return _REMEDIES[gap].format(
        table=relation.name,
        columns=", ".join(sorted(columns)),
        are="is" if len(columns) == 1 else "are",
        fails="so updates and deletes of it would fail on the publisher",
    )


_REMEDIES = {
    Gap.NO_IDENTITY: (
        "Table {table} has no replica identity, {fails}: give it a primary key, or ALTER TABLE"
        " {table} REPLICA IDENTITY FULL, or set publish to insert and truncate, or"
        " require_replica_identity to false."
    ),
    Gap.FULL_AND_COLUMNS: (
        "Table {table}: its replica identity is FULL, which no column list serves, {fails}: leave"
        " columns out, or give it a replica identity that is a key."
    ),
    Gap.COLUMNS: (
        "Table {table}: its column list leaves out columns of its replica identity, {fails}: add"
        " {columns} to columns."
    ),
    Gap.FILTER: (
        "Table {table}: its filter uses columns outside its replica identity, {fails}: filter by"
        " the identity's columns, publish only insert and truncate, or ALTER TABLE {table} REPLICA"
        " IDENTITY FULL."
    ),
    Gap.FULL_AND_VIRTUAL: (
        "Table {table}: its replica identity is FULL and {columns} {are} virtual, which cannot be"
        " published, {fails}: give it a replica identity that is a key."
    ),
    Gap.GENERATED: (
        "Table {table}: {columns} {are} generated, part of its replica identity and not published,"
        " {fails}: set publish_generated_columns to stored."
    ),
}


# --- steps ---------------------------------------------------------------------------------------


def _steps(before: Publication | None, wanted: Publication, catalog: Catalog) -> list[Step]:
    if before is None:
        return [_create(wanted, catalog), *_attributes(None, wanted, catalog.user)]
    steps = []
    if before.all_tables != wanted.all_tables:
        # Within one transaction no change is decoded while there is no publication.
        there = sql.Identifier(before.name)
        steps.append(
            Step(
                "drop the publication, to make it anew with other contents",
                sql.SQL("DROP PUBLICATION {}").format(there),
            )
        )
        steps.append(_create(wanted, catalog))
        steps.extend(_attributes(None, wanted, catalog.user))
        return steps
    settings = _changed_settings(before, wanted)
    content = _alter_content(before, wanted, catalog)
    # A partitioned table can have a filter or a column list only while its root is published.
    if before.publish_via_partition_root and not wanted.publish_via_partition_root:
        steps = [*content, *settings]
    else:
        steps = [*settings, *content]
    if before.name != wanted.name:
        steps.append(
            Step(
                "rename the publication",
                sql.SQL("ALTER PUBLICATION {} RENAME TO {}").format(
                    sql.Identifier(before.name), sql.Identifier(wanted.name)
                ),
            )
        )
    steps.extend(_attributes(before, wanted, before.owner))
    return steps


def _create(wanted: Publication, catalog: Catalog) -> Step:
    parts: list[sql.Composable] = [
        sql.SQL("CREATE PUBLICATION {}").format(sql.Identifier(wanted.name))
    ]
    if wanted.all_tables:
        parts.append(sql.SQL("FOR ALL TABLES"))
    elif wanted.published or wanted.schemas:
        parts.append(sql.SQL("FOR {}").format(_objects(wanted.published, wanted.schemas, catalog)))
    defaults = Publication(wanted.name, wanted.owner, publish_generated_columns="none")
    settings = [
        option
        for option in _SETTINGS
        if getattr(wanted, option) not in (None, getattr(defaults, option))
    ]
    if settings:
        parts.append(sql.SQL("WITH ({})").format(_settings(wanted, settings)))
    return Step("create the publication", sql.SQL(" ").join(parts))


def _attributes(before: Publication | None, wanted: Publication, owner: str) -> list[Step]:
    """Comment and owner, the owner last: whoever gives a publication away cannot change it."""
    name = sql.Identifier(wanted.name)
    steps = []
    if wanted.comment != (before.comment if before else None):
        steps.append(
            Step(
                "comment on the publication",
                sql.SQL("COMMENT ON PUBLICATION {} IS {}").format(
                    name, sql.Literal(wanted.comment)
                ),
            )
        )
    if wanted.owner != owner:
        steps.append(
            Step(
                "change the publication's owner",
                sql.SQL("ALTER PUBLICATION {} OWNER TO {}").format(
                    name, sql.Identifier(wanted.owner)
                ),
            )
        )
    return steps


def _changed_settings(before: Publication, wanted: Publication) -> list[Step]:
    changed = [option for option in _SETTINGS if getattr(before, option) != getattr(wanted, option)]
    if not changed:
        return []
    return [
        Step(
            "change what the publication publishes",
            sql.SQL("ALTER PUBLICATION {} SET ({})").format(
                sql.Identifier(before.name), _settings(wanted, changed)
            ),
        )
    ]


def _settings(wanted: Publication, options: Iterable[str]) -> sql.Composable:
    values = {
        "publish": ", ".join(op for op in OPERATIONS if op in wanted.publish),
        "publish_via_partition_root": wanted.publish_via_partition_root,
        "publish_generated_columns": wanted.publish_generated_columns,
    }
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.SQL(option), sql.Literal(values[option]))
        for option in options
    )


def _alter_content(before: Publication, wanted: Publication, catalog: Catalog) -> list[Step]:
    """At most one statement, so that no row is written while a table is out of the publication."""
    is_, should = before.published, wanted.published
    added = {name: should[name] for name in should if name not in is_}
    dropped = {name: PublishedTable() for name in is_ if name not in should}
    narrowed = any(is_[name] != should[name] for name in should if name in is_)
    new_schemas = wanted.schemas - before.schemas
    old_schemas = before.schemas - wanted.schemas
    adds = bool(added or new_schemas)
    drops = bool(dropped or old_schemas)
    if not (adds or drops or narrowed):
        return []
    if narrowed or (adds and drops):
        verb, objects = "SET", _objects(should, wanted.schemas, catalog)
    elif adds:
        verb, objects = "ADD", _objects(added, new_schemas, catalog)
    else:
        verb, objects = "DROP", _objects(dropped, old_schemas, catalog)
    return [
        Step(
            "change the publication's tables",
            sql.SQL("ALTER PUBLICATION {} " + verb + " {}").format(
                sql.Identifier(before.name), objects
            ),
        )
    ]


def _objects(
    tables: Mapping[TableName, PublishedTable], schemas: Iterable[str], catalog: Catalog
) -> sql.Composable:
    """Tables and schemas as CREATE and ALTER PUBLICATION name them."""
    parts: list[sql.Composable] = []
    if tables:
        listed = sql.SQL(", ").join(
            _table(catalog.by_name(name), table) for name, table in sorted(tables.items())
        )
        parts.append(sql.SQL("TABLE {}").format(listed))
    named = sorted(schemas)
    if named:
        listed = sql.SQL(", ").join(sql.Identifier(schema) for schema in named)
        parts.append(sql.SQL("TABLES IN SCHEMA {}").format(listed))
    return sql.SQL(", ").join(parts)


def _table(relation: Relation, table: PublishedTable) -> sql.Composable:
    parts: list[sql.Composable] = [table_identifier(relation.name)]
    if relation.children and not relation.partitioned:
        # Every child that is wanted stands in the list by itself.
        parts.insert(0, sql.SQL("ONLY"))
    if table.columns is not None:
        columns = sql.SQL(", ").join(sql.Identifier(column) for column in sorted(table.columns))
        parts.append(sql.SQL("({})").format(columns))
    if table.where is not None:
        parts.append(sql.SQL("WHERE ({})").format(sql.SQL(table.where.source or table.where.text)))
    return sql.SQL(" ").join(parts)

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What would fail ashore once tables are published as an inventory wants them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._replica_identity import (
    Filter,
    Gap,
    PublishedTable,
    descendants,
    identity_gap,
    relation_of,
    written,
)

Facts = Mapping[str, Any]

# Cures that an inventory and ALTER TABLE have; module publication has further ones.
_CURES = {
    Gap.FULL_AND_COLUMNS: (
        "ship_tables: {table} has REPLICA IDENTITY FULL, which no list of columns serves, {fails}. Leave out its"
        " columns, or ALTER TABLE {table} REPLICA IDENTITY DEFAULT, or USING INDEX where it has no primary key."
    ),
    Gap.COLUMNS: (
        "ship_tables: columns of {table} leaves out {columns} of its replica identity, {fails}. Add it."
    ),
    Gap.FILTER: (
        "ship_tables: where of {table} looks at {columns}, outside its replica identity, {fails}. Choose rows by the"
        " identity's columns, or {wider}."
    ),
    Gap.FULL_AND_VIRTUAL: (
        "{table} has REPLICA IDENTITY FULL, and {columns}, being virtual, cannot be published, {fails}. ALTER TABLE"
        " {table} REPLICA IDENTITY DEFAULT, or USING INDEX where it has no primary key."
    ),
    Gap.GENERATED: (
        "{table} has {columns} in its replica identity, which is generated and not published, {fails}. ALTER TABLE"
        " {table} REPLICA IDENTITY USING INDEX, of an index without it."
    ),
}
_FAILS = "so that UPDATE and DELETE would fail ashore"
_WIDER = "ALTER TABLE {table} REPLICA IDENTITY FULL where it is small"
# FULL and a list of columns exclude each other.
_WIDER_BESIDE_COLUMNS = (
    "ALTER TABLE {table} REPLICA IDENTITY USING INDEX of one that holds them, and add it to columns"
)


def without_identity(server: Facts, entry: Facts) -> list[str]:
    """The table, if it has no replica identity, or those of its partitions and heirs that have none."""
    return [name for name, gap, _columns in _gaps(server, entry) if gap is Gap.NO_IDENTITY]


def publishing_problems(server: Facts, entries: Iterable[Facts]) -> Iterator[str]:
    """What stands in the way of the columns and rows that a ship takes, as sentences.

    :param server: what preflight_facts found.
    :param entries: as ship_tables has them.
    """
    for entry in entries:
        table = (server["tables"] or {}).get(entry["name"])
        if table is None:
            continue
        columns = entry.get("columns")
        unknown = sorted(set(columns or ()).difference(table["columns"]))
        if unknown:
            yield f"ship_tables: {entry['name']} has no column {', '.join(unknown)}."
        where = _where(server, entry)
        if where is not None and where["refusal"]:
            yield (
                f"ship_tables: the server refuses where of {entry['name']}, {where['where']!r}:"
                f" {where['refusal']}."
            )
        if table["kind"] == "p" and (columns is not None or entry.get("where") is not None):
            yield (
                f"ship_tables: {entry['name']} is partitioned, and only its partitions can be published with columns or"
                " where. Name those, or leave columns and where out."
            )
            continue
        for name, gap, reason in _gaps(server, entry):
            if gap is not Gap.NO_IDENTITY:
                wider = _WIDER if columns is None else _WIDER_BESIDE_COLUMNS
                yield _CURES[gap].format(
                    table=name,
                    columns=", ".join(sorted(reason)),
                    fails=_FAILS,
                    wider=wider.format(table=name),
                )


def _gaps(server: Facts, entry: Facts) -> Iterator[tuple[str, Gap, frozenset[str]]]:
    """What the tables that the rows are really in lack to be published as the entry says."""
    table = server["tables"][entry["name"]]
    relations = {item["oid"]: relation_of(item) for item in table["relations"]}
    root = relations[table["oid"]]
    family = [root]
    if not root.partitioned and not entry.get("only"):
        family += descendants(root, relations)
    columns, where = entry.get("columns"), _where(server, entry)
    published = PublishedTable(
        columns=None if columns is None else frozenset(columns),
        where=None if where is None else Filter(where["where"], frozenset(where["columns"])),
    )
    for member in family:
        for relation in written(member, relations):
            found = identity_gap(relation, published, False, server["version"])
            if found is not None:
                yield entry["name"] if relation is root else str(relation.name), *found


def _where(server: Facts, entry: Facts) -> Facts | None:
    """What the server said of the entry's where."""
    for found in server["filters"]:
        if (found["name"], found["where"]) == (entry["name"], entry.get("where")):
            return dict(found)
    return None

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What a table's replica identity lets a publication of updates and deletes leave out.

PostgreSQL: Logical Replication, "Publication", "Row Filters", "Column Lists", "Generated Column
Replication". The server accepts such a publication, and refuses the updates and deletes from then
on: it has to be told before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import PUBLICATION


@dataclass(frozen=True)
class Filter:
    """A row filter as the server writes it, and the columns that it looks at.

    :param source: as the task writes it. The server is given that one: what it writes itself it
        may read as something else (`- '1'::int` comes back as `(- 1)`, and that as a constant).
    """

    text: str
    columns: frozenset[str] = field(compare=False)
    source: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class PublishedTable:
    """A table of a publication; columns None: all of them, those to come included."""

    columns: frozenset[str] | None = None
    where: Filter | None = None


@dataclass(frozen=True)
class Relation:
    """A table, as far as publishing it goes.

    :param publishable: whether it is a table whose changes can be published at all; a view is
        not, nor an unlogged table, and a partition may be a foreign table.
    :param identity: the columns of its replica identity; None: it has none; all columns count
        where it is FULL.
    :param stored: its generated columns that are stored.
    :param virtual: its generated columns that are not.
    :param children: its partitions, or the tables that inherit from it.
    """

    oid: int
    name: TableName
    publishable: bool = True
    partitioned: bool = False
    identity: frozenset[str] | None = None
    identity_full: bool = False
    stored: frozenset[str] = frozenset()
    virtual: frozenset[str] = frozenset()
    children: tuple[int, ...] = ()

    @property
    def has_identity(self) -> bool:
        return self.identity_full or self.identity is not None


# Goes into a WITH; each row of relation has as found what relation_of() reads.
RELATIONS = """identity (indrelid, columns) AS NOT MATERIALIZED (
  SELECT i.indrelid,
         (SELECT json_agg(attname) FROM pg_attribute
           WHERE attrelid = i.indrelid
             AND attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
   WHERE i.indisvalid
     AND CASE c.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate
                             WHEN 'i' THEN i.indisreplident END),
relation AS NOT MATERIALIZED (
  SELECT c.oid, n.nspname, json_build_object(
           'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
           'publishable', c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384,
           'full', c.relreplident = 'f',
           'identity', (SELECT columns FROM identity WHERE indrelid = c.oid),
           'stored', (SELECT json_agg(attname) FROM pg_attribute
                       WHERE attrelid = c.oid AND attgenerated = 's'),
           'virtual', (SELECT json_agg(attname) FROM pg_attribute
                        WHERE attrelid = c.oid AND attgenerated = 'v'),
           'children', (SELECT json_agg(inhrelid::bigint) FROM pg_inherits
                         WHERE inhparent = c.oid)) AS found
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace)"""


def relation_of(item: Mapping[str, Any]) -> Relation:
    """A row of RELATIONS."""
    return Relation(
        oid=item["oid"],
        name=TableName(item["schema"], item["name"]),
        publishable=item["publishable"],
        partitioned=item["kind"] == "p",
        identity=None if item["identity"] is None else frozenset(item["identity"]),
        identity_full=item["full"],
        stored=frozenset(item["stored"] or ()),
        virtual=frozenset(item["virtual"] or ()),
        children=tuple(item["children"] or ()),
    )


class Gap(Enum):
    """What a table lacks for its updates and deletes to be published."""

    NO_IDENTITY = "it has no replica identity"
    FULL_AND_COLUMNS = "FULL is all columns, and a list leaves out those to come"
    COLUMNS = "the column list leaves out some of the identity's"
    FILTER = "the filter looks at others than the identity's"
    FULL_AND_VIRTUAL = "FULL is all columns, and virtual ones are never published"
    GENERATED = "some of the identity's are generated, and not published"


def written(relation: Relation, relations: Mapping[int, Relation]) -> list[Relation]:
    """The tables that rows are really in, so far as they are published: a partitioned table's leaves."""
    if relation.partitioned:
        leaves = [child for child in descendants(relation, relations) if not child.partitioned]
    else:
        leaves = [relation]
    return [leaf for leaf in leaves if leaf.publishable]


def descendants(relation: Relation, relations: Mapping[int, Relation]) -> Iterator[Relation]:
    """Its partitions or the tables that inherit from it, with theirs."""
    for oid in relation.children:
        yield relations[oid]
        yield from descendants(relations[oid], relations)


def identity_gap(
    relation: Relation, table: PublishedTable, generated: bool, version: int
) -> tuple[Gap, frozenset[str]] | None:
    """Why updates and deletes would fail on the publisher, and the columns that are the reason.

    :param generated: whether generated columns are published.
    """
    identity = relation.identity or frozenset()
    if not relation.has_identity:
        return Gap.NO_IDENTITY, frozenset()
    if relation.identity_full and table.columns is not None:
        return Gap.FULL_AND_COLUMNS, frozenset()
    if table.columns is not None and not identity <= table.columns:
        return Gap.COLUMNS, identity - table.columns
    if table.where is not None and not relation.identity_full:
        outside = table.where.columns - identity
        if outside:
            return Gap.FILTER, outside
    if version // 10000 >= PUBLICATION["publish_generated_columns"].create:
        return _generated_gap(relation, table, generated)
    return None


def _generated_gap(
    relation: Relation, table: PublishedTable, generated: bool
) -> tuple[Gap, frozenset[str]] | None:
    if relation.identity_full and relation.virtual:
        return Gap.FULL_AND_VIRTUAL, relation.virtual
    identity = relation.stored if relation.identity_full else relation.identity or frozenset()
    unpublished = relation.stored & identity
    if table.columns is None and unpublished and not generated:
        return Gap.GENERATED, unpublished
    return None

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Pieces of statements that several objects share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName


def name_array(names: Iterable[str]) -> sql.Composable:
    """The names as an array literal."""
    return sql.SQL("{}::name[]").format(sql.Literal(list(names)))


def columns_since(table: Mapping[int, str], major: int) -> sql.SQL:
    """The columns that a server of this version has, for a SELECT."""
    return sql.SQL(", ".join(columns for since, columns in table.items() if major >= since))


def table_identifier(name: TableName) -> sql.Identifier:
    """The table with its schema, quoted."""
    return sql.Identifier(*(part for part in name if part is not None))

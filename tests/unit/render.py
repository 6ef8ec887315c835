# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements as text without a server: psycopg2 itself wants a connection to quote by."""

from __future__ import annotations

from typing import Any

from psycopg2 import sql

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import HiddenLiteral
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan


def render(statement: sql.Composable) -> str:
    """The statement as PostgreSQL would get it, a secret connection as it would be shown."""
    if isinstance(statement, sql.Composed):
        return "".join(render(part) for part in statement.seq)
    if isinstance(statement, sql.SQL):
        return statement.string
    if isinstance(statement, sql.Identifier):
        return ".".join('"' + name.replace('"', '""') + '"' for name in statement.strings)
    if isinstance(statement, HiddenLiteral):
        return _literal(statement.conninfo.shown_dsn())
    assert isinstance(statement, sql.Literal), statement
    return _literal(statement.wrapped)


def statements(plan: Plan) -> list[str]:
    """The plan's statements in the order in which they are run."""
    return [render(statement) for statement in plan.statements()]


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]" if value else "'{}'"
    text = str(value).replace("'", "''")
    return " E'" + text.replace("\\", "\\\\") + "'" if "\\" in text else f"'{text}'"

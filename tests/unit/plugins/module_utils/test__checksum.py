# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._checksum import (
    Found,
    Source,
    begin,
    checksum_request,
    statements,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName
from tests.unit.render import render

SOURCE = Source(
    "hmm_db",
    tables={
        TableName("public", "documents"): Found("r", frozenset({"id", "Title", 'a"b'})),
        TableName("sales", "a.b"): Found("p", frozenset({"id"})),
        TableName("public", "latest"): Found("v", frozenset({"id"})),
    },
)
HASH = 'SELECT count(*)::bigint AS rows, coalesce(sum(hashtextextended((ROW({})::text) COLLATE "C", 0)), 0)::text'


def rendered(*tables: Any) -> list[str]:
    request = checksum_request({"tables": list(tables)})
    return [render(statement) for statement in statements(request, SOURCE)]


def problem(*tables: Any) -> str:
    with pytest.raises(ReplicationError) as raised:
        rendered(*tables)
    return raised.value.message


def test_all_columns_by_name() -> None:
    columns = '"Title", "a""b", "id"'
    assert rendered("documents") == [
        f'{HASH.format(columns)} AS checksum FROM "public"."documents"'
    ]


def test_columns_rows_and_only() -> None:
    table = {
        "name": "public.documents",
        "columns": ["id", "Title"],
        "where": "id > 1 AND \"Title\" <> '{'",
        "only": True,
    }
    columns = '"Title", "id"'
    assert rendered(table, 'sales."a.b"') == [
        (
            f'{HASH.format(columns)} AS checksum FROM ONLY "public"."documents"'
            " WHERE (id > 1 AND \"Title\" <> '{')"
        ),
        f'{HASH.format(chr(34) + "id" + chr(34))} AS checksum FROM "sales"."a.b"',
    ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("nowhere", "tables[0]: there is no table public.nowhere in the database hmm_db."),
        ("sales.documents", "tables[0]: there is no table sales.documents in the database hmm_db."),
        ("latest", "tables[0]: public.latest is not a table, so that it is not replicated."),
        (
            {"name": "documents", "columns": ["id", "title"]},
            "tables[0].columns: public.documents has no column 'title'.",
        ),
        (
            {"name": "documents", "where": "true) OR (true"},
            "tables[0].where: an unbalanced parenthesis is not possible in 'true) OR (true'.",
        ),
    ],
)
def test_refused(table: Any, told: str) -> None:
    assert problem(table) == told


def test_all_problems_at_once() -> None:
    assert problem("a", "b").startswith("2 problems, nothing was changed:\n- tables[0]: ")


def test_no_table() -> None:
    assert problem() == "tables: the list is empty; name at least one table."


def test_what_a_value_is_written_by_is_pinned() -> None:
    text = render(begin())
    assert text.startswith("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; ")
    for setting in ("extra_float_digits", "DateStyle", "TimeZone", "row_security"):
        assert f'SET LOCAL "{setting}" = ' in text

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._published import (
    publishing_problems,
    without_identity,
)

FAILS = "so that UPDATE and DELETE would fail ashore"


def relation(oid: int, name: str, **other: Any) -> dict[str, Any]:
    return {
        "oid": oid,
        "schema": "s",
        "name": name,
        "kind": "r",
        "publishable": True,
        "full": False,
        "identity": ["id"],
        "stored": None,
        "virtual": None,
        "children": None,
        **other,
    }


def server(*relations: dict[str, Any], **other: Any) -> dict[str, Any]:
    """A server whose table docs has these relations, the first of them being the table itself."""
    root = relations[0]
    docs = {"oid": root["oid"], "kind": root["kind"], "columns": ["id", "title", "secret"]}
    tables = {"docs": {**docs, "relations": list(relations)}, "gone": None}
    return {"version": 170000, "tables": tables, "filters": [], **other}


def looked_at(where: str, *columns: str, refusal: str = "") -> list[dict[str, Any]]:
    return [{"name": "docs", "where": where, "columns": list(columns), "refusal": refusal}]


PLAIN = relation(1, "docs")
FULL = relation(1, "docs", full=True)
PARTED = relation(1, "docs", kind="p", children=[2, 3])
LEAVES = (
    relation(2, "docs_kr"),
    relation(3, "docs_eu", identity=["id", "title"]),
)


@pytest.mark.parametrize(
    ("there", "entry", "sentences"),
    [
        (server(PLAIN), {"name": "docs"}, []),
        (server(PLAIN), {"name": "docs", "columns": ["title", "id"]}, []),
        (
            server(PLAIN, filters=looked_at("id > 5", "id")),
            {"name": "docs", "where": "id > 5"},
            [],
        ),
        (
            server(FULL, filters=looked_at("not secret", "secret")),
            {"name": "docs", "where": "not secret"},
            [],
        ),
        # Of another ship.
        (server(PLAIN, filters=looked_at("not secret", "secret")), {"name": "docs"}, []),
        # Told of the shore, for all ships at once.
        (server(relation(1, "docs", identity=None)), {"name": "docs"}, []),
        (server(PLAIN), {"name": "gone", "columns": ["x"]}, []),
        (server(PLAIN, tables=None), {"name": "docs", "columns": ["x"]}, []),
        (
            server(PLAIN),
            {"name": "docs", "columns": ["id", "titel"]},
            ["ship_tables: docs has no column titel."],
        ),
        (
            server(PLAIN),
            {"name": "docs", "columns": ["title"]},
            [
                f"ship_tables: columns of docs leaves out id of its replica identity, {FAILS}. Add it."
            ],
        ),
        (
            server(FULL),
            {"name": "docs", "columns": ["id", "title", "secret"]},
            [
                (
                    f"ship_tables: docs has REPLICA IDENTITY FULL, which no list of columns serves, {FAILS}. Leave out"
                    " its columns, or ALTER TABLE docs REPLICA IDENTITY DEFAULT, or USING INDEX where it has no primary"
                    " key."
                )
            ],
        ),
        (
            server(PLAIN, filters=looked_at("not secret", "secret")),
            {"name": "docs", "where": "not secret"},
            [
                (
                    f"ship_tables: where of docs looks at secret, outside its replica identity, {FAILS}. Choose rows by"
                    " the identity's columns, or ALTER TABLE docs REPLICA IDENTITY FULL where it is small."
                )
            ],
        ),
        (
            server(PLAIN, filters=looked_at("not secret", "secret")),
            {"name": "docs", "where": "not secret", "columns": ["id"]},
            [
                (
                    f"ship_tables: where of docs looks at secret, outside its replica identity, {FAILS}. Choose rows by"
                    " the identity's columns, or ALTER TABLE docs REPLICA IDENTITY USING INDEX of one that holds them,"
                    " and add it to columns."
                )
            ],
        ),
        (
            server(PLAIN, filters=looked_at("nope", refusal='column "nope" does not exist')),
            {"name": "docs", "where": "nope"},
            [
                "ship_tables: the server refuses where of docs, 'nope': column \"nope\" does not exist."
            ],
        ),
        (server(PARTED, *LEAVES), {"name": "docs"}, []),
        (
            server(PARTED, *LEAVES),
            {"name": "docs", "columns": ["id"]},
            [
                (
                    "ship_tables: docs is partitioned, and only its partitions can be published with columns or where."
                    " Name those, or leave columns and where out."
                )
            ],
        ),
        (
            server(relation(1, "docs", children=[3]), LEAVES[1]),
            {"name": "docs", "columns": ["id"]},
            [
                f"ship_tables: columns of s.docs_eu leaves out title of its replica identity, {FAILS}. Add it."
            ],
        ),
        (
            server(relation(1, "docs", children=[3]), LEAVES[1]),
            {"name": "docs", "columns": ["id"], "only": True},
            [],
        ),
        (
            server(relation(1, "docs", identity=["id"], stored=["id"]), version=180000),
            {"name": "docs"},
            [
                (
                    f"docs has id in its replica identity, which is generated and not published, {FAILS}. ALTER TABLE"
                    " docs REPLICA IDENTITY USING INDEX, of an index without it."
                )
            ],
        ),
        (
            server(relation(1, "docs", full=True, virtual=["title"]), version=180000),
            {"name": "docs"},
            [
                (
                    f"docs has REPLICA IDENTITY FULL, and title, being virtual, cannot be published, {FAILS}. ALTER"
                    " TABLE docs REPLICA IDENTITY DEFAULT, or USING INDEX where it has no primary key."
                )
            ],
        ),
    ],
)
def test_tells_what_would_fail_ashore(
    there: dict[str, Any], entry: dict[str, Any], sentences: list[str]
) -> None:
    assert list(publishing_problems(there, [entry])) == sentences


def test_names_the_tables_without_replica_identity() -> None:
    bare = relation(3, "docs_eu", identity=None)
    assert without_identity(server(relation(1, "docs", identity=None)), {"name": "docs"}) == [
        "docs"
    ]
    assert without_identity(server(PARTED, LEAVES[0], bare), {"name": "docs"}) == ["s.docs_eu"]
    assert without_identity(server(FULL), {"name": "docs"}) == []

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the preflight says of tables that are to be published is what the server does once they are."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._published import (
    publishing_problems,
    without_identity,
)
from tests.lab.debian import DebianCluster, debian_cluster, reason_against
from tests.lab.modules import run_module

pytestmark = pytest.mark.xdist_group("debian")

TABLES = """
CREATE TABLE keyed (id int PRIMARY KEY, title text, secret boolean DEFAULT false);
CREATE TABLE whole (id int PRIMARY KEY, title text);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE bare (id int);
CREATE TABLE "Odd" ("Id" int PRIMARY KEY, title text);
CREATE TABLE parted (id int PRIMARY KEY, title text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10);
INSERT INTO keyed VALUES (1); INSERT INTO whole VALUES (1); INSERT INTO bare VALUES (1);
INSERT INTO "Odd" VALUES (1); INSERT INTO parted VALUES (1);
"""
# An entry of ship_tables, the same as CREATE PUBLICATION takes it, and an UPDATE of the table.
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "keyed"}, "keyed", "keyed SET title = 'x'"),
    ({"name": "keyed", "columns": ["id", "title"]}, "keyed (id, title)", "keyed SET title = 'x'"),
    ({"name": "keyed", "columns": ["title"]}, "keyed (title)", "keyed SET title = 'x'"),
    (
        {"name": "keyed", "where": "keyed.id > 0"},
        "keyed WHERE (keyed.id > 0)",
        "keyed SET title = 'x'",
    ),
    (
        {"name": "keyed", "where": "not secret and title <> E'it\\'s \\\\! :id $do$ id'"},
        "keyed WHERE (not secret and title <> 'x')",
        "keyed SET title = 'x'",
    ),
    (
        {"name": "whole", "where": "title <> ''"},
        "whole WHERE (title <> '')",
        "whole SET title = 'x'",
    ),
    ({"name": "whole", "columns": ["id", "title"]}, "whole (id, title)", "whole SET title = 'x'"),
    ({"name": "bare"}, "bare", "bare SET id = 2"),
    ({"name": "Odd", "where": '"Id" > 0'}, '"Odd" WHERE ("Id" > 0)', "\"Odd\" SET title = 'x'"),
    ({"name": "parted"}, "parted", "parted SET title = 'x'"),
    ({"name": "parted", "columns": ["id"]}, "parted (id)", "parted SET title = 'x'"),
    ({"name": "low", "columns": ["title"]}, "low (title)", "low SET title = 'x'"),
    ({"name": "keyed", "where": "nope > 1"}, "keyed WHERE (nope > 1)", "keyed SET title = 'x'"),
    ({"name": "keyed", "columns": ["id", "nope"]}, "keyed (id, nope)", "keyed SET title = 'x'"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[DebianCluster]:
    reason = reason_against()
    if reason:
        pytest.skip(reason)
    with debian_cluster(wal_level="logical") as made:
        made.sql(TABLES)
        yield made


@pytest.fixture(scope="module")
def server(cluster: DebianCluster) -> dict[str, Any]:
    """What the module found, asked of all entries at once."""
    entries = [entry for entry, _published, _update in CASES] + ["gone"]
    outcome = run_module("preflight_facts", **cluster.options, database="postgres", tables=entries)
    assert not outcome.failed, outcome.msg
    assert not outcome.changed
    preflight = outcome.result["ansible_facts"]["preflight"]
    assert preflight["server_error"] == ""
    found: dict[str, Any] = preflight["server"]
    return found


@pytest.mark.parametrize(("entry", "published", "update"), CASES, ids=[case[1] for case in CASES])
def test_what_is_said_comes_true(
    cluster: DebianCluster,
    server: dict[str, Any],
    entry: dict[str, Any],
    published: str,
    update: str,
) -> None:
    problems = [*publishing_problems(server, [entry]), *without_identity(server, entry)]
    refused = False
    try:
        cluster.sql(f"CREATE PUBLICATION p FOR TABLE {published}")
        cluster.sql(f"UPDATE {update}")
    except subprocess.CalledProcessError:
        refused = True
    finally:
        cluster.sql("DROP PUBLICATION IF EXISTS p")
    assert bool(problems) == refused, problems


def test_nothing_is_left_of_looking(cluster: DebianCluster, server: dict[str, Any]) -> None:
    assert server["tables"]["gone"] is None
    assert server["archive"] == ""
    assert cluster.sql("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == ["0"]


def test_whose_archive_it_is(cluster: DebianCluster) -> None:
    def archive() -> str:
        facts = run_module("preflight_facts", **cluster.options).result["ansible_facts"]
        return str(facts["preflight"]["server"]["archive"])

    cluster.sql("ALTER SYSTEM SET archive_mode = on")
    cluster.control("restart")
    assert archive() == ""
    for command, whose in (
        ("pgbackrest archive-push %p", "other"),
        ("/usr/local/lib/pg_replication/archive_wal --directory /x %p %f", "pg_replication"),
    ):
        cluster.sql(f"ALTER SYSTEM SET archive_command = '{command}'")
        cluster.reload()
        assert archive() == whose

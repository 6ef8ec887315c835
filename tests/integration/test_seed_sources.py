# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What servers of every version tell that they still have for a standby."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Database
from tests.lab.modules import run_module
from tests.lab.waiting import wait_until

FIRST_WITH_SUMMARIES = 17
WRITE = "CREATE TABLE swollen AS SELECT generate_series(1, 20000) AS n"


def told(database: Database, **options: Any) -> dict[str, Any]:
    login = {**database.login, "ca_cert": database.server.ca_cert}
    outcome = run_module("seed_sources", **login, **options)
    assert not outcome.failed, outcome.msg
    assert not outcome.changed
    sources: dict[str, Any] = outcome.result["sources"]
    return sources


def position(database: Database) -> tuple[str, str]:
    """Where the server is, and the file of WAL that this is in."""
    ((lsn, file),) = database.sql(
        "SELECT lsn::text, pg_walfile_name(lsn) FROM pg_current_wal_flush_lsn() AS lsn"
    )
    return lsn, file


def test_wal_that_is_there_that_is_archived_and_that_is_gone(
    database: Database, tmp_path: Path
) -> None:
    here, file = position(database)
    database.sql(WRITE)
    (tmp_path / f"{file}.zst").write_bytes(b"x" * 1000)
    sources = told(
        database,
        archive_directory=str(tmp_path),
        packs_directory=str(tmp_path / "packs"),
        positions=[here, "0/100", "FFFF/0"],
    )
    assert sources["version"] == database.server.major
    assert (sources["timeline"], sources["history"], sources["packs"]) == (1, [], [])
    assert sources["positions"][here]["complete"]
    assert sources["positions"][here]["streams"]
    assert sources["positions"][here]["written_bytes"] > 500_000
    assert sources["positions"]["0/100"]["missing"] == f"{'0' * 7}1{'0' * 16}"
    assert sources["positions"]["FFFF/0"]["ahead"]


def test_slots(database: Database) -> None:
    database.sql("SELECT pg_create_physical_replication_slot('told', true)")
    try:
        slot = told(database)["slots"]["told"]
        assert (slot["slot_type"], slot["wal_status"], slot["active"]) == (
            "physical",
            "reserved",
            False,
        )
    finally:
        database.sql("SELECT pg_drop_replication_slot('told')")


def test_blocks_that_changed(database: Database) -> None:
    here, _file = position(database)
    if database.server.major < FIRST_WITH_SUMMARIES:
        assert told(database, positions=[here])["positions"][here]["changed_bytes"] is None
        pytest.skip(f"PostgreSQL {database.server.major} writes no summaries")
    database.sql("ALTER SYSTEM SET summarize_wal = on")
    database.sql("SELECT pg_reload_conf()")
    try:
        database.sql("CHECKPOINT")
        here, _file = position(database)
        database.sql(WRITE)
        ((size,),) = database.sql("SELECT pg_relation_size('swollen')")
        database.sql("CHECKPOINT")

        def changed() -> int:
            return told(database, positions=[here])["positions"][here]["changed_bytes"] or 0

        wait_until(lambda: changed() >= size, "the summary of what was written")
        assert changed() < 3 * size
    finally:
        database.sql("ALTER SYSTEM RESET summarize_wal")
        database.sql("SELECT pg_reload_conf()")


def test_wrong_input(database: Database) -> None:
    login = {**database.login, "ca_cert": database.server.ca_cert}
    for options, sentence in (
        ({"positions": ["yesterday"]}, "positions: 'yesterday' is not an LSN"),
        ({"archive_directory": "archive"}, "archive_directory: 'archive' is not an absolute path"),
    ):
        outcome = run_module("seed_sources", **login, **options)
        assert outcome.failed
        assert sentence in outcome.msg
        assert "Traceback" not in outcome.raw

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Slots that nothing uses, on servers of every version: told from those of ships, and dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extras import PhysicalReplicationConnection

from tests.integration.conftest import Database
from tests.lab.modules import Outcome, four_calls, run_module
from tests.lab.waiting import wait_until

DATES_SLOTS = 17
SHIPS: list[dict[str, Any]] = [
    {"name": "algeciras", "slot": "ship_algeciras"},
    {"name": "oslo", "slot": "ship_oslo", "mode": "logical", "asked": True, "uses": ["mine"]},
]
DAY = 86400


@pytest.fixture
def asked(database: Database, tmp_path: Path) -> dict[str, Any]:
    return {
        **database.login,
        "ca_cert": database.server.ca_cert,
        "ships": SHIPS,
        "unused_after": "0",
        "seen_file": str(tmp_path / "slots_seen.json"),
    }


def look(asked: dict[str, Any], **more: Any) -> Outcome:
    outcome = run_module("unused_slots", **{**asked, **more})
    assert not outcome.failed, outcome.msg
    return outcome


def verdicts(outcome: Outcome) -> dict[str, str]:
    return {slot["name"]: slot["verdict"] for slot in outcome.result["slots"]}


def slots(database: Database) -> list[str]:
    return [
        name for (name,) in database.sql("SELECT slot_name FROM pg_replication_slots ORDER BY 1")
    ]


def make(database: Database, *names: str) -> None:
    for name in names:
        database.sql("SELECT pg_create_physical_replication_slot(%s, true)", (name,))


def test_what_is_whose(database: Database, asked: dict[str, Any]) -> None:
    make(database, "ship_algeciras", "ship_lisbon", "mine", "archiver")
    database.sql("SELECT pg_create_logical_replication_slot('old_oslo', 'pgoutput')")
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 20000)")
    seen = look(asked, kept=["arch*"])
    assert not seen.changed
    # The slot ship_oslo is not there, but the ship was asked.
    assert verdicts(seen) == {
        "old_oslo": "unused",
        "ship_lisbon": "unused",
        "archiver": "kept",
        "mine": "named",
        "ship_algeciras": "owned",
    }
    lisbon = next(slot for slot in seen.result["slots"] if slot["name"] == "ship_lisbon")
    assert lisbon["retained_bytes"] > 500_000
    assert seen.result["dropped"] == []
    assert len(slots(database)) == 5


def test_drop_what_is_proved_in_whatever_database(
    database: Database, asked: dict[str, Any]
) -> None:
    make(database, "ship_algeciras", "ship_lisbon")
    database.sql("SELECT pg_create_logical_replication_slot('old_oslo', 'pgoutput')")
    check, real, *_rest = four_calls(
        "unused_slots", **{**asked, "login_db": "postgres", "drop": True}
    )
    assert check.changed
    assert check.queries == real.queries
    assert check.result["dropped"] == real.result["dropped"]
    assert sorted(real.result["dropped"]) == ["old_oslo", "ship_lisbon"]
    assert real.diff["before"]["old_oslo"] == {
        "slot_type": "logical",
        "database": database.name,
    }
    assert slots(database) == ["ship_algeciras"]


def test_drop_by_name(database: Database, asked: dict[str, Any]) -> None:
    make(database, "ship_algeciras", "ship_lisbon", "ship_porto")
    by_name = {**asked, "unused_after": "7d", "drop": True}
    assert not look({**by_name, "names": []}).changed  # too young, all of them
    refused = run_module("unused_slots", **by_name, names=["ship_lisbon", "ship_algeciras"])
    assert refused.failed
    assert refused.msg == (
        "ship_algeciras is not dropped: it belongs to algeciras, a ship of the inventory; the ship"
        " could not be asked. A ship that is gone for good leaves by ship_offboard.yml. Nothing was"
        " dropped."
    )
    assert len(slots(database)) == 3
    four_calls("unused_slots", **by_name, names=["ship_lisbon", "never_there"])
    assert slots(database) == ["ship_algeciras", "ship_porto"]


def test_a_slot_in_use(database: Database, asked: dict[str, Any]) -> None:
    make(database, "ship_algeciras", "ship_lisbon")
    connection = psycopg2.connect(
        database.dsn(application_name="lisbon"),
        connection_factory=PhysicalReplicationConnection,
    )
    try:
        ((position,),) = database.sql("SELECT pg_current_wal_flush_lsn()::text")
        connection.cursor().start_replication(slot_name="ship_lisbon", start_lsn=position)
        assert verdicts(look(asked, drop=True))["ship_lisbon"] == "used"
        refused = run_module("unused_slots", **asked, drop=True, names=["ship_lisbon"])
        assert refused.msg.startswith("ship_lisbon is not dropped: it is in use by lisbon")
        assert "though no ship of the inventory owns it. End what uses it first." in refused.msg
    finally:
        connection.close()
    wait_until(lambda: look(asked, drop=True).changed, "the slot is free")
    assert slots(database) == ["ship_algeciras"]


def test_a_dark_ship_whose_slot_is_missing_keeps_the_others(
    database: Database, asked: dict[str, Any]
) -> None:
    make(database, "ship_lisbon")
    assert verdicts(look(asked, drop=True)) == {"ship_lisbon": "unproved"}
    assert slots(database) == ["ship_lisbon"]
    assert look(asked, drop=True, names=["ship_lisbon"]).changed


def test_age(database: Database, asked: dict[str, Any]) -> None:
    """As the server tells it, and before PostgreSQL 17 as it was noted."""
    make(database, "ship_algeciras", "ship_lisbon")
    note = Path(str(asked["seen_file"]))
    week = {**asked, "unused_after": "7d"}
    assert verdicts(look(week))["ship_lisbon"] == "recent"
    if database.server.major >= DATES_SLOTS:
        assert not note.exists()
        assert look(week).result["slots"][0]["unused_seconds"] < 60
        return
    seen = json.loads(note.read_text())
    assert set(seen) == {"ship_algeciras", "ship_lisbon"}
    assert look(week).result["slots"][0]["unused_seconds"] < 60

    seen["ship_lisbon"]["since"] -= 8 * DAY
    note.write_text(json.dumps(seen))
    assert look(week).result["slots"][0]["unused_seconds"] >= 8 * DAY
    assert verdicts(look(week))["ship_lisbon"] == "unused"

    # It moves, so something used it.
    database.sql("CREATE TABLE t ()")
    database.sql("SELECT pg_replication_slot_advance('ship_lisbon', pg_current_wal_flush_lsn())")
    assert verdicts(look(week))["ship_lisbon"] == "recent"


def test_check_mode_leaves_the_note(database: Database, asked: dict[str, Any]) -> None:
    make(database, "ship_algeciras")
    assert not run_module("unused_slots", check_mode=True, **asked).failed
    assert not Path(str(asked["seen_file"])).exists()


def test_a_note_that_cannot_be_kept_is_said(database: Database, asked: dict[str, Any]) -> None:
    make(database, "ship_algeciras", "ship_lisbon")
    seen = look(asked, seen_file="/no/such/folder/note.json", unused_after="7d")
    said = [warning["event"]["msg"] for warning in seen.result.get("warnings", [])]
    assert len(said) == (0 if database.server.major >= DATES_SLOTS else 1)
    assert all("No such file or directory" in text for text in said)
    assert all("watched from now on" not in slot["why"] for slot in seen.result["slots"])


def test_wrong_input(asked: dict[str, Any]) -> None:
    for options, sentence in (
        ({"unused_after": "soon"}, "unused_after: 'soon' is not a time"),
        ({"names": ["ship_lisbon"]}, "names: they say what to drop, so that drop has to be true."),
        ({"names": ["Ship"], "drop": True}, "names: 'Ship' is not a replication slot name"),
    ):
        outcome = run_module("unused_slots", **{**asked, **options})
        assert outcome.failed
        assert sentence in outcome.msg
        assert "Traceback" not in outcome.raw

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""fleet_status on a shore of every version, with ships that stream, copy, go dark and are lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Database
from tests.lab import Lab, Server
from tests.lab.modules import Outcome, run_module
from tests.lab.waiting import wait_until

MB = 2**20
MONITOR, PLAIN, PASSWORD = "status_monitor", "status_plain", "status-role-password"
ALGECIRAS = {"name": "algeciras", "slot": "ship_algeciras"}
OSLO = {"name": "oslo", "slot": "ship_oslo", "mode": "logical", "bandwidth": MB}
GONE = {"name": "gone", "slot": "ship_gone"}


def run(server: Server, *ships: dict[str, Any], role: str | None = None, **more: Any) -> Outcome:
    more.setdefault("name", "busan")
    more.setdefault("ships", ships or [ALGECIRAS, OSLO, GONE])
    more.setdefault("sample_seconds", 0)
    outcome = run_module(
        "fleet_status",
        login_host=server.host,
        login_port=server.port,
        login_user=role or server.superuser,
        login_password=PASSWORD if role else server.password,
        ca_cert=server.ca_cert,
        **more,
    )
    assert not outcome.changed if not outcome.failed else True
    assert server.password not in outcome.raw
    return outcome


def report(server: Server, *ships: dict[str, Any], **more: Any) -> dict[str, Any]:
    outcome = run(server, *ships, **more)
    assert not outcome.failed, outcome.msg
    found: dict[str, Any] = outcome.result["report"]
    return found


def rows(server: Server, *ships: dict[str, Any], **more: Any) -> dict[str, dict[str, Any]]:
    return {ship["name"]: ship for ship in report(server, *ships, **more)["ships"]}


def told(found: dict[str, Any]) -> list[str]:
    return [f"{p['severity']}: {p['object']}: {p['what']}" for p in found["problems"]]


def write_wal(server: Server, megabytes: int = 1) -> None:
    for _time in range(megabytes):
        server.sql(f"SELECT pg_logical_emit_message(true, 'status', repeat('x', {MB}))")


@pytest.fixture(scope="module")
def shore(lab: Lab, major: int) -> Iterator[Server]:
    """A shore of its own, whose archive fails where it is told to."""
    server = lab.server(
        major,
        archive_mode="on",
        archive_command="test ! -e %p.stop -a ! -e archive_fails",
        max_slot_wal_keep_size="2GB",
        log_statement="all",
    )
    server.sql(f"CREATE ROLE {MONITOR} LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_monitor")
    server.sql(f"CREATE ROLE {PLAIN} LOGIN PASSWORD '{PASSWORD}'")
    yield server
    server.discard()
    lab.servers.remove(server)


@pytest.fixture(scope="module")
def algeciras(shore: Server) -> Server:
    """A standby; it goes with its shore."""
    return shore.create_standby(slot="ship_algeciras", name="main")


@pytest.fixture(scope="module")
def oslo(shore: Server, lab: Lab, major: int) -> Iterator[Database]:
    """A subscriber, whose subscription streams."""
    ship = lab.server(major)
    for server in (shore, ship):
        server.sql("CREATE DATABASE hmm_db")
        server.sql("CREATE TABLE documents (id int PRIMARY KEY)", "hmm_db")
    shore.sql("CREATE PUBLICATION hmm_publication FOR TABLE documents", "hmm_db")
    database = Database(ship, "hmm_db")
    # As onboarding has it: the ship's role is called as its slot, which tells whose a first copy is.
    shore.sql(f"CREATE ROLE ship_oslo LOGIN REPLICATION PASSWORD '{PASSWORD}'")
    shore.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO ship_oslo", "hmm_db")
    conninfo = shore.dsn("hmm_db", user="ship_oslo", password=PASSWORD)
    database.sql(
        f"CREATE SUBSCRIPTION ship_oslo CONNECTION '{conninfo}' PUBLICATION hmm_publication"
    )
    wait_until(lambda: ready(database), "the table is copied")
    yield database
    ship.discard()
    lab.servers.remove(ship)


def ready(ship: Database) -> bool:
    return ship.sql("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel") == [(True,)]


def test_ships_that_stream(shore: Server, algeciras: Server, oslo: Database) -> None:
    shore.start()
    write_wal(shore)
    algeciras.wait_caught_up(shore)
    found = wait_until(
        lambda: streaming(report(shore, ALGECIRAS, OSLO, sample_seconds=0.1)), "both stream"
    )
    assert (found["status"], found["shore"]["problems"]) == ("ok", [])
    for ship in found["ships"]:
        assert ship["severity"] == "ok"
        assert ship["connected"]
        assert 0 <= ship["lag_bytes"] < MB
        assert ship["rate"] is not None
        assert ship["last_contact_seconds"] == 0
    told_of = found["shore"]
    assert told_of["name"] == "busan"
    assert told_of["version"].startswith(f"{shore.major}.")
    assert told_of["system_identifier"].isdigit()
    assert told_of["wal_rate"] >= 0
    assert told_of["wal_directory_bytes"] >= MB
    disk = os.statvfs(shore.data / "pg_wal")
    assert told_of["disk"]["total_bytes"] == disk.f_blocks * disk.f_frsize
    assert 0 < told_of["disk"]["free_bytes"] < told_of["disk"]["total_bytes"]
    assert told_of["max_slot_wal_keep_size"] == 2048 * MB
    assert (told_of["slots_used"], told_of["wal_senders_used"]) == (2, 2)
    assert oslo.sql("SELECT 1")  # it is still there


def streaming(found: dict[str, Any]) -> dict[str, Any] | None:
    return found if {ship["state"] for ship in found["ships"]} == {"streaming"} else None


def test_a_ship_that_was_never_onboard(shore: Server) -> None:
    found = rows(shore, GONE)["gone"]
    assert (found["state"], found["severity"], found["retained_bytes"]) == (
        "missing",
        "critical",
        None,
    )
    assert told(found) == [
        (
            "critical: slot ship_gone: The shore has no slot ship_gone: nothing is kept for the ship,"
            " and nothing is sent to it."
        )
    ]


def test_a_dark_ship_is_a_row_that_grows(
    shore: Server, algeciras: Server, oslo: Database, tmp_path: Path, major: int
) -> None:
    history = tmp_path / "history.jsonl"
    assert algeciras.running
    rows(shore, history_file=str(history))
    oslo.server.stop()
    try:
        first = wait_until(
            lambda: dark(shore, history_file=str(history)), "the shore notices that it is gone"
        )
        write_wal(shore, 3)
        second = dark(shore, history_file=str(history))
        assert second
        assert second["severity"] == "warning"
        assert second["lag_bytes"] >= first["lag_bytes"] + 3 * MB
        assert second["retained_bytes"] >= second["lag_bytes"]
        assert second["rate"] is None
        assert second["catch_up_seconds"] == pytest.approx(second["lag_bytes"] / MB, abs=0.1)
        # The server knows it from 17 on, the history always.
        assert second["last_contact_seconds"] >= 0
        assert second["lag_seconds"] == second["last_contact_seconds"]
        without = dark(shore)
        assert without
        assert (without["last_contact"] is None) == (major < 17)
        assert rows(shore)["algeciras"]["state"] == "streaming"
    finally:
        oslo.server.start()
    wait_until(lambda: rows(shore)["oslo"]["state"] == "streaming", "it goes on by itself")


def dark(shore: Server, **more: Any) -> dict[str, Any] | None:
    found = rows(shore, **more)["oslo"]
    return found if found["state"] == "dark" else None


def test_a_first_copy(shore: Server, oslo: Database) -> None:
    for server in (shore, oslo.server):
        server.sql("CREATE TABLE port_calls (id int PRIMARY KEY)", "hmm_db")
    shore.sql("GRANT SELECT ON port_calls TO ship_oslo", "hmm_db")
    shore.sql("ALTER PUBLICATION hmm_publication ADD TABLE port_calls", "hmm_db")
    # Aboard, so that nothing else waits for it; a copy writes.
    with oslo.server.connect("hmm_db") as connection:
        connection.autocommit = False
        connection.cursor().execute("LOCK TABLE port_calls IN SHARE ROW EXCLUSIVE MODE")
        oslo.sql("ALTER SUBSCRIPTION ship_oslo REFRESH PUBLICATION")
        copying = wait_until(
            lambda: next(
                (ship for ship in [rows(shore)["oslo"]] if ship["state"] == "copying"), None
            ),
            "the table is being copied",
        )
        connection.rollback()
    assert (copying["severity"], copying["connected"]) == ("ok", True)
    wait_until(lambda: ready(oslo), "the table is copied")
    wait_until(lambda: rows(shore)["oslo"]["state"] == "streaming", "it streams again")


def test_an_archive_that_fails(shore: Server, algeciras: Server) -> None:
    assert algeciras.running
    stop = shore.data / "archive_fails"
    stop.touch()
    try:
        write_wal(shore)
        shore.sql("SELECT pg_switch_wal()")
        found = wait_until(lambda: failing(shore), "the archive fails", timeout=90)
        archive = found["shore"]["archive"]
        assert archive["enabled"]
        assert archive["waiting_files"] >= 1
        assert archive["failed_count"] >= 1
        (problem,) = told(found["shore"])
        assert problem.startswith(
            f"critical: archive: Archiving fails: the last attempt, of {archive['last_failed_wal']} at"
        )
    finally:
        stop.unlink()
    found = wait_until(
        lambda: next((one for one in [report(shore)] if not one["shore"]["problems"]), None),
        "it is archived",
        timeout=90,
    )
    assert found["shore"]["archive"]["last_archived_wal"]


def failing(shore: Server) -> dict[str, Any] | None:
    found = report(shore)
    return found if found["shore"]["archive"]["last_failed_time"] else None


def test_a_slot_that_is_lost(lab: Lab, major: int) -> None:
    server = lab.server(major, max_slot_wal_keep_size="1MB")
    try:
        server.sql("SELECT pg_create_physical_replication_slot('ship_gone', true)")
        for _time in range(3):
            write_wal(server)
            server.sql("SELECT pg_switch_wal()")
        server.sql("CHECKPOINT")
        found = wait_until(
            lambda: next((ship for ship in rows(server).values() if ship["state"] == "lost"), None),
            "the slot is lost",
        )
        assert (found["severity"], found["seconds_until_lost"]) == ("critical", 0)
        assert (
            found["problems"][0]["do"] == "Run ship_reseed.yml -e ship=gone, which brings it back."
        )
    finally:
        server.discard()
        lab.servers.remove(server)


# --- who may, and at what cost -------------------------------------------------------------------


def test_who_may(shore: Server) -> None:
    shore.start()
    found = report(shore, role=MONITOR)
    assert found["shore"]["wal_directory_bytes"] > 0
    refused = run(shore, role=PLAIN)
    assert refused.failed
    assert "permission denied" in refused.msg
    assert "grant the connecting role what is missing" in refused.msg


def test_statements(shore: Server) -> None:
    for seconds in (0, 0.01):
        before = shore.log_text().count("LOG:  statement:")
        report(shore, sample_seconds=seconds)
        assert shore.log_text().count("LOG:  statement:") - before == 2


def test_a_history_is_kept_where_it_may_be(shore: Server, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    report(shore, history_file=str(history), check_mode=True)
    assert not history.exists()
    assert report(shore, history_file=str(history))["history"] == {}
    later = report(shore, history_file=str(history))["history"]
    assert {"shore", "algeciras", "oslo", "gone"} <= set(later)
    report(shore, history_file=str(tmp_path / "missing" / "history.jsonl"))
    assert not (tmp_path / "missing").exists()


def test_a_standby_is_no_shore(algeciras: Server) -> None:
    found = report(algeciras, ALGECIRAS)
    assert "critical: server: The server is a standby, and not the shore's primary." in told(
        found["shore"]
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ships": [{"name": "a", "slot": "A"}]}, "ships[0].slot: 'A' is not a replication slot"),
        ({"history_file": "here"}, "history_file: 'here' is not an absolute path."),
        ({"archive_directory": "here"}, "archive_directory: 'here' is not an absolute path."),
        ({"lag_bytes_warning": "8GB"}, "lag_bytes_warning has to be below lag_bytes_critical"),
    ],
)
def test_options_that_are_refused(shore: Server, given: dict[str, Any], message: str) -> None:
    outcome = run(shore, **given)
    assert outcome.failed
    assert outcome.msg.startswith(message)

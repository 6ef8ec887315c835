# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on slot, WAL, history, disk and replay: each cause, and nothing else blamed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.diagnosis import (
    LOGICAL,
    NO_RECEIVER,
    NO_WORKER,
    NOT_THERE,
    PHYSICAL,
    diagnosed,
    said,
    stopped,
)

SERVER_DOWN: dict[str, Any] = {
    "ship.cluster.running": False,
    "ship.cluster.status": "down",
    "ship.server": None,
    "ship.settings_in_files": {},
}
# What of a ship that is cut off its server itself would tell.
SHORE_ALONE = {path: value for path, value in NO_RECEIVER.items() if path.startswith("shore.")}
FULL = [{"holds": "data", "path": "/data", "total_bytes": 10**9, "free_bytes": 0, "free_inodes": 9}]
NO_SLOTS: dict[str, Any] = {"shore.server.lag.slots": [], "shore.server.lag.standbys": []}
NO_RECEIVER_NO_SLOT = {
    **{path: value for path, value in NO_RECEIVER.items() if path.startswith("ship.")},
    **NO_SLOTS,
}
LATE_WAL = {
    # The ship is at 0/1D023838; the shore has WAL from 0/1E000000 on.
    "shore.server.wal.oldest": "00000001000000000000001E",
    "shore.archive.segments": [],
}
OTHER = {
    "pid": 99,
    "application_name": "pg_receivewal",
    "usename": "postgres",
    "client_addr": None,
    "state": "active",
    "wait_event": None,
    "connected_seconds": 3,
}
TAKEN = {
    **NO_RECEIVER,
    "shore.server.lag.slots.0.active": True,
    "shore.server.lag.slots.0.active_pid": 99,
    "shore.server.consumers": [OTHER],
    "shore.server.replies": [{"pid": 99, "reply_age": 0.5}],
}
FORMER = {**OTHER, "application_name": "ship_algeciras", "client_addr": "198.51.100.21"}
LOST = {
    "shore.server.lag.slots.0.lost": True,
    "shore.server.lag.slots.0.wal_status": "lost",
    "shore.server.lag.slots.0.restart_lsn": None,
}
WAITING = {
    "ship.server.lag.receiver.replay_lag_bytes": 12900,
    "ship.server.startup": {"wait_event_type": "IPC", "wait_event": "RecoveryConflictSnapshot"},
    "ship.server.snapshots": [
        {
            "pid": 7,
            "usename": "search",
            "application_name": "",
            "datname": "hmm_db",
            "state": "active",
            "xact_seconds": 3000,
        }
    ],
}
PAUSED = {"ship.server.lag.receiver.replay_state": "paused"}
LOW = {"ship.server.settings.max_connections": "50"}
PROMOTED = {
    "ship.server.in_recovery": False,
    "ship.server.lag.receiver": None,
    "ship.server.lag.server.timeline": 2,
    "ship.standby_signal": False,
    **SHORE_ALONE,
}
CUT_OFF = NOT_THERE[PHYSICAL]

CASES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "ship down": (PHYSICAL, {**SERVER_DOWN, **SHORE_ALONE}, ["ship_down"]),
    "ship does not answer": (
        PHYSICAL,
        {**SHORE_ALONE, "ship.server": None, "ship.server_error": "too many clients"},
        ["ship_down"],
    ),
    "slot missing, nothing lost": (PHYSICAL, NO_RECEIVER_NO_SLOT, ["slot_missing"]),
    "slot missing, and the WAL gone": (
        PHYSICAL,
        {**NO_RECEIVER_NO_SLOT, **LATE_WAL},
        ["wal_removed"],
    ),
    "slot of another name": (
        PHYSICAL,
        {**NO_RECEIVER, "probe.slot": "ship_nobody"},
        ["slot_missing"],
    ),
    "slot missing, seen by the ship alone": (
        PHYSICAL,
        {
            **{path: value for path, value in NO_RECEIVER.items() if path.startswith("ship.")},
            "shore": None,
            "shore_dark": "timed out",
            "probe.remote_slot": {"exists": False, "restart_lsn": None, "active": None},
        },
        ["slot_missing"],
    ),
    "slot in use": (PHYSICAL, TAKEN, ["slot_in_use"]),
    "slot held by its own dead connection": (
        PHYSICAL,
        {
            **TAKEN,
            "shore.server.consumers": [FORMER],
            "shore.server.replies": [{"pid": 99, "reply_age": 40.0}],
        },
        ["slot_in_use"],
    ),
    "logical slot in use": (
        LOGICAL,
        {
            **NO_WORKER,
            "shore.server.lag.slots.1.active": True,
            "shore.server.lag.slots.1.active_pid": 99,
            "shore.server.consumers": [OTHER],
            "shore.server.replies": [],
        },
        ["slot_in_use"],
    ),
    "slot lost": (PHYSICAL, {**CUT_OFF, **LOST, **LATE_WAL}, ["slot_lost"]),
    "logical slot lost": (
        LOGICAL,
        {**NO_WORKER, "shore.server.lag.slots.1.lost": True},
        ["slot_lost"],
    ),
    "WAL removed": (PHYSICAL, {**CUT_OFF, **LATE_WAL}, ["wal_removed"]),
    "WAL removed, as the log tells": (
        PHYSICAL,
        {
            **CUT_OFF,
            "shore.server.wal": None,
            "ship.log": [said("requested WAL segment 0000 has already been removed")],
        },
        ["wal_removed"],
    ),
    "promoted": (PHYSICAL, PROMOTED, ["timeline_diverged"]),
    "on a timeline that the shore has not": (
        PHYSICAL,
        {**CUT_OFF, "ship.server.lag.server.timeline": 3},
        ["timeline_diverged"],
    ),
    "past the point where the shore left it": (
        PHYSICAL,
        {
            **CUT_OFF,
            "shore.server.lag.server.timeline": 2,
            "shore.server.history": [{"timeline": 1, "end": "0/1D000000"}],
        },
        ["timeline_diverged"],
    ),
    "on no timeline of the shore's history": (
        PHYSICAL,
        {
            **CUT_OFF,
            "shore.server.lag.server.timeline": 3,
            "shore.server.history": [{"timeline": 2, "end": "0/1D000000"}],
        },
        ["timeline_diverged"],
    ),
    "ahead of the shore": (
        PHYSICAL,
        {**CUT_OFF, "shore.server.lag.server.position": "0/1C000000"},
        ["timeline_diverged"],
    ),
    "another system": (
        PHYSICAL,
        {**CUT_OFF, "ship.control.system_identifier": "1", **LATE_WAL},
        ["system_identifier"],
    ),
    "another system, its server down": (
        PHYSICAL,
        {**SERVER_DOWN, **SHORE_ALONE, "ship.control.system_identifier": "1"},
        ["ship_down", "system_identifier"],
    ),
    "settings too low, and the server down": (
        PHYSICAL,
        {
            **SERVER_DOWN,
            **SHORE_ALONE,
            "ship.settings_in_files": {"max_connections": "50"},
        },
        ["hot_standby_setting"],
    ),
    "settings too low, and replay paused": (
        PHYSICAL,
        {**LOW, **PAUSED},
        ["hot_standby_setting"],
    ),
    "the shore's disk full": (
        PHYSICAL,
        {
            **CUT_OFF,
            **stopped("tcp", "refused"),
            "shore.disks": FULL,
            "shore.cluster.running": False,
            "shore.server": None,
        },
        ["disk_full"],
    ),
    "the ship's disk full": (
        PHYSICAL,
        {**SERVER_DOWN, **SHORE_ALONE, "ship.disks": FULL},
        ["disk_full"],
    ),
    "the ship's disk was full when it went down": (
        PHYSICAL,
        {
            **SERVER_DOWN,
            **SHORE_ALONE,
            "ship.log": [said("could not write: No space left on device", "PANIC")],
        },
        ["disk_full"],
    ),
    "no inodes": (
        LOGICAL,
        {**NO_WORKER, "ship.disks": [{**FULL[0], "free_bytes": 10**9, "free_inodes": 0}]},
        ["disk_full"],
    ),
    "replay paused": (PHYSICAL, PAUSED, ["replay_paused"]),
    "replay about to pause": (
        PHYSICAL,
        {"ship.server.lag.receiver.replay_state": "pause requested"},
        ["replay_paused"],
    ),
    "replay waits for a query": (PHYSICAL, WAITING, ["replay_held_back"]),
    "replay waits for a lock": (
        PHYSICAL,
        {**WAITING, "ship.server.startup": {"wait_event_type": "Lock", "wait_event": "relation"}},
        ["replay_held_back"],
    ),
    "replay is delayed": (
        PHYSICAL,
        {
            **WAITING,
            "ship.server.startup": {
                "wait_event_type": "Timeout",
                "wait_event": "RecoveryApplyDelay",
            },
        },
        ["replay_held_back"],
    ),
    "no primary named": (
        PHYSICAL,
        {**CUT_OFF, "ship.server.primary_connection": None},
        ["receiver_off"],
    ),
    "receiver does not stream, who knows why": (
        PHYSICAL,
        {**CUT_OFF, "ship.log": [said("something new")]},
        ["receiver_off"],
    ),
}


def without_ends(changes: dict[str, Any]) -> dict[str, Any]:
    """Of an end that cannot be seen nothing within can be changed."""
    gone = [path for path, value in changes.items() if value is None and path.count(".") <= 1]
    return {
        path: value
        for path, value in changes.items()
        if not any(path.startswith(f"{end}.") for end in gone)
    }


@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_named_and_nothing_else(name: str) -> None:
    mode, changes, causes = CASES[name]
    found = diagnosed(mode, without_ends(changes))
    assert found["causes"] == causes
    for finding in found["findings"]:
        assert finding["what"].endswith(".")
        assert finding["next"]


HARMLESS: dict[str, dict[str, Any]] = {
    "a standby that replays, with queries": {
        **WAITING,
        "ship.server.startup": {"wait_event_type": "Activity", "wait_event": "RecoveryWalStream"},
    },
    "a lock while nothing waits": {
        **WAITING,
        "ship.server.lag.receiver.replay_lag_bytes": 0,
        "ship.server.startup": {"wait_event_type": "Lock", "wait_event": "relation"},
    },
    "WAL that is in the archive": {
        "shore.server.wal.oldest": "00000001000000000000001E",
        "shore.archive.segments": ["00000001000000000000001C", "00000001000000000000001D"],
    },
    "a full disk for logs": {"ship.disks": [{**FULL[0], "holds": "log"}]},
    "a log of yesterday": {"ship.log": [said("No space left on device", age=90000)]},
    "settings above the primary's": {"ship.server.settings.max_connections": "500"},
    "an old timeline that it has not left behind": {
        "shore.server.lag.server.timeline": 2,
        "shore.server.history": [{"timeline": 1, "end": "0/1E000000"}],
    },
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm_is_not_blamed(name: str) -> None:
    found = diagnosed(PHYSICAL, HARMLESS[name])
    assert (found["status"], found["causes"]) == ("ok", [])


def test_a_slot_is_made_again_only_where_nothing_is_lost() -> None:
    (finding,) = diagnosed(PHYSICAL, NO_RECEIVER_NO_SLOT)["findings"]
    assert finding["fix"] == {"action": "create_slot", "slot": "ship_algeciras"}
    assert "pg_create_physical_replication_slot('ship_algeciras', true)" in finding["next"]
    (finding,) = diagnosed(PHYSICAL, {**NO_RECEIVER_NO_SLOT, **LATE_WAL})["findings"]
    assert finding["fix"] is None
    assert "ship_reseed.yml -e ship=algeciras" in finding["next"]


def test_wal_in_an_archive_counts_only_where_the_ship_can_fetch_it() -> None:
    archived = {
        **CUT_OFF,
        **HARMLESS["WAL that is in the archive"],
        "ship.server.settings.restore_command": "",
    }
    assert diagnosed(PHYSICAL, archived)["causes"] == ["wal_removed"]


def test_a_dead_connection_of_its_own_is_waited_for() -> None:
    _mode, changes, _causes = CASES["slot held by its own dead connection"]
    (finding,) = diagnosed(PHYSICAL, changes)["findings"]
    assert finding["severity"] == "warning"
    assert finding["next"].startswith("Wait until wal_sender_timeout")


def test_a_pause_says_what_waits() -> None:
    (finding,) = diagnosed(PHYSICAL, {**PAUSED, "ship.server.lag.receiver.replay_lag_bytes": 2048})[
        "findings"
    ]
    assert finding["fix"] == {"action": "resume_replay"}
    assert "2.0 kB are received and not replayed" in finding["proof"]

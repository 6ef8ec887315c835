# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is named where a ship replicates, and falls behind, and of what the shore keeps."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import Case, diagnose
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_lag import RULES

MB = 2**20


def case(mode: str = "physical", **known: Any) -> Case:
    slot = {
        "name": "ship_oslo",
        "active": True,
        "lost": False,
        "lag_bytes": 0,
        "retained_bytes": 0,
        "wal_status": "reserved",
        "seconds_until_lost": None,
        **known.pop("slot", {}),
    }
    server = {
        "settings": {
            "archive_mode": "on",
            "archive_command": "archive_wal %p",
            "max_wal_size": "8192",
            **known.pop("settings", {}),
        },
        "rates": {
            "seconds": 1.0,
            "wal": float(known.pop("written", 0)),
            "slots": {"ship_oslo": float(known.pop("taken", 0))},
        },
        "archiver": {
            "archived_count": 9,
            "last_archived_wal": "000000010000000000000009",
            "last_archived_age": 60.0,
            "failed_count": 0,
            "last_failed_wal": None,
            "last_failed_age": None,
            "waiting": 0,
            **known.pop("archiver", {}),
        },
        "transactions": known.pop("transactions", []),
        "slot_statistics": {"ship_oslo": known.pop("statistics", {})},
        "wal": {"bytes": 64 * MB},
        "lag": {
            "server": {"max_slot_wal_keep_size": known.pop("limit", None)},
            "slots": [slot, *known.pop("slots", [])],
        },
    }
    disk = {
        "holds": "wal",
        "path": "/var/lib/postgresql/17/main/pg_wal",
        "free_bytes": known.pop("free", 900 * MB),
        "total_bytes": 1000 * MB,
    }
    shore = {"log": known.pop("log", []), "server": server, "disks": [disk]}
    ship = {
        "cluster": {"running": True},
        "log": [],
        "server": {
            "lag": {
                "receiver": {"running": True, "status": "streaming"},
                "subscriptions": [
                    {"name": "ship_oslo", "apply_worker_pid": 9, "last_message_time": "now"}
                ],
            }
        },
    }
    wanted = {
        "mode": mode,
        "role": "ship_oslo",
        "slot": "ship_oslo",
        "subscription": "ship_oslo",
        "ships": ["ship_oslo"],
        "link": {"bandwidth": "4Mbit"},
        **known.pop("wanted", {}),
    }
    assert not known, known
    return Case("oslo", "busan", wanted, shore, ship)


def named(found: Case) -> list[str]:
    causes: list[str] = diagnose(found, RULES)["causes"]
    return causes


def test_nothing_is_blamed_where_all_is_well() -> None:
    assert named(case()) == []
    assert named(case("logical")) == []


@pytest.mark.parametrize(
    ("written", "taken", "behind", "causes"),
    [
        (2 * MB, 0.1 * MB, 50 * MB, ["link_too_slow"]),
        (2 * MB, 0.1 * MB, 1 * MB, []),  # a burst
        (2 * MB, 1.9 * MB, 50 * MB, []),  # keeps up
        (2 * MB, 5 * MB, 50 * MB, []),  # catches up
        (0, 0, 50 * MB, []),  # nothing is written: it comes
    ],
)
def test_a_link_that_carries_less_than_is_written(
    written: float, taken: float, behind: float, causes: list[str]
) -> None:
    slot = {"lag_bytes": int(behind)}
    assert named(case(written=written, taken=taken, slot=slot)) == causes


def test_a_ship_that_is_away_has_no_slow_link() -> None:
    assert named(case(written=MB, slot={"lag_bytes": 50 * MB, "active": False})) == []


def test_the_link_is_told_with_what_the_inventory_says_of_it() -> None:
    slow = case(written=2 * MB, taken=0.1 * MB, slot={"lag_bytes": 50 * MB})
    (finding,) = diagnose(slow, RULES)["findings"]
    assert "ship_link says bandwidth: 4Mbit" in finding["proof"]


OPEN = {
    "pid": 7,
    "usename": "loader",
    "application_name": "",
    "state": "idle in transaction",
    "xact_seconds": 100,
    "xid_age": 3,
}


def test_a_transaction_that_is_open() -> None:
    kept = {"retained_bytes": 300 * MB}
    found = diagnose(case("logical", transactions=[OPEN], slot=kept), RULES)
    assert found["causes"] == ["large_transaction"]
    assert "process 7 of loader" in found["findings"][0]["proof"][0]
    assert named(case("logical", transactions=[OPEN], slot={"retained_bytes": 3 * MB})) == []
    assert named(case("logical", slot=kept)) == []
    assert named(case(transactions=[OPEN], slot=kept)) == []
    limits = {"limits": {"transaction_bytes": 2 * MB}}
    small = case("logical", transactions=[OPEN], slot={"retained_bytes": 3 * MB}, wanted=limits)
    assert named(small) == ["large_transaction"]


def test_a_transaction_that_is_being_sent() -> None:
    slot = {"lag_bytes": 300 * MB, "retained_bytes": 300 * MB}
    sent = {"spill_bytes": 200 * MB, "stream_bytes": 0}
    assert named(case("logical", written=MB, slot=slot, statistics=sent)) == ["large_transaction"]
    assert named(case("logical", written=MB, taken=MB, slot=slot, statistics=sent)) == []


def test_checkpoints_that_come_too_often() -> None:
    small = {"max_wal_size": "32"}
    assert named(case(written=5 * MB, taken=5 * MB, settings=small)) == ["checkpoint_storm"]
    assert named(case(written=0.1 * MB, taken=0.1 * MB, settings=small)) == []
    assert named(case(written=5 * MB, taken=5 * MB)) == []
    # What they add to the WAL is why the link is too slow.
    both = case(written=5 * MB, taken=0, slot={"lag_bytes": 50 * MB}, settings=small)
    assert named(both) == ["checkpoint_storm"]


@pytest.mark.parametrize(
    ("archived", "failed", "mode", "causes"),
    [
        (60.0, 5.0, "on", ["archive_failing"]),
        (None, 5.0, "always", ["archive_failing"]),
        (5.0, 60.0, "on", []),
        (60.0, 5.0, "off", []),
    ],
)
def test_an_archive_that_fails(
    archived: float | None, failed: float, mode: str, causes: list[str]
) -> None:
    archiver = {"last_archived_age": archived, "last_failed_age": failed, "failed_count": 2}
    assert named(case(archiver=archiver, settings={"archive_mode": mode})) == causes


def test_a_slot_that_is_nearly_lost() -> None:
    left = {"name": "left", "active": False, "lost": False, "wal_status": "extended"}
    full = {**left, "retained_bytes": 90 * MB}
    found = diagnose(case(slots=[full], limit=100 * MB), RULES)
    assert found["causes"] == ["wal_directory_near_limit"]
    assert "slot_cleanup" in found["findings"][0]["next"]
    assert named(case(slots=[{**full, "retained_bytes": 50 * MB}], limit=100 * MB)) == []
    assert named(case(slots=[full])) == []
    assert named(case(slots=[{**full, "lost": True}], limit=100 * MB)) == []
    own = diagnose(case(slot={"retained_bytes": 90 * MB}, limit=100 * MB), RULES)
    assert "ship_oslo" in own["findings"][0]["next"]
    beyond = diagnose(case(slots=[{**full, "wal_status": "unreserved"}]), RULES)
    assert beyond["status"] == "critical"


def test_a_disk_that_is_nearly_full() -> None:
    found = diagnose(case(free=50 * MB), RULES)
    assert found["causes"] == ["wal_directory_near_limit"]
    assert found["status"] == "critical"

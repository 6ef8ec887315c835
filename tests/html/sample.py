# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet in which everything happens at once, so that a page shows it."""

from __future__ import annotations

import math
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import (
    STATUS_DEFAULTS,
    Archive,
    Seen,
    Shore,
    epoch,
    status_report,
    status_request,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import (
    Lag,
    ServerLag,
    SlotLag,
    StandbyLag,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn

MB, GB = 2**20, 2**30
TIME = "2026-11-23T08:15:29.71Z"
POSITION = Lsn.parse("sample", "16/F0000000")
SAMPLES = 96


def report() -> dict[str, Any]:
    """The shore's report on six ships, with a day of history."""
    ships = [
        {"name": name, "slot": f"ship_{name.replace('-', '_')}", "mode": mode, "bandwidth": 500000}
        for name, mode in (
            ("algeciras", "physical"),
            ("oslo", "logical"),
            ("le-havre", "physical"),
            ("hmm-southampton", "logical"),
            ("singapore", "physical"),
            ("gdansk", "physical"),
        )
    ]
    seen = Seen(
        Lag(
            ServerLag(
                "17.6",
                "primary",
                POSITION,
                time=TIME,
                timeline=1,
                wal_rate=51234.0,
                sample_seconds=5.0,
                slots_used=5,
                max_replication_slots=32,
                wal_senders_used=3,
                max_wal_senders=32,
                max_slot_wal_keep_size=10 * GB,
            ),
            tuple(_standbys()),
            tuple(_slots()),
        ),
        Shore(
            wal_directory_bytes=3 * GB,
            disk_path="/var/lib/postgresql/17/main/pg_wal",
            disk_total_bytes=500 * GB,
            disk_free_bytes=300 * GB,
            archive=Archive(
                enabled=True,
                last_archived_time="2026-11-23T08:10:00Z",
                failed_count=3,
                last_failed_time="2026-11-23T08:14:00Z",
                last_failed_wal="0000000100000016000000B2",
                waiting_files=7,
            ),
            before={"ship_singapore": Lsn(POSITION - 320 * MB)},
            position_before=POSITION,
        ),
    )
    request = status_request({"ships": ships, **STATUS_DEFAULTS})
    return status_report("busan", seen, request, _history())


def _standbys() -> list[StandbyLag]:
    return [
        StandbyLag(
            "17/main",
            11,
            slot="ship_algeciras",
            user="ship_algeciras",
            state="streaming",
            replay_lag_bytes=320,
            replay_lag_seconds=0.4,
        ),
        StandbyLag(
            "17/main",
            12,
            slot="ship_singapore",
            user="ship_singapore",
            state="catchup",
            replay_lag_bytes=300 * MB,
            replay_lag_seconds=400.4,
        ),
        StandbyLag("pg_basebackup", 13, user="ship_gdansk", state="backup"),
    ]


def _slots() -> list[SlotLag]:
    there = {"restart_lsn": POSITION, "wal_status": "reserved", "safe_wal_size": 10 * GB}
    return [
        SlotLag("ship_algeciras", "physical", active=True, active_pid=11, lag_bytes=0, **there),
        SlotLag(
            "ship_singapore",
            "physical",
            active=True,
            active_pid=12,
            lag_bytes=300 * MB,
            retained_bytes=310 * MB,
            **there,
        ),
        SlotLag(
            "ship_le_havre",
            "physical",
            lost=True,
            wal_status="lost",
            invalidation_reason="wal_removed",
            inactive_seconds=864000.0,
            seconds_until_lost=0.0,
        ),
        SlotLag(
            "ship_oslo",
            "logical",
            lag_bytes=5 * GB,
            retained_bytes=6 * GB,
            inactive_seconds=187200.0,
            seconds_until_lost=40000.0,
            lost_by="wal",
            **{**there, "wal_status": "extended", "safe_wal_size": GB},
        ),
        SlotLag("ship_gdansk", "physical", lag_bytes=0, retained_bytes=16 * MB, **there),
    ]


def _history() -> dict[str, list[list[Any]]]:
    now = epoch(TIME)
    assert now is not None
    moments = [now - 900 * (SAMPLES - number) for number in range(SAMPLES)]
    return {
        "oslo": [
            [moment, 40 * MB * number + GB, 42 * MB * number + 2 * GB]
            for number, moment in enumerate(moments)
        ],
        "algeciras": [
            [moment, int(MB * (1 + math.sin(number / 6)) * 30), 16 * MB]
            for number, moment in enumerate(moments)
        ],
        "singapore": [
            [moment, max(0, 900 * MB - 6 * MB * number), 900 * MB - 6 * MB * number + 10 * MB]
            for number, moment in enumerate(moments)
        ],
        "shore": [
            [moment, 50000 + 40000 * math.sin(number / 7), 300 * GB - number * GB // 8]
            for number, moment in enumerate(moments)
        ],
    }

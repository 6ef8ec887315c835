# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as a table: aligned, with and without colour, in a narrow terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.action.show_text import shown_as
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet_report import joined
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._status_table import table

SHORE = {
    "name": "busan",
    "version": "17.6",
    "wal_rate": 51200.0,
    "disk": {"path": "/wal", "total_bytes": 500 * 2**30, "free_bytes": 300 * 2**30},
    "wal_directory_bytes": 2**30,
    "max_slot_wal_keep_size": 10 * 2**30,
    "archive": {
        "enabled": True,
        "last_failed_time": None,
        "last_archived_time": "2026-11-22T08:10:00Z",
        "waiting_files": 0,
    },
    "slots_used": 2,
    "max_replication_slots": 32,
    "wal_senders_used": 1,
    "max_wal_senders": 32,
    "problems": [],
}
WELL = {
    "name": "algeciras",
    "mode": "physical",
    "state": "streaming",
    "severity": "ok",
    "connected": True,
    "lag_bytes": 320,
    "lag_seconds": 0.4,
    "retained_bytes": 16 * 2**20,
    "seconds_until_lost": None,
    "last_contact_seconds": 0.0,
    "catch_up_seconds": None,
    "problems": [],
}
DARK = {
    **WELL,
    "name": "oslo",
    "mode": "logical",
    "state": "dark",
    "severity": "critical",
    "connected": False,
    "lag_bytes": 5 * 2**30,
    "lag_seconds": 18720.0,
    "retained_bytes": 6 * 2**30,
    "seconds_until_lost": 3000.0,
    "last_contact_seconds": 18720.0,
    "catch_up_seconds": 956.6,
    "problems": [
        {
            "severity": "critical",
            "object": "slot ship_oslo",
            "what": "The slot is lost in 50 min.",
            "do": "Connect its consumer, or raise max_slot_wal_keep_size and reload.",
        }
    ],
}
REPORT: dict[str, Any] = {
    "time": "2026-11-22T08:15:29.71Z",
    "status": "critical",
    "shore": SHORE,
    "ships": [DARK, WELL],
}


def test_the_whole_of_it() -> None:
    assert table(REPORT, coloured=False, width=108).splitlines() == [
        "Fleet of busan at 2026-11-22 08:15:29 UTC: critical",
        "PostgreSQL 17.6, WAL 50.0 kB/s, 1.0 GB of WAL on disk, disk 300.0 GB free of 500.0 GB, a slot keeps 10.0 GB",
        "at most, archive well, 2/32 slots, 1/32 walsenders",
        "",
        "    SHIP       MODE      STATE            LAG         AGE     KEPT  LOST IN     CATCH-UP    LAST CONTACT",
        "!!  oslo       logical   dark          5.0 GB  5 h 12 min   6.0 GB   50 min  15 min 56 s  5 h 12 min ago",
        "    algeciras  physical  streaming  320 bytes         0 s  16.0 MB        -            -             now",
        "",
        "critical: oslo: slot ship_oslo: The slot is lost in 50 min.",
        "    Connect its consumer, or raise max_slot_wal_keep_size and reload.",
    ]


def test_nothing_is_wrong() -> None:
    report = {**REPORT, "status": "ok", "ships": [WELL]}
    assert table(report, coloured=False, width=110).endswith("\n\nNothing is wrong.")


def test_no_ship() -> None:
    assert "\nNo ship.\n" in table({**REPORT, "ships": []}, coloured=False, width=110)


def test_colours_change_nothing_else() -> None:
    coloured = table(REPORT, coloured=True, width=110)
    assert "\x1b[1;31m!!\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == table(REPORT, coloured=False, width=110)


@pytest.mark.parametrize("width", [52, 60, 80, 100])
def test_a_narrow_terminal(width: int) -> None:
    """What matters most stays; nothing is wider than the terminal."""
    lines = table(REPORT, coloured=False, width=width).splitlines()
    assert max(map(len, lines)) <= width
    (head,) = [line for line in lines if "SHIP" in line]
    for word in ("SHIP", "STATE", "LAG"):
        assert word in head


def test_korean_names_take_two_columns() -> None:
    rows = table({**REPORT, "ships": [{**DARK, "name": "부산호"}, WELL]}, False, 110).splitlines()
    (korean,) = [line for line in rows if "부산호" in line and "dark" in line]
    (other,) = [line for line in rows if "algeciras" in line]
    assert korean.index("logical") + 3 == other.index("physical")


def test_a_shore_that_tells_nothing() -> None:
    shore = {"inventory_hostname": "busan", "fleet_dark": "timed out"}
    report = joined({}, [{"inventory_hostname": "oslo"}], shore, ["oslo"])
    text = table(report, coloured=False, width=110)
    assert "critical: busan: shore: busan, the shore, does not answer: timed out.\n" in text
    assert re.search(r"^ !  oslo +physical +unknown", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "coloured", "plain"),
    [
        ("a\nb\tc", "a\nb\tc", "a\nb\tc"),
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m", "red"),
        # What a server said may be meant for the terminal.
        ("\x1b]0;title\x07x\x1b[2J\r\x9b31m", "]0;titlex[2J31m", "]0;titlex[2J31m"),
    ],
)
def test_what_a_terminal_is_given(text: str, coloured: str, plain: str) -> None:
    assert shown_as(text, coloured=True) == coloured
    assert shown_as(text, coloured=False) == plain

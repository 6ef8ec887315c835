# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics of a report, as Prometheus reads them."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_metrics import (
    down_text,
    metrics_text,
)

REPORT: dict[str, Any] = {
    "format": 1,
    "time": "2026-11-22T08:15:29.71Z",
    "status": "warning",
    "shore": {
        "name": "busan",
        "version": "17.10",
        "position": "16/B374D848",
        "timeline": 3,
        "system_identifier": "7543210987654321098",
        "wal_rate": 51200.5,
        "disk": {"path": "/x", "total_bytes": 1000, "free_bytes": 900},
        "wal_directory_bytes": 300,
        "max_slot_wal_keep_size": None,
        "archive": {
            "enabled": True,
            "last_archived_time": "2026-11-22T08:15:20Z",
            "last_archived_wal": "000000030000001600000001",
            "failed_count": 2,
            "last_failed_time": None,
            "last_failed_wal": None,
            "waiting_files": 0,
        },
        "failover": None,
        "wal_senders_used": 2,
        "max_wal_senders": 32,
        "slots_used": 3,
        "max_replication_slots": 32,
        "problems": [],
    },
    "ships": [
        {
            "name": "oslo",
            "mode": "logical",
            "slot": "ship_oslo",
            "state": "dark",
            "severity": "warning",
            "connected": False,
            "lag_bytes": 430483528,
            "lag_seconds": 18720.0,
            "retained_bytes": 451223000,
            "seconds_until_lost": None,
            "lost_by": None,
            "last_contact": "2026-11-22T03:03:30Z",
            "last_contact_seconds": 18720.0,
            "rate": None,
            "catch_up_seconds": None,
            "own": None,
            "problems": [{"severity": "warning", "object": "ship oslo", "what": "", "do": ""}],
        },
    ],
    "history": {},
}
# Prometheus: Exposition Formats, "Text format details".
_LABEL = r'[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"'
_LINE = re.compile(rf"(pg_replication_[a-z_]+)\{{{_LABEL}(?:,{_LABEL})*\}} -?[0-9.e+-]+")


def lines(report: dict[str, Any]) -> list[str]:
    text = metrics_text(report)
    assert text.endswith("\n")
    return text.splitlines()


def test_figures() -> None:
    text = metrics_text(REPORT)
    assert (
        "# HELP pg_replication_ship_lag_bytes Bytes of WAL that the ship is behind.\n"
        "# TYPE pg_replication_ship_lag_bytes gauge\n"
        'pg_replication_ship_lag_bytes{shore="busan",ship="oslo",mode="logical"} 430483528\n'
    ) in text
    for line in (
        'pg_replication_status{shore="busan"} 1',
        'pg_replication_shore_up{shore="busan"} 1',
        'pg_replication_report_timestamp_seconds{shore="busan"} 1795335329.71',
        (
            'pg_replication_shore_info{shore="busan",version="17.10",timeline="3",'
            'system_identifier="7543210987654321098"} 1'
        ),
        'pg_replication_shore_wal_bytes_per_second{shore="busan"} 51200.5',
        'pg_replication_shore_archive_enabled{shore="busan"} 1',
        "# TYPE pg_replication_shore_archive_failures_total counter",
        'pg_replication_shore_archive_failures_total{shore="busan"} 2',
        'pg_replication_ship_state{shore="busan",ship="oslo",mode="logical",state="dark"} 1',
        'pg_replication_ship_connected{shore="busan",ship="oslo",mode="logical"} 0',
        'pg_replication_ship_problems{shore="busan",ship="oslo",mode="logical",severity="warning"} 1',
    ):
        assert f"{line}\n" in text


def test_what_is_unknown_has_no_line() -> None:
    text = metrics_text(REPORT)
    for name in ("keep_limit", "until_lost", "catch_up", "last_failure"):
        assert name not in text


def test_every_line_is_well_formed_and_each_metric_told_once() -> None:
    report = copy.deepcopy(REPORT)
    report["ships"].append({**report["ships"][0], "name": 'o"s\\l\no', "rate": -1e-7})
    names: list[str] = []
    for line in lines(report):
        if line.startswith("# TYPE "):
            names.append(line.split()[2])
        elif not line.startswith("# HELP "):
            match = _LINE.fullmatch(line)
            assert match, line
            assert match[1] == names[-1]  # a metric's lines stand together
    assert len(names) == len(set(names))
    assert 'ship="o\\"s\\\\l\\no"' in metrics_text(report)


@pytest.mark.parametrize("ships", [[], REPORT["ships"]])
def test_a_shore_that_is_dark(ships: list[dict[str, Any]]) -> None:
    shore = {
        key: None if not isinstance(value, (list, dict)) else type(value)()
        for key, value in REPORT["shore"].items()
    }
    text = metrics_text({**REPORT, "shore": {**shore, "name": "busan"}, "ships": ships})
    assert 'pg_replication_status{shore="busan"} 1\n' in text
    assert 'pg_replication_shore_up{shore="busan"} 0\n' in text
    assert "shore_disk" not in text
    assert "None" not in text


def test_a_server_that_is_down() -> None:
    text = down_text("busan", 1795335329)
    values = [line for line in text.splitlines() if not line.startswith("#")]
    assert values == [
        'pg_replication_status{shore="busan"} 2',
        'pg_replication_report_timestamp_seconds{shore="busan"} 1795335329',
        'pg_replication_shore_up{shore="busan"} 0',
    ]
    # Told as in an ordinary file.
    assert set(text.splitlines()) - set(values) <= set(metrics_text(REPORT).splitlines())

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""A report of the fleet as metrics, in the text that Prometheus' node exporter takes from files.

Prometheus: Exposition Formats, "Text-based format"; node_exporter, "Textfile Collector". Units are
bytes and seconds. What is unknown has no line. Runs without Ansible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import epoch

PREFIX = "pg_replication_"
_SEVERITIES = {"ok": 0, "warning": 1, "critical": 2}

Labels = Mapping[str, str]


@dataclass
class _Metric:
    """One metric, and its lines."""

    name: str
    about: str
    kind: str = "gauge"
    lines: list[str] = field(default_factory=list)

    def add(self, value: Any, **labels: str) -> None:
        if value is not None:
            self.lines.append(f"{PREFIX}{self.name}{_labels(labels)} {_number(value)}")

    def text(self) -> str:
        head = [
            f"# HELP {PREFIX}{self.name} {_escaped(self.about, quotes=False)}",
            f"# TYPE {PREFIX}{self.name} {self.kind}",
        ]
        return "".join(f"{line}\n" for line in [*head, *self.lines])


def metrics_text(report: Mapping[str, Any]) -> str:
    """The whole file."""
    metrics = [*_report_metrics(report), *_shore_metrics(report), *_ship_metrics(report)]
    return "".join(metric.text() for metric in metrics if metric.lines)


def down_text(name: str, moment: float) -> str:
    """The whole file while the shore's server does not answer."""
    labels = {"shore": name}
    metrics = (
        _filled(*_STATUS, _SEVERITIES["critical"], labels),
        _filled(*_TIME, moment, labels),
        _filled(*_UP, 0, labels),
    )
    return "".join(metric.text() for metric in metrics)


_STATUS = ("status", "The fleet's status: 0 ok, 1 warning, 2 critical.")
_TIME = (
    "report_timestamp_seconds",
    "When the fleet was looked at, in seconds since 1970.",
)
_UP = ("shore_up", "Whether the shore's server answers.")


def _report_metrics(report: Mapping[str, Any]) -> Iterable[_Metric]:
    labels = {"shore": report["shore"]["name"]}
    yield _filled(*_STATUS, _SEVERITIES[report["status"]], labels)
    yield _filled(*_TIME, epoch(report["time"]), labels)
    yield _filled(*_UP, report["shore"]["position"] is not None, labels)


def _shore_metrics(report: Mapping[str, Any]) -> Iterable[_Metric]:
    shore = report["shore"]
    labels = {"shore": shore["name"]}
    disk, archive = shore["disk"] or {}, shore["archive"] or {}
    if shore["version"] is not None:
        told = {name: str(shore[name]) for name in ("version", "timeline", "system_identifier")}
        yield _filled("shore_info", "The shore's server.", 1, {**labels, **told})
    for name, about, value in (
        (
            "shore_wal_bytes_per_second",
            "How fast the shore writes WAL, in bytes a second.",
            shore["wal_rate"],
        ),
        (
            "shore_disk_size_bytes",
            "The size of the disk that the WAL lies on.",
            disk.get("total_bytes"),
        ),
        (
            "shore_disk_free_bytes",
            "What is free of the disk that the WAL lies on.",
            disk.get("free_bytes"),
        ),
        (
            "shore_wal_directory_bytes",
            "The size of all files of WAL.",
            shore["wal_directory_bytes"],
        ),
        (
            "shore_slot_wal_keep_limit_bytes",
            "The most WAL that a slot may retain (max_slot_wal_keep_size).",
            shore["max_slot_wal_keep_size"],
        ),
        ("shore_wal_senders", "Walsenders in use.", shore["wal_senders_used"]),
        ("shore_wal_senders_max", "Walsenders possible.", shore["max_wal_senders"]),
        ("shore_slots", "Replication slots in use.", shore["slots_used"]),
        ("shore_slots_max", "Replication slots possible.", shore["max_replication_slots"]),
        (
            "shore_archive_enabled",
            "Whether WAL is archived.",
            archive.get("enabled"),
        ),
        (
            "shore_archive_waiting_files",
            "Files of WAL that wait to be archived.",
            archive.get("waiting_files"),
        ),
        (
            "shore_archive_last_success_timestamp_seconds",
            "When a file of WAL was last archived, in seconds since 1970.",
            epoch(archive.get("last_archived_time")),
        ),
        (
            "shore_archive_last_failure_timestamp_seconds",
            "When a file of WAL last failed to be archived, in seconds since 1970.",
            epoch(archive.get("last_failed_time")),
        ),
    ):
        yield _filled(name, about, value, labels)
    failures = _Metric(
        "shore_archive_failures_total", "Attempts to archive a file of WAL that failed.", "counter"
    )
    failures.add(archive.get("failed_count"), **labels)
    yield failures
    problems = _Metric("shore_problems", "Problems of the shore, by their severity.")
    _count(problems, shore["problems"], labels)
    yield problems


_SHIP = {
    "lag_bytes": ("ship_lag_bytes", "Bytes of WAL that the ship is behind."),
    "lag_seconds": ("ship_lag_seconds", "How old what the ship has is."),
    "retained_bytes": ("ship_retained_bytes", "Bytes of WAL that the shore keeps for the ship."),
    "seconds_until_lost": (
        "ship_seconds_until_lost",
        "Seconds until the ship's slot may be lost, at the present rate.",
    ),
    "rate": (
        "ship_catch_up_bytes_per_second",
        "Bytes a second by which the ship's lag shrinks; below 0 it grows.",
    ),
    "catch_up_seconds": ("ship_catch_up_seconds", "Seconds until the ship has caught up."),
}


def _ship_metrics(report: Mapping[str, Any]) -> Iterable[_Metric]:
    shore = report["shore"]["name"]
    ships = [
        ({"shore": shore, "ship": ship["name"], "mode": ship["mode"]}, ship)
        for ship in sorted(report["ships"], key=lambda ship: str(ship["name"]))
    ]
    state = _Metric("ship_state", "The ship's state, which is the label state.")
    severity = _Metric("ship_severity", "How bad it is: 0 ok, 1 warning, 2 critical.")
    connected = _Metric("ship_connected", "Whether the ship is connected to the shore.")
    contact = _Metric(
        "ship_last_contact_timestamp_seconds",
        "When the ship was last connected, in seconds since 1970.",
    )
    problems = _Metric("ship_problems", "Problems of the ship, by their severity.")
    figures = {key: _Metric(name, about) for key, (name, about) in _SHIP.items()}
    for labels, ship in ships:
        state.add(1, **labels, state=ship["state"])
        severity.add(_SEVERITIES[ship["severity"]], **labels)
        connected.add(ship.get("connected"), **labels)
        contact.add(epoch(ship["last_contact"]), **labels)
        _count(problems, ship["problems"], labels)
        for key, metric in figures.items():
            metric.add(ship[key], **labels)
    return [state, severity, connected, contact, *figures.values(), problems]


def _count(metric: _Metric, problems: Iterable[Mapping[str, Any]], labels: Labels) -> None:
    found = [problem["severity"] for problem in problems]
    for severity in ("warning", "critical"):
        metric.add(found.count(severity), **labels, severity=severity)


def _filled(name: str, about: str, value: Any, labels: Labels) -> _Metric:
    metric = _Metric(name, about)
    metric.add(value, **labels)
    return metric


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return f"{{{inner}}}"


def _escaped(text: str, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, (bool, int)) else repr(float(value))

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program of the shore's timer, laid down as the role does it, on a cluster of this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gates.paths import CHECKOUT
from tests.gates.role_docs import load
from tests.lab.debian import OWNER, DebianCluster, debian_cluster, reason_against

pytestmark = pytest.mark.xdist_group("debian")

ROLE = CHECKOUT / "roles" / "monitoring"
DATES_SLOTS = 17
# However full this machine's disk is.
ROOM = {"disk_free_percent_warning": 0, "disk_free_percent_critical": 0}
SHIPS = [
    {"name": "algeciras", "slot": "ship_algeciras", "mode": "physical"},
    {"name": "oslo", "slot": "ship_oslo", "mode": "logical", "bandwidth": 500000.0},
]


class Monitor:
    """The program with its files, which belong to the server's user."""

    def __init__(self, folder: Path, cluster: DebianCluster) -> None:
        self.folder = folder
        self.cluster = cluster
        self.program = folder / "fleet_status"
        self.settings: dict[str, Any] = {
            "name": "busan",
            "port": str(cluster.port),
            "socket_directory": "/var/run/postgresql",
            "ships": SHIPS,
            "sample_seconds": "0.5",
            "limits": {"lag_bytes_warning": "1MB", "lag_bytes_critical": "1GB", **ROOM},
            "archive_directory": str(folder / "archive"),
            "history_file": str(folder / "history.jsonl"),
            "report_file": str(folder / "report.json"),
            "metrics_file": str(folder / "fleet_status.prom"),
            "slots_seen_file": str(folder / "slots_seen.json"),
        }
        self._lay_down()

    def _lay_down(self) -> None:
        given = load("monitoring", "vars", "main.yml")
        package = self.folder / "python" / given["__monitoring_package"]
        package.mkdir(parents=True)
        (self.folder / "python" / "ansible_collections" / "__init__.py").touch()
        for name in given["__monitoring_modules"]:
            shutil.copy(CHECKOUT / "plugins" / "module_utils" / f"{name}.py", package)
        shutil.copy(ROLE / "files" / "fleet_status.py", self.program)

    def look(self, *options: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "monitoring.json").write_text(json.dumps(self.settings))
        command = ["runuser", "-u", OWNER, "--", "/usr/bin/python3", "-I", str(self.program)]
        command += ["--config", str(self.folder / "monitoring.json"), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")

    def history(self) -> list[dict[str, Any]]:
        lines = map(json.loads, self.read("history.jsonl").splitlines())
        return [line for line in lines if "t" in line]


@pytest.fixture(scope="module")
def cluster() -> Iterator[DebianCluster]:
    reason = reason_against()
    if reason:
        pytest.skip(reason)
    with debian_cluster(wal_level="logical") as made:
        yield made


@pytest.fixture
def monitor(cluster: DebianCluster) -> Iterator[Monitor]:
    if not cluster.running():
        cluster.control("start")
    cluster.sql("SELECT pg_create_physical_replication_slot('ship_algeciras', true)")
    # Not pytest's own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, OWNER)
        yield Monitor(Path(folder), cluster)
    if not cluster.running():
        cluster.control("start")
    cluster.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def test_what_is_seen_is_written_down(monitor: Monitor) -> None:
    monitor.cluster.sql("CREATE TABLE IF NOT EXISTS t AS SELECT generate_series(1, 100000)")
    done = monitor.look()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    report = json.loads(monitor.read("report.json"))
    states = {ship["name"]: ship["state"] for ship in report["ships"]}
    assert states == {"algeciras": "dark", "oslo": "missing"}
    algeciras = next(ship for ship in report["ships"] if ship["name"] == "algeciras")
    assert algeciras["retained_bytes"] > 1_000_000
    assert algeciras["problems"]

    metrics = monitor.read("fleet_status.prom")
    ship = '{shore="busan",ship="algeciras",mode="physical"}'
    assert f"pg_replication_ship_retained_bytes{ship} {algeciras['retained_bytes']}\n" in metrics
    assert 'pg_replication_shore_up{shore="busan"} 1\n' in metrics
    assert (monitor.folder / "fleet_status.prom").stat().st_mode & 0o777 == 0o644
    assert (monitor.folder / "report.json").stat().st_mode & 0o777 == 0o640

    (line,) = monitor.history()
    assert line["ships"]["algeciras"][:2] == [
        algeciras["lag_bytes"],
        algeciras["retained_bytes"],
    ]
    assert monitor.look().returncode == 0
    assert len(monitor.history()) == 2


def test_a_ship_that_streams_from_another_node(monitor: Monitor) -> None:
    status = monitor.folder / "status.json"
    monitor.settings.update(slots_file=str(status), limits=ROOM)
    ships = [{"slot": "ship_algeciras", "streams_from": "incheon"}]
    told = {"updated": time.time(), "interval": 10, "node": "busan", "ships": ships}
    status.write_text(json.dumps(told))
    shutil.chown(status, OWNER)
    assert monitor.look().returncode == 0
    rows = {row["name"]: row for row in json.loads(monitor.read("report.json"))["ships"]}
    assert (rows["algeciras"]["state"], rows["algeciras"]["node"]) == ("streaming", "incheon")


def test_slots_are_noted_where_the_server_does_not_date_them(monitor: Monitor) -> None:
    assert monitor.look().returncode == 0
    note = monitor.folder / "slots_seen.json"
    if int(monitor.cluster.version) >= DATES_SLOTS:
        assert not note.exists()
        return
    seen = json.loads(note.read_text())
    assert set(seen) == {"ship_algeciras"}
    assert monitor.look().returncode == 0
    assert json.loads(note.read_text()) == seen


def test_what_is_wrong_is_shown(monitor: Monitor) -> None:
    done = monitor.look("--show")
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert lines[0].startswith("critical: oslo: slot ship_oslo: The shore has no slot ship_oslo")
    assert lines[-1] == "busan: critical, 2 ships."
    monitor.settings["ships"] = []
    monitor.cluster.sql("SELECT pg_drop_replication_slot('ship_algeciras')")
    done = monitor.look("--show")
    assert (done.returncode, done.stdout) == (0, "busan: ok, 0 ships.\n")


def test_a_server_that_is_down_is_in_the_metrics(monitor: Monitor) -> None:
    assert monitor.look().returncode == 0
    monitor.cluster.control("stop")
    done = monitor.look()
    assert done.returncode == 1
    assert "Nothing listens there" in done.stderr
    assert "Traceback" not in done.stderr
    assert 'pg_replication_shore_up{shore="busan"} 0\n' in monitor.read("fleet_status.prom")
    assert len(monitor.history()) == 1
    assert monitor.look("--show").returncode == 2


def test_one_file_that_cannot_be_written_is_no_reason_to_leave_the_others(
    monitor: Monitor,
) -> None:
    monitor.settings["history_file"] = "/no/such/folder/history.jsonl"
    done = monitor.look()
    assert done.returncode == 1
    assert done.stderr == (
        "/no/such/folder/history.jsonl cannot be written: No such file or directory.\n"
    )
    assert "pg_replication_status" in monitor.read("fleet_status.prom")
    assert json.loads(monitor.read("report.json"))["format"] == 1


def test_a_configuration_that_is_wrong(monitor: Monitor) -> None:
    monitor.settings["limits"] = {"lag_bytes_warning": "much", **ROOM}
    done = monitor.look()
    assert done.returncode == 1
    assert done.stderr.startswith("lag_bytes_warning: 'much' is not a limit")

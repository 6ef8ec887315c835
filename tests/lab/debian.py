# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster of Debian's postgresql-common on this machine, for what works on nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.waiting import wait_until

PROGRAMS = Path("/usr/lib/postgresql")
OWNER = "postgres"


@dataclass(frozen=True)
class DebianCluster:
    """One cluster; its server runs until control() stops it."""

    version: str
    name: str
    port: int

    @property
    def options(self) -> dict[str, str]:
        """What the collection's modules name it by."""
        return {"version": self.version, "cluster": self.name}

    @property
    def folder(self) -> Path:
        return Path("/etc/postgresql", self.version, self.name)

    @property
    def hba(self) -> Path:
        return self.folder / "pg_hba.conf"

    def control(self, action: str) -> None:
        command = ["pg_ctlcluster", self.version, self.name, action]
        subprocess.run(command, check=True, capture_output=True)

    def reload(self) -> None:
        """Have the server read its files, and wait until it has."""
        query = "SELECT pg_conf_load_time()"
        before = self.sql(query)
        self.control("reload")
        wait_until(lambda: self.sql(query) != before, "the server has read its files again")

    def running(self) -> bool:
        command = ["pg_ctlcluster", self.version, self.name, "status"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def sql(self, statement: str) -> list[str]:
        """Lines of psql's answer, the columns between bars."""
        command = ["runuser", "-u", OWNER, "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
        command += [f"--port={self.port}", "--dbname=postgres", "--command", statement]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
        return done.stdout.splitlines()


def reason_against() -> str | None:
    """Why there can be no such cluster here; None: there can."""
    if os.geteuid() != 0:
        return "only root makes clusters of postgresql-common"
    if shutil.which("pg_createcluster") is None or _newest() is None:
        return "there is no PostgreSQL of Debian's (packages postgresql-common and postgresql)"
    return None


@contextlib.contextmanager
def debian_cluster(**settings: Any) -> Iterator[DebianCluster]:
    """A fresh cluster that runs; it is gone afterwards."""
    version = _newest()
    assert version is not None
    cluster = DebianCluster(version, f"hmm_test_{os.getpid()}", _free_port())
    words = ["pg_createcluster", "--port", str(cluster.port), "--start-conf", "manual"]
    for name, value in {"ssl": "off", "fsync": "off", **settings}.items():
        words += ["--pgoption", f"{name}={value}"]
    made = [*words, version, cluster.name, "--", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True)
    try:
        cluster.control("start")
        yield cluster
    finally:
        drop = ["pg_dropcluster", "--stop", version, cluster.name]
        subprocess.run(drop, check=True, capture_output=True)


def _newest() -> str | None:
    found = [int(path.parents[1].name) for path in PROGRAMS.glob("[0-9]*/bin/postgres")]
    return str(max(found)) if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

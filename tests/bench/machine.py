# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a reader has to know of the machine that measured, and nothing that names it."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import ansible

from tests.lab import Server


def facts(servers: list[Server]) -> dict[str, str]:
    """What was measured on, and when."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    releases = sorted({server.sql("SHOW server_version")[0][0] for server in servers})
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {gigabytes:.0f} GB of memory, {platform.machine()}",
        "load at the begin": load(),
        "PostgreSQL": ", ".join(releases),
        "ansible-core": version("ansible-core"),
        "community.postgresql": peer_version(),
        "Python": platform.python_version(),
        "psycopg2": version("psycopg2-binary"),
    }


def load() -> str:
    """The load averages of 1, 5 and 15 minutes."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def peer_version() -> str:
    """The version of community.postgresql that the package `ansible` brought."""
    collections = Path(ansible.__file__).parents[1] / "ansible_collections"
    manifest = collections / "community" / "postgresql" / "MANIFEST.json"
    return str(json.loads(manifest.read_text())["collection_info"]["version"])

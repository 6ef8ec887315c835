# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL's client programs, which the servers' packages do not have: those of this machine.

Debian's package postgresql-client brings one version of them. A client works with the servers of
its own version and of older ones.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Clients:
    """A folder with client programs of one major version."""

    major: int
    bin: Path


def find_clients() -> Clients | None:
    """The newest that are here; None: there are none."""
    found = [
        Clients(int(path.parents[1].name), path.parent)
        for path in DEBIAN.glob("*/bin/pg_basebackup")
        if re.fullmatch(r"\d+", path.parents[1].name)
    ]
    return max(found, key=lambda clients: clients.major, default=None)


def lacking(clients: Clients | None, major: int) -> str | None:
    """Why these clients do not serve a server of this version; None: they do."""
    if clients is None:
        return f"no pg_basebackup in {DEBIAN}/*/bin (Debian: postgresql-client)"
    if clients.major < major:
        return f"pg_basebackup is of PostgreSQL {clients.major}, and the server is {major}"
    if shutil.which("zstd") is None:
        return "no zstd to unpack packs with"
    return None

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What the control file tells of a server's data, and where they end.

PostgreSQL: pg_controldata; WAL Internals (the names of segment files).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn, segment_name

_CHECKPOINT = ("Latest checkpoint location", "Latest checkpoint's TimeLineID")
# 0/0 and 0 on a primary.
_RECOVERY = ("Minimum recovery ending location", "Min recovery ending loc's timeline")
_NAME_LENGTH = 24


def read_control(version: str, directory: Path) -> dict[str, str]:
    """Its labels, as pg_controldata gives them, and their values; empty where it cannot be read."""
    program = Path("/usr/lib/postgresql", version, "bin", "pg_controldata")
    if not program.exists() or not (directory / "global" / "pg_control").exists():
        return {}
    try:
        told = subprocess.run(
            [program, "-D", directory],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "LC_ALL": "C"},
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {
        name: value.strip()
        for name, _colon, value in (line.partition(":") for line in told.splitlines())
    }


def data_end(
    control: Mapping[str, str], directory: Path, received: str | None = None
) -> tuple[Lsn | None, int | None]:
    """The furthest position of the data, and its timeline.

    A standby that has followed a promotion has the former timeline in its control file until its
    next restartpoint, and goes by its WAL files: the newest timeline that one of them is of.

    :param received: what a running standby has received or replayed.
    """
    ends = [
        (Lsn.parse("end", control[position]), int(control[timeline]))
        for position, timeline in (_CHECKPOINT, _RECOVERY)
        if position in control and timeline in control
    ]
    if not ends:
        return None, None
    end, timeline = max(ends)
    if received and Lsn.parse("received", received) > end:
        end = Lsn.parse("received", received)
        size = int(control.get("Bytes per WAL segment", 0))
        timeline = max([timeline, *_timelines(directory / "pg_wal", end, size)])
    return end, timeline


def _timelines(wal: Path, end: Lsn, size: int) -> list[int]:
    """Those that have a file with the byte before this position."""
    if not size:
        return []
    name = segment_name((end - 1) // size, size)
    try:
        return [
            int(file.name[:8], 16)
            for file in wal.glob(f"????????{name}")
            if len(file.name) == _NAME_LENGTH
        ]
    except (OSError, ValueError):
        return []

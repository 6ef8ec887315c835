# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that come from Debian, installed when a gate first needs them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.gates.paths import CHECKOUT
from tests.gates.processes import run


def need(program: str, *packages: str) -> None:
    """Install these packages unless the program is there."""
    if shutil.which(program) is None:
        _install(*packages)


def need_file(path: str, *packages: str) -> None:
    """Install these packages unless the file is there."""
    if not Path(path).exists():
        _install(*packages)


def _install(*packages: str) -> None:
    run(["sh", CHECKOUT / "tests" / "gates" / "apt.sh", *packages])

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bare PostgreSQL servers 13 to 18 for tests: no container, no distribution package."""

from tests.lab.binaries import MAJORS, Binaries, fetch
from tests.lab.lab import Lab
from tests.lab.server import Server

__all__ = ["MAJORS", "Binaries", "Lab", "Server", "fetch"]

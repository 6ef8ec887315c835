# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates that pytest runs."""

from __future__ import annotations

from pathlib import Path

from tests.gates.environments import environment
from tests.gates.packages import need, need_file
from tests.gates.paths import CHECKOUT


def unit() -> str | None:
    need("rsync", "rsync")
    need("zstd", "zstd")
    return _pytest("tests/unit")


def html() -> str | None:
    need("chromium", "chromium", "fonts-dejavu-core")
    return _pytest("tests/html")


def integration() -> str | None:
    need("npm", "npm", "ca-certificates")
    need("pg_basebackup", "postgresql-client")  # the lab's servers come without
    _need_debian_server()
    need("zstd", "zstd")
    # For programs that run on a host, by its own Python.
    need_file("/usr/lib/python3/dist-packages/psycopg2", "python3-psycopg2")
    environment("main").run("python", "-m", "tests.lab", "fetch", folder=CHECKOUT)
    # Two at a time, each with servers of its own: one version's tests stay together.
    return _pytest("tests/integration", "--numprocesses=2", "--dist=loadgroup")


def _need_debian_server() -> None:
    """For clusters of postgresql-common; without the one that the package would make and start."""
    if any(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        return
    need("pg_createcluster", "postgresql-common")
    folder = Path("/etc/postgresql-common/createcluster.d")
    folder.mkdir(exist_ok=True)
    (folder / "hmm_tests.conf").write_text("create_main_cluster = false\n")
    need("postgres", "postgresql")


def _pytest(folder: str, *options: str) -> str | None:
    if not (CHECKOUT / folder).is_dir():
        return f"nothing to test yet: there is no {folder}"
    environment("main").run("pytest", folder, *options, folder=CHECKOUT)
    return None

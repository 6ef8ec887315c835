# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Minimal Debian roots, each with the Python that its suite brings: they stand for managed hosts."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.gates.environments import environment
from tests.gates.packages import need
from tests.gates.paths import CACHE, CHECKOUT, REQUIREMENTS
from tests.gates.processes import GateError, run


@dataclass(frozen=True)
class Suite:
    """A suite of Debian and the version of its Python."""

    name: str
    python: str


OLDEST = Suite("bullseye", "3.9")
NEWEST = Suite("trixie", "3.13")


def root(suite: Suite) -> Path:
    """The root of this suite, with python3 and psycopg2; made the first time."""
    pinned = REQUIREMENTS / "hosts.txt"
    target = CACHE / "roots" / suite.name
    stamp = target / "stamp"
    if stamp.is_file() and stamp.read_text() == pinned.read_text():
        return target
    print(f"making a root of Debian {suite.name}", flush=True)
    need("mmdebstrap", "mmdebstrap")
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    packages = "--include=python3"
    run(["mmdebstrap", "--quiet", "--variant=minbase", packages, suite.name, target, mirror()])
    environment("main").run(
        "python",
        *("-m", "pip", "install", "-qq", "--no-deps", "--requirement", pinned),
        *("--target", target / "usr/lib/python3/dist-packages"),
        *("--python-version", suite.python, "--only-binary", ":all:"),
        *("--implementation", "cp", "--platform", "manylinux2014_x86_64"),
    )
    found = subprocess.run(
        ["chroot", target, "python3", "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    if found != suite.python:
        raise GateError(f"Debian {suite.name} has Python {found}, not {suite.python}")
    stamp.write_text(pinned.read_text())
    return target


def mirror() -> str:
    """Where this machine itself gets Debian from."""
    ask = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    for refresh in (False, True):
        if refresh:
            run(["apt-get", "update", "--quiet=2"])
        for line in run(ask, folder=CHECKOUT, capture=True).splitlines():
            origin, _space, address = line.partition(" ")
            if origin == "Debian" and "security" not in address:
                return address
    raise GateError("the apt sources of this machine name no mirror of Debian")

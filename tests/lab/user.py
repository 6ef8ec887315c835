# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL refuses to run as root: then its programs run as `nobody`."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from pathlib import Path

NAME = "nobody"


def is_root() -> bool:
    return os.geteuid() == 0


def own(path: Path) -> None:
    """Give a path, and all below it, to the user that the servers run as."""
    if not is_root():
        return
    user = pwd.getpwnam(NAME)
    os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    for below in path.rglob("*"):
        os.chown(below, user.pw_uid, user.pw_gid, follow_symlinks=False)


def as_user(command: list[str]) -> list[str]:
    """Prefix a command so that it runs as that user."""
    if not is_root():
        return command
    user = pwd.getpwnam(NAME)
    rights = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *rights, "--", *command]


def with_death_signal(command: list[str], number: signal.Signals) -> list[str]:
    """Prefix a command so that it gets this signal when this process dies.

    Goes inside of as_user(): a change of the user would undo it.
    """
    return ["setpriv", f"--pdeathsig={number.name.removeprefix('SIG')}", "--", *command]


def can_execute(program: Path) -> bool:
    """Whether that user can reach and execute a program (a checkout may lie in root's home)."""
    if not is_root():
        return os.access(program, os.X_OK)
    return subprocess.run(as_user(["test", "-x", str(program)]), check=False).returncode == 0

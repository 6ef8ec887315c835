# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL refuses to run as root: then its programs run as `nobody`."""

from __future__ import annotations

import os
import pwd
import shutil
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


def as_user(command: list[str], death_signal: signal.Signals | None = None) -> list[str]:
    """Prefix a command so that it runs as that user, and gets a signal when this process dies."""
    prefix = [shutil.which("setpriv") or "/usr/bin/setpriv"]
    if is_root():
        user = pwd.getpwnam(NAME)
        prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    if death_signal is not None:
        prefix += [f"--pdeathsig={death_signal.name.removeprefix('SIG')}"]
    return [*prefix, "--", *command] if len(prefix) > 1 else command


def can_execute(program: Path) -> bool:
    """Whether that user can reach and execute a program (a checkout may lie in root's home)."""
    if not is_root():
        return os.access(program, os.X_OK)
    return subprocess.run(as_user(["test", "-x", str(program)]), check=False).returncode == 0

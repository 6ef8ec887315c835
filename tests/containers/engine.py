# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker's daemon, whether the machine runs one or not."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.gates.packages import need
from tests.gates.paths import CACHE
from tests.gates.processes import GateError

LOG = CACHE / "containers" / "dockerd.log"
# Where containers are in one group, all of them get as much of a processor as one other session.
COMMAND = ("dockerd", "--exec-opt=native.cgroupdriver=cgroupfs", "--cgroup-parent=/")
PATIENCE = 60  # seconds for a daemon to answer, or to end
INTERVAL = 0.2


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """See to it that a daemon answers; one that had to be started is ended."""
    need("dockerd", "docker.io")
    need("docker", "docker-cli")  # a package of its own from Debian 13 on
    if _answers():
        yield
        return
    if os.geteuid() != 0:
        raise GateError("no Docker daemon answers, and starting one needs root")
    LOG.parent.mkdir(parents=True, exist_ok=True)
    print(f"starting dockerd, it tells what it does in {LOG}", flush=True)
    with (
        LOG.open("w") as log,
        subprocess.Popen(
            COMMAND, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        ) as daemon,
    ):
        try:
            _wait(daemon)
            yield
        finally:
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(PATIENCE)
            daemon.kill()


def cgroup() -> Path:
    """Where this machine has its cgroup v2 hierarchy, which systemd in a container wants."""
    for path in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        words = ["stat", "--file-system", "--format=%T", str(path)]
        found = subprocess.run(words, check=False, capture_output=True, text=True)
        if found.stdout.strip() == "cgroup2fs":
            return path
    raise GateError("this machine has no cgroup v2 hierarchy, which systemd in a container needs")


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], check=False, capture_output=True).returncode == 0


def _wait(daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _answers():
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise GateError(f"dockerd does not start:\n{LOG.read_text()[-2000:]}")
        time.sleep(INTERVAL)

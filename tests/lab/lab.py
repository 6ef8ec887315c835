# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab: makes servers, and ends them all and removes their files, however the process ends."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType

from tests.lab import user
from tests.lab.binaries import CACHE_DIR, Binaries, fetch
from tests.lab.server import DEFAULTS, SUPERUSER, Server
from tests.lab.tls import Authority

PREFIX = "hmm-pg-lab-"


class Lab:
    """Use as a context manager, or call close(); an exit or SIGTERM closes it as well."""

    def __init__(self) -> None:
        _remove_left_over()
        # A short path: a unix socket's may have some hundred bytes only.
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.folder.chmod(0o755)
        self.authority = Authority(self.folder / "tls")
        self.servers: list[Server] = []
        self._count: Counter[int] = Counter()
        atexit.register(self.close)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    # As Ctrl-C does: pytest takes SystemExit for a failed test, and goes on.
                    signal.signal(number, signal.default_int_handler)

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def server(self, major: int, **settings: object) -> Server:
        """Make and start one more server of this version, with these settings besides the usual."""
        binaries = self._reachable(fetch(major))
        number = self._count[major]
        self._count[major] += 1
        server = Server(
            binaries=binaries,
            home=self.folder / f"{major}-{number}",
            password=f"lab-{secrets.token_hex(8)}",
            authority=self.authority,
            settings={**DEFAULTS, **settings},
        )
        server.home.mkdir()
        shutil.copytree(self._fresh_cluster(binaries, number), server.data)
        server.prepare_home()
        self.servers.append(server)
        server.start()
        server.sql(f"ALTER ROLE {SUPERUSER} PASSWORD '{server.password}'")
        return server

    def close(self) -> None:
        """End every server and remove every file; safe to call twice."""
        atexit.unregister(self.close)
        for server in self.servers:
            server.discard()
        self.servers.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _reachable(self, binaries: Binaries) -> Binaries:
        if user.can_execute(binaries.bin / "postgres"):
            return binaries
        return binaries.copy_to(self.folder / f"postgres-{binaries.major}")

    def _fresh_cluster(self, binaries: Binaries, number: int) -> Path:
        """What initdb makes, kept for the next time.

        The n-th server of a lab always gets the n-th one: no two servers of one lab share a
        system identifier.
        """
        kept = CACHE_DIR / "clusters" / f"{fetch(binaries.major).root.name}-{number}"
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                user.own(Path(scratch))
                data = Path(scratch) / "data"
                command = [str(binaries.bin / "initdb"), "-D", str(data), "-U", SUPERUSER]
                command += ["--locale=C", "--encoding=UTF8", "--auth=trust", "--no-sync"]
                subprocess.run(
                    user.as_user(command),
                    env=binaries.environment,
                    cwd=self.folder,
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                kept.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=kept.parent) as nearby:
                    copy = Path(nearby) / "data"
                    shutil.copytree(data, copy)
                    if not kept.exists():
                        copy.rename(kept)
        return kept


def _remove_left_over() -> None:
    """Remove the folders of labs whose process was killed without a chance to do so."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""A cluster of Debian's postgresql-common on this host: its files, its server, its control.

Control goes through pg_ctlcluster alone, which knows whether systemd runs the server.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import (
    Session,
    attempts,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    describe,
)

# A server that replays WAL, or writes a large checkpoint, starts and stops slowly.
CONTROL_SECONDS = 900
RELOAD_SECONDS = 60

# What a server logs whenever it starts or stops.
_USUAL = re.compile(
    r"checkpoint |starting PostgreSQL|listening on|database system|received |shutting down"
    r"|aborting any|background worker|redo |entering standby|consistent recovery"
)

# Loads certificate, key and authority as the server does, without its program.
_LOAD_TLS = """
import ssl, stat, sys, os
certificate, key, authority = sys.argv[1:]
try:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    name = key
    status = os.stat(key)
    if status.st_mode & (0o077 if status.st_uid else 0o027):
        sys.exit(f"{key} may be read by others: mode 0600, or 0640 where root owns it.")
    name = f"{certificate} with {key}"
    context.load_cert_chain(certificate, key, password="")
    name = authority
    if authority:
        context.load_verify_locations(authority)
except OSError as exc:
    sys.exit(f"{name}: {exc}.")
"""

_READY = ("ready", "standby")
_PORT, _SOCKET, _STATUS = 3, 4, 7  # lines of postmaster.pid


@dataclass(frozen=True)
class Running:
    """What postmaster.pid says of a running server."""

    pid: int
    port: str
    socket_directory: str
    status: str

    @property
    def ready(self) -> bool:
        return self.status in _READY


@dataclass(frozen=True)
class Cluster:
    """One cluster, as pg_lsclusters lists it."""

    version: str
    name: str
    config_directory: Path
    data_directory: Path
    log_file: Path | None
    uid: int
    gid: int

    @property
    def title(self) -> str:
        return f"cluster {self.version}/{self.name}"

    def running(self) -> Running | None:
        """The server, if there is one."""
        try:
            lines = (self.data_directory / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
            return None
        except PermissionError:
            raise ReplicationError(
                f"The {self.title} belongs to another user: run the task as root (become: true)."
            ) from None
        padded = [line.strip() for line in lines] + [""] * 8
        return Running(pid, padded[_PORT], padded[_SOCKET], padded[_STATUS])

    def session(self, running: Running, database: str = "postgres") -> Session:
        """A session as the superuser that owns the cluster, by the local socket."""
        owner = pwd.getpwuid(self.uid).pw_name
        conninfo = Conninfo(
            {
                "host": running.socket_directory,
                "port": running.port,
                "user": owner,
                "dbname": database,
                "connect_timeout": "20",
                "client_encoding": "UTF8",
                "application_name": "hmm.pg_replication",
            }
        )
        with _acting_as(self.uid):
            return Session(conninfo)

    def control(self, action: str) -> None:
        """Start, restart, reload ... by pg_ctlcluster.

        :raises ReplicationError: it failed; with the end of the server's log.
        """
        since = self._log_size()
        command = ["pg_ctlcluster", self.version, self.name, action]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=CONTROL_SECONDS,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise ReplicationError(
                f"{' '.join(command)} did not end within {CONTROL_SECONDS} s."
            ) from None
        if done.returncode == 0:
            return
        if action in ("start", "restart") and self._becomes_ready():
            return
        said = self._log_since(since) or done.stderr or done.stdout
        raise ReplicationError(f"{' '.join(command)} failed: {_told(said)}")

    def reload(self, session: Session) -> None:
        """Have the server read its files, and wait until it has."""
        before = self.load_time(session)
        self.control("reload")
        session.wait_until(
            # Each new backend inherits the postmaster's; this one reads it anew on its own signal.
            sql.SQL("SELECT pg_catalog.pg_conf_load_time() > to_timestamp({})").format(
                sql.Literal(before)
            ),
            RELOAD_SECONDS,
            f"the server of {self.title} has not read its files again",
        )

    @staticmethod
    def load_time(session: Session) -> float:
        """When the server last read its files, in seconds since 1970."""
        rows = session.read(sql.SQL("SELECT extract(epoch FROM pg_conf_load_time())::float8 AS at"))
        return float(rows[0]["at"])

    def check_settings(self, changes: Mapping[Path, str | None]) -> None:
        """Have the server's own program read the settings as they would be.

        :param changes: files of the configuration directory, and what they would hold; None: none.
        :raises ReplicationError: what it refuses.
        """
        with self._rehearsal(changes) as folder:
            if self._postgres(folder, "ssl") == "on":
                names = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file")
                self._check_tls(*(self._postgres(folder, name) for name in names))

    def _check_tls(self, certificate: str, key: str, authority: str) -> None:
        # A reload only logs that these do not fit, and the next start then fails.
        done = subprocess.run(
            [sys.executable, "-I", "-c", _LOAD_TLS, certificate, key, authority],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=self.data_directory,
            user=self.uid,
            group=self.gid,
            extra_groups=os.getgrouplist(pwd.getpwuid(self.uid).pw_name, self.gid),
        )
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()[-1:] or ["no reason told"]
            raise ReplicationError(
                f"PostgreSQL could not load its certificate with these settings: {said[0]} Nothing"
                " was changed."
            )

    def setting(self, name: str) -> str:
        """What a start would read from the files.

        :raises ReplicationError: the server's program refuses them.
        """
        return self._postgres(self.config_directory, name)

    def values_with(self, changes: Mapping[Path, str | None], names: list[str]) -> dict[str, str]:
        """What the settings would be after a restart, as pg_settings writes them."""
        with self._rehearsal(changes) as folder:
            return {name: self._postgres(folder, name) for name in names}

    @contextmanager
    def _rehearsal(self, changes: Mapping[Path, str | None]) -> Iterator[Path]:
        # A copy of the whole directory, so that its relative includes, and their order, hold.
        with tempfile.TemporaryDirectory(prefix="pg_replication-") as parent:
            folder = Path(parent) / "conf"
            shutil.copytree(self.config_directory, folder, ignore_dangling_symlinks=True)
            for path, text in changes.items():
                copy = folder / path.relative_to(self.config_directory)
                if text is None:
                    copy.unlink(missing_ok=True)
                else:
                    copy.parent.mkdir(exist_ok=True)
                    copy.write_text(text)
            for path in [Path(parent), *Path(parent).rglob("*")]:
                os.chown(path, self.uid, self.gid)
            yield folder

    def _postgres(self, folder: Path, setting: str) -> str:
        done = subprocess.run(
            [
                f"/usr/lib/postgresql/{self.version}/bin/postgres",
                "-D",
                str(self.data_directory),
                "-c",
                f"config_file={folder / 'postgresql.conf'}",
                "-c",
                "log_line_prefix=",
                "-C",
                setting,
            ],
            capture_output=True,
            text=True,
            check=False,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            cwd="/",
            user=self.uid,
            group=self.gid,
            extra_groups=[],
        )
        if done.returncode != 0:
            text = done.stderr.replace(str(folder), str(self.config_directory))
            raise ReplicationError(
                f"PostgreSQL refuses these settings: {_told(text)} Nothing was changed."
            )
        return done.stdout.strip()

    def _becomes_ready(self) -> bool:
        # pg_ctl gives up after a minute; a server that replays much goes on.
        for _attempt in attempts(CONTROL_SECONDS):
            running = self.running()
            if running is None:
                return False
            if running.ready:
                return True
        return False

    def _log_size(self) -> int:
        try:
            return self.log_file.stat().st_size if self.log_file else 0
        except FileNotFoundError:
            return 0

    def _log_since(self, size: int) -> str:
        if self.log_file is None or not self.log_file.is_file():
            return ""
        with self.log_file.open(errors="replace") as file:
            file.seek(size)
            return file.read()


def find_cluster(version: str, name: str) -> Cluster:
    """The cluster of that version and name.

    :raises ReplicationError: there is none.
    """
    if os.geteuid() != 0:
        raise ReplicationError("Only root may do this: add become: true to the task.")
    try:
        listed = subprocess.run(
            ["pg_lsclusters", "--json"], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        raise ReplicationError(
            "pg_lsclusters is missing: install the package postgresql-common (role postgres)."
        ) from None
    except subprocess.CalledProcessError as exc:
        raise ReplicationError(f"pg_lsclusters failed: {_told(exc.stderr)}") from None
    for entry in json.loads(listed):
        if (str(entry["version"]), entry["cluster"]) == (version, name):
            return Cluster(
                version,
                name,
                Path(entry["configdir"]),
                Path(entry["pgdata"]),
                Path(entry["logfile"]) if entry.get("logfile") else None,
                int(entry["owneruid"]),
                int(entry["ownergid"]),
            )
    raise ReplicationError(
        f"There is no cluster {version}/{name} on this host: see pg_lsclusters, or make it with the"
        " role postgres."
    )


def replace_file(path: Path, text: str | None, uid: int, gid: int, mode: int) -> None:
    """Put the text in the file's place in one step, on disk; None removes the file."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_file(path: Path) -> str | None:
    """The file's text, None where there is no file."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


@contextmanager
def _acting_as(uid: int) -> Iterator[None]:
    # The socket's peer authentication looks at the effective user.
    before = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)


def _told(text: str) -> str:
    """The lines of a log that say what is wrong, as sentences."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [
        found.group(2)
        for line in lines
        if (found := re.search(r"\b(FATAL|ERROR|PANIC|LOG|HINT|DETAIL):\s+(.*)", line))
        and not (found.group(1) == "LOG" and _USUAL.match(found.group(2)))
    ]
    return describe(None, "\n".join((marked or lines)[-6:]))

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One PostgreSQL server: a child process of this one, that ends when this one ends."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn

from tests.lab import user
from tests.lab.binaries import Binaries
from tests.lab.tls import Authority
from tests.lab.waiting import wait_until

SUPERUSER = "postgres"

# Quick to start and to notice changes; nothing here changes what a replication object is.
DEFAULTS: dict[str, object] = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_wal_senders": 50,
    "max_replication_slots": 50,
    "max_logical_replication_workers": 20,
    "max_worker_processes": 40,
    "max_prepared_transactions": 20,
    "max_connections": 100,
    "shared_buffers": "32MB",
    "fsync": "off",
    "password_encryption": "scram-sha-256",
    "wal_retrieve_retry_interval": "200ms",
    "wal_receiver_status_interval": "1s",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_statement": "none",
    "ssl": "on",
}

# The unix socket trusts; TCP asks for the password (plain or TLS), roles named cert_* for a
# certificate of the lab's authority.
HBA = """\
local all,replication all trust
hostssl all,replication /^cert_ 127.0.0.1/32 cert
host all,replication all 127.0.0.1/32 scram-sha-256
"""


@dataclass
class Server:
    """A server in a folder of its own; made by Lab.server()."""

    binaries: Binaries
    home: Path
    password: str
    authority: Authority
    settings: dict[str, object]
    superuser: str = SUPERUSER
    host: str = "127.0.0.1"
    port: int = 0
    standbys: list[Server] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def major(self) -> int:
        return self.binaries.major

    @property
    def bin(self) -> Path:
        """The folder with initdb, pg_ctl and postgres."""
        return self.binaries.bin

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def socket_dir(self) -> str:
        return str(self.home)

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def ca_cert(self) -> str:
        return str(self.authority.cert)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def dsn(self, dbname: str = SUPERUSER, **more: object) -> str:
        """A connection string by TCP, with the superuser's password."""
        parts: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": self.superuser,
            "password": self.password,
            "dbname": dbname,
            **more,
        }
        return str(make_dsn(**parts))

    def connect(self, dbname: str = SUPERUSER, **more: Any) -> Any:
        """A new connection over the unix socket, in autocommit."""
        connection = psycopg2.connect(
            host=self.socket_dir, port=self.port, user=self.superuser, dbname=dbname, **more
        )
        connection.autocommit = True
        return connection

    def sql(
        self,
        query: Any,
        dbname: str = SUPERUSER,
        params: tuple[object, ...] | Mapping[str, object] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run one statement in autocommit; return its rows, [] if it has none."""
        connection = self.connect(dbname)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, params)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def log_text(self) -> str:
        """All that the server wrote to its log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def configure(self, **settings: object) -> None:
        """Note settings (None forgets one) for the next start."""
        for name, value in settings.items():
            self.settings[name] = value
            if value is None:
                del self.settings[name]
        lines = [f"{name} = {_quoted(value)}" for name, value in self.settings.items()]
        path = self.data / "lab.conf"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        user.own(path)

    def start(self) -> None:
        """Start, and wait until it answers (a standby: until it answers reading queries)."""
        if self.running:
            return
        if self.port == 0:
            self.port = _free_port()
        own_settings = {
            "port": self.port,
            "unix_socket_directories": self.socket_dir,
            "ssl_ca_file": self.authority.cert,
            "ssl_cert_file": self.home / "server.crt",
            "ssl_key_file": self.home / "server.key",
        }
        self.configure(**own_settings)
        command = [str(self.bin / "postgres"), "-D", str(self.data)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                user.as_user(user.with_death_signal(command, signal.SIGQUIT)),
                env=self.binaries.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                start_new_session=True,
            )
        try:
            wait_until(self._answers, f"PostgreSQL {self.major} answers", timeout=60)
        except BaseException:
            self.kill()
            raise

    def stop(self, timeout: float = 30) -> None:
        """Shut down in order (fast mode); after timeout seconds, immediately."""
        self._end(signal.SIGINT, timeout)

    def kill(self) -> None:
        """End at once, as a crash would: the next start recovers."""
        self._end(signal.SIGQUIT, 10)

    def discard(self) -> None:
        """End at once, and remove all files."""
        for standby in self.standbys:
            standby.discard()
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def restart(self, **settings: object) -> None:
        """Stop, note these settings (None forgets one), and start on the same port."""
        self.stop()
        self.configure(**settings)
        self.start()

    def reload(self, **settings: object) -> None:
        """Note these settings and have the running server read them."""
        self.configure(**settings)
        self.sql("SELECT pg_reload_conf()")

    def create_standby(self, slot: str | None = None, name: str | None = None) -> Server:
        """Make a standby, and wait until it streams; its physical slot is made if missing."""
        name = name or f"standby{len(self.standbys) + 1}"
        standby = Server(
            binaries=self.binaries,
            home=self.home.with_name(f"{self.home.name}-{name}"),
            password=self.password,
            authority=self.authority,
            settings=dict(self.settings),
        )
        standby.home.mkdir()
        if slot is not None:
            self.sql(
                "SELECT pg_create_physical_replication_slot(%(slot)s, true) WHERE NOT EXISTS"
                " (SELECT FROM pg_replication_slots WHERE slot_name = %(slot)s)",
                params={"slot": slot},
            )
        self._copy_data_to(standby.data)
        (standby.data / "standby.signal").touch()
        standby.prepare_home()
        standby.configure(
            primary_conninfo=make_dsn(
                host=self.host,
                port=self.port,
                user=self.superuser,
                password=self.password,
                sslmode="verify-full",
                sslrootcert=self.ca_cert,
                application_name=name,
            ),
            primary_slot_name=slot,
            hot_standby="on",
        )
        self.standbys.append(standby)
        standby.start()
        wait_until(
            lambda: self.sql(
                "SELECT true FROM pg_stat_replication"
                " WHERE application_name = %s AND state = 'streaming'",
                params=(name,),
            ),
            f"{name} streams",
        )
        standby.wait_caught_up(self)
        return standby

    def discard_standby(self, standby: Server) -> None:
        """End a standby, remove all files of it, and drop the slot it used."""
        standby.discard()
        self.standbys.remove(standby)
        slot = standby.settings.get("primary_slot_name")
        if slot is None:
            return
        wait_until(
            lambda: self.sql(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE slot_name = %s AND NOT active",
                params=(slot,),
            ),
            f"the slot {slot} is dropped",
        )

    def wait_caught_up(self, upstream: Server, timeout: float = 30) -> None:
        """Wait until this standby has replayed all that its upstream has written by now."""
        ((position,),) = upstream.sql("SELECT pg_current_wal_lsn()::text")
        wait_until(
            lambda: self.sql(
                "SELECT coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)", params=(position,)
            )[0][0],
            f"the standby has replayed {position}",
            timeout,
        )

    def prepare_home(self) -> None:
        """Put the certificate and pg_hba.conf in place, and give all to the server's user."""
        pair = self.authority.issue(self.home.name)
        shutil.copy(pair.cert, self.home / "server.crt")
        shutil.copy(pair.key, self.home / "server.key")
        hba = HBA if self.major >= 16 else HBA.replace("/^cert_", "cert_user")
        (self.data / "pg_hba.conf").write_text(hba, encoding="utf-8")
        conf = self.data / "postgresql.conf"
        if "lab.conf" not in conf.read_text(encoding="utf-8"):
            with conf.open("a", encoding="utf-8") as stream:
                stream.write("include 'lab.conf'\n")
        self.log.touch()
        self.home.chmod(0o755)
        self.data.chmod(0o700)
        user.own(self.home)

    def _copy_data_to(self, target: Path) -> None:
        """An online backup: the programs at hand have no pg_basebackup."""
        begin, end = (
            ("pg_backup_start('lab', true)", "labelfile FROM pg_backup_stop(false)")
            if self.major >= 15
            else ("pg_start_backup('lab', true, false)", "labelfile FROM pg_stop_backup(false)")
        )
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {begin}")
                _copy_tree(self.data, target, ("pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify"))
                cursor.execute(f"SELECT {end}")
                (label,) = cursor.fetchone()
        finally:
            connection.close()
        (target / "backup_label").write_text(label, encoding="utf-8")
        _copy_tree(self.data / "pg_wal", target / "pg_wal", ("archive_status",))

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL {self.major} ended at start:\n{self.log_text()}")
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def _end(self, how: signal.Signals, timeout: float) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(10)


def _quoted(value: object) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _copy_tree(source: Path, target: Path, emptied: tuple[str, ...]) -> None:
    """Copy a folder that changes meanwhile: what vanishes is left to recovery."""
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.name in ("postmaster.pid", "postmaster.opts") or entry.name.startswith(
            "pgsql_tmp"
        ):
            continue
        try:
            if not entry.is_dir():
                shutil.copy(entry, target / entry.name)
            elif entry.name in emptied:
                (target / entry.name).mkdir()
            else:
                _copy_tree(entry, target / entry.name, emptied)
        except FileNotFoundError:
            continue

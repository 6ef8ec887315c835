# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""How a module reaches a server: options, connection, session, and errors put into sentences."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    Conninfo,
    ConninfoType,
    HiddenConninfo,
    hide,
    holds_secret,
    shown,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import (
    extensions,
    psycopg2,
    sql,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    ServerError,
    describe,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import (
    require_supported,
)

Row = dict[str, Any]

# Where Debian's and the upstream build put the socket; psycopg2-binary knows only the second.
_SOCKET_DIRECTORIES = ("/var/run/postgresql", "/tmp")  # noqa: S108

# A link that goes dark must end in an error, not in a task that hangs for two hours.
_PATIENCE = {
    "connect_timeout": "20",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


def connection_spec() -> dict[str, dict[str, Any]]:
    """The connection options; documented in the doc fragment connection."""
    return {
        "login_host": {"type": "str", "default": ""},
        "login_port": {"type": "int", "default": 5432},
        "login_user": {"type": "str", "default": "postgres"},
        "login_password": {"type": "str", "no_log": True},
        "login_unix_socket": {"type": "path"},
        "login_db": {"type": "str"},
        "ssl_mode": {
            "type": "str",
            "default": "verify-full",
            "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        },
        "ca_cert": {"type": "path", "aliases": ["ssl_rootcert"]},
        "ssl_cert": {"type": "path"},
        "ssl_key": {"type": "path"},
        "connect_params": {"type": ConninfoType("dict"), "default": {}},
    }


def login_conninfo(params: Mapping[str, Any]) -> Conninfo:
    """libpq's keywords for the connection options."""
    port = str(params["login_port"])
    given = {
        "host": params["login_unix_socket"] or params["login_host"] or _socket_directory(port),
        "port": port,
        "user": params["login_user"],
        "password": params["login_password"],
        "dbname": params["login_db"] or "postgres",
        "sslmode": params["ssl_mode"],
        "sslrootcert": params["ca_cert"],
        "sslcert": params["ssl_cert"],
        "sslkey": params["ssl_key"],
        "client_encoding": "UTF8",
        "application_name": "hmm.pg_replication",
    }
    extra: HiddenConninfo = params["connect_params"]
    return Conninfo(
        {
            **_PATIENCE,
            **{keyword: value for keyword, value in given.items() if value},
            **extra.require("connect_params"),
        }
    )


def _socket_directory(port: str) -> str:
    if "PGHOST" in os.environ:
        return ""
    for directory in _SOCKET_DIRECTORIES:
        if Path(directory, f".s.PGSQL.{port}").exists():
            return directory
    return _SOCKET_DIRECTORIES[0]


class Session:
    """One connection to one server, in autocommit unless a transaction is asked for."""

    def __init__(self, conninfo: Conninfo) -> None:
        self._conninfo = conninfo
        self._connection = _connect(conninfo)
        self.server_version: int = self._connection.server_version
        require_supported(self.server_version)
        self._quieted = False

    @property
    def major(self) -> int:
        return self.server_version // 10000

    @property
    def superuser(self) -> bool:
        return bool(self._connection.info.parameter_status("is_superuser") == "on")

    @property
    def database(self) -> str:
        return str(self._connection.info.dbname)

    def close(self) -> None:
        self._connection.close()

    def shown(self, statement: sql.Composable) -> str:
        """The statement as a result may show it."""
        return shown(statement, self._connection)

    def warnings(self) -> list[str]:
        """What the server warned of, as sentences."""
        notices = (notice.strip() for notice in self._connection.notices)
        return [
            " ".join(notice.partition(":")[2].split())
            for notice in notices
            if notice.startswith("WARNING:")
        ]

    def read(self, statement: sql.Composable, lock_seconds: int = 0) -> list[Row]:
        """Run a statement that reads the catalogs, and from then on look names up nowhere else.

        In a database where others may create objects, a function or an operator of theirs could
        otherwise be taken for the server's own (PostgreSQL: Schemas, "Usage Patterns").

        :param lock_seconds: how long to wait for a lock; 0: without limit.
        """
        settings = sql.SQL("SET search_path = pg_catalog; SET LOCAL lock_timeout = {}; ").format(
            sql.Literal(f"{lock_seconds}s")
        )
        return self.rows(settings + statement)

    def rows(self, statement: sql.Composable) -> list[Row]:
        """Run one statement, and return its rows.

        :raises ServerError: the server's error, in sentences.
        :raises ReplicationError: the connection is gone.
        """
        if holds_secret(statement):
            self._keep_out_of_log()
        return self._run(self._connection, statement)

    def replication_command(self, command: sql.Composable) -> None:
        """Run one command of the streaming replication protocol, on a connection of its own.

        PostgreSQL: Streaming Replication Protocol, ALTER_REPLICATION_SLOT.
        """
        connection = _connect(Conninfo({**self._conninfo, "replication": "database"}))
        try:
            self._run(connection, command)
        finally:
            connection.close()

    @contextmanager
    def transaction(self, keep: bool = True) -> Iterator[None]:
        """One transaction around the statements within; keep=False rolls it back at its end."""
        self._connection.autocommit = False
        try:
            yield
            if keep:
                self._finish(self._connection.commit)
            else:
                self._connection.rollback()
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise
        finally:
            if not self._connection.closed:
                self._connection.autocommit = True

    def wait_until(self, statement: sql.Composable, seconds: float, what: str) -> None:
        """Ask the server until the statement's one value is true.

        :raises ReplicationError: it was not within so many seconds; what names the condition.
        """
        for _attempt in attempts(seconds):
            if next(iter(self.rows(statement)[0].values())):
                return
        raise ReplicationError(f"Waited {seconds:g} s, and still {what}.")

    def _finish(self, commit: Any) -> None:
        try:
            commit()
        except psycopg2.Error as exc:
            raise self._sentence(exc) from None

    def _keep_out_of_log(self) -> None:
        # The server logs statements whole, those that fail even by default: the password with them.
        if self._quieted or not self.superuser:
            return
        self._quieted = True
        self._run(
            self._connection,
            sql.SQL(
                "SELECT pg_catalog.set_config(name, value, false)"
                " FROM (VALUES ('log_statement', 'none'), ('log_min_error_statement', 'panic'),"
                " ('log_min_duration_statement', '-1'), ('log_min_duration_sample', '-1'),"
                " ('log_transaction_sample_rate', '0')) AS quiet (name, value)"
            ),
        )

    def _run(self, connection: Any, statement: sql.Composable) -> list[Row]:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                if cursor.description is None:
                    return []
                names = [column.name for column in cursor.description]
                return [dict(zip(names, row)) for row in cursor.fetchall()]
        except psycopg2.Error as exc:
            raise self._sentence(exc) from None
        except UnicodeDecodeError:
            raise ReplicationError(
                f"The database {self.database} holds names or comments that are not valid UTF-8,"
                " and they cannot be read: its encoding is most likely SQL_ASCII."
            ) from None

    def _sentence(self, exc: Any) -> ReplicationError:
        if exc.pgcode is None:
            lost = hide(describe(None, str(exc)), self._conninfo.secrets())
            return ReplicationError(
                f"The connection to the server was lost: {lost} Run the task again when it is back."
            )
        return ServerError(
            describe(
                exc.pgcode,
                exc.diag.message_primary,
                exc.diag.message_detail,
                exc.diag.message_hint,
            ),
            exc.pgcode,
        )


def attempts(seconds: float) -> Iterator[int]:
    """Count attempts until so many seconds have passed, waiting a little longer between them."""
    deadline = time.monotonic() + seconds
    pause = 0.02
    attempt = 0
    while True:
        yield attempt
        attempt += 1
        if time.monotonic() + pause > deadline:
            return
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _connect(conninfo: Conninfo) -> extensions.connection:
    try:
        connection = psycopg2.connect(conninfo.dsn())
    except UnicodeError:
        raise ReplicationError(
            "Cannot connect: the server's answer is in an encoding that cannot be read;"
            " most often the password, the user or the database is wrong."
        ) from None
    except psycopg2.Error as exc:
        raise ReplicationError(
            hide(connection_error(conninfo, str(exc)), conninfo.secrets())
        ) from None
    connection.autocommit = True
    return connection


# What libpq or the server says at connect, and what to do about it. The first that fits counts.
_CONNECT_ADVICE = {
    r"Connection refused|No such file or directory.*\n?.*Is the server running": (
        "Nothing listens there: is the server running, are login_host and login_port right,"
        " and does listen_addresses include that address?"
    ),
    r"could not translate host name": (
        "The name cannot be resolved on the host that runs the task: check login_host and DNS."
    ),
    r"timeout expired|timed out|No route to host|Network is unreachable": (
        "No answer: the link is down, or a firewall drops the packets."
    ),
    r"Peer authentication failed": (
        "A local socket admits only the operating system's user of the same name: add become:"
        " true and become_user: %(user)s to the task, or connect by TCP with a password."
    ),
    r"password authentication failed|no password supplied|SCRAM": (
        "Check login_user and login_password (or the passfile in connect_params)."
    ),
    r"no pg_hba.conf entry|pg_hba.conf rejects": (
        "Add a line for this user, database and address to the server's pg_hba.conf, and reload."
    ),
    r"root certificate file": (
        "Name the file of the authority that signed the server's certificate in ca_cert, or"
        " set another ssl_mode."
    ),
    r"does not match host name|server certificate for": (
        "The certificate was made for another name: connect by the name that stands in it, or"
        " have it made again."
    ),
    r"certificate verify failed|self.signed certificate|unable to get local issuer"
    r"|signature failure": ("The server's certificate is not signed by the authority in ca_cert."),
    r"certificate has expired|certificate expired": ("Renew the server's certificate."),
    r"does not support SSL|SSL was required": (
        "Turn on ssl on the server, or set ssl_mode where the network itself is trusted."
    ),
    r"database .* does not exist": ("Check login_db, or create the database first."),
    r"role .* does not exist": ("Check login_user, or create the role first."),
    r"too many (clients|connections)|remaining connection slots": (
        "The server has no connection left: raise max_connections or end idle ones."
    ),
    r"starting up|shutting down|not accepting connections|recovery mode": (
        "The server is not ready: run the task again when it is."
    ),
}


def connection_error(conninfo: Conninfo, text: str) -> str:
    """A failed connection as sentences: where to, as whom, what libpq said, what to do."""
    host = conninfo.get("host", os.environ.get("PGHOST", "the default socket"))
    advice = next((said for sign, said in _CONNECT_ADVICE.items() if re.search(sign, text)), "")
    where = (
        f"Cannot connect to database {conninfo.get('dbname')!r} at {host} port"
        f" {conninfo.get('port')} as {conninfo.get('user')!r}."
    )
    advice = advice.replace("%(user)s", conninfo.get("user", "postgres"))
    return " ".join(part for part in (where, describe(None, text), advice) if part)

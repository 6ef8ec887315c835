# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils import _connection
from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import (
    attempts,
    connection_error,
    connection_spec,
    login_conninfo,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    Conninfo,
    ConninfoType,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError

ADDRESS = 'connection to server at "192.0.2.1", port 5432 failed: '
SOCKET = 'connection to server on socket "/tmp/.s.PGSQL.5432" failed: '
READ = (
    # (what libpq says, what we say of it)
    (
        (
            f"{ADDRESS}Connection refused\n"
            "\tIs the server running on that host and accepting TCP/IP connections?\n"
        ),
        (
            "Nothing listens there: is the server running, are login_host and login_port right, and"
            " does listen_addresses include that address?"
        ),
    ),
    (
        (
            f"{SOCKET}No such file or directory\n"
            "\tIs the server running locally and accepting connections on that socket?\n"
        ),
        (
            "Nothing listens there: is the server running, are login_host and login_port right, and"
            " does listen_addresses include that address?"
        ),
    ),
    (
        'could not translate host name "shore" to address: Name or service not known\n',
        "The name cannot be resolved on the host that runs the task: check login_host and DNS.",
    ),
    (
        f"{ADDRESS}timeout expired\n",
        "No answer: the link is down, or a firewall drops the packets.",
    ),
    (
        f"{ADDRESS}No route to host\n\tIs the server running on that host and accepting?\n",
        "No answer: the link is down, or a firewall drops the packets.",
    ),
    (
        f'{SOCKET}FATAL:  Peer authentication failed for user "boss"\n',
        (
            "A local socket admits only the operating system's user of the same name: add become:"
            " true and become_user: boss to the task, or connect by TCP with a password."
        ),
    ),
    (
        f'{ADDRESS}FATAL:  password authentication failed for user "boss"\n',
        "Check login_user and login_password (or the passfile in connect_params).",
    ),
    (
        f"{ADDRESS}fe_sendauth: no password supplied\n",
        "Check login_user and login_password (or the passfile in connect_params).",
    ),
    (
        (
            f'{ADDRESS}FATAL:  no pg_hba.conf entry for host "192.0.2.2", user "boss", database "d",'
            " SSL encryption\n"
        ),
        "Add a line for this user, database and address to the server's pg_hba.conf, and reload.",
    ),
    (
        (
            f'{ADDRESS}root certificate file "/home/op/.postgresql/root.crt" does not exist\n'
            "Either provide the file, use the system's trusted roots with sslrootcert=system, or"
            " change sslmode to disable server certificate verification.\n"
        ),
        (
            "Name the file of the authority that signed the server's certificate in ca_cert, or set"
            " another ssl_mode."
        ),
    ),
    (
        f'{ADDRESS}server certificate for "localhost" does not match host name "shore"\n',
        (
            "The certificate was made for another name: connect by the name that stands in it, or"
            " have it made again."
        ),
    ),
    (
        f"{ADDRESS}SSL error: certificate verify failed\n",
        "The server's certificate is not signed by the authority in ca_cert.",
    ),
    (
        # An authority of the same name that was made anew.
        f"{ADDRESS}SSL error: provider signature failure\n",
        "The server's certificate is not signed by the authority in ca_cert.",
    ),
    (
        f'{ADDRESS}FATAL:  pg_hba.conf rejects connection for host "192.0.2.2", user "boss"\n',
        "Add a line for this user, database and address to the server's pg_hba.conf, and reload.",
    ),
    (
        f"{ADDRESS}SSL error: tlsv1 alert certificate expired\n",
        "Renew the server's certificate.",
    ),
    (
        f"{ADDRESS}server does not support SSL, but SSL was required\n",
        "Turn on ssl on the server, or set ssl_mode where the network itself is trusted.",
    ),
    (
        f'{ADDRESS}FATAL:  database "d" does not exist\n',
        "Check login_db, or create the database first.",
    ),
    (
        f'{ADDRESS}FATAL:  role "boss" does not exist\n',
        "Check login_user, or create the role first.",
    ),
    (
        f"{ADDRESS}FATAL:  sorry, too many clients already\n",
        "The server has no connection left: raise max_connections or end idle ones.",
    ),
    (
        f"{ADDRESS}FATAL:  remaining connection slots are reserved for superusers\n",
        "The server has no connection left: raise max_connections or end idle ones.",
    ),
    (
        f"{ADDRESS}FATAL:  the database system is starting up\n",
        "The server is not ready: run the task again when it is.",
    ),
    (
        (
            f"{ADDRESS}FATAL:  the database system is not accepting connections\n"
            "DETAIL:  Hot standby mode is disabled.\n"
        ),
        "The server is not ready: run the task again when it is.",
    ),
)
TO = Conninfo({"host": "192.0.2.1", "port": "5432", "user": "boss", "dbname": "d"})


@pytest.mark.parametrize(("text", "advice"), READ)
def test_what_libpq_says(text: str, advice: str) -> None:
    told = connection_error(TO, text)
    assert told.startswith("Cannot connect to database 'd' at 192.0.2.1 port 5432 as 'boss'. ")
    assert told.endswith(f" {advice}")
    assert "\n" not in told
    assert "\t" not in told


def test_every_line_of_the_table_is_read_here() -> None:
    lines = {said.replace("%(user)s", "boss") for said in _connection._CONNECT_ADVICE.values()}
    assert lines == {advice for _text, advice in READ}


def test_the_whole_sentence() -> None:
    assert connection_error(TO, READ[0][0]) == (
        "Cannot connect to database 'd' at 192.0.2.1 port 5432 as 'boss'. connection to server at"
        ' "192.0.2.1", port 5432 failed: Connection refused. Is the server running on that host'
        " and accepting TCP/IP connections? Nothing listens there: is the server running, are"
        " login_host and login_port right, and does listen_addresses include that address?"
    )


def test_what_is_not_in_the_table() -> None:
    assert connection_error(TO, "an odd thing\n") == (
        "Cannot connect to database 'd' at 192.0.2.1 port 5432 as 'boss'. an odd thing."
    )


@pytest.mark.parametrize("text", [text for text, _advice in READ])
def test_nothing_need_be_known(text: str) -> None:
    assert connection_error(Conninfo({}), text).startswith("Cannot connect to database None at ")


# --- the options ---------------------------------------------------------------------------------


def conninfo(**options: Any) -> Conninfo:
    defaults = {option: spec.get("default") for option, spec in connection_spec().items()}
    assert set(options) <= set(defaults)
    params = {**defaults, **options}
    params["connect_params"] = ConninfoType("dict")(params["connect_params"])
    return login_conninfo(params)


def test_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    monkeypatch.setattr(_connection, "_SOCKET_DIRECTORIES", ("/nowhere", "/neither"))
    assert dict(conninfo()) == {
        "connect_timeout": "20",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "60000",
        "host": "/nowhere",
        "port": "5432",
        "user": "postgres",
        "dbname": "postgres",
        "sslmode": "verify-full",
        "client_encoding": "UTF8",
        "application_name": "hmm.pg_replication",
    }


def test_every_option_has_its_keyword() -> None:
    given = conninfo(
        login_host="shore",
        login_port=5433,
        login_user="boss",
        login_password="0123",
        login_db="d",
        ssl_mode="require",
        ca_cert="/ca",
        ssl_cert="/cert",
        ssl_key="/key",
    )
    assert (
        given.items()
        >= {
            "host": "shore",
            "port": "5433",
            "user": "boss",
            "password": "0123",
            "dbname": "d",
            "sslmode": "require",
            "sslrootcert": "/ca",
            "sslcert": "/cert",
            "sslkey": "/key",
        }.items()
    )


def test_connect_params_win() -> None:
    given = conninfo(login_host="shore", connect_params={"host": "other", "connect_timeout": 3})
    assert given["host"] == "other"
    assert given["connect_timeout"] == "3"
    assert conninfo(connect_params="host=other")["host"] == "other"


def test_connect_params_that_libpq_does_not_know() -> None:
    with pytest.raises(ReplicationError, match=r"^connect_params: 'hots' is not a connection key"):
        conninfo(connect_params={"hots": "x"})


def test_the_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    first, second = (str(tmp_path_factory.mktemp(name)) for name in ("first", "second"))
    monkeypatch.setattr(_connection, "_SOCKET_DIRECTORIES", (first, second))
    assert conninfo()["host"] == first
    with open(f"{second}/.s.PGSQL.5433", "w", encoding="utf-8"):  # noqa: PTH123
        assert conninfo(login_port=5433)["host"] == second
        assert conninfo(login_port=5432)["host"] == first
    assert conninfo(login_host="shore")["host"] == "shore"
    assert conninfo(login_host="shore", login_unix_socket="/run")["host"] == "/run"
    monkeypatch.setenv("PGHOST", "elsewhere")
    assert "host" not in conninfo()


def test_attempts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(_connection.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(_connection.time, "sleep", lambda pause: now.__setitem__(0, now[0] + pause))
    made = list(attempts(30))
    assert made == list(range(len(made)))
    assert 60 < len(made) < 100
    assert 29 < now[0] <= 30


def test_there_is_one_attempt_at_least() -> None:
    assert list(attempts(0)) == [0]

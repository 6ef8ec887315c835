# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module says when it cannot connect, or no longer: one clear sentence, and no secret."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Clusters, Database, majors
from tests.lab import Lab, Server, binaries
from tests.lab.modules import Outcome, run_module
from tests.lab.paths import CHECKOUT, TREE
from tests.lab.tls import Authority
from tests.lab.waiting import wait_until

SECRET = "open-sesame"


@pytest.fixture(
    scope="session", params=sorted({majors()[0], majors()[-1]}), ids=lambda major: f"pg{major}"
)
def major(request: pytest.FixtureRequest) -> int:
    """The oldest and the newest: what they say differs most."""
    return int(request.param)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither ~/.postgresql nor ~/.pgpass nor PGHOST plays a part."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("PG") and name != "PG_VERSIONS"]:
        monkeypatch.delenv(name)


@pytest.fixture
def login(clusters: Clusters, major: int) -> dict[str, Any]:
    server = clusters.get(major, "publisher")
    return {**Database(server, "postgres").login, "ca_cert": server.ca_cert}


def told(params: dict[str, Any], secret: str = SECRET, **more: Any) -> str:
    """The sentences that the module fails with."""
    outcome = run_module("replication_slot", name="a", **{**params, **more})
    check_failure(outcome, secret, str(params.get("login_password") or SECRET))
    return outcome.msg


def check_failure(outcome: Outcome, *secrets: str) -> None:
    assert outcome.failed
    assert "Traceback" not in outcome.raw
    assert "\n" not in outcome.msg
    assert all(secret not in outcome.raw for secret in secrets)
    assert re.fullmatch(r"[A-Z].*\S\.|.*\?", outcome.msg), outcome.msg


def beginning(login: dict[str, Any], **more: Any) -> str:
    to = {**login, **more}
    return (
        f"Cannot connect to database {to['login_db']!r} at {to['login_host']} port"
        f" {to['login_port']} as {to['login_user']!r}. "
    )


# --- where to ------------------------------------------------------------------------------------


def test_all_is_well(login: dict[str, Any]) -> None:
    assert not run_module("replication_slot", name="a", state="absent", **login).failed


def test_nothing_listens(login: dict[str, Any]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        msg = told(login, login_port=port)
    assert msg.startswith(beginning(login, login_port=port))
    assert "Connection refused" in msg
    assert msg.endswith("does listen_addresses include that address?")


def test_no_socket(login: dict[str, Any], tmp_path: Path) -> None:
    msg = told(login, login_unix_socket=str(tmp_path))
    assert msg.startswith(beginning(login, login_host=str(tmp_path)))
    assert "Nothing listens there" in msg


def test_unknown_host(login: dict[str, Any]) -> None:
    msg = told(login, login_host="shore.invalid")
    assert msg.startswith(beginning(login, login_host="shore.invalid"))
    assert msg.endswith("check login_host and DNS.")


def test_a_host_that_never_answers(login: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        port = black_hole.getsockname()[1]
        msg = told(login, login_port=port, connect_params={"connect_timeout": 2})
    assert msg.startswith(beginning(login, login_port=port))
    assert msg.endswith("No answer: the link is down, or a firewall drops the packets.")


# --- as whom -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"login_password": SECRET},
        {"connect_params": {"password": SECRET}},
        {"connect_params": f"password={SECRET}"},
    ],
    ids=["login_password", "mapping", "string"],
)
def test_wrong_password(login: dict[str, Any], wrong: dict[str, Any]) -> None:
    msg = told(login, **wrong)
    assert msg.startswith(beginning(login))
    assert 'password authentication failed for user "postgres".' in msg
    assert msg.endswith("Check login_user and login_password (or the passfile in connect_params).")


def test_no_password(login: dict[str, Any]) -> None:
    assert told(login, login_password=None).endswith(
        "no password supplied. Check login_user and login_password (or the passfile in"
        " connect_params)."
    )


def test_unknown_role(login: dict[str, Any], clusters: Clusters, major: int) -> None:
    assert "Check login_user" in told(login, login_user="nobody_here")
    server = clusters.get(major, "publisher")
    assert told(login, login_user="nobody_here", login_unix_socket=server.socket_dir).endswith(
        'role "nobody_here" does not exist. Check login_user, or create the role first.'
    )


def test_unknown_database(login: dict[str, Any]) -> None:
    assert told(login, login_db="no such").endswith(
        'database "no such" does not exist. Check login_db, or create the database first.'
    )


def test_pg_hba_has_no_entry(login: dict[str, Any], clusters: Clusters, major: int) -> None:
    server = clusters.get(major, "publisher")
    with pg_hba(server, "local all all trust\n"):
        msg = told(login)
    assert msg.startswith(beginning(login))
    assert msg.endswith(
        "Add a line for this user, database and address to the server's pg_hba.conf, and reload."
    )


@contextlib.contextmanager
def pg_hba(server: Server, lines: str) -> Iterator[None]:
    path = server.data / "pg_hba.conf"
    before = path.read_text(encoding="utf-8")

    def read(text: str) -> None:
        path.write_text(text, encoding="utf-8")
        seen = len(server.log_text())
        server.sql("SELECT pg_reload_conf()")
        wait_until(lambda: "reloading" in server.log_text()[seen:], "the server reads it")

    read(lines)
    try:
        yield
    finally:
        read(before)


# --- TLS -----------------------------------------------------------------------------------------


def test_no_authority(login: dict[str, Any]) -> None:
    assert told(login, ca_cert=None).endswith(
        " Name the file of the authority that signed the server's certificate in ca_cert, or set"
        " another ssl_mode."
    )


def test_another_authority(login: dict[str, Any], tmp_path: Path) -> None:
    assert told(login, ca_cert=str(Authority(tmp_path / "tls").cert)).endswith(
        "The server's certificate is not signed by the authority in ca_cert."
    )


def test_another_name(login: dict[str, Any]) -> None:
    at = {"login_host": "shore.example", "connect_params": {"hostaddr": "127.0.0.1"}}
    msg = told(login, **at)
    assert msg.startswith(beginning(login, login_host="shore.example"))
    assert msg.endswith(
        "The certificate was made for another name: connect by the name that stands in it, or have"
        " it made again."
    )
    assert not run_module(
        "replication_slot", name="a", state="absent", **{**login, **at, "ssl_mode": "verify-ca"}
    ).failed


def test_no_tls_there(lab: Lab, major: int) -> None:
    server = lab.server(major, ssl="off")
    try:
        login = {**Database(server, "postgres").login, "ca_cert": server.ca_cert}
        assert told(login).endswith(
            "Turn on ssl on the server, or set ssl_mode where the network itself is trusted."
        )
    finally:
        server.discard()


# --- the server's state --------------------------------------------------------------------------


def test_a_server_that_is_too_old(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    release = (
        "12.22.0-beta.15",
        "09e329491684bd4780ff5687b28dc3509343c5e4fe7c00579ea5218a06ae0168",
    )
    monkeypatch.setitem(binaries.RELEASES, 12, release)
    server = lab.server(12)
    try:
        login = {**Database(server, "postgres").login, "ca_cert": server.ca_cert}
        assert told(login) == "The server is PostgreSQL 12.22: 13 or newer is needed."
        assert server.sql("SELECT slot_name FROM pg_replication_slots") == []
    finally:
        server.discard()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_server_that_ends_meanwhile(lab: Lab, major: int, how: str) -> None:
    server = lab.server(major)
    outcomes: list[Outcome] = []
    login = {**Database(server, "postgres").login, "ca_cert": server.ca_cert}
    asked = {"name": "a", "slot_type": "logical", **login}
    open_transaction = server.connect()
    try:
        # A logical slot waits for the transactions that are running.
        with open_transaction.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_current_xact_id()")
        thread = threading.Thread(
            target=lambda: outcomes.append(run_module("replication_slot", **asked))
        )
        thread.start()
        wait_until(
            lambda: server.sql("SELECT pid FROM pg_locks WHERE NOT granted"), "the module waits"
        )
        getattr(server, how)()
        thread.join(30)
    finally:
        open_transaction.close()
        server.discard()
    (outcome,) = outcomes
    check_failure(outcome, server.password)
    assert re.match(
        "The connection to the server was lost: |The server refused to create what is missing: ",
        outcome.msg,
    )
    assert re.search("Run the task again when it is back|run the task again", outcome.msg)


# --- psycopg2 ------------------------------------------------------------------------------------

RUN = """
import sys
from ansible.module_utils.testing import patch_module_args
{before}
from ansible_collections.hmm.pg_replication.plugins.modules import {module}
with patch_module_args({arguments!r}):
    {module}.main()
"""
WITHOUT = """
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "psycopg2":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
TOO_OLD = """
import psycopg2
psycopg2.__version__ = "2.8.6 (dt dec pq3 ext lo64)"
"""
ARGUMENTS = {
    "replication_slot": {"name": "a", "connect_params": f"password={SECRET}"},
    "publication": {"name": "a", "login_db": "d", "connect_params": {"password": SECRET}},
    "subscription": {"name": "a", "login_db": "d", "connection": f"password={SECRET}"},
}


def in_a_process(module: str, before: str) -> dict[str, Any]:
    program = RUN.format(
        before=textwrap.dedent(before),
        module=module,
        arguments={"login_host": "127.0.0.1", "login_port": 1, **ARGUMENTS[module]},
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{TREE}{os.pathsep}{CHECKOUT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert SECRET not in ended.stdout + ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    assert result["failed"]
    return result


@pytest.mark.parametrize("module", ARGUMENTS)
def test_psycopg2_is_missing(module: str) -> None:
    msg = in_a_process(module, WITHOUT)["msg"]
    assert msg.startswith("Failed to import the required Python library (psycopg2) on ")
    assert "(Debian: python3-psycopg2, PyPI: psycopg2-binary)" in msg


@pytest.mark.parametrize("module", ARGUMENTS)
def test_psycopg2_is_too_old(module: str) -> None:
    assert in_a_process(module, TOO_OLD)["msg"] == (
        "psycopg2 2.8.6 is too old: 2.9 or newer is needed (PyPI: psycopg2-binary)."
    )

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""No password is in what ansible-playbook prints, be it as talkative as it can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg2 import sql
from psycopg2.extensions import make_dsn

from tests.integration.conftest import Clusters
from tests.integration.playbooks import Run, login, play
from tests.lab import MAJORS, Server

DATABASE = "secrets"
# Of characters that are escaped somewhere: YAML, JSON, shell, SQL, libpq, a URI.
SECRETS = {
    "right": 'login\'s "word" \\ %40{[',
    "stored": 'stored\'s "word" \\ %40}]',
    "new": 'renewed\'s "word" \\ %40#:',
    "wrong": 'wrong\'s "word" \\ %40&?',
    "extra": 'extra\'s "word" \\ %40=@',
}
WRITTEN = {
    "stored_string": make_dsn(host="localhost", user="stored", password=SECRETS["stored"]),
    "new_uri": f"postgresql://stored:{quote(SECRETS['new'], safe='')}@localhost/secrets",
}
STORED = """
      host: "{{ defaults.login_host }}"
      port: "{{ defaults.login_port }}"
      user: stored
      dbname: "{{ defaults.login_db }}"
"""

SUCCESS = f"""
- name: Slots, logged in by connect_params
  hmm.pg_replication.replication_slot:
    name: [secrets_a, secrets_b]
    login_user: extra
    connect_params: {{password: "{{{{ extra }}}}"}}

- name: No slots
  hmm.pg_replication.replication_slot: {{name: [secrets_a, secrets_b], state: absent}}

- name: A publication
  hmm.pg_replication.publication: {{name: secrets, tables: []}}

- name: The slot of a subscription to the same server
  hmm.pg_replication.replication_slot: {{name: secrets, slot_type: logical}}

- name: A subscription
  hmm.pg_replication.subscription:
    name: secrets
    connection: {STORED}      password: "{{{{ stored }}}}"
    publications: [secrets]
    create_slot: false

- name: A new password
  hmm.pg_replication.subscription:
    name: secrets
    connection: {STORED}      password: "{{{{ new }}}}"

- name: A new password in a string
  hmm.pg_replication.subscription:
    name: secrets
    connection: "{{{{ stored_string }}}}"

- name: A new password in a URI
  hmm.pg_replication.subscription:
    name: secrets
    connection: "{{{{ new_uri }}}}"

- name: Facts
  hmm.pg_replication.repl_lag_facts:

- name: No subscription
  hmm.pg_replication.subscription: {{name: secrets, state: absent, force: true}}

- name: No slot
  hmm.pg_replication.replication_slot: {{name: secrets, state: absent, force: true}}

- name: No publication
  hmm.pg_replication.publication: {{name: secrets, state: absent}}
"""

FAILURES = {
    "wrong login_password": """
    name: secrets
    login_password: "{{ wrong }}"
""",
    "wrong password in connect_params": """
    name: secrets
    connect_params: {password: "{{ wrong }}"}
""",
    "password under a wrong keyword": """
    name: secrets
    connect_params: {passwrd: "{{ wrong }}"}
""",
    "password as a keyword": """
    name: secrets
    connection: "{'password' ~ wrong: 'x'}"
""",
    "an unreadable string": """
    name: secrets
    connection: "host=localhost password={{ wrong }} '"
    publications: [secrets]
""",
    "a mapping in place of a password": """
    name: secrets
    connection: {password: {word: "{{ wrong }}"}}
    publications: [secrets]
""",
    "another option that is wrong": """
    name: secrets
    state: shiny
    connect_params: {password: "{{ extra }}"}
    connection: {password: "{{ stored }}"}
    publications: [secrets]
""",
    "an unknown option": """
    name: secrets
    no_such_option: true
    connection: "{{ new_uri }}"
    publications: [secrets]
""",
    "a publisher that refuses the password": f"""
    name: secrets
    connection: {STORED}      password: "{{{{ wrong }}}}"
    publications: [secrets]
""",
}


def forms(secret: str) -> Iterator[str]:
    """The secret as it may stand in some output."""
    for text in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")):
        yield text
        yield text.replace("'", "''")
    # Whatever the escaping: the words are in it.
    yield secret.partition("'")[0] + "'s"


def leaked(run: Run, *passwords: str) -> list[str]:
    return [form for secret in passwords for form in forms(secret) if form in run.output]


@pytest.fixture(scope="module")
def server(clusters: Clusters) -> Iterator[Server]:
    server = clusters.get(MAJORS[-1], "publisher")
    for role, password in (("admin", "right"), ("extra", "extra"), ("stored", "stored")):
        server.sql(
            sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(SECRETS[password])
            )
        )
    server.sql(f"CREATE DATABASE {DATABASE}")
    yield server
    server.sql(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    server.sql("DROP ROLE admin, extra, stored")


def talk(server: Server, tasks: str, folder: Path, *options: str) -> Run:
    defaults = login(server, DATABASE)
    defaults |= {"login_user": "admin", "login_password": SECRETS["right"]}
    return play(folder, tasks, defaults, {**SECRETS, **WRITTEN}, "-vvvv", "--diff", *options)


@pytest.mark.parametrize("mode", [[], ["--check"]], ids=["real", "check"])
def test_success(server: Server, tmp_path: Path, mode: list[str]) -> None:
    run = talk(server, SUCCESS, tmp_path, *mode)

    assert mode or run.code == 0, run.output
    assert leaked(run, server.password, *SECRETS.values()) == []


def test_failure(server: Server, tmp_path: Path) -> None:
    tasks = "".join(
        f"\n- name: {what}\n  hmm.pg_replication.subscription:{options}"
        f"    login_db: {DATABASE}\n  ignore_errors: true\n"
        for what, options in FAILURES.items()
    )

    run = talk(server, tasks, tmp_path)

    assert run.output.count("...ignoring") == len(FAILURES), run.output
    assert leaked(run, server.password, *SECRETS.values()) == []

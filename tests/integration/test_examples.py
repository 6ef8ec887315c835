# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples in the modules' documentation run as they stand, one after another.

Only where a server is to be found is put in their place, and what ADAPTED says.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.integration.playbooks import login, play
from tests.lab import MAJORS, Lab, Server
from tests.lab.modules import MODULES
from tests.lab.paths import CHECKOUT

NAMES = sorted(path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py"))

DATABASE = "hmm_db"
TABLES = ("documents", "document_chunks", "users", "llm_providers", "audit_log")
COLUMNS = {"document_chunks": ", document_id int, content text"}
PASSWORDS = {
    "replication_admin_password": "admin's word",
    "monitoring_password": "monitor's word",
    "ship_oslo_password": "ship's word",
}
SETUP = [
    "CREATE ROLE replication_admin LOGIN REPLICATION PASSWORD 'admin''s word'",
    "CREATE ROLE monitoring LOGIN PASSWORD 'monitor''s word' IN ROLE pg_monitor",
    "CREATE ROLE ship_oslo LOGIN REPLICATION PASSWORD 'ship''s word' IN ROLE pg_read_all_data",
]

# module: {text of the examples: what it becomes}
ADAPTED = {
    "repl_lag_facts": {
        "sample_seconds: 5": "sample_seconds: 0.1",
        "sample_seconds: 10": "sample_seconds: 0.1",
    },
}
# module: what the shore has beforehand
SHORE = {
    "subscription": [
        "CREATE PUBLICATION fleet FOR TABLE documents",
        "CREATE PUBLICATION port_calls FOR TABLE audit_log",
    ],
    "repl_lag_facts": ["SELECT pg_create_physical_replication_slot('ship_oslo', true)"],
}


def prepared(lab: Lab) -> Server:
    """A new server with the roles, the database and the tables of the examples."""
    server = lab.server(MAJORS[-1])
    for statement in [*SETUP, f"CREATE DATABASE {DATABASE}"]:
        server.sql(statement)
    for table in TABLES:
        server.sql(f"CREATE TABLE {table} (id int PRIMARY KEY{COLUMNS.get(table, '')})", DATABASE)
    return server


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name: str, lab: Lab, tmp_path: Path) -> None:
    shore = prepared(lab)
    for statement in SHORE.get(name, []):
        shore.sql(statement, DATABASE)
    # A subscription's module works on the ship; every other one on the shore.
    target = prepared(lab) if name == "subscription" else shore
    text: str = importlib.import_module(f"{MODULES}.{name}").EXAMPLES
    found_at = {
        "shore.example.com": shore.host,
        "port: 5432": f"port: {shore.port}",
        "/etc/ssl/certs/fleet-ca.crt": shore.ca_cert,
    }
    for example, here in {**found_at, **ADAPTED.get(name, {})}.items():
        text = text.replace(example, here)

    run = play(tmp_path, text, login(target, DATABASE), PASSWORDS)

    assert run.code == 0, run.output
    assert "[WARNING]" not in run.output
    assert "[DEPRECATION" not in run.output


def test_adapted_is_in_the_examples() -> None:
    for name, texts in ADAPTED.items():
        examples = importlib.import_module(f"{MODULES}.{name}").EXAMPLES
        assert [text for text in texts if text not in examples] == []

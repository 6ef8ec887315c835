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
from tests.lab.clients import find_clients, lacking
from tests.lab.modules import MODULES
from tests.lab.paths import CHECKOUT

# Modules that are root's on a host with Debian's postgresql-common, or that need two hosts or a monitor of
# pg_auto_failover: Molecule runs them.
ELSEWHERE = {
    "connection_probe",
    "diagnosis_facts",
    "follow_progress",
    "hba_blocks",
    "pg_auto_failover_info",
    "preflight_facts",
    "schema_dump",
    "server_settings",
    "show_text",
    "subscriber_tables",
}
NAMES = sorted({path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py")} - ELSEWHERE)

DATABASE = "hmm_db"
TABLES = ("documents", "document_chunks", "users", "llm_providers", "audit_log")
COLUMNS = {"document_chunks": ", document_id int, content text"}
PASSWORDS = {
    "replication_admin_password": "admin's word",
    "monitoring_password": "monitor's word",
    "ship_oslo_password": "ship's word",
    "algeciras_password": "one ship's word",
    "oslo_password": "another ship's word",
}
SETUP = [
    "CREATE ROLE replication_admin LOGIN REPLICATION PASSWORD 'admin''s word'",
    "GRANT pg_read_all_data TO replication_admin",
    "CREATE ROLE monitoring LOGIN PASSWORD 'monitor''s word' IN ROLE pg_monitor",
    "CREATE ROLE ship_oslo LOGIN REPLICATION PASSWORD 'ship''s word' IN ROLE pg_read_all_data",
]

# module: {text of the examples: what it becomes}
ADAPTED = {
    "repl_lag_facts": {
        "sample_seconds: 5": "sample_seconds: 0.1",
        "sample_seconds: 10": "sample_seconds: 0.1",
    },
    "fleet_status": {"    name: busan\n": "    name: busan\n    sample_seconds: 0.1\n"},
    "base_backup": {"poll: 10": "poll: 1"},
    "replication_role": {"  become: true\n  become_user: postgres\n": ""},
    "subscription_progress": {
        "wait: true": "wait: true\n    interval: 0.1",
    },
}
# module: what the shore has beforehand
SHORE = {
    "subscription": [
        "CREATE PUBLICATION fleet FOR TABLE documents",
        "CREATE PUBLICATION port_calls FOR TABLE audit_log",
    ],
    "subscription_progress": ["CREATE PUBLICATION fleet FOR TABLE documents"],
    "repl_lag_facts": ["SELECT pg_create_physical_replication_slot('ship_oslo', true)"],
    "fleet_status": [
        "SELECT pg_create_physical_replication_slot(unnest('{ship_algeciras,ship_oslo}'::name[]))"
    ],
}
# A subscription's modules work on the ship; every other one on the shore.
# module: what the ship has beforehand
SHIP = {
    "subscription": [],
    "subscription_progress": ["CREATE SUBSCRIPTION ship_oslo CONNECTION '{}' PUBLICATION fleet"],
}


def major_for(name: str) -> int:
    """The newest version, or the newest that this machine's client programs serve."""
    if name != "base_backup":
        return MAJORS[-1]
    clients = find_clients()
    major = min(clients.major, MAJORS[-1]) if clients else MAJORS[-1]
    reason = lacking(clients, major)
    if reason:
        pytest.skip(reason)
    return major


def prepared(lab: Lab, major: int) -> Server:
    """A new server with the roles, the database and the tables of the examples."""
    server = lab.server(major)
    for statement in [*SETUP, f"CREATE DATABASE {DATABASE}"]:
        server.sql(statement)
    for table in TABLES:
        server.sql(f"CREATE TABLE {table} (id int PRIMARY KEY{COLUMNS.get(table, '')})", DATABASE)
    return server


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name: str, lab: Lab, tmp_path: Path) -> None:
    major = major_for(name)
    shore = prepared(lab, major)
    for statement in SHORE.get(name, []):
        shore.sql(statement, DATABASE)
    target = prepared(lab, major) if name in SHIP else shore
    for statement in SHIP.get(name, []):
        target.sql(statement.format(shore.dsn(DATABASE)), DATABASE)
    text: str = importlib.import_module(f"{MODULES}.{name}").EXAMPLES
    found_at = {
        "shore.example.com": shore.host,
        "port: 5432": f"port: {shore.port}",
        "/etc/ssl/certs/fleet-ca.crt": shore.ca_cert,
        "/var/lib/pg_replication/main": str(tmp_path),
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

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host admits whom another one admits, and nobody else."""

from __future__ import annotations

import pytest

from ansible_collections.hmm.pg_replication.plugins.filter.firewall_changes import firewall_changes
from ansible_collections.hmm.pg_replication.plugins.filter.firewall_peers import (
    FilterModule,
    firewall_peers,
)

ADDED = [
    "Added user rules (see 'ufw status' for running firewall):",
    "ufw allow 22/tcp comment 'pg_replication'",
    "ufw allow from 198.51.100.9 to any port 5432 proto tcp",
    "ufw allow from 198.51.100.21 to any port 5432 proto tcp comment 'pg_replication ship_a,ship_b'",
    "ufw allow from 198.51.100.21 to any port 22 proto tcp comment 'pg_replication ship_a'",
    "ufw allow from 203.0.113.11 to any port 5432 proto tcp comment 'pg_replication shore'",
]
A_22 = {"name": "ship_a", "addresses": ["198.51.100.21"], "ports": [22]}
A_5432 = {"name": "ship_a", "addresses": ["198.51.100.21"], "ports": [5432]}
B_5432 = {**A_5432, "name": "ship_b"}


@pytest.mark.parametrize(
    ("names", "peers"),
    [
        ([], []),
        (["ship_a"], [A_22, A_5432]),
        (["ship_b"], [B_5432]),
        (["ship_b", "ship_a"], [A_22, A_5432, B_5432]),
        (["ship_c"], []),
        # Not by half of a name.
        (["ship"], []),
    ],
)
def test_reads_whom_rules_admit(names: list[str], peers: list[dict[str, object]]) -> None:
    assert firewall_peers(ADDED, names) == peers
    # As Jinja's map gives them, which can be gone through once only.
    assert firewall_peers(ADDED, iter(names)) == peers


def test_the_other_host_then_has_the_same_rules() -> None:
    names = ["ship_a", "ship_b"]
    peers = firewall_peers(ADDED, names)
    assert firewall_changes(peers, ADDED) == {"allow": [], "delete": []}
    assert firewall_changes(peers, []) == {
        "allow": [
            {"name": "ship_a", "address": "198.51.100.21", "port": 22},
            {"name": "ship_a,ship_b", "address": "198.51.100.21", "port": 5432},
        ],
        "delete": [],
    }


def test_is_offered_to_ansible() -> None:
    assert FilterModule().filters() == {"firewall_peers": firewall_peers}

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Only the difference becomes a rule, and nobody else's rule is touched."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.filter.firewall_changes import (
    FilterModule,
    firewall_changes,
)

# As ufw 0.36 tells them.
ADDED = [
    "Added user rules (see 'ufw status' for running firewall):",
    "ufw allow 22/tcp comment 'pg_replication'",
    "ufw allow from 198.51.100.9 to any port 5432 proto tcp",
    "ufw allow from 198.51.100.21 to any port 5432 proto tcp comment 'pg_replication ship_a'",
    "ufw allow from 10.0.0.0/8 to any port 5432 proto tcp comment 'pg_replication ship_b'",
]
A = {"name": "ship_a", "addresses": ["198.51.100.21/32"], "ports": [5432]}


def rule(name: str, address: str, port: int = 5432) -> dict[str, Any]:
    return {"name": name, "address": address, "port": port}


@pytest.mark.parametrize(
    ("peers", "allow", "delete"),
    [
        ([], [], []),
        ([A], [], []),
        ([{**A, "ports": [22, 5432]}], [rule("ship_a", "198.51.100.21", 22)], []),
        (
            [{**A, "addresses": ["2001:db8::1"]}],
            [rule("ship_a", "2001:db8::1")],
            [rule("ship_a", "198.51.100.21")],
        ),
        ([{"name": "ship_b", "state": "absent"}], [], [rule("ship_b", "10.0.0.0/8")]),
        ([{"name": "ship_c", "state": "absent"}], [], []),
        # What somebody else keeps open is neither taken over nor shut.
        ([{**A, "addresses": ["198.51.100.9", "198.51.100.21"]}], [], []),
    ],
)
def test_tells_the_difference(
    peers: list[dict[str, Any]], allow: list[dict[str, Any]], delete: list[dict[str, Any]]
) -> None:
    assert firewall_changes(peers, ADDED) == {"allow": allow, "delete": delete}


B = {**A, "name": "ship_b"}
GONE_A = {"name": "ship_a", "state": "absent"}
GONE_B = {"name": "ship_b", "state": "absent"}


@pytest.mark.parametrize(
    ("there", "peers", "after"),
    [
        ("", [A, B], "ship_a,ship_b"),
        ("", [B, A], "ship_a,ship_b"),
        ("ship_a,ship_b", [A, B], "ship_a,ship_b"),
        ("ship_a", [B], "ship_a,ship_b"),
        ("ship_a,ship_b", [A], "ship_a,ship_b"),
        ("ship_a,ship_b", [GONE_A], "ship_b"),
        ("ship_a,ship_b", [GONE_A, B], "ship_b"),
        ("ship_b", [GONE_B], ""),
        ("ship_a,ship_b", [GONE_B, GONE_A], ""),
    ],
)
def test_ships_behind_one_address_share_its_rule(
    there: str, peers: list[dict[str, Any]], after: str
) -> None:
    def added(names: str) -> list[str]:
        rule = "ufw allow from 198.51.100.21 to any port 5432 proto tcp comment 'pg_replication "
        return [f"{rule}{names}'"] if names else []

    def change(names: str) -> list[dict[str, Any]]:
        return [rule(names, "198.51.100.21")]

    expected = {"allow": [], "delete": []}
    if not after:
        # ufw finds a rule by all of its comment.
        expected = {"allow": [], "delete": change(there)}
    elif after != there:
        expected = {"allow": change(after), "delete": []}
    assert firewall_changes(peers, added(there)) == expected
    assert firewall_changes(peers, added(after)) == {"allow": [], "delete": []}


def test_refuses_in_sentences() -> None:
    peers = [{"name": "a'b"}, {"name": "ship_c", "addresses": ["oslo.example"]}]
    with pytest.raises(AnsibleFilterError) as caught:
        firewall_changes(peers, [])
    assert str(caught.value) == (
        "firewall_peers: \"a'b\" is no name: letters, digits, '_', '.' and '-' only."
        " ship_c: 'oslo.example' is no address or network; ufw knows no names."
    )


def test_is_offered_to_ansible() -> None:
    assert FilterModule().filters() == {"firewall_changes": firewall_changes}

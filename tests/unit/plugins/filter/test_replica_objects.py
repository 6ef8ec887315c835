# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a shore keeps for ships: as little as each needs, and nothing shared is lost with one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.filter.replica_objects import (
    FilterModule,
    replica_objects,
)

PHYSICAL = {
    "name": "ship_a",
    "password": "secret",
    "addresses": ["198.51.100.21", "10.0.0.0/8"],
    "public_key": "ssh-ed25519 AAAA root@ship",
    "settings": {"wal_sender_timeout": "60s"},
}
LOGICAL = {
    "name": "ship_b",
    "mode": "logical",
    "password": "secret",
    "addresses": ["198.51.100.22"],
    "publication": {"name": "fleet", "tables": ["documents"]},
}


def derive(*replicas: dict[str, Any]) -> dict[str, Any]:
    return replica_objects(replicas, "hmm_db", "/state")


def test_admits_a_standby_to_replication_alone() -> None:
    found = derive(PHYSICAL)
    block = found["blocks"][0]
    assert block["rules"][0] == {
        "type": "hostssl",
        "databases": ["replication"],
        "users": ["ship_a"],
        "addresses": ["198.51.100.21", "10.0.0.0/8"],
        "method": "scram-sha-256",
    }
    assert [entry["method"] for entry in block["rules"][1:]] == ["reject", "reject"]
    assert found["slots"] == {"": ["ship_a"]}
    role = found["roles"]["hmm_db"][0]
    assert (role["connects"], role["tables"]) == (False, [])


def test_admits_a_subscription_to_its_database_alone() -> None:
    found = derive(LOGICAL)
    assert found["blocks"][0]["rules"][0]["databases"] == ["hmm_db"]
    assert found["slots"] == {}
    assert found["roles"]["hmm_db"][0]["tables"] == ["documents"]
    assert found["publications"] == [
        {"name": "fleet", "database": "hmm_db", "tables": ["documents"], "state": "present"}
    ]


def test_tells_no_password() -> None:
    assert "'secret'" not in str(derive(PHYSICAL, LOGICAL))
    assert derive(PHYSICAL)["roles"]["hmm_db"][0]["verifier"].startswith("SCRAM-SHA-256$")


def test_makes_a_shared_publication_once() -> None:
    found = derive(LOGICAL, {**LOGICAL, "name": "ship_c"})
    assert len(found["publications"]) == 1


def test_refuses_one_name_for_two_publications() -> None:
    other = {"name": "fleet", "tables": ["users"]}
    with pytest.raises(AnsibleFilterError, match="give it a publication of its own"):
        derive(LOGICAL, {**LOGICAL, "name": "ship_c", "publication": other})


def test_removes_all_that_is_a_ships_own() -> None:
    found = derive({"name": "ship_a", "state": "absent"})
    gone = [{"name": name, "state": "absent"} for name in ("ship_a", "ship_a_convert")]
    assert found["blocks"] == gone
    assert found["roles"] == {"hmm_db": gone[:1]}
    assert found["conversions"] == ["ship_a_convert"]
    assert found["slots_absent"] == ["ship_a", "ship_a_seed"]
    assert found["publications"] == [{**entry, "database": "hmm_db"} for entry in gone]
    assert found["keys"] == []


def test_does_not_look_for_what_could_not_have_been_made() -> None:
    name = "s" * 63
    found = derive({"name": name, "state": "absent"})
    assert (found["slots_absent"], len(found["blocks"])) == ([name], 1)
    assert "ship_b_convert" not in str(derive(LOGICAL))


@pytest.mark.parametrize(
    ("seed", "databases", "kept", "dropped"),
    [
        ("pending", ["hmm_db", "replication"], {"": ["ship_b_seed"]}, []),
        ("done", ["hmm_db"], {}, ["ship_b_seed"]),
        ("none", ["hmm_db"], {}, []),
    ],
)
def test_keeps_for_a_subscriber_to_be_what_its_standby_needs(
    seed: str, databases: list[str], kept: dict[str, list[str]], dropped: list[str]
) -> None:
    found = derive({**LOGICAL, "seed": seed})
    assert found["blocks"][0]["rules"][0]["databases"] == databases
    assert (found["slots"], found["slots_absent"]) == (kept, dropped)


@pytest.mark.parametrize("seed", ["pending", "done"])
def test_leaves_nothing_of_a_conversion(seed: str) -> None:
    gone = {"name": "ship_b_convert", "state": "absent"}
    found = derive({**LOGICAL, "seed": seed})
    assert gone in found["blocks"]
    assert found["conversions"] == ["ship_b_convert"]
    assert {**gone, "database": "hmm_db"} in found["publications"]


def test_restricts_a_key() -> None:
    assert derive(PHYSICAL)["keys"] == [
        (
            'restrict,from="198.51.100.21/32,10.0.0.0/8",command="/usr/bin/rrsync -ro /state"'
            " ssh-ed25519 AAAA ship_a"
        )
    ]
    by_name = derive({**PHYSICAL, "addresses": ["oslo.example"]})["keys"]
    assert by_name == ['restrict,command="/usr/bin/rrsync -ro /state" ssh-ed25519 AAAA ship_a']


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Ship-A"}, "'Ship-A' is no name of a replica"),
        ({"password": ""}, "ship_a: it needs a password."),
        ({"addresses": []}, "ship_a: addresses: from where does it connect?"),
        ({"addresses": ["1.2.3.400"]}, "'1.2.3.400' is no address, network or name."),
        ({"mode": "both"}, "ship_a: mode is physical or logical."),
        ({"public_key": "ssh-rsa A\nB"}, "public_key is no line"),
        ({"mode": "logical"}, "needs publication"),
        ({"slot": "Slot"}, "slot 'Slot' is no name of a slot."),
        ({"adresses": []}, "ship_a: there is no adresses."),
        ({"seed": "done"}, "ship_a: seed is for a logical replica."),
        ({**LOGICAL, "seed": "over"}, "ship_b: seed is none, pending or done."),
        ({**LOGICAL, "name": "s" * 56, "seed": "done"}, "too long to have _convert behind it."),
    ],
)
def test_refuses_in_sentences(change: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        derive({**PHYSICAL, **change})
    assert message in str(caught.value)


def test_refuses_a_name_twice() -> None:
    with pytest.raises(AnsibleFilterError, match="ship_a is there twice"):
        derive(PHYSICAL, PHYSICAL)


def test_is_offered_to_ansible() -> None:
    assert FilterModule().filters() == {"replica_objects": replica_objects}

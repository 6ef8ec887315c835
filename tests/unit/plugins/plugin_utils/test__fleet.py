# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet import (
    outcome,
    problems,
    selected,
    ship_id,
    slot_owners,
)

FLEET = {"fleet_database": "hmm_db", "fleet_tables": ["documents"]}
STANDBY = {"ship_mode": "logical", "ship_seed_method": "standby"}
SHIPS: dict[str, dict[str, Any]] = {"algeciras": {}, "oslo": {"ship_mode": "logical"}}


def found(
    shores: list[str] | None = None,
    ships: dict[str, dict[str, Any]] | None = None,
    asked: Any = None,
    monitors: tuple[str, ...] = (),
    **fleet: Any,
) -> list[str]:
    return problems(
        ["busan"] if shores is None else shores,
        monitors,
        SHIPS if ships is None else ships,
        asked,
        {**FLEET, **fleet},
    )


def test_a_fleet_that_is_right_has_no_problem() -> None:
    assert found() == []
    assert found(asked="oslo") == []
    assert found(shores=["busan", "incheon"], monitors=("daejeon",)) == []


@pytest.mark.parametrize(
    ("name", "identity"), [("algeciras", "algeciras"), ("HMM-Oslo.2", "hmm_oslo_2"), ("부산", "__")]
)
def test_a_name_becomes_part_of_a_slots_name(name: str, identity: str) -> None:
    assert ship_id(name) == identity


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (None, ["algeciras", "oslo"]),
        ("oslo", ["oslo"]),
        ("oslo, algeciras,", ["oslo", "algeciras"]),
        (["oslo"], ["oslo"]),
        ("", []),
    ],
)
def test_ships_are_asked_for_one_by_one_in_a_list_or_all(asked: Any, names: list[str]) -> None:
    assert selected(asked, ["algeciras", "oslo"]) == names


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        (
            {"shores": []},
            "The inventory's group shore holds no host: it has to hold the one that ships copy.",
        ),
        (
            {"shores": ["a", "b"]},
            (
                "The inventory's group shore holds a, b. Several are nodes of one server, of which another"
                " takes over by itself, and want one more host in the group shore_monitor; it holds none."
                " See shore_ha.yml, or leave one host in the group shore."
            ),
        ),
        (
            {"shores": ["a", "b"], "monitors": ["b"]},
            (
                "b is in the groups shore and shore_monitor: the monitor has to be another machine, so that"
                " they are not lost together."
            ),
        ),
        (
            {"ships": {}},
            "The inventory's group ships holds no host. Is this the right inventory (-i)?",
        ),
        ({"asked": "olso"}, "ship: olso is not in the group ships, which holds algeciras, oslo."),
        ({"asked": ""}, "ship: no name is given. Leave it out for every ship."),
        (
            {"fleet_database": ""},
            "fleet_database: give the name of the database that is replicated.",
        ),
        (
            {"fleet_tables": "documents"},
            "fleet_tables: give the list of tables that the search service reads.",
        ),
        ({"ships": {"a-b": {}, "a.b": {}}}, "a.b and a-b would both be ship_a_b: rename one."),
        (
            {"ships": {"x" * 59: {}}},
            f"{'x' * 59}: the name is too long for a slot's; 58 characters are possible.",
        ),
        (
            {"ships": {"a": {"ship_mode": "both"}}},
            "a: ship_mode is 'both'; it can be physical or logical.",
        ),
        (
            {"ships": {"a": {"ship_mode": "logical", "ship_seed_method": "pack"}}},
            "a: ship_seed_method is 'pack'; for a logical ship it can be copy or standby.",
        ),
        (
            {
                "ships": {
                    "a": {
                        **STANDBY,
                        "ship_tables": [
                            {"name": "users"},
                            {"name": "documents", "where": "id > 1"},
                            {"name": "chunks", "columns": ["id"]},
                        ],
                    }
                }
            },
            (
                "a: ship_seed_method: standby brings the shore's whole cluster aboard, and ship_tables has columns or"
                " where for documents, chunks, so that more would be aboard than it says. Choose ship_seed_method:"
                " copy, or leave those out."
            ),
        ),
        (
            {"ships": {"x" * 51: STANDBY}},
            f"{'x' * 51}: the name is too long for ship_seed_method: standby; 50 characters are possible.",
        ),
        (
            {"ships": {"a": {}, "A-Seed": {}}},
            "A-Seed: ship_a_seed is what the shore calls a part of a: rename one.",
        ),
        (
            {"ships": {"a_convert": {}, "a": {}}},
            "a_convert: ship_a_convert is what the shore calls a part of a: rename one.",
        ),
        (
            {"ships": {"a": {"ship_link": {"bandwidth": "fast"}}}},
            "a: ship_link.bandwidth: 'fast' is no rate; write 4Mbit, 512kbit or 1Gbit.",
        ),
        (
            {"ships": {"a": {"ship_tables": [{"name": "documents"}]}}},
            "a: ship_tables is for ship_mode: logical; a physical ship has the whole server.",
        ),
        (
            {"ships": {"a": {"ship_mode": "logical", "ship_tables": ["documents"]}}},
            "a: ship_tables is a list of dictionaries, each with name, and columns or where.",
        ),
        (
            {
                "ships": {
                    "a": {"ship_mode": "logical", "ship_tables": [{"name": "d", "colums": []}]}
                }
            },
            "a: ship_tables[0]: 'colums' is unknown; possible are columns, name, only, where.",
        ),
        (
            {
                "ships": {
                    "a": {"ship_mode": "logical", "ship_tables": [{"name": "d", "where": "a;"}]}
                }
            },
            "a: ship_tables[0].where: a semicolon is not possible in 'a;'.",
        ),
    ],
)
def test_what_is_wrong_is_a_sentence(case: dict[str, Any], sentence: str) -> None:
    assert found(**case) == [sentence]


def test_a_ship_with_whole_tables_can_be_seeded_as_a_standby() -> None:
    assert found(ships={"a": {**STANDBY, "ship_tables": [{"name": "users"}]}}) == []
    assert found(ships={"x" * 50: STANDBY, "bird_seed": {}}) == []


def test_several_problems_are_told_at_once() -> None:
    assert len(found(shores=[], asked="x", fleet_database="")) == 3


def test_the_outcome_is_a_line_a_ship_and_names_who_is_missing() -> None:
    proof = [{"name": "documents", "rows": 3}, {"name": "users", "rows": 4}]
    ships = [
        {"inventory_hostname": "oslo", "fleet_proof": proof, "fleet_member": {"mode": "logical"}},
        {"inventory_hostname": "gdansk", "fleet_proof": [], "fleet_member": {"mode": "physical"}},
        {"inventory_hostname": "algeciras", "fleet_dark": "timed out"},
        {"inventory_hostname": "hamburg"},
    ]
    assert outcome(ships) == {
        "lines": [
            "oslo: onboard, logical; 2 tables with 7 rows are equal on both ends.",
            "gdansk: onboard, physical; replicates.",
            "algeciras: dark (timed out). Run this again once it answers.",
            "hamburg: not onboard, see above. Run this again, and it goes on where it was.",
        ],
        "missing": ["algeciras", "hamburg"],
    }


def test_the_owners_of_slots_are_all_ships_and_say_what_those_use_that_answered() -> None:
    use = {"slots": ["ship_hmm_oslo", "by_hand"], "system_identifier": "7"}
    assert slot_owners(
        [
            {"inventory_hostname": "HMM-Oslo", "ship_mode": "logical", "fleet_slot_use": use},
            {"inventory_hostname": "algeciras", "fleet_dark": "timed out"},
            # A server that names no slot at all.
            {
                "inventory_hostname": "bare",
                "fleet_slot_use": {"slots": None, "system_identifier": "8"},
            },
        ]
    ) == [
        {
            "name": "HMM-Oslo",
            "slot": "ship_hmm_oslo",
            "owned": ["ship_hmm_oslo", "ship_hmm_oslo_seed"],
            "mode": "logical",
            "asked": True,
            "uses": ["ship_hmm_oslo", "by_hand"],
            "system_identifier": "7",
        },
        {
            "name": "algeciras",
            "slot": "ship_algeciras",
            "owned": ["ship_algeciras", "ship_algeciras_seed"],
            "mode": "physical",
            "asked": False,
            "uses": [],
            "system_identifier": "",
        },
        {
            "name": "bare",
            "slot": "ship_bare",
            "owned": ["ship_bare", "ship_bare_seed"],
            "mode": "physical",
            "asked": True,
            "uses": [],
            "system_identifier": "8",
        },
    ]

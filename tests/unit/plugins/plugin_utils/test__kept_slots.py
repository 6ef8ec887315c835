# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which slots every node of a shore keeps."""

from __future__ import annotations

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._kept_slots import kept

ALGECIRAS = {"inventory_hostname": "algeciras"}
OSLO = {"inventory_hostname": "oslo-2", "ship_mode": "logical"}
BERGEN = {"inventory_hostname": "bergen", "ship_mode": "logical", "ship_seed_method": "standby"}
ALL = [ALGECIRAS, OSLO, BERGEN]


def slots(found: dict[str, list[dict[str, object]]]) -> list[tuple[object, object]]:
    return [(ship["slot"], ship["mode"]) for ship in found["ships"]]


def test_what_the_primary_has_is_kept() -> None:
    found = kept(ALL, {"ship_algeciras", "ship_oslo_2", "another"}, set(), set())
    assert found["ships"] == [
        {"name": "algeciras", "slot": "ship_algeciras", "mode": "physical", "by_standby": True},
        {"name": "oslo-2", "slot": "ship_oslo_2", "mode": "logical", "by_standby": False},
    ]
    assert found["absent"] == ["ship_bergen_seed"]


def test_a_ship_that_was_never_onboarded_has_none() -> None:
    assert kept([ALGECIRAS, OSLO], set(), set(), set()) == {"ships": [], "absent": []}


def test_what_the_primary_lost_is_still_asked_for() -> None:
    assert slots(kept([OSLO], set(), {"ship_oslo_2"}, set())) == [("ship_oslo_2", "logical")]


def test_a_ship_that_is_a_standby_first_has_two() -> None:
    found = kept([BERGEN], {"ship_bergen_seed"}, set(), set())
    assert slots(found) == [("ship_bergen_seed", "physical")]
    assert found["absent"] == []


def test_ships_that_leave() -> None:
    there = {"ship_algeciras", "ship_oslo_2", "ship_bergen"}
    found = kept(ALL, there, there, {"algeciras", "bergen"})
    assert slots(found) == [("ship_oslo_2", "logical")]
    assert found["absent"] == ["ship_algeciras", "ship_bergen", "ship_bergen_seed"]

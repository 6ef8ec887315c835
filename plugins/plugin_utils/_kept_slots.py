# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Which slots every node of a shore keeps, by the ships' variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet import ship_id

# Of a logical ship that is a standby first, as the role primary names it.
_SEED_SLOT = "{}_seed"


def kept(
    ships: Iterable[Mapping[str, Any]],
    there: AbstractSet[str],
    known: AbstractSet[str],
    leaving: AbstractSet[str],
) -> dict[str, Any]:
    """What every node keeps, and what it drops.

    :param there: slots that the primary has.
    :param known: slots that are kept already.
    :param leaving: names of ships.
    """
    found: list[dict[str, Any]] = []
    absent: list[str] = []
    for ship in ships:
        name = str(ship["inventory_hostname"])
        slot = f"ship_{ship_id(name)}"
        logical = ship.get("ship_mode", "physical") == "logical"
        seed = [_SEED_SLOT.format(slot)] if logical and _by_standby(ship) else []
        if name in leaving:
            absent += [slot, *seed]
            continue
        if slot in there or slot in known:
            found.append(_entry(ship, slot, logical=logical))
        found += [_entry(ship, one, logical=False) for one in seed if one in there]
        absent += [one for one in seed if one not in there]
    return {"ships": found, "absent": absent}


def _by_standby(ship: Mapping[str, Any]) -> bool:
    return bool(ship.get("ship_seed_method") == "standby")


def _entry(ship: Mapping[str, Any], slot: str, logical: bool) -> dict[str, Any]:
    return {
        "name": str(ship["inventory_hostname"]),
        "slot": slot,
        "mode": "logical" if logical else "physical",
        "by_standby": not logical,
    }

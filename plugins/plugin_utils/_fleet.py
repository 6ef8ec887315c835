# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The inventory of a fleet, checked before any host is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication import table_requests
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._link import (
    LinkError,
    link_settings,
)

Vars = Mapping[str, Any]

MODES = ("physical", "logical")
SEED_METHODS = {"physical": ("pack", "stream"), "logical": ("copy", "standby")}
# ship_ and this make the name of a role and of a slot, which hold 63 bytes.
_MAX_ID = 58
# What a ship that is seeded as a standby has behind its name for the time: a slot, and a role.
_SEED_SUFFIX = "_seed"
_SUFFIXES = (_SEED_SUFFIX, "_convert")
_MAX_SEEDED_ID = _MAX_ID - max(map(len, _SUFFIXES))


def ship_id(name: str) -> str:
    """The part of a ship's name that can stand in the name of a role, a slot, a publication."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def selected(asked: Any, ships: Sequence[str]) -> list[str]:
    """The ships asked for by -e ship=: none is all, several are a list or separated by commas."""
    if asked is None:
        return list(ships)
    names = asked if isinstance(asked, (list, tuple)) else str(asked).split(",")
    return [str(name).strip() for name in names if str(name).strip()]


def problems(
    shores: Sequence[str],
    monitors: Sequence[str],
    ships: Mapping[str, Vars],
    asked: Any,
    fleet: Vars,
) -> list[str]:
    """Sentences on what is wrong with the inventory or with what was asked for."""
    return [
        *_shore_problems(shores, monitors),
        *_ship_group_problems(ships, asked),
        *_fleet_problems(fleet),
        *_ships_problems(ships),
    ]


def _shore_problems(shores: Sequence[str], monitors: Sequence[str]) -> Iterator[str]:
    if not shores:
        yield "The inventory's group shore holds no host: it has to hold the one that ships copy."
    elif len(shores) > 1 and len(monitors) != 1:
        yield (
            f"The inventory's group shore holds {_listed(shores)}. Several are nodes of one server, of"
            " which another takes over by itself, and want one more host in the group shore_monitor; it"
            f" holds {_listed(monitors)}. See shore_ha.yml, or leave one host in the group shore."
        )
    for name in sorted(set(shores) & set(monitors)):
        yield (
            f"{name} is in the groups shore and shore_monitor: the monitor has to be another machine,"
            " so that they are not lost together."
        )


def _ship_group_problems(ships: Mapping[str, Vars], asked: Any) -> Iterator[str]:
    if not ships:
        yield "The inventory's group ships holds no host. Is this the right inventory (-i)?"
        return
    unknown = [name for name in selected(asked, list(ships)) if name not in ships]
    if unknown:
        yield f"ship: {_listed(unknown)} is not in the group ships, which holds {_listed(sorted(ships))}."
    if asked is not None and not selected(asked, list(ships)):
        yield "ship: no name is given. Leave it out for every ship."


def _fleet_problems(fleet: Vars) -> Iterator[str]:
    if not fleet.get("fleet_database"):
        yield "fleet_database: give the name of the database that is replicated."
    tables = fleet.get("fleet_tables")
    if not isinstance(tables, (list, tuple)) or not tables:
        yield "fleet_tables: give the list of tables that the search service reads."


def _ships_problems(ships: Mapping[str, Vars]) -> Iterator[str]:
    by_id: dict[str, str] = {}
    for name, ship in ships.items():
        identity = ship_id(name)
        if identity in by_id:
            yield f"{name} and {by_id[identity]} would both be ship_{identity}: rename one."
        by_id[identity] = name
        if len(identity) > _MAX_ID:
            yield f"{name}: the name is too long for a slot's; {_MAX_ID} characters are possible."
        mode = ship.get("ship_mode", "physical")
        if mode not in MODES:
            yield f"{name}: ship_mode is {mode!r}; it can be {' or '.join(MODES)}."
            continue
        yield from _table_problems(name, mode, ship.get("ship_tables"))
        method = ship.get("ship_seed_method")
        if mode == "logical" and method == "standby":
            yield from _standby_problems(name, identity, ship.get("ship_tables"))
        if method is not None and method not in SEED_METHODS[mode]:
            yield (
                f"{name}: ship_seed_method is {method!r}; for a {mode} ship it can be"
                f" {' or '.join(SEED_METHODS[mode])}."
            )
        try:
            link_settings(ship.get("ship_link"))
        except LinkError as error:
            yield f"{name}: {error}"
    yield from _suffix_problems(by_id)


def _suffix_problems(by_id: Mapping[str, str]) -> Iterator[str]:
    for identity, name in by_id.items():
        for other in (
            identity[: -len(suffix)] for suffix in _SUFFIXES if identity.endswith(suffix)
        ):
            if other in by_id:
                yield (
                    f"{name}: ship_{identity} is what the shore calls a part of {by_id[other]}: rename"
                    " one."
                )


def _standby_problems(name: str, identity: str, tables: Any) -> Iterator[str]:
    if len(identity) > _MAX_SEEDED_ID:
        yield (
            f"{name}: the name is too long for ship_seed_method: standby; {_MAX_SEEDED_ID} characters"
            " are possible."
        )
    entries = tables if isinstance(tables, (list, tuple)) else ()
    parts = [
        str(table.get("name"))
        for table in entries
        if isinstance(table, Mapping) and (table.get("columns") or table.get("where"))
    ]
    if parts:
        yield (
            f"{name}: ship_seed_method: standby brings the shore's whole cluster aboard, and ship_tables"
            f" has columns or where for {_listed(parts)}, so that more would be aboard than it says."
            " Choose ship_seed_method: copy, or leave those out."
        )


def _table_problems(name: str, mode: str, tables: Any) -> Iterator[str]:
    if tables is None:
        return
    if mode == "physical":
        yield (
            f"{name}: ship_tables is for ship_mode: logical; a physical ship has the whole server."
        )
    elif not isinstance(tables, (list, tuple)) or not all(
        isinstance(table, Mapping) and table.get("name") for table in tables
    ):
        yield (
            f"{name}: ship_tables is a list of dictionaries, each with name, and columns or where."
        )
    else:
        try:
            table_requests(tables)
        except ReplicationError as error:
            yield f"{name}: ship_{error}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(str, names)) or "none"


def outcome(ships: Iterable[Vars]) -> dict[str, list[str]]:
    """How onboarding went, a line a ship, and the names of those that are not onboard.

    Of each ship the facts count that the playbook set: fleet_dark, fleet_proof, fleet_member.
    """
    lines, missing = [], []
    for ship in ships:
        name, proof = ship["inventory_hostname"], ship.get("fleet_proof")
        if proof is not None:
            rows = sum(table["rows"] for table in proof)
            told = (
                f"{len(proof)} tables with {rows} rows are equal on both ends"
                if proof
                else "replicates"
            )
            lines.append(f"{name}: onboard, {ship['fleet_member']['mode']}; {told}.")
            continue
        missing.append(name)
        lines.append(
            f"{name}: dark ({ship['fleet_dark']}). Run this again once it answers."
            if "fleet_dark" in ship
            else f"{name}: not onboard, see above. Run this again, and it goes on where it was."
        )
    return {"lines": lines, "missing": missing}


def slot_owners(ships: Iterable[Vars]) -> list[dict[str, Any]]:
    """Each ship with the slots that belong to it, and with those that its server names.

    Of each the fact fleet_slot_use counts, which slot_cleanup.yml sets for those that answer.
    """
    owners = []
    for ship in ships:
        slot = f"ship_{ship_id(ship['inventory_hostname'])}"
        use = ship.get("fleet_slot_use")
        owners.append(
            {
                "name": ship["inventory_hostname"],
                "slot": slot,
                "owned": [slot, f"{slot}{_SEED_SUFFIX}"],
                "mode": ship.get("ship_mode", "physical"),
                "asked": use is not None,
                "uses": [name for name in ((use or {}).get("slots") or ()) if name],
                "system_identifier": (use or {}).get("system_identifier") or "",
            }
        )
    return owners

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What stands in the way of onboarding, judged from preflight_facts of the shore and of the ships."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._firewall import is_network
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._link import bits_per_second
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._published import (
    publishing_problems,
    without_identity,
)

Facts = Mapping[str, Any]

SUPPORTED = ("debian 12", "debian 13")
CLOCK_OFFSET_SECONDS = 60
# Pack and unpacked side folder beside the first WAL: what a seed needs of the size of the databases.
SEED_SPACE = 2.7
COPY_SPACE = 1.5
PACK_SPACE = 1.0
# A link that WAL fills to more than this never catches up after a cut.
LINK_SHARE = 0.8
# The average of a server that has run for less says little.
WAL_RATE_SECONDS = 3600
_WAL_LEVELS = ("minimal", "replica", "logical")
_FIRST_WITH_CREATESUBSCRIBER = 17
# What the copy of a subscription's tables takes on top of the one slot it keeps.
_SYNC_WORKERS = 2


def problems(shore: Facts, ships: Sequence[Facts]) -> list[str]:
    """Every problem as a sentence that begins with the host's name and says what to do.

    shore: name, version, become_method, preflight, database, tables, wal_level, max_wal_senders, max_replication_slots,
    archive_enabled, archive_replaced, restart_allowed, firewall. ships: name, slot, standby_slot, addresses, mode,
    version, become_method, preflight, link, seed_method, seeds_over_ssh, replace_data, tables (as ship_tables).
    """
    found = [f"{shore['name']}: {problem}" for problem in _shore_problems(shore, ships)]
    for ship in ships:
        found += [f"{ship['name']}: {problem}" for problem in _ship_problems(shore, ship)]
    return found


def host_problems(host: Facts) -> Iterator[str]:
    preflight = host["preflight"]
    if preflight["distribution"] not in SUPPORTED:
        yield (
            f"{preflight['distribution']} is not supported; Debian 12 (PostgreSQL 15) and Debian 13"
            " (PostgreSQL 17) are."
        )
    offset = preflight["clock_offset"]
    if offset is not None and abs(offset) > CLOCK_OFFSET_SECONDS:
        yield (
            f"the clock is {abs(offset):.0f} seconds {'ahead' if offset > 0 else 'behind'}; certificates"
            " would not be valid. Set it, and let systemd-timesyncd or chrony keep it."
        )
    if host["become_method"].endswith("sudo") and not preflight["sudo"]:
        yield (
            "there is no sudo, by which tasks become the user postgres. Install it, or set"
            " ansible_become_method: ansible.builtin.su where Ansible logs in as root."
        )
    if preflight["server_error"]:
        yield f"the server runs, but could not be asked: {preflight['server_error']}"


def _shore_problems(shore: Facts, ships: Sequence[Facts]) -> Iterator[str]:
    yield from host_problems(shore)
    preflight = shore["preflight"]
    server = preflight["server"]
    if preflight["cluster"] is None and preflight["data"]["kind"] != "absent":
        yield (
            f"{preflight['data']['directory']} holds data, but postgresql-common knows no such cluster."
            " Register it with pg_createcluster, or name the right one with fleet_cluster."
        )
    copied = [
        entry["name"] for ship in ships if ship["mode"] == "logical" for entry in ship["tables"]
    ]
    if server is None:
        if copied and not preflight["server_error"]:
            yield (
                "a logical ship copies tables, and there is no running server with them yet. Create the"
                f" database {shore['database']} and its tables first."
            )
        return
    if server["in_recovery"]:
        yield "this server is a standby; the shore has to be the primary."
    packed = any(map(_is_standby, ships))
    if packed and server["tablespaces"]:
        yield (
            f"tablespaces {_list(server['tablespaces'])} lie outside the data directory, and a pack holds"
            " one directory only. Move their tables to pg_default first."
        )
    if packed and preflight["free_bytes"] < server["bytes"] * PACK_SPACE:
        yield _space(preflight, server["bytes"] * PACK_SPACE, "the pack of a base backup")
    yield from _room(shore, ships)
    if server["archive"] == "other" and shore["archive_enabled"] and not shore["archive_replaced"]:
        yield (
            "the server archives its WAL by an archive_command or archive_library of its own. Keep it with"
            " primary_archive_enabled: false, or let the collection's archive take its place with -e"
            " fleet_archive_replaced=true."
        )
    # Where nobody is connected, nobody notices.
    if server["clients"] and not shore["restart_allowed"]:
        yield from _restart(shore)
    yield from _table_problems(shore, sorted(set(copied)))
    yield from _conversion_problems(server, [ship for ship in ships if _is_to_convert(ship)])


def _is_to_convert(ship: Facts) -> bool:
    """Whether it is to be a standby, or is one, of which a subscriber will be made."""
    seeded_so = (ship["mode"], ship["seed_method"]) == ("logical", "standby")
    return seeded_so and bool(ship["preflight"]["data"]["kind"] != "converted")


def _is_standby(ship: Facts) -> bool:
    return ship["mode"] == "physical" or _is_to_convert(ship)


def _conversion_problems(server: Facts, ships: Sequence[Facts]) -> Iterator[str]:
    without = server.get("without_identity") or []
    if ships and without:
        yield (
            f"{_list(without)} has no replica identity. While pg_createsubscriber makes a subscriber of"
            f" {_list(ship['name'] for ship in ships)}, all tables of the database are published, and an"
            " UPDATE or DELETE of this would fail ashore. Add a primary key, or ALTER TABLE … REPLICA"
            " IDENTITY FULL where it is small; or choose ship_seed_method: copy."
        )


def _room(shore: Facts, ships: Sequence[Facts]) -> Iterator[str]:
    server = shore["preflight"]["server"]
    slots = {slot for ship in ships for slot in _slots(ship)}
    new = slots.difference(server["slots"]["used"])
    if not new:
        return
    logical = any(ship["mode"] == "logical" and ship["slot"] in new for ship in ships)
    sync = _SYNC_WORKERS if logical else 0
    for what, used, limit, option in (
        ("replication slots", len(server["slots"]["used"]), "max_replication_slots", "slots"),
        ("WAL senders", server["senders"]["used"], "max_wal_senders", "senders"),
    ):
        allowed = max(server[option]["max"], shore[limit])
        needed = used + len(new) + sync
        if needed > allowed:
            yield (
                f"{needed} {what} would be needed and {limit} allows {allowed}. Set primary_{limit} to"
                f" {needed} or more."
            )


def _slots(ship: Facts) -> list[str]:
    """What it keeps ashore, or will; while it is made a subscriber, that is two."""
    return [ship["slot"], *([ship["standby_slot"]] if _is_to_convert(ship) else [])]


def _restart(shore: Facts) -> Iterator[str]:
    server = shore["preflight"]["server"]
    settings = server["settings"]
    changes = []
    if _WAL_LEVELS.index(settings["wal_level"]) < _WAL_LEVELS.index(shore["wal_level"]):
        changes.append(f"wal_level from {settings['wal_level']} to {shore['wal_level']}")
    changes += [
        f"{limit} from {settings_value} to {shore[limit]}"
        for limit, settings_value in (
            ("max_replication_slots", server["slots"]["max"]),
            ("max_wal_senders", server["senders"]["max"]),
        )
        if settings_value < shore[limit]
    ]
    if shore["archive_enabled"] and settings["archive_mode"] == "off":
        changes.append("archive_mode from off to on")
    if settings["listen_addresses"] == "localhost":
        changes.append("listen_addresses from localhost")
    if changes:
        yield (
            f"the server has to be restarted once, to change {_list(changes)}; sessions now:"
            f" {server['clients']}. Allow it with -e fleet_restart_allowed=true, at an hour that suits its users."
        )


def _table_problems(shore: Facts, names: Sequence[str]) -> Iterator[str]:
    server = shore["preflight"]["server"]
    tables = server["tables"]
    if not names:
        return
    if tables is None:
        yield (
            f"there is no database {shore['database']}, so its tables cannot be copied. Create it with"
            " its tables first, or name the right one with fleet_database."
        )
        return
    missing = [name for name in names if tables.get(name) is None]
    if missing:
        yield (
            f"{shore['database']} has no table {_list(missing)}; create it, or take it out of fleet_tables."
        )
    there = {name: tables[name] for name in names if tables.get(name) is not None}
    unsuited = [name for name, table in there.items() if table["kind"] not in ("r", "p")]
    if unsuited:
        yield f"{_list(unsuited)} cannot be published: only tables can."
    unlogged = [name for name, table in there.items() if table["persistence"] != "p"]
    if unlogged:
        yield (
            f"{_list(unlogged)} cannot be published, being unlogged or temporary: ALTER TABLE … SET LOGGED."
        )
    without = [bare for name in there for bare in without_identity(server, {"name": name})]
    if without:
        yield (
            f"{_list(without)} has no replica identity, so an UPDATE or DELETE would fail ashore once it is"
            " published. Add a primary key, or ALTER TABLE … REPLICA IDENTITY FULL where it is small."
        )


def _ship_problems(shore: Facts, ship: Facts) -> Iterator[str]:
    yield from host_problems(ship)
    preflight, server = ship["preflight"], shore["preflight"]["server"]
    named = [address for address in ship["addresses"] if not is_network(address)]
    if shore["firewall"] and named:
        yield (
            f"{_list(named)} is no address or network, and the firewall of {shore['name']} admits nothing else. Set"
            " fleet_address and fleet_addresses to where this ship comes from (fleet_certificate_names is for names),"
            " or fleet_firewall: false, and admit it yourself."
        )
    for target in preflight["unreachable"]:
        if _is_needed(shore, ship, target["name"]):
            yield (
                f"{shore['name']} does not answer at {target['host']} port {target['port']}"
                f" ({target['reason']}). Look at the route, at both firewalls, and at fleet_address of"
                f" {shore['name']}."
            )
    if _is_to_convert(ship) and int(ship["version"]) < _FIRST_WITH_CREATESUBSCRIBER:
        yield (
            "a logical ship is seeded from a standby by pg_createsubscriber, which PostgreSQL"
            f" {ship['version']} has not. Leave out ship_seed_method, or use PostgreSQL 17."
        )
    elif _is_standby(ship):
        yield from _standby_problems(shore, ship)
    if server is None:
        return
    if ship["mode"] == "logical":
        yield from publishing_problems(server, ship["tables"])
    if preflight["data"]["kind"] == "absent":
        share = SEED_SPACE if _is_standby(ship) else COPY_SPACE
        if preflight["free_bytes"] < server["bytes"] * share:
            yield _space(preflight, server["bytes"] * share, "the copy of the shore's data")
    yield from _link_problems(ship, server["wal"])


def _is_needed(shore: Facts, ship: Facts, target: str) -> bool:
    if target == "ssh":
        return bool(ship["seeds_over_ssh"])
    server = shore["preflight"]["server"]
    # Before the shore is set up nothing listens for ships, and its firewall has no hole for this one.
    return server is not None and not set(_slots(ship)).isdisjoint(server["slots"]["used"])


def _standby_problems(shore: Facts, ship: Facts) -> Iterator[str]:
    preflight, ashore = ship["preflight"], shore["preflight"]
    cure = "ship_mode: logical" if ship["mode"] == "physical" else "ship_seed_method: copy"
    if ship["version"] != shore["version"]:
        yield (
            f"a physical standby has the shore's major version: {ship['version']} is wanted here and"
            f" {shore['version']} ashore. Use the same Debian release, or {cure}."
        )
    if preflight["architecture"] != ashore["architecture"]:
        yield (
            f"a physical standby has the shore's architecture: {preflight['architecture']} here and"
            f" {ashore['architecture']} ashore. Use {cure}."
        )
    data = preflight["data"]
    if data["kind"] in ("promoted", "converted") and not ship["replace_data"]:
        yield _no_standby_any_more(ship)
    if data["kind"] in ("server", "foreign") and not ship["replace_data"]:
        yield (
            f"{data['directory']} holds data that is no standby's. Move it away, or let it be moved aside"
            " (nothing is deleted) with -e ship_replace_data=true."
            + (
                ""
                if ship["mode"] == "physical"
                else " Or is it onboard? Then leave out ship_seed_method."
            )
        )
    server = ashore["server"]
    if (
        data["kind"] in ("seeded", "standby")
        and server is not None
        and data["system_identifier"] not in (None, server["system_identifier"])
        and not ship["replace_data"]
    ):
        yield (
            f"{data['directory']} is a standby of another system ({data['system_identifier']}; the shore is"
            f" {server['system_identifier']}). Let it be moved aside (nothing is deleted) with"
            " -e ship_replace_data=true."
        )


def _no_standby_any_more(ship: Facts) -> str:
    data = ship["preflight"]["data"]
    was = (
        "has been made a subscriber; ship_mode: logical goes on with it"
        if data["kind"] == "converted"
        else "has been promoted: it is a server of its own"
        if ship["mode"] == "physical"
        else "was cut while a subscriber was made of it, after its promotion, from where nothing leads back"
    )
    return (
        f"{data['directory']} was a standby, and {was}. To seed it anew, let it be moved aside (nothing is"
        " deleted) with -e ship_replace_data=true."
    )


def _link_problems(ship: Facts, wal: Facts | None) -> Iterator[str]:
    bandwidth = (ship["link"] or {}).get("bandwidth")
    if not _is_standby(ship) or bandwidth is None or wal is None:
        return
    if wal["seconds"] < WAL_RATE_SECONDS:
        return
    rate = float(wal["bytes"]) / wal["seconds"] * 8
    link = bits_per_second("ship_link.bandwidth", bandwidth)
    if rate > link * LINK_SHARE:
        yield (
            f"the shore writes WAL at {rate / 1e6:.1f} Mbit/s, and the link carries {link / 1e6:.1f}: this"
            " ship would never catch up. Take"
            f" {'ship_mode: logical' if ship['mode'] == 'physical' else 'ship_seed_method: copy'} with"
            " fewer columns, or a faster link."
        )


def _space(preflight: Facts, needed: float, what: str) -> str:
    return (
        f"{what} needs {needed / 1e6:.0f} MB at {preflight['data']['directory']}, and"
        f" {preflight['free_bytes'] / 1e6:.0f} MB are free."
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)

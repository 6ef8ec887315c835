# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What stands in the way of a shore of several nodes, and which of them begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import size
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._preflight import host_problems

Facts = Mapping[str, Any]

# A base backup, and the WAL that is written while it is taken.
_COPY_SPACE = 1.2
# What every server has.
_EVERYWHERE = {"postgres"}


def group_problems(
    nodes: Sequence[str], monitors: Sequence[str], ships: Sequence[str]
) -> list[str]:
    """What is wrong with the groups of the inventory, before any host is asked."""
    found = []
    if not nodes:
        found.append("The inventory's group shore holds no host: name the nodes there.")
    if len(monitors) != 1:
        found.append(
            "The inventory's group shore_monitor has to hold one host, which watches the nodes; it"
            f" holds {', '.join(monitors) or 'none'}."
        )
    found += [
        f"{name} is in the groups shore and shore_monitor: who watches the nodes has to survive"
        " them, on a third machine."
        for name in monitors
        if name in nodes
    ]
    found += [
        f"{name} is in the group ships, and cannot be on shore too."
        for name in ships
        if name in [*nodes, *monitors]
    ]
    return found


def quorum_problems(members: Sequence[Facts], number_sync_standbys: int) -> list[str]:
    """What the monitor would refuse, or should: members have replication_quorum."""
    quorum = [member for member in members if boolean(member["replication_quorum"])]
    if len(members) > 1 and not quorum:
        return [
            (
                "Every node has pg_auto_failover_replication_quorum: false, so that commits wait for"
                " nobody, and what was not replicated is lost with the primary. Leave it true for one of"
                " the standbys at least."
            )
        ]
    standbys = max(len(quorum) - 1, 0)
    if 0 < number_sync_standbys >= standbys:
        return [
            (
                f"pg_auto_failover_number_sync_standbys is {number_sync_standbys}, which takes"
                f" {number_sync_standbys + 1} standbys with pg_auto_failover_replication_quorum, so that"
                f" one of them may be away; there are {standbys}. Lower it, or add nodes."
            )
        ]
    return []


def plan(nodes: Sequence[Facts], monitor: Facts) -> dict[str, Any]:
    """Which node begins ('' where there are members already), and every problem as a sentence.

    Of each host: name, version, become_method, preflight, member, dark where it does not answer; of nodes also
    database, restart_allowed, archive_enabled, archive_replaced.
    """
    dark = [
        f"{host['name']}: does not answer: {host['dark']}"
        for host in [monitor, *nodes]
        if host.get("dark")
    ]
    if dark:
        return {"first": "", "problems": dark}
    first, problems = _first(nodes)
    problems += [
        f"{host['name']}: {problem}"
        for host in [monitor, *nodes]
        for problem in [*host_problems(host), *_same(host, monitor)]
    ]
    problems += [f"{monitor['name']}: {problem}" for problem in _monitor_problems(monitor)]
    beginner = next((node for node in nodes if node["name"] == first), None)
    if beginner is not None:
        problems += [f"{first}: {problem}" for problem in _first_problems(beginner)]
    problems += [
        f"{node['name']}: {problem}"
        for node in nodes
        if not node["member"] and node is not beginner
        for problem in _copy_problems(node, _source(nodes, beginner))
    ]
    return {"first": first, "problems": problems}


def _has_data(host: Facts) -> bool:
    return bool(host["preflight"]["data"]["kind"] != "absent")


def _server(host: Facts) -> Facts:
    server: Facts | None = host["preflight"]["server"]
    return server or {}


def _first(nodes: Sequence[Facts]) -> tuple[str, list[str]]:
    if any(node["member"] for node in nodes):
        return "", []
    filled = [node for node in nodes if _has_data(node)]
    if not filled:
        return nodes[0]["name"], []
    ours = [node for node in filled if node["database"] in _server(node).get("databases", [])]
    if len(filled) == 1 or len(ours) == 1:
        return (ours or filled)[0]["name"], []
    names = ", ".join(node["name"] for node in filled)
    return "", [
        (
            f"{names}: each of them has data, and it cannot be told whose are the shore's: leave the"
            " database that fleet_database names on one of them, and take the clusters of the others"
            " away (pg_dropcluster)."
        )
    ]


def _source(nodes: Sequence[Facts], first: Facts | None) -> Facts | None:
    if first is not None:
        return first
    members = [node for node in nodes if node["member"] and _server(node)]
    return members[0] if members else None


def _same(host: Facts, monitor: Facts) -> Iterator[str]:
    here, there = host["preflight"]["distribution"], monitor["preflight"]["distribution"]
    if here != there:
        yield (
            f"it is {here}, and the monitor {monitor['name']} is {there}: pg_auto_failover has to be"
            " of one version on all of them, which one release of Debian gives."
        )
    elif host["version"] != monitor["version"]:
        yield (
            f"postgres_version is {host['version']}, and {monitor['version']} on the monitor"
            f" {monitor['name']}: give all of them the same."
        )


def _monitor_problems(monitor: Facts) -> Iterator[str]:
    if monitor["member"] or not _has_data(monitor):
        return
    others = sorted(set(_server(monitor).get("databases", [])) - _EVERYWHERE)
    if others or not _server(monitor):
        yield (
            f"its cluster {_title(monitor)} holds"
            f" {', '.join(others) if others else 'data, and its server does not run'}: the monitor"
            " needs a cluster of its own. Name another one with fleet_cluster and fleet_port in its"
            " host_vars."
        )


def _title(host: Facts) -> str:
    return "/".join(host["preflight"]["data"]["directory"].rsplit("/", 2)[-2:])


def _first_problems(node: Facts) -> Iterator[str]:
    if not _has_data(node):
        return
    server = _server(node)
    if not server:
        yield (
            f"its cluster {_title(node)} has data, and its server does not run: start it"
            " (pg_ctlcluster), so that it can be looked at."
        )
        return
    if server["in_recovery"]:
        yield "its server is a standby. The shore begins with the primary."
    if server["clients"] and not node["restart_allowed"]:
        yield (
            "its server has to be stopped for some seconds to become a node, and clients are"
            f" connected: {server['clients']}. Allow it with -e fleet_restart_allowed=true, at an hour"
            " that suits its users."
        )
    if server["tablespaces"]:
        yield (
            f"tablespaces {', '.join(server['tablespaces'])} lie outside the data directory, and"
            " pg_auto_failover does not carry them when it makes a node anew. Move their tables to"
            " pg_default."
        )
    if server["archive"] == "other" and node["archive_enabled"] and not node["archive_replaced"]:
        yield (
            "it has an archive_command that is not the collection's. Keep it with"
            " primary_archive_enabled: false, or have it replaced with -e fleet_archive_replaced=true."
        )


def _copy_problems(node: Facts, source: Facts | None) -> Iterator[str]:
    if _has_data(node):
        yield (
            f"its cluster {_title(node)} has data of its own, and a node's come from the primary."
            f" Where they are of no use: pg_dropcluster --stop {_title(node).replace('/', ' ')}."
        )
        return
    if source is None or not _server(source):
        return
    needed = _server(source)["bytes"] * _COPY_SPACE
    free = node["preflight"]["free_bytes"]
    if free < needed:
        yield (
            f"{size(int(needed))} are needed for the copy of {source['name']}'s data, and"
            f" {size(free)} are free."
        )

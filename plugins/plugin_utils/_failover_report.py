# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What a shore of several nodes says of itself: its monitor, and who keeps the ships' slots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import settled
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    CRITICAL,
    WARNING,
    duration,
)

Vars = Mapping[str, Any]
Row = dict[str, Any]

_NODE = (
    "name",
    "reported_state",
    "assigned_state",
    "healthy",
    "candidate_priority",
    "lag_bytes",
)
# It looks every ten seconds: of a timer that stands still, more than that is to be heard.
_SILENT_SECONDS = 300


def with_failover(report: Vars, monitor: Vars, nodes: Iterable[Vars], now: float) -> Row:
    """The fleet's report, with the state of failover and what is wrong with it."""
    shore = report["shore"]
    state, found = failover(monitor, nodes, now)
    problems = sorted([*shore["problems"], *found], key=lambda one: one["severity"] != CRITICAL)
    return settled({**report, "shore": {**shore, "failover": state, "problems": problems}})


def failover(monitor: Vars, nodes: Iterable[Vars], now: float) -> tuple[Row, list[Row]]:
    """The state of failover, and what is wrong with it.

    :param monitor: its hostvars. fleet_formation: the result of pg_auto_failover_info; fleet_error:
        why there is none.
    :param nodes: their hostvars. fleet_slots: the status file of keep_slots, where there is one.
    :param now: seconds since 1970.
    """
    name, told = str(monitor["inventory_hostname"]), monitor.get("fleet_formation") or {}
    known = list(nodes)
    state = {
        "monitor": name,
        "status": told.get("status"),
        "primary": told.get("primary"),
        "settled": told.get("settled"),
        "nodes": [{key: node[key] for key in _NODE} for node in told.get("nodes") or ()],
        "slots": {
            str(node["inventory_hostname"]): (node.get("fleet_slots") or {}).get("status")
            for node in known
        },
    }
    problems = [dict(found) for found in told.get("problems") or ()]
    if not told:
        problems.append(_silent_monitor(name, str(monitor.get("fleet_error") or "no answer")))
    for node in known:
        problems += _of_slots(str(node["inventory_hostname"]), node.get("fleet_slots") or {}, now)
    return state, problems


def _silent_monitor(name: str, why: str) -> Row:
    return {
        "severity": WARNING,
        "object": f"monitor {name}",
        "what": f"{name}, the monitor, tells nothing: {' '.join(why.split()).rstrip('.')}. Unless it"
        " still sees the nodes, nobody takes over from the primary.",
        "do": "Bring it back, or put another one in its place with shore_rebuild_monitor.yml.",
    }


def _of_slots(name: str, status: Vars, now: float) -> Iterator[Row]:
    if not status:
        return
    for found in status.get("problems") or ():
        yield {**found, "object": f"{found['object']} on {name}"}
    age = now - float(status["updated"])
    if age > _SILENT_SECONDS:
        yield {
            "severity": WARNING,
            "object": f"slots on {name}",
            "what": f"Nobody has looked after the ships' slots on {name} for {duration(age)}.",
            "do": f"On {name}: systemctl status 'pg_replication-slots@*.timer'",
        }


def failover_text(state: Vars) -> str:
    """In a few words who would take over."""
    if state["status"] is None:
        return "failover unknown"
    if state["primary"] is None:
        return "no node takes writes"
    ready = [
        str(node["name"])
        for node in state["nodes"]
        if node["reported_state"] == node["assigned_state"] == "secondary"
        and node["healthy"] is not False
        and node["candidate_priority"] > 0
    ]
    return f"{' or '.join(ready) or 'nobody'} would take over"

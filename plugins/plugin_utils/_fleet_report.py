# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The shore's report, joined with what the ships say of themselves, and with who does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import (
    FORMAT,
    iso,
    settled,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    CRITICAL,
    PAST_ERRORS,
    WARNING,
    worst,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet import ship_id
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._link import bits_per_second

Vars = Mapping[str, Any]
Row = dict[str, Any]

_SEEDS = ("running", "waiting")
_RECEIVER = (
    "running",
    "status",
    "slot",
    "last_message_time",
    "last_message_seconds",
    "replay_state",
    "last_replayed_commit",
    "receive_lag_bytes",
    "replay_lag_bytes",
    "replay_lag_seconds",
)
_SUBSCRIPTION = (
    "name",
    "database",
    "enabled",
    "slot",
    "apply_worker_pid",
    "last_message_time",
    "last_message_seconds",
    "lag_bytes",
    "tables",
    "apply_errors",
    "sync_errors",
    "errors_in_sample",
    "disabled_by_error",
)


def status_ships(ships: Iterable[Vars]) -> list[Row]:
    """What the module fleet_status is to know of the ships, from their hostvars."""
    found = []
    for ship in ships:
        name = str(ship["inventory_hostname"])
        bandwidth = (ship.get("ship_link") or {}).get("bandwidth")
        row: Row = {
            "name": name,
            "slot": f"ship_{ship_id(name)}",
            "mode": ship.get("ship_mode", "physical"),
        }
        if bandwidth is not None:
            row["bandwidth"] = bits_per_second("ship_link.bandwidth", bandwidth) / 8
        found.append(row)
    return found


def joined(report: Vars | None, ships: Iterable[Vars], shore: Vars, asked: Iterable[str]) -> Row:
    """The fleet's report.

    :param report: the shore's; None where it gave none.
    :param ships: the hostvars of all ships. fleet_dark: why the host does not answer; fleet_own:
        its own view (lag, error, seed).
    :param shore: the shore's hostvars, of which fleet_dark and fleet_error say why it gave none.
    :param asked: the ships to tell of.
    """
    views = {str(ship["inventory_hostname"]): ship for ship in ships}
    if shore.get("fleet_dark") is not None:
        report = None
    base = _without_shore(views.values(), shore) if not report else dict(report)
    rows = [
        _with_own(dict(row), views.get(row["name"], {}), dark=not report)
        for row in base["ships"]
        if row["name"] in set(asked)
    ]
    return settled({**base, "ships": rows})


def _without_shore(ships: Iterable[Vars], shore: Vars) -> Row:
    """A report of a shore that gives none: one critical problem, and rows to be filled."""
    name = str(shore["inventory_hostname"])
    dark, error = shore.get("fleet_dark"), shore.get("fleet_error")
    if dark is not None:
        what = f"{name}, the shore, does not answer: {_sentence(dark)}"
        do = "See whether the host and its network are up; each ship answers for itself below."
    else:
        what = f"{name}, the shore, cannot be asked: {_sentence(error or 'nothing is known of it')}"
        do = "See whether its PostgreSQL runs and read its log; each ship answers for itself below."
    unknown = dict.fromkeys(
        (
            "version",
            "position",
            "timeline",
            "system_identifier",
            "wal_rate",
            "wal_directory_bytes",
            "max_slot_wal_keep_size",
            "archive",
            "failover",
            "wal_senders_used",
            "max_wal_senders",
            "slots_used",
            "max_replication_slots",
        )
    )
    return {
        "format": FORMAT,
        "time": iso(time.time()),
        "shore": {
            "name": name,
            **unknown,
            "disk": {"path": None, "total_bytes": None, "free_bytes": None},
            "problems": [_problem(CRITICAL, "shore", what, do)],
        },
        "ships": [_unknown_row(ship) for ship in status_ships(ships)],
        "history": {},
    }


def _unknown_row(ship: Vars) -> Row:
    figures = dict.fromkeys(
        (
            "lag_bytes",
            "lag_seconds",
            "retained_bytes",
            "seconds_until_lost",
            "lost_by",
            "last_contact",
            "last_contact_seconds",
            "rate",
            "catch_up_seconds",
            "own",
        )
    )
    return {
        "name": ship["name"],
        "mode": ship["mode"],
        "slot": ship["slot"],
        "state": "unknown",
        "severity": WARNING,
        "connected": False,
        "node": None,
        **figures,
        "problems": [],
    }


def _with_own(row: Row, view: Vars, dark: bool) -> Row:
    """The row with the ship's own view.

    :param dark: whether the shore is, so that the ship alone tells of itself.
    """
    # What it said before it went dark, in the same run of Ansible, is no view of now.
    answer = {} if view.get("fleet_dark") is not None else view.get("fleet_own") or {}
    seed, lag = answer.get("seed") or {}, answer.get("lag")
    own = _trimmed(lag, row["slot"]) if lag else None
    problems = list(row["problems"])
    if own is not None:
        row["state"] = _state(row, own, dark)
        problems += [_aboard(found) for found in own["problems"] if not _told(found, row)]
        if dark:
            row.update(_figures(own))
    elif row["state"] in ("dark", "missing", "unknown") and seed.get("state") in _SEEDS:
        # It is not to be connected yet, and has no server.
        row["state"] = "seeding"
        problems = []
    row["problems"] = sorted(
        [*problems, *_further(row, answer, own, dark)],
        key=lambda found: found["severity"] != CRITICAL,
    )
    row["severity"] = worst(*(found["severity"] for found in row["problems"]))
    return {**row, "own": own, "unreached": _unreached(view, answer)}


def _unreached(view: Vars, answer: Vars) -> str | None:
    """Why there is no view of the ship's own."""
    if view.get("fleet_dark") is not None:
        return _sentence(view["fleet_dark"])
    if answer.get("error"):
        return _sentence(answer["error"])
    return None if answer.get("lag") else "The ship was not asked."


def _trimmed(lag: Vars, slot: str) -> Row:
    """Of all that repl_lag_facts tells what is of this ship's replication."""
    receiver = lag.get("receiver")
    subscription = next((found for found in lag["subscriptions"] if found["slot"] == slot), None)
    server = lag["server"]
    return {
        **{
            key: server[key]
            for key in ("version", "role", "time", "position", "timeline", "system_identifier")
        },
        "receiver": receiver and {key: receiver[key] for key in _RECEIVER},
        "subscription": subscription and {key: subscription[key] for key in _SUBSCRIPTION},
        "problems": [
            dict(found)
            for found in lag["problems"]
            if found["object"] in ("receiver", "replay")
            or (subscription and found["object"] == f"subscription {subscription['name']}")
        ],
    }


def _state(row: Row, own: Row, dark: bool) -> str:
    """The state, where the ship knows better."""
    state: str = _own_state(own) if dark else row["state"]
    subscription, receiver = own["subscription"], own["receiver"]
    if state in ("lost", "missing", "seeding"):
        return state
    if subscription and not subscription["enabled"]:
        return "subscription disabled"
    if subscription and subscription["errors_in_sample"] and state != "copying":
        return "conflict"
    if receiver and receiver["replay_state"] != "not paused":
        return "paused"
    tables = (subscription or {}).get("tables") or {}
    if state in ("streaming", "catching up") and tables.get("total", 0) > tables.get("ready", 0):
        return "copying"
    return state


def _own_state(own: Row) -> str:
    """The state of a ship by its own view alone."""
    receiver, subscription = own["receiver"], own["subscription"]
    if receiver:
        return "streaming" if receiver["status"] == "streaming" else "dark"
    if subscription:
        return "streaming" if subscription["apply_worker_pid"] else "dark"
    return "unknown"


def _figures(own: Row) -> Row:
    """What the ship itself knows of its lag, and of when the shore was last heard."""
    source = own["receiver"] or own["subscription"] or {}
    known = [source.get(key) for key in ("receive_lag_bytes", "replay_lag_bytes", "lag_bytes")]
    counted = [value for value in known if value is not None]
    return {
        "lag_bytes": sum(counted) if counted else None,
        "lag_seconds": source.get("replay_lag_seconds"),
        "last_contact": source.get("last_message_time"),
        "last_contact_seconds": source.get("last_message_seconds"),
    }


def _told(found: Vars, row: Row) -> bool:
    """Whether the shore's view says it already, or it need not be said."""
    if found["do"] == PAST_ERRORS:
        # Every link that was cut is counted as an error.
        return bool(row["state"] != "conflict")
    if found["object"] == "receiver":
        return bool(row["state"] == "dark" and row["problems"])
    standby = any(problem["object"].startswith("standby ") for problem in row["problems"])
    return bool(found["object"] == "replay" and standby and row["state"] != "paused")


def _aboard(found: Vars) -> Row:
    return {**found, "object": f"{found['object']} aboard"}


def _further(row: Row, answer: Vars, own: Row | None, dark: bool) -> Iterator[Row]:
    """What neither the shore nor the ship's server says."""
    name, seed = row["name"], answer.get("seed") or {}
    diagnose = f"Run diagnose.yml -e ship={name}."
    if seed.get("state") == "failed" and own is None:
        yield _problem(
            CRITICAL,
            "seed aboard",
            f"The ship's seed failed: {_sentence(seed.get('message') or 'it does not say why')}",
            f"Mend that, and run ship_onboard.yml -e ship={name} again.",
        )
    elif answer.get("error") and row["state"] != "seeding":
        yield _problem(
            CRITICAL,
            "server aboard",
            f"The ship answers, and its PostgreSQL cannot be asked: {_sentence(answer['error'])}",
            diagnose,
        )
    elif row["state"] == "conflict" and own is not None:
        yield _problem(
            CRITICAL,
            f"subscription {own['subscription']['name']} aboard",
            "The subscription fails again and again at the same change, and comes no further.",
            f"{diagnose} It names the table, the row and the cure.",
        )
    elif row["state"] == "unknown" and dark:
        yield _problem(
            WARNING,
            f"ship {name}",
            "Neither the shore nor the ship tells anything of it.",
            "See whether the controller itself has a link.",
        )
    elif own is not None and own["receiver"] is None and own["subscription"] is None:
        yield _problem(
            WARNING,
            "server aboard",
            "The ship's server is neither a standby nor a subscriber of this shore.",
            diagnose,
        )


def _sentence(text: Any) -> str:
    line = " ".join(str(text).split()).removeprefix("Task failed: ")
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _problem(severity: str, about: str, what: str, do: str) -> Row:
    return {"severity": severity, "object": about, "what": what, "do": do}

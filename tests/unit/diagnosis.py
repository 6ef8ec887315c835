# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cases for the doctor: what two healthy ships and their shore told once, and what is changed in that."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import Case, diagnose
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_rules import RULES

# As module diagnosis_facts and connection_probe gave them for clusters of PostgreSQL 15, the names changed.
_KNOWN = json.loads(Path(__file__).with_name("diagnosis_cases.json").read_text("utf-8"))
PHYSICAL, LOGICAL = "physical", "logical"

# A standby that does not get through, and a subscription that does not.
NO_RECEIVER: dict[str, Any] = {
    "ship.server.lag.receiver.running": False,
    "ship.server.lag.receiver.status": None,
    "shore.server.lag.standbys": [],
    "shore.server.lag.slots.0.active": False,
    "shore.server.lag.slots.0.active_pid": None,
}
NO_WORKER: dict[str, Any] = {
    "ship.server.lag.subscriptions.0.apply_worker_pid": None,
    "ship.server.lag.subscriptions.0.last_message_time": None,
    "ship.server.subscriptions.0.workers": [],
    "shore.server.lag.standbys": [],
    "shore.server.lag.slots.1.active": False,
    "shore.server.lag.slots.1.active_pid": None,
}
NOT_THERE = {PHYSICAL: NO_RECEIVER, LOGICAL: NO_WORKER}


def known(mode: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The healthy case of this mode, with some of it changed: {"shore.server.settings.ssl": "off"}."""
    facts: dict[str, Any] = copy.deepcopy(_KNOWN[mode])
    facts["shore"] = copy.deepcopy(_KNOWN["shore"])
    for path, value in (changes or {}).items():
        *way, last = path.split(".")
        place: Any = facts
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)
    return facts


def diagnosed(mode: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What all rules say of it."""
    return diagnose(Case(**known(mode, changes)), RULES)


def stopped(stage: str, reason: str, text: str = "", sqlstate: str | None = None) -> dict[str, Any]:
    """A probe that came no further."""
    return {
        "probe.stage": stage,
        "probe.reason": reason,
        "probe.text": text,
        "probe.sqlstate": sqlstate,
        "probe.system": None,
        "probe.remote_slot": None,
    }


def said(message: str, level: str = "FATAL", age: float = 5, **more: Any) -> dict[str, Any]:
    """A message of a log."""
    return {
        "time": "2026-11-23 04:06:12.000",
        "age": age,
        "pid": 4711,
        "who": "",
        "level": level,
        "message": message,
        "detail": "",
        "hint": "",
        "context": "",
        "lsn": None,
        "subscription": None,
        "times": 1,
        **more,
    }

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._failover_report import (
    failover,
    failover_text,
)

NOW = 1_800_000_000.0


def node(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "name": name,
        "reported_state": state,
        "assigned_state": state,
        "healthy": True,
        "candidate_priority": 50,
        "lag_bytes": 0,
        **more,
    }


def formation(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    told = {"status": "ok", "primary": "busan", "settled": True, "nodes": nodes, "problems": []}
    return {"inventory_hostname": "daejeon", "fleet_formation": {**told, **more}}


def keeper(name: str, *problems: dict[str, str], age: float = 3, status: str = "ok") -> Any:
    told = {"status": status, "updated": NOW - age, "problems": problems}
    return {"inventory_hostname": name, "fleet_slots": told}


WELL = formation(node("busan", "primary"), node("incheon", "secondary"))
LATE = {"severity": "warning", "object": "slot ship_oslo", "what": "It is late.", "do": "Wait."}


def test_a_shore_that_is_well() -> None:
    state, problems = failover(WELL, [keeper("busan"), keeper("incheon")], NOW)
    assert problems == []
    assert state == {
        "monitor": "daejeon",
        "status": "ok",
        "primary": "busan",
        "settled": True,
        "nodes": [
            {key: value for key, value in found.items() if key != "id"}
            for found in (node("busan", "primary"), node("incheon", "secondary"))
        ],
        "slots": {"busan": "ok", "incheon": "ok"},
    }


def test_what_the_monitor_and_the_nodes_complain_of_is_told() -> None:
    complaint = {"severity": "critical", "object": "node busan", "what": "It is gone.", "do": "-"}
    nodes = [keeper("busan", LATE, status="warning"), {"inventory_hostname": "incheon"}]
    state, problems = failover(formation(problems=[complaint]), nodes, NOW)
    assert problems == [complaint, {**LATE, "object": "slot ship_oslo on busan"}]
    assert state["slots"] == {"busan": "warning", "incheon": None}


def test_a_monitor_that_tells_nothing_is_a_warning() -> None:
    silent = {"inventory_hostname": "daejeon", "fleet_error": "Connection  timed\nout."}
    state, (problem,) = failover(silent, [], NOW)
    assert state["status"] is None
    assert problem["severity"] == "warning"
    assert problem["what"].startswith("daejeon, the monitor, tells nothing: Connection timed out. ")
    assert "shore_rebuild_monitor.yml" in problem["do"]


@pytest.mark.parametrize(("age", "told"), [(299, False), (301, True)])
def test_a_keeper_that_stands_still_is_told(age: float, told: bool) -> None:
    _state, problems = failover(WELL, [keeper("busan", age=age)], NOW)
    assert [problem["object"] for problem in problems] == ["slots on busan"] * told


@pytest.mark.parametrize(
    ("monitor", "text"),
    [
        (WELL, "incheon would take over"),
        (formation(node("busan", "primary")), "nobody would take over"),
        (formation(node("b", "secondary", healthy=False)), "nobody would take over"),
        (formation(node("b", "secondary", candidate_priority=0)), "nobody would take over"),
        (formation(node("b", "secondary", assigned_state="x")), "nobody would take over"),
        (formation(node("b", "secondary"), node("c", "secondary")), "b or c would take over"),
        (formation(primary=None), "no node takes writes"),
        ({"inventory_hostname": "daejeon"}, "failover unknown"),
    ],
)
def test_who_would_take_over(monitor: dict[str, Any], text: str) -> None:
    state, _problems = failover(monitor, [], NOW)
    assert failover_text(state) == text

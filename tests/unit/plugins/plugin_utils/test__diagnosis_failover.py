# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is named of a shore of several nodes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.filter.diagnose import diagnose
from tests.unit.diagnosis import LOGICAL, NO_RECEIVER, NO_WORKER, PHYSICAL, diagnosed, known


def failover(*problems: dict[str, str], primary: str | None = "busan") -> dict[str, Any]:
    return {"failover": {"state": {"status": "ok", "primary": primary}, "problems": problems}}


def problem(about: str, severity: str = "critical") -> dict[str, str]:
    return {"severity": severity, "object": about, "what": f"{about} is not well.", "do": "See."}


def test_of_one_node_or_a_formation_that_is_well_nothing_is_named() -> None:
    assert diagnosed(PHYSICAL)["causes"] == []
    assert diagnosed(PHYSICAL, failover())["causes"] == []


@pytest.mark.parametrize(
    "about", ["formation default", "node incheon", "monitor daejeon", "slots on incheon"]
)
def test_a_formation_that_is_not_well_is_named_with_what_to_do(about: str) -> None:
    found = diagnosed(PHYSICAL, failover(problem(about, "warning")))
    assert found["causes"] == ["failover_degraded"]
    assert found["status"] == "warning"
    assert found["findings"][0]["next"] == "See."


def test_where_no_node_takes_writes_that_is_the_cause_of_all_else() -> None:
    changes = failover(problem("formation default"), problem("node busan", "warning"), primary=None)
    down = {"shore.cluster.running": False, "shore.server": None}
    found = diagnosed(PHYSICAL, {**NO_RECEIVER, **changes, **down})
    assert found["causes"] == ["no_primary"]
    assert {one["by"] for one in found["explained"]} == {"no_primary"}
    assert {"failover_degraded", "shore_down"} <= {one["cause"] for one in found["explained"]}


def test_a_monitor_that_tells_nothing_does_not_mean_that_nobody_takes_writes() -> None:
    changes = failover(problem("monitor daejeon", "warning"), primary=None)
    changes["failover"]["state"]["status"] = None
    assert diagnosed(PHYSICAL, changes)["causes"] == ["failover_degraded"]


def test_a_slot_that_a_failover_lost_is_told_with_what_is_missing() -> None:
    gone = {"shore.server.lag.slots": []}
    changes = failover(problem("slot ship_oslo on incheon"))
    wanted = {**NO_WORKER, **gone, **changes}
    wanted = {path: value for path, value in wanted.items() if "slots.1" not in path}
    found = diagnosed(LOGICAL, wanted)
    assert found["causes"] == ["slot_not_kept"]
    assert "slot_missing" in {one["cause"] for one in found["explained"]}


def test_a_slot_of_another_ship_is_not_this_ones_trouble() -> None:
    assert diagnosed(LOGICAL, failover(problem("slot ship_bergen on incheon")))["causes"] == []


def test_the_filter_reads_what_monitor_and_nodes_said() -> None:
    case = {
        **known(PHYSICAL),
        "formation": {
            "monitor": {"inventory_hostname": "daejeon", "fleet_error": "no route to host"},
            "nodes": [{"inventory_hostname": "busan"}, {"inventory_hostname": "incheon"}],
        },
    }
    found = diagnose(case)
    assert found["causes"] == ["failover_degraded"]
    assert "no route to host" in found["findings"][0]["what"]
    assert diagnose({**known(PHYSICAL), "formation": {}})["causes"] == []

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the doctor names, what is documented, and what is made on containers are the same causes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_fix import fixes
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_rules import RULES

CHECKOUT = Path(__file__).parents[3]
LIST = CHECKOUT / "molecule/shared/faults/list.yml"
SHORE = CHECKOUT / "molecule/shore"
# Over before a playbook has looked.
BRIEF = {"no_primary"}
CAUSES = [rule.cause for rule in RULES]
FAULTS: list[dict[str, Any]] = yaml.safe_load(LIST.read_text("utf-8"))["lab_faults"]
_SOURCES = sorted((CHECKOUT / "plugins/plugin_utils").glob("_diagnosis*.py"))


@pytest.mark.parametrize("name", ["diagnosis.md", "diagnosis.ko.md"])
def test_every_cause_has_its_section(name: str) -> None:
    text = (CHECKOUT / "docs" / name).read_text("utf-8")
    assert sorted(re.findall(r"^### `(\w+)`$", text, re.MULTILINE)) == sorted(CAUSES)


def test_every_cause_is_made_on_containers() -> None:
    scenario = "".join(path.read_text("utf-8") for path in sorted(SHORE.glob("*.yml")))
    made = {fault["cause"] for fault in FAULTS} | set(re.findall(r"lab_cause: (\w+)", scenario))
    assert made == set(CAUSES) - BRIEF


def test_faults_can_be_told_apart_and_taken_back() -> None:
    names = [(fault["cause"], fault.get("variant")) for fault in FAULTS]
    assert len(names) == len(set(names))
    for fault in FAULTS:
        steps = [*fault["inject"], *fault["heal"], *fault.get("clean", ())]
        assert {place for step in steps for place in step} <= {"ashore", "aboard", "controller"}
        assert fault["inject"]
        assert fault["heal"]


def test_every_fix_that_a_rule_offers_is_known() -> None:
    offered = {
        action
        for source in _SOURCES
        for action in re.findall(r'"action": "(\w+)"', source.read_text("utf-8"))
    }
    assert offered
    wanted = {
        "oslo": {
            "role": "r",
            "mode": "physical",
            "ship_mode": "physical",
            "database": "d",
            "addresses": ["::1"],
        }
    }
    for action in offered:
        fix = {"action": action, "slot": "s", "subscription": "s"}
        assert fixes({"oslo": {"findings": [{"cause": "c", "fix": fix}]}}, "busan", wanted)

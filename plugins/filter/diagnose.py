# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter diagnose."""

from __future__ import annotations

DOCUMENTATION = r"""
name: diagnose
short_description: Why a ship does not replicate
version_added: 0.1.0
description:
  - Judges what M(hmm.pg_replication.diagnosis_facts) found on a ship and on its shore, and how far
    M(hmm.pg_replication.connection_probe) came between them.
  - Names each cause, what proves it, and the next command, worst first. What follows from another cause is told apart.
  - C(playbooks/diagnose.yml) uses it.
positional: _input
options:
  _input:
    description: What is known. The keys are those the playbook gives.
    type: dict
    required: true
author: HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Name the cause
  ansible.builtin.debug:
    msg: "{{ (case | hmm.pg_replication.diagnose).lines }}"
"""

RETURN = r"""
_value:
  description:
    - C(status) is V(ok), V(warning), V(critical), or V(unknown) where too little could be looked at.
    - C(state) is how the ship's replication looks, in a line.
    - C(causes) are the names of the causes, each with its page in the documentation, worst first.
    - C(findings) are the same, each with C(cause), C(severity), C(object), C(what), C(proof), C(next) and C(fix).
    - C(explained) are symptoms, each with the cause that it follows from as C(by).
    - C(checked) is what was looked at, C(unknown) what could not be.
    - C(lines) is all of this for people.
  type: dict
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils import _diagnosis
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_rules import RULES
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._failover_report import failover


def diagnose(case: Mapping[str, Any]) -> dict[str, Any]:
    """The diagnosis of one ship."""
    known = dict(case)
    until = known.pop("until", {})
    clocks = {end: known[end]["host"] for end in until if known.get(end)}
    known["clocks"] = {
        end: (host["epoch"] - float(until[end]), host["clock_offset"])
        for end, host in clocks.items()
        if host["clock_offset"] is not None
    }
    shore = known.pop("formation", None)
    if shore:
        state, problems = failover(shore["monitor"], shore["nodes"], time.time())
        known["failover"] = {"state": state, "problems": problems}
    return _diagnosis.diagnose(_diagnosis.Case(**known), RULES)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"diagnose": diagnose}

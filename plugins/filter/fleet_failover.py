# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter fleet_failover."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_failover
short_description: The report of a fleet, with who would take over ashore
version_added: 0.1.0
description:
  - Joins the report of a fleet whose shore has several nodes with what its monitor and its nodes say of failover.
  - Reads the facts that C(playbooks/fleet_status.yml) leaves, C(fleet_formation) and C(fleet_error) of the monitor,
    and C(fleet_slots) of the nodes.
positional: _input
options:
  _input:
    description: The report, as P(hmm.pg_replication.fleet_report#filter) gives it.
    type: dict
    required: true
  monitor:
    description: The C(hostvars) of the monitor.
    type: dict
    required: true
  nodes:
    description: The C(hostvars) of the nodes.
    type: list
    elements: dict
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Note who would take over
  ansible.builtin.set_fact:
    fleet_status: >-
      {{ fleet_status | hmm.pg_replication.fleet_failover(monitor=hostvars.daejeon,
      nodes=groups.shore | map('extract', hostvars)) }}
"""

RETURN = r"""
_value:
  description:
    - The report. In C(shore.failover) are C(monitor), its name; C(status), C(primary), C(settled) and C(nodes), as
      M(hmm.pg_replication.pg_auto_failover_info) tells them, null where it tells nothing; and C(slots), of each node
      the status of the program that keeps the ships' slots there.
    - What is wrong is among the shore's C(problems).
  type: dict
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._failover_report import (
    Vars,
    with_failover,
)


def fleet_failover(report: Vars, monitor: Vars, nodes: Iterable[Vars]) -> dict[str, Any]:
    """The report with the state of failover."""
    return with_failover(report, monitor, nodes, time.time())


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"fleet_failover": fleet_failover}

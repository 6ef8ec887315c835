# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter fleet_problems."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_problems
short_description: What is wrong with the inventory of a fleet
version_added: 0.1.0
description:
  - Checks groups, names, modes and links of an inventory before any host is asked.
positional: _input
options:
  _input:
    description: The names of the ships, each with its variables (C(hostvars)).
    type: dict
    required: true
  shores:
    description: The hosts of the group C(shore).
    type: list
    elements: str
    required: true
  monitors:
    description: The hosts of the group C(shore_monitor), which a shore of several nodes needs.
    type: list
    elements: str
    default: []
  asked:
    description: The ships asked for, by C(-e ship=NAME). Several are a list, or separated by commas.
    type: raw
  fleet:
    description: C(fleet_database) and C(fleet_tables).
    type: dict
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show what is wrong with the inventory
  ansible.builtin.debug:
    msg: "{{ ships | hmm.pg_replication.fleet_problems(shores=groups.shore, fleet=hostvars[groups.shore[0]]) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each problem.
  type: list
  elements: str
  sample: ["ship: olso is not in the group ships, which holds algeciras, oslo."]
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet import Vars, problems


def fleet_problems(
    ships: Mapping[str, Vars],
    shores: list[str],
    fleet: Vars,
    asked: Any = None,
    monitors: Sequence[str] = (),
) -> list[str]:
    """Every problem as a sentence."""
    return problems(shores, monitors, ships, asked, fleet)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"fleet_problems": fleet_problems}

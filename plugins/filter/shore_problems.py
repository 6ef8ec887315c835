# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter shore_problems."""

from __future__ import annotations

DOCUMENTATION = r"""
name: shore_problems
short_description: What is wrong with the groups of a shore of several nodes
version_added: 0.1.0
description:
  - Checks the groups of an inventory before any host is asked.
positional: _input
options:
  _input:
    description: The hosts of the group C(shore).
    type: list
    elements: str
    required: true
  monitors:
    description: The hosts of the group C(shore_monitor).
    type: list
    elements: str
    required: true
  ships:
    description: The hosts of the group C(ships).
    type: list
    elements: str
    default: []
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show what is wrong with the inventory
  ansible.builtin.debug:
    msg: "{{ groups.shore | hmm.pg_replication.shore_problems(monitors=groups.shore_monitor) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each problem.
  type: list
  elements: str
  sample: ["The inventory's group shore holds no host: name the nodes there."]
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._shore import group_problems


def shore_problems(
    nodes: Sequence[str], monitors: Sequence[str], ships: Sequence[str] = ()
) -> list[str]:
    """Every problem as a sentence."""
    return group_problems(nodes, monitors, ships)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"shore_problems": shore_problems}

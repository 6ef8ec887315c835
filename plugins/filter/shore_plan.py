# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter shore_plan."""

from __future__ import annotations

DOCUMENTATION = r"""
name: shore_plan
short_description: What stands in the way of a shore of several nodes, and which of them begins
version_added: 0.1.0
description:
  - Judges what M(hmm.pg_replication.preflight_facts) found on the nodes and on the monitor, before anything is changed.
positional: _input
options:
  _input:
    description:
      - The nodes, each with C(name), C(version), C(become_method), C(preflight), C(member), C(database),
        C(restart_allowed), C(archive_enabled), C(archive_replaced), or C(name) and C(dark).
    type: list
    elements: dict
    required: true
  monitor:
    description: The monitor, with C(name), C(version), C(become_method), C(preflight), C(member).
    type: dict
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show what stands in the way
  ansible.builtin.debug:
    msg: "{{ (nodes | hmm.pg_replication.shore_plan(monitor=monitor)).problems }}"
"""

RETURN = r"""
_value:
  description: C(first), the node that begins, empty where there are members; C(problems), a sentence for each.
  type: dict
  sample: {first: busan, problems: []}
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._shore import plan


def shore_plan(nodes: Sequence[Mapping[str, Any]], monitor: Mapping[str, Any]) -> dict[str, Any]:
    """The node that begins, and every problem as a sentence."""
    return plan(nodes, monitor)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"shore_plan": shore_plan}

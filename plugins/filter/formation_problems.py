# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter formation_problems."""

from __future__ import annotations

DOCUMENTATION = r"""
name: formation_problems
short_description: What is wrong with what a formation of pg_auto_failover is to be
version_added: 0.1.0
description:
  - Judges by the inventory alone, so that what the monitor would refuse in the end is told in the beginning.
positional: _input
options:
  _input:
    description: The nodes, each with C(name) and C(replication_quorum).
    type: list
    elements: dict
    required: true
  number_sync_standbys:
    description: For how many standbys a commit is to wait; V(-1) leaves it to pg_auto_failover.
    type: int
    default: -1
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ members | hmm.pg_replication.formation_problems(number_sync_standbys=1) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each problem.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._shore import quorum_problems


def formation_problems(
    members: Sequence[Mapping[str, Any]], number_sync_standbys: int = -1
) -> list[str]:
    """Every problem as a sentence."""
    return quorum_problems(members, int(number_sync_standbys))


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"formation_problems": formation_problems}

# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter onboard_outcome."""

from __future__ import annotations

DOCUMENTATION = r"""
name: onboard_outcome
short_description: How onboarding went, ship by ship
version_added: 0.1.0
description:
  - Tells from the facts that C(playbooks/ship_onboard.yml) leaves which ships are onboard, and which are not.
positional: _input
options:
  _input:
    description: The C(hostvars) of the ships.
    type: list
    elements: dict
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Say how it went
  ansible.builtin.debug:
    msg: "{{ (groups.ships | map('extract', hostvars) | hmm.pg_replication.onboard_outcome).lines }}"
"""

RETURN = r"""
_value:
  description: C(lines) is a sentence for each ship, C(missing) the names of those that are not onboard.
  type: dict
  sample:
    lines: ["oslo: onboard, logical; 4 tables with 10344 rows are equal on both ends."]
    missing: []
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet import Vars, outcome


def onboard_outcome(ships: list[Vars]) -> dict[str, list[str]]:
    """Lines to show, and the names of ships that are not onboard."""
    return outcome(ships)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"onboard_outcome": onboard_outcome}

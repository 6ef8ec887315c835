# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter status_ships."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_ships
short_description: What the shore has to know of its ships to report on them
version_added: 0.1.0
description:
  - Makes of the ships' variables what O(hmm.pg_replication.fleet_status#module:ships) takes.
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
- name: Look at the fleet
  hmm.pg_replication.fleet_status:
    name: busan
    ships: "{{ groups.ships | map('extract', hostvars) | hmm.pg_replication.status_ships }}"
"""

RETURN = r"""
_value:
  description: The ships, each with C(name), C(slot), C(mode), and C(bandwidth) where C(ship_link) names it.
  type: list
  elements: dict
  sample:
    - {name: oslo, slot: ship_oslo, mode: logical, bandwidth: 500000.0}
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.plugin_utils import _fleet_report
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._link import LinkError


def status_ships(ships: list[_fleet_report.Vars]) -> list[dict[str, Any]]:
    """The ships as the module takes them."""
    try:
        return _fleet_report.status_ships(ships)
    except LinkError as error:
        raise AnsibleFilterError(f"hmm.pg_replication.status_ships: {error}") from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_ships": status_ships}

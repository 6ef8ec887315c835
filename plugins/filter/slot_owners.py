# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter slot_owners."""

from __future__ import annotations

DOCUMENTATION = r"""
name: slot_owners
short_description: The ships of a fleet with their slots
version_added: 0.1.0
description:
  - Makes of the ships of an inventory what O(hmm.pg_replication.unused_slots#module:ships) takes.
positional: _input
options:
  _input:
    description: The C(hostvars) of all ships. Those that answered have the fact C(fleet_slot_use).
    type: list
    elements: dict
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show which slots belong to ships
  ansible.builtin.debug:
    msg: "{{ groups.ships | map('extract', hostvars) | hmm.pg_replication.slot_owners }}"
"""

RETURN = r"""
_value:
  description: The ships.
  type: list
  elements: dict
  sample:
    - name: oslo
      slot: ship_oslo
      owned: [ship_oslo, ship_oslo_seed]
      mode: logical
      asked: true
      uses: [ship_oslo]
      system_identifier: "7543210987654321098"
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet import Vars
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet import (
    slot_owners as owners,
)


def slot_owners(ships: list[Vars]) -> list[dict[str, Any]]:
    """The ships, each with its slots."""
    return owners(ships)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"slot_owners": slot_owners}

# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter kept_slots."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kept_slots
short_description: Which slots every node of a shore keeps for its ships
version_added: 0.1.0
description:
  - Makes of the ships' variables what the role P(hmm.pg_replication.pg_auto_failover#role) takes, entry point C(ships).
  - A ship that was never onboarded has no slot, and none is kept for it, since that would keep WAL for nobody.
positional: _input
options:
  _input:
    description: The C(hostvars) of the ships.
    type: list
    elements: dict
    required: true
  there:
    description: Names of slots that the primary has.
    type: list
    elements: str
    required: true
  known:
    description: Names of slots that nodes keep already. The primary may have lost them.
    type: list
    elements: str
    default: []
  leaving:
    description: Names of ships that leave.
    type: list
    elements: str
    default: []
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show what every node keeps
  ansible.builtin.debug:
    msg: >-
      {{ groups.ships | map('extract', hostvars)
         | hmm.pg_replication.kept_slots(there=['ship_oslo', 'ship_algeciras']) }}
"""

RETURN = r"""
_value:
  description: C(ships), the slots to keep, each with C(name), C(slot), C(mode) and C(by_standby), and C(absent), names
    of slots to drop.
  type: dict
  sample:
    ships:
      - {name: oslo, slot: ship_oslo, mode: logical, by_standby: false}
    absent: []
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._kept_slots import kept


def kept_slots(
    ships: Iterable[Mapping[str, Any]],
    there: Sequence[str],
    known: Sequence[str] = (),
    leaving: Sequence[str] = (),
) -> dict[str, Any]:
    """What every node keeps, and what it drops."""
    return kept(ships, {*there}, {*known}, {*leaving})


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"kept_slots": kept_slots}

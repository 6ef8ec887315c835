# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter ship_name."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ship_name
short_description: The name of a ship's role, slot and subscription
version_added: 0.1.0
description:
  - Makes of a ship's name in the inventory what PostgreSQL takes as the name of a slot.
  - It is C(ship_) and the name in lower case, with V(_) in the place of whatever is no letter, digit or underscore.
positional: _input
options:
  _input:
    description: The ship's name in the inventory.
    type: str
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show the slot of a ship
  ansible.builtin.debug:
    msg: "{{ 'HMM-Oslo' | hmm.pg_replication.ship_name }}"
"""

RETURN = r"""
_value:
  description: The name.
  type: str
  sample: ship_hmm_oslo
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet import ship_id


def ship_name(name: str) -> str:
    """The name of the ship's role, slot and subscription."""
    return f"ship_{ship_id(name)}"


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"ship_name": ship_name}

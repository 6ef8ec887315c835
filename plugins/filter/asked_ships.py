# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter asked_ships."""

from __future__ import annotations

DOCUMENTATION = r"""
name: asked_ships
short_description: The ships that a run is about
version_added: 0.1.0
description:
  - Reads what was given by C(-e ship=).
positional: _input, asked
options:
  _input:
    description: All ships.
    type: list
    elements: str
    required: true
  asked:
    description: Nothing for every ship, else one name, several separated by commas, or a list.
    type: raw
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show the ships asked for
  ansible.builtin.debug:
    msg: "{{ groups.ships | hmm.pg_replication.asked_ships(ship | default(none)) }}"
"""

RETURN = r"""
_value:
  description: Their names.
  type: list
  elements: str
  sample: [algeciras, oslo]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet import selected


def asked_ships(ships: list[str], asked: Any = None) -> list[str]:
    """The names asked for."""
    return selected(asked, ships)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"asked_ships": asked_ships}

# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter fleet_report."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_report
short_description: The report of a fleet, with what its ships say
version_added: 0.1.0
description:
  - Joins what M(hmm.pg_replication.fleet_status) reported from the shore with what the ships said of themselves, and
    with who does not answer, and sets states and severities anew.
  - Where the shore gave no report, that is one critical problem, and each ship answers for itself.
  - Reads the facts that C(playbooks/fleet_status.yml) leaves, C(fleet_dark), C(fleet_error) and C(fleet_own).
positional: _input
options:
  _input:
    description: RV(hmm.pg_replication.fleet_status#module:report), or an empty dictionary where the shore gave none.
    type: dict
    required: true
  ships:
    description: The C(hostvars) of all ships.
    type: list
    elements: dict
    required: true
  shore:
    description: The C(hostvars) of the shore.
    type: dict
    required: true
  asked:
    description: The names of the ships to tell of. Without it, all.
    type: list
    elements: str
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Note the fleet's state
  ansible.builtin.set_fact:
    fleet_status: >-
      {{ hostvars.busan.fleet_seen | hmm.pg_replication.fleet_report(shore=hostvars.busan,
      ships=groups.ships | map('extract', hostvars)) }}
"""

RETURN = r"""
_value:
  description:
    - The report. Of each ship, C(own) is its own view, and C(unreached) why there is none.
    - In C(own) are C(version), C(role), C(time), C(position), C(timeline), C(system_identifier), C(problems), and of
      what M(hmm.pg_replication.repl_lag_facts) tells the C(receiver) or the C(subscription).
  type: dict
"""

from collections.abc import Callable, Iterable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet_report import Vars, joined
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._link import LinkError


def fleet_report(
    report: Vars | None, ships: Iterable[Vars], shore: Vars, asked: Iterable[str] | None = None
) -> dict[str, Any]:
    """The report of all who were asked."""
    known = list(ships)
    names = [str(ship["inventory_hostname"]) for ship in known] if asked is None else list(asked)
    try:
        return joined(report, known, shore, names)
    except LinkError as error:
        raise AnsibleFilterError(f"hmm.pg_replication.fleet_report: {error}") from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"fleet_report": fleet_report}

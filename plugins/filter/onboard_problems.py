# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter onboard_problems."""

from __future__ import annotations

DOCUMENTATION = r"""
name: onboard_problems
short_description: What stands in the way of onboarding ships
version_added: 0.1.0
description:
  - Judges what M(hmm.pg_replication.preflight_facts) found on the shore and on the ships.
  - C(playbooks/ship_onboard.yml) uses it before it changes anything.
positional: _input
options:
  _input:
    description: The shore, with what is wanted of it. The keys are those the playbook gives.
    type: dict
    required: true
  ships:
    description: The ships, each with what is wanted of it.
    type: list
    elements: dict
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Stop before anything is changed
  ansible.builtin.assert:
    that: shore | hmm.pg_replication.onboard_problems(ships=ships) | length == 0
"""

RETURN = r"""
_value:
  description: A sentence for each problem. It begins with the name of the host and says what to do.
  type: list
  elements: str
  sample:
    - "oslo: the clock is 7200 seconds behind; certificates would not be valid. Set it, and let systemd-timesyncd or
      chrony keep it."
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._link import LinkError
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._preflight import Facts, problems


def onboard_problems(shore: Facts, ships: list[Facts]) -> list[str]:
    """Every problem as a sentence."""
    try:
        return problems(shore, ships)
    except LinkError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"onboard_problems": onboard_problems}

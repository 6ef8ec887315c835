# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter firewall_changes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: firewall_changes
short_description: The rules of ufw that are missing for some peers, and those that are too many
version_added: 0.1.0
description:
  - Compares the rules that ufw has with those wanted for named peers, so that only the difference is a task. It is
    meant for the role firewall.
positional: _input, added
options:
  _input:
    description:
      - The peers, each with C(name), C(addresses), C(ports) and C(state).
    type: list
    elements: dict
    required: true
  added:
    description:
      - The lines of C(ufw show added).
    type: list
    elements: str
    required: true
author: HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Show what is missing
  ansible.builtin.debug:
    msg: "{{ (peers | hmm.pg_replication.firewall_changes(added.stdout_lines)).allow }}"
"""

RETURN = r"""
_value:
  description:
    - Lists C(allow) and C(delete) of rules, each with C(name), C(address) and C(port).
    - Peers behind one address share a rule; C(name) then is the names of all of them, separated by commas. It is
      deleted with the last of them, and a rule of the same kind that is nobody's of them is left alone.
  type: dict
  sample:
    allow:
      - {name: ship_oslo, address: 198.51.100.22, port: 5432}
    delete: []
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._firewall import (
    FirewallError,
    changes,
)


def firewall_changes(peers: Iterable[Mapping[str, Any]], added: Iterable[str]) -> dict[str, Any]:
    """The difference; sentences where the peers cannot be read."""
    try:
        return changes(peers, added)
    except FirewallError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"firewall_changes": firewall_changes}

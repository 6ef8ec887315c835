# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter firewall_peers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: firewall_peers
short_description: Whom the rules of ufw on another host admit
version_added: 0.1.0
description:
  - Reads back what the role firewall has written, so that one host can admit whom another one admits.
positional: _input, names
options:
  _input:
    description:
      - The lines of C(ufw show added).
    type: list
    elements: str
    required: true
  names:
    description:
      - The names of the peers that are looked for.
    type: list
    elements: str
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show whom the other host admits
  ansible.builtin.debug:
    msg: "{{ added.stdout_lines | hmm.pg_replication.firewall_peers(['ship_oslo']) }}"
"""

RETURN = r"""
_value:
  description:
    - Peers as the role firewall takes them, one for each rule; a name may be there several times.
  type: list
  elements: dict
  sample:
    - {name: ship_oslo, addresses: [198.51.100.22], ports: [5432]}
"""

from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._firewall import admitted


def firewall_peers(added: Iterable[str], names: Iterable[str]) -> list[dict[str, Any]]:
    """The peers of these names."""
    return admitted(added, names)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"firewall_peers": firewall_peers}

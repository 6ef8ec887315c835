# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter hot_standby_settings."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hot_standby_settings
short_description: Settings that a standby needs to be at least its primary's
version_added: 0.1.0
description:
  - Reads from the output of C(pg_controldata) what the primary had for the settings that hot standby depends on, and
    takes the larger of that and of what the standby is to have.
  - A standby whose value is below its primary's does not start, or stops replaying. See PostgreSQL's documentation on
    hot standby, Administrator's Overview.
positional: _input
options:
  _input:
    description:
      - The output of C(pg_controldata), in the language C.
    type: str
    required: true
  wanted:
    description:
      - Settings of the standby, names and values. Others than those that hot standby depends on are left out.
    type: dict
    default: {}
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show what the seed needs
  ansible.builtin.debug:
    msg: "{{ control.stdout | hmm.pg_replication.hot_standby_settings({'max_connections': 200}) }}"
"""

RETURN = r"""
_value:
  description: The settings and their least values.
  type: dict
  sample:
    max_connections: 200
    max_locks_per_transaction: 64
    max_prepared_transactions: 0
    max_wal_senders: 32
    max_worker_processes: 8
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

# Setting -> its name in pg_controldata.
_LINES = {
    "max_connections": "max_connections",
    "max_locks_per_transaction": "max_locks_per_xact",
    "max_prepared_transactions": "max_prepared_xacts",
    "max_wal_senders": "max_wal_senders",
    "max_worker_processes": "max_worker_processes",
}


def hot_standby_settings(control: str, wanted: Mapping[str, Any] | None = None) -> dict[str, int]:
    """The larger of what the primary had and of what is wanted."""
    own = wanted or {}
    least = {}
    for name, line in _LINES.items():
        found = re.search(rf"^{line} setting:\s*(\d+)$", control, re.MULTILINE)
        if found is None:
            raise AnsibleFilterError(
                f"pg_controldata tells no {line} setting: its output is to be in the language C."
            )
        try:
            least[name] = max(int(found[1]), int(own.get(name) or 0))
        except (TypeError, ValueError):
            raise AnsibleFilterError(f"{name}: {own[name]!r} is no number.") from None
    return least


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"hot_standby_settings": hot_standby_settings}

# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter status_html."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_html
short_description: The report of a fleet as a page
version_added: 0.1.0
description:
  - Makes one file of HTML that needs nothing outside itself and runs no script. It can be read on a phone, and printed.
  - Ships come worst first, with bars of their lag and of the WAL kept for them, and charts where there is a history.
positional: _input
options:
  _input:
    description: The report, as M(hmm.pg_replication.fleet_status) or P(hmm.pg_replication.fleet_report#filter) gives
      it.
    type: dict
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Write the page
  ansible.builtin.copy:
    content: "{{ fleet_status | hmm.pg_replication.status_html }}"
    dest: /srv/www/fleet_status.html
    mode: '0644'
"""

RETURN = r"""
_value:
  description: The whole file.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._status_html import page


def status_html(report: Mapping[str, Any]) -> str:
    """The page."""
    return page(report)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_html": status_html}

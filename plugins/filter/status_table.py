# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter status_table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_table
short_description: The report of a fleet as a table for a terminal
version_added: 0.1.0
description:
  - Shows the shore's figures, a row for each ship, and what is wrong with what to do, worst first.
  - How bad it is about a ship is seen without colours, too. V(!!) is critical, V(!) a warning.
positional: _input
options:
  _input:
    description: The report, as M(hmm.pg_replication.fleet_status) or P(hmm.pg_replication.fleet_report#filter) gives
      it.
    type: dict
    required: true
  colour:
    description: Whether it has colours. M(hmm.pg_replication.show_text) leaves them out where they are not wanted.
    type: bool
    default: true
  width:
    description: How many columns there are. Without it, the terminal's; where there is none, 110.
    type: int
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show the fleet's state
  hmm.pg_replication.show_text:
    text: "{{ fleet_status | hmm.pg_replication.status_table }}"
"""

RETURN = r"""
_value:
  description: The table, of several lines.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.utils.display import Display

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._status_table import table

# What Ansible takes for the width of anything that is not a terminal.
_NO_TERMINAL = 79
_WIDTH_OF_A_FILE = 110


def status_table(report: Mapping[str, Any], colour: bool = True, width: int | None = None) -> str:
    """The table, as wide as there is room."""
    return table(report, colour, _width() if width is None else width)


def _width() -> int:
    columns = int(Display().columns or 0)
    return _WIDTH_OF_A_FILE if columns <= _NO_TERMINAL else columns


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_table": status_table}

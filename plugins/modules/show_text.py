#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Show a text as it is. The work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: show_text
short_description: Show a text as it is
version_added: 0.1.0
description:
  - Shows a text on the terminal line by line, where C(ansible.builtin.debug) would show it as one long line.
  - Colours in it are kept where Ansible itself would use colours, and left out otherwise, for example with C(NO_COLOR)
    or where the output is not a terminal. C(ANSIBLE_FORCE_COLOR) keeps them.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details:
      - Nothing is changed.
  idempotent:
    support: full
    details:
      - Nothing is changed.
  action:
    description: Is an action plugin, which runs on the controller.
    support: full
options:
  text:
    description:
      - The text. Apart from colours, control characters are left out.
    type: str
    required: true
seealso:
  - plugin: hmm.pg_replication.status_table
    plugin_type: filter
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Show the table
  hmm.pg_replication.show_text:
    text: "{{ fleet_status | hmm.pg_replication.status_table }}"
"""

RETURN = r"""
"""

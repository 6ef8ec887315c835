# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter worker_error."""

from __future__ import annotations

DOCUMENTATION = r"""
name: worker_error
short_description: Why a subscription's worker failed, from the server's log
version_added: 0.1.0
description:
  - Finds in the text of a server's log the last error of a worker of a subscription, with its detail and context, which
    name the table and the row. The server tells them nowhere else.
  - Understands logs whose C(log_line_prefix) has the process number in brackets, as Debian's has.
positional: _input, subscription
options:
  _input:
    description:
      - The log's text, or the end of it.
    type: str
    required: true
  subscription:
    description:
      - The subscription's name.
    type: str
    required: true
author: HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Show why the subscription is disabled
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', 'postgresql.log') | hmm.pg_replication.worker_error('ship_oslo') }}"
"""

RETURN = r"""
_value:
  description: Sentences; empty where the log has no such error.
  type: str
  sample: duplicate key value violates unique constraint "users_pkey". Key (id)=(7) already exists. COPY users, line 1.
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._worker_log import worker_error


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"worker_error": worker_error}

# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter status_metrics."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_metrics
short_description: The report of a fleet as metrics for Prometheus
version_added: 0.1.0
description:
  - Makes a file for the textfile collector of Prometheus' node exporter, as the role monitoring writes it on the shore.
  - Of what the ships say of themselves, it has what changes their state and severity.
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
- name: Write the metrics
  ansible.builtin.copy:
    content: "{{ fleet_status | hmm.pg_replication.status_metrics }}"
    dest: /var/lib/prometheus/node-exporter/fleet_status.prom
    mode: '0644'
"""

RETURN = r"""
_value:
  description: The whole file.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_metrics import metrics_text


def status_metrics(report: Mapping[str, Any]) -> str:
    """The metrics."""
    return metrics_text(report)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_metrics": status_metrics}

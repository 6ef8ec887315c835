#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell of a formation of pg_auto_failover, and what is wrong with it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pg_auto_failover_info
short_description: Tell of a formation of pg_auto_failover, and what is wrong with it
version_added: 0.1.0
description:
  - Asks the monitor of pg_auto_failover for one formation, its settings, its nodes with the state that each reports and
    the one that it is to reach, what happened last, and the connection string of clients.
  - Judges it, and returns each problem with what is wrong and what to do, worst first. A node that is down is a row
    with a problem, and never an error of this module.
  - Takes one connection and one statement.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
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
options:
  login_db:
    description:
      - The monitor's database.
    default: pg_auto_failover
  formation:
    description:
      - The name of the formation.
    type: str
    default: default
  events:
    description:
      - How many of the last events to return.
    type: int
    default: 10
seealso:
  - module: hmm.pg_replication.repl_lag_facts
  - name: Failover State Machine
    description: What the states mean, in pg_auto_failover's documentation.
    link: https://pg-auto-failover.readthedocs.io/en/main/failover-state-machine.html
notes:
  - On the monitor, run the task as the operating system's user C(postgres). Elsewhere the role C(autoctl_node) may read
    all of it.
  - pg_auto_failover 2.0 to 2.2 are known.
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Look at the formation
  hmm.pg_replication.pg_auto_failover_info:
  become: true
  become_user: postgres
  register: shore

- name: Show what is wrong, worst first
  ansible.builtin.debug:
    msg: "{{ item.severity }}: {{ item.object }}: {{ item.what }} {{ item.do }}"
  loop: "{{ shore.problems }}"

- name: Wait until a failover has ended
  hmm.pg_replication.pg_auto_failover_info:
  become: true
  become_user: postgres
  register: shore
  until: shore.settled and shore.primary is not none
  retries: 60
  delay: 1
"""

RETURN = r"""
status:
  description: V(ok), V(warning) or V(critical), the worst of RV(problems).
  returned: success
  type: str
  sample: ok
problems:
  description: What is wrong, worst first.
  returned: success
  type: list
  elements: dict
  contains:
    severity:
      description: V(warning) or V(critical).
      type: str
      returned: always
    object:
      description: What it is about, for example V(node busan).
      type: str
      returned: always
    what:
      description: What is wrong, in a sentence.
      type: str
      returned: always
    do:
      description: What to do, in a sentence.
      type: str
      returned: always
  sample:
    - severity: warning
      object: formation default
      what: Nobody would take over from busan, were it lost. It has one node.
      do: Add another one to the group shore, and run shore_ha.yml.
version:
  description: The version of the extension on the monitor.
  returned: success
  type: str
  sample: "2.2"
formation:
  description: The formation's settings.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      returned: always
    kind:
      description: V(pgsql), or V(citus).
      type: str
      returned: always
    database:
      description: The database that clients connect to.
      type: str
      returned: always
    number_sync_standbys:
      description: How many standbys a commit waits for. With V(0) it waits for one while there is one.
      type: int
      returned: always
  sample: {name: default, kind: pgsql, database: hmm_db, number_sync_standbys: 0}
timings:
  description: The monitor's settings, without the prefix C(pgautofailover.), in the units of the view C(pg_settings).
  returned: success
  type: dict
  sample: {health_check_period: "5000", node_considered_unhealthy_timeout: "20000"}
primary:
  description: The name of the node that takes writes. Null where none does.
  returned: success
  type: str
  sample: busan
settled:
  description: Whether each node is in the state that it is to reach.
  returned: success
  type: bool
  sample: true
nodes:
  description: The nodes. What the monitor has not heard yet is null.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The monitor's number of it, which is in the names of its slot and of its standby.
      type: int
      returned: always
    name:
      description: Its name.
      type: str
      returned: always
    host:
      description: The name or address that others reach it by.
      type: str
      returned: always
    port:
      description: Its server's port.
      type: int
      returned: always
    group:
      description: The group, V(0) but for Citus.
      type: int
      returned: always
    reported_state:
      description: The state that it is in.
      type: str
      returned: always
    assigned_state:
      description: The state that it is to reach.
      type: str
      returned: always
    candidate_priority:
      description: V(0) is never promoted. Of the others the highest is, among those that have all WAL.
      type: int
      returned: always
    replication_quorum:
      description: Whether commits may wait for it.
      type: bool
      returned: always
    healthy:
      description: Whether the monitor could connect to its server. Null before it has tried.
      type: bool
      returned: always
    running:
      description: Whether it said that its server runs.
      type: bool
      returned: always
    sync_state:
      description: What a primary sees of its standbys, V(sync), V(quorum), V(async), V(unknown) where nobody streams.
      type: str
      returned: always
    lsn:
      description: The position that it reported.
      type: str
      returned: always
    lag_bytes:
      description: How far that is behind the primary's.
      type: int
      returned: always
    timeline:
      description: Its timeline.
      type: int
      returned: always
    system_identifier:
      description: The system identifier of its data.
      type: str
      returned: always
    report_seconds:
      description: How long ago it reported.
      type: float
      returned: always
    wal_seconds:
      description: How long ago its position last changed.
      type: float
      returned: always
    state_seconds:
      description: How long ago its state last changed.
      type: float
      returned: always
  sample:
    - id: 1
      name: busan
      host: 203.0.113.10
      port: 5432
      group: 0
      reported_state: primary
      assigned_state: primary
      candidate_priority: 50
      replication_quorum: true
      healthy: true
      running: true
      sync_state: quorum
      lsn: 0/54E06A0
      lag_bytes: 0
      timeline: 3
      system_identifier: "7300000000000000000"
      report_seconds: 0.4
      wal_seconds: 2.1
      state_seconds: 8312.0
events:
  description: What happened last, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The event's number.
      type: int
      returned: always
    time:
      description: When.
      type: str
      returned: always
    node:
      description: The node's name.
      type: str
      returned: always
    reported_state:
      description: The state that it was in.
      type: str
      returned: always
    assigned_state:
      description: The state that it was to reach.
      type: str
      returned: always
    description:
      description: What happened, in pg_auto_failover's words.
      type: str
      returned: always
  sample:
    - id: 17
      time: "2026-11-22T08:15:29.512345Z"
      node: busan
      reported_state: primary
      assigned_state: primary
      description: 'New state is reported by node 1 "busan" (203.0.113.10:5432): "primary"'
uri:
  description: The connection string of clients that write, as a URI. It names every node, and has no password.
  returned: success
  type: str
  sample: postgresql://203.0.113.10:5432,203.0.113.11:5432/hmm_db?target_session_attrs=read-write&sslmode=verify-full
conninfo:
  description: The same in keywords.
  returned: success
  type: str
  sample: >-
    host=203.0.113.10,203.0.113.11 port=5432,5432 dbname=hmm_db target_session_attrs=read-write sslmode=verify-full
"""

from ansible_collections.hmm.pg_replication.plugins.module_utils._auto_failover import (
    InfoRequest,
    assess_formation,
    conninfo,
    info_request,
    read_monitor,
    status_of,
    uri,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)


def tell(context: Context, request: InfoRequest) -> Result:
    """Read the monitor, and judge what was read."""
    monitor = read_monitor(context.session, request)
    problems = assess_formation(monitor)
    primary = monitor.primary
    return {
        "changed": False,
        "status": status_of(problems),
        "problems": [problem.shown() for problem in problems],
        "version": monitor.version,
        "formation": monitor.formation.shown(),
        "timings": dict(monitor.timings),
        "primary": None if primary is None else primary.name,
        "settled": all(node.settled for node in monitor.nodes),
        "nodes": [node.shown() for node in monitor.nodes],
        "events": list(monitor.events),
        "uri": uri(monitor),
        "conninfo": conninfo(monitor),
    }


def main() -> None:
    run_module(
        {
            "login_db": {"type": "str", "default": "pg_auto_failover"},
            "formation": {"type": "str", "default": "default"},
            "events": {"type": "int", "default": 10},
        },
        info_request,
        tell,
    )


if __name__ == "__main__":
    main()

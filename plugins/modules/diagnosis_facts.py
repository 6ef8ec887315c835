#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gather what one end of replication can tell of why it does not work."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: diagnosis_facts
short_description: Gather what one end of replication can tell of why it does not work
version_added: 0.1.0
description:
  - Looks at a cluster of postgresql-common on the shore or on a ship, and returns in one round trip what a diagnosis
    needs. These are its host's clock and room on disk, its control file, its settings, C(pg_hba.conf), roles, slots,
    walsenders, receiver, subscriptions, publications, tables, archive, checkpoints, what moves within a sample, and
    what its log has said of late on replication.
  - Where the server is down, its files are read.
  - Judges nothing and changes nothing. The filter P(hmm.pg_replication.diagnose#filter) judges.
  - Has to run as root.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.cluster
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
  database:
    description:
      - The database that is replicated. Publications, tables and subscriptions are looked at there.
    type: str
  roles:
    description:
      - The roles that ships connect as. Whether they may read the tables is looked at, and what the log says of their
        sessions is kept.
    type: list
    elements: str
    default: []
  sample_seconds:
    description:
      - How long to watch what moves.
    type: float
    default: 1
  log_seconds:
    description:
      - From how far back messages of the log are taken.
    type: float
    default: 900
  archive_directory:
    description:
      - The folder that WAL is archived in by the role P(hmm.pg_replication.primary#role).
    type: path
  controller_epoch:
    description:
      - The controller's time, in seconds since 1970, to compare this host's clock with.
    type: float
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Look at the ship
  hmm.pg_replication.diagnosis_facts:
    version: "17"
    database: hmm_db
    controller_epoch: "{{ now().timestamp() }}"
  become: true
  register: aboard
"""

RETURN = r"""
facts:
  description:
    - What was found. C(host) (clock, addresses), C(cluster), C(control) (the control file), C(disks), C(archive),
      C(log), and C(server), which is null where it is down; then C(settings_in_files) has what a start would read.
    - C(server) has among others C(lag), as M(hmm.pg_replication.repl_lag_facts) returns it, C(settings), C(hba),
      C(roles), C(archiver), C(wal), C(publications), C(tables), C(subscriptions), C(rates).
  returned: success
  type: dict
  sample: {"cluster": {"running": true, "status": "ready"}, "server_error": ""}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hmm.pg_replication.plugins.module_utils._cluster import find_cluster
from ansible_collections.hmm.pg_replication.plugins.module_utils._diagnosis_facts import (
    diagnosis_facts,
    request_of,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import require_psycopg2
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "database": {"type": "str"},
            "roles": {"type": "list", "elements": "str", "default": []},
            "sample_seconds": {"type": "float", "default": 1},
            "log_seconds": {"type": "float", "default": 900},
            "archive_directory": {"type": "path"},
            "controller_epoch": {"type": "float"},
        },
        supports_check_mode=True,
    )
    try:
        require_psycopg2()
        cluster = find_cluster(module.params["version"], module.params["cluster"])
        found = diagnosis_facts(cluster, request_of(module.params))
    except ReplicationError as exc:
        module.fail_json(msg=exc.message, **exc.result)
    module.exit_json(changed=False, facts=found)


if __name__ == "__main__":
    main()

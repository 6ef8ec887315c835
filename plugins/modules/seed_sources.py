#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell what a primary still has for standbys that fell behind."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: seed_sources
short_description: Tell what a primary still has for standbys that fell behind
version_added: 0.1.0
description:
  - Looks at a primary's WAL, its archive, its summaries of WAL and its packs, and tells for positions in the WAL what
    could bring a standby on from there, and how many bytes that is over a link.
  - Changes nothing and judges nothing. The filter P(hmm.pg_replication.reseed_ways#filter) does.
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
  positions:
    description:
      - Positions in the WAL that standbys would go on from.
    type: list
    elements: str
    default: []
  archive_directory:
    description:
      - The folder on this host that WAL is archived in by the role P(hmm.pg_replication.primary#role), compressed.
    type: path
  packs_directory:
    description:
      - The folder of the packs, as M(hmm.pg_replication.base_backup) keeps it.
    type: path
requirements:
  - A superuser, or a role with C(pg_monitor) and C(pg_read_server_files).
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Look what could bring a ship on
  hmm.pg_replication.seed_sources:
    positions: [0/3000028]
    archive_directory: /var/lib/pg_replication/main/archive
    packs_directory: /var/lib/pg_replication/main/packs
  become: true
  become_user: postgres
  register: sources
"""

RETURN = r"""
sources:
  description: What there is.
  returned: success
  type: dict
  contains:
    system_identifier:
      description: The cluster's system identifier.
      type: str
      sample: "7543210987654321098"
    version:
      description: The server's major version.
      type: int
      sample: 17
    timeline:
      description: Its timeline.
      type: int
      sample: 1
    history:
      description: The timelines before, each with its number and the position where it was left.
      type: list
      elements: dict
      sample: []
    current_lsn:
      description: The position up to which WAL is written.
      type: str
      sample: 0/5000148
    summarizes:
      description: Whether C(summarize_wal) is on, which incremental backups need.
      type: bool
    data_bytes:
      description: The size of all databases.
      type: int
      sample: 700123456
    slots:
      description: The slots, each with C(slot_type), C(wal_status), C(restart_lsn) and C(active).
      type: dict
      sample:
        ship_oslo: {"slot_type": "logical", "wal_status": "reserved", "restart_lsn": "0/5000110", "active": true}
    packs:
      description: The packs, oldest first, each as M(hmm.pg_replication.base_backup) describes it.
      type: list
      elements: dict
      sample: []
    positions:
      description: What there is from each of O(positions) on.
      type: dict
      sample:
        0/3000028: {"complete": true, "missing": null, "streams": false, "bytes": 86000000, "written_bytes": 240000000,
                    "ahead": false, "changed_bytes": 98000000}
      contains:
        complete:
          description: Whether all WAL is there, archived or not.
          type: bool
        missing:
          description: The first file that is neither archived nor in C(pg_wal); null where all are there.
          type: str
        streams:
          description: Whether all WAL is still in C(pg_wal), so that it can be streamed.
          type: bool
        bytes:
          description: The bytes over a link, archived files being compressed.
          type: int
        written_bytes:
          description: The bytes of WAL, not compressed.
          type: int
        ahead:
          description: Whether the position is one that this server has not reached.
          type: bool
        changed_bytes:
          description: The bytes of blocks that changed since, by the summaries of WAL; null where these do not reach
            back, and before PostgreSQL 17.
          type: int
"""

from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._seed_sources import (
    Request,
    read_sources,
    sources_request,
)


def tell(context: Context, request: Request) -> Result:
    """Look, and tell."""
    return {"changed": False, "sources": read_sources(context.session, request)}


def main() -> None:
    run_module(
        {
            "positions": {"type": "list", "elements": "str", "default": []},
            "archive_directory": {"type": "path"},
            "packs_directory": {"type": "path"},
        },
        sources_request,
        tell,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count and checksum the rows of tables."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: table_checksum
short_description: Count and checksum the rows of PostgreSQL tables, to compare two ends of replication
version_added: 0.1.0
description:
  - Reads tables and returns for each how many rows it has and a checksum of them. Two servers with the same rows give
    the same, whatever the order of the rows and of the columns, the servers' settings, and their versions.
  - All tables are read as of one moment, in one transaction that can only read. RV(lsn) is the position in the WAL
    then. So read the publisher or primary first, wait until the other end has come that far, then read that, while
    nobody writes.
  - Every row is read, which takes as long as a sequential scan of the tables.
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
      - The database of the tables.
    type: str
    required: true
  tables:
    description:
      - The tables, each a name or a mapping, written as O(hmm.pg_replication.publication#module:tables) is.
      - The names are V(table), which is in the schema C(public), or V(schema.table), case kept. A part with a dot in
        it is written in double quotes.
      - A mapping has the keys C(name); C(columns), a list, without which all columns count; C(where), an SQL
        expression that chooses the rows; and C(only), which leaves out the tables that inherit from it.
      - A partitioned table's rows are those of its partitions.
      - Where a subscriber's table has fewer columns or other ones of its own, give the columns that both ends have.
    type: list
    elements: raw
    required: true
seealso:
  - module: hmm.pg_replication.publication
  - module: hmm.pg_replication.repl_lag_facts
notes:
  - The connecting role has to be allowed to read the tables, and all of their rows. Where row level security would hide
    some, the task fails.
  - The checksum is the sum of C(hashtextextended) of every row's text. It finds rows that differ by accident, and is no
    protection against someone who makes them differ on purpose.
  - It can be compared only where both databases have the same encoding (RV(encoding)), and the same types for the
    columns.
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Count and checksum what is published to a small ship
  hmm.pg_replication.table_checksum:
    login_db: hmm_db
    tables:
      - name: documents
        where: id > 100
      - name: document_chunks
        columns: [id, document_id, content]
      - users
  become: true
  become_user: postgres
  register: shore_rows

- name: Show how many rows there are
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.rows }}"
  loop: "{{ shore_rows.tables }}"

- name: Count and checksum from the controller, over TLS
  hmm.pg_replication.table_checksum:
    login_db: hmm_db
    tables: [documents]
    login_host: shore.example.com
    login_user: replication_admin
    login_password: "{{ replication_admin_password }}"
    ca_cert: /etc/ssl/certs/fleet-ca.crt
  delegate_to: localhost
"""

RETURN = r"""
tables:
  description: The tables in the order given. Where the rows are the same on two ends, so is this whole list.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The table with its schema.
      type: str
      returned: always
    rows:
      description: How many rows it has, of those chosen.
      type: int
      returned: always
    checksum:
      description: The checksum of these rows, a number as text; V(0) where there are none.
      type: str
      returned: always
  sample:
    - name: public.documents
      rows: 2000
      checksum: "-35498267305471836245"
lsn:
  description: The position in the WAL when the tables were read; on a standby, how far it had replayed.
  returned: success
  type: str
  sample: 16/B374D848
encoding:
  description: The encoding of the database.
  returned: success
  type: str
  sample: UTF8
"""

from ansible_collections.hmm.pg_replication.plugins.module_utils._checksum import (
    ChecksumRequest,
    checksum_request,
    read_checksums,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)


def checksum_tables(context: Context, request: ChecksumRequest) -> Result:
    """Read the tables."""
    return {"changed": False, **read_checksums(context.session, request)}


def main() -> None:
    run_module(
        {
            "login_db": {"type": "str", "required": True},
            "tables": {"type": "list", "elements": "raw", "required": True},
        },
        checksum_request,
        checksum_tables,
    )


if __name__ == "__main__":
    main()

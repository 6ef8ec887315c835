#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manage publications."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: publication
short_description: Manage PostgreSQL publications
version_added: 0.1.0
description:
  - Creates, alters, renames and drops the publications of logical replication.
  - What the task declares is what is published, neither more nor less. Partitions, inheritance children, column lists
    and row filters are compared as the catalog holds them, so a second run changes nothing.
  - Tables, columns and filters change in one atomic statement, so that no row is missed between two.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
attributes:
  check_mode:
    support: full
    details:
      - The statements are run in a transaction that is rolled back, so what the server refuses is refused here too.
        Where another session holds a lock on a table for longer than 3 seconds, that is left out, with a warning;
        where even a filter cannot be read because of it, the task fails.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - The name of the publication, taken as it is written.
    type: str
    required: true
  state:
    description:
      - Whether the publication exists.
    type: str
    choices: [present, absent]
    default: present
  login_db:
    description:
      - The database of the publication.
    type: str
    required: true
  tables:
    description:
      - The tables to publish, each a name or a mapping. An empty list publishes no table.
      - A name is C(table) or C(schema.table), its case kept; a part with a dot or a double quote in it stands in
        double quotes. Without a schema the C(search_path) finds the table.
      - Keys of a mapping are C(name); C(columns), a list of the columns to publish, all of them where it is omitted;
        C(where), an SQL expression, rows for which it is true being published; and C(only), to leave out the
        tables that inherit from this one.
      - C(columns) and C(where) need PostgreSQL 15. A partitioned table stands for all its partitions, those to come
        included.
      - Where one of O(tables), O(schemas) and O(all_tables=true) is given, the three together are what is
        published. Where none is, a new publication publishes nothing and an existing one is left as it is.
    type: list
    elements: raw
  schemas:
    description:
      - The schemas whose tables are published, those to come included. Needs PostgreSQL 15 and a superuser.
    type: list
    elements: str
  all_tables:
    description:
      - Whether all tables of the database are published, those to come included. Needs a superuser.
      - The server cannot change a publication from all tables to a list or back, so it is dropped and made anew,
        in one transaction.
    type: bool
  append:
    description:
      - Whether O(tables) and O(schemas) are added to what is published already, rather than all that is published.
    type: bool
    default: false
  publish:
    description:
      - The operations to publish, of V(insert), V(update), V(delete) and V(truncate). An empty list publishes none.
      - Where it is omitted, a new publication publishes all four.
    type: list
    elements: str
  publish_via_partition_root:
    description:
      - Whether changes of partitions are published as changes of the partitioned table.
      - Off in a new publication where it is omitted.
    type: bool
  publish_generated_columns:
    description:
      - Whether stored generated columns are published. Needs PostgreSQL 18.
      - V(none) in a new publication where it is omitted.
    type: str
    choices: [none, stored]
  require_replica_identity:
    description:
      - Whether to refuse, before anything is changed, tables whose updates or deletes would fail on the publisher for
        want of a replica identity, or because the identity is not covered by C(columns) or C(where).
      - Looked at only where the task says what is published, or O(publish).
    type: bool
    default: true
  owner:
    description:
      - The role that owns the publication. The connecting role in a new one where it is omitted.
    type: str
  comment:
    description:
      - The comment on the publication. An empty one removes it.
    type: str
  new_name:
    description:
      - The name that the publication gets. Subscriptions name their publications, and have to follow.
      - Where only the new name exists, it is renamed already.
    type: str
  cascade:
    description:
      - Whether O(state=absent) drops what depends on the publication, too.
    type: bool
    default: false
seealso:
  - module: hmm.pg_replication.subscription
  - module: hmm.pg_replication.replication_slot
  - name: Logical Replication
    description: PostgreSQL's chapter, with sections on publications, row filters and column lists.
    link: https://www.postgresql.org/docs/current/logical-replication.html
  - name: CREATE PUBLICATION
    description: The statement, with its options.
    link: https://www.postgresql.org/docs/current/sql-createpublication.html
notes:
  - A row filter is SQL. A semicolon, a comment, a dollar sign outside quotes, an unbalanced parenthesis, and a
    backslash outside an E'' string are refused; the server checks the rest.
  - A filter that is written as the server writes it, for example V((id > 100\)), costs no further statement.
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Ensure that the tables of the search service are published
  hmm.pg_replication.publication:
    name: fleet
    login_db: hmm_db
    tables: [documents, document_chunks, users, llm_providers]
  become: true
  become_user: postgres

- name: Ensure a publication for one ship, with fewer rows and columns (PostgreSQL 15)
  hmm.pg_replication.publication:
    name: ship_oslo
    login_db: hmm_db
    tables:
      - name: documents
        where: id > 100
      - name: document_chunks
        columns: [id, document_id, content]
      - users
    publish: [insert, update, delete]
    comment: Everything a small ship needs
  become: true
  become_user: postgres

- name: Ensure that one more table is published, and leave the others
  hmm.pg_replication.publication:
    name: fleet
    login_db: hmm_db
    tables: [public.audit_log]
    append: true
  become: true
  become_user: postgres

- name: Ensure that there is no such publication
  hmm.pg_replication.publication:
    name: ship_oslo
    login_db: hmm_db
    state: absent
  become: true
  become_user: postgres
"""

RETURN = r"""
queries:
  description: The statements in the order in which they are run, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ['ALTER PUBLICATION "fleet" ADD TABLE "public"."audit_log"']
publication:
  description: The publication after the task; in check mode, as it would be.
  returned: success
  type: dict
  contains:
    name:
      description: The publication's name.
      type: str
      returned: always
    state:
      description: V(present) or V(absent).
      type: str
      returned: always
    owner:
      description: The role that owns it.
      type: str
      returned: present
    comment:
      description: The comment on it.
      type: str
      returned: present
    all_tables:
      description: Whether it publishes all tables.
      type: bool
      returned: present
    tables:
      description: Its tables, each with C(name) and, where it has them, C(columns) and C(where).
      type: list
      elements: dict
      returned: present, unless all tables are published
    schemas:
      description: The schemas that it publishes.
      type: list
      elements: str
      returned: present, unless all tables are published
    publish:
      description: The operations that it publishes.
      type: list
      elements: str
      returned: present
    publish_via_partition_root:
      description: Whether changes of partitions are published as changes of the partitioned table.
      type: bool
      returned: present
    publish_generated_columns:
      description: V(none) or V(stored).
      type: str
      returned: present, PostgreSQL 18 or newer
  sample:
    name: fleet
    state: present
    owner: postgres
    comment:
    all_tables: false
    tables:
      - name: public.documents
        where: (id > 100)
    schemas: []
    publish: [insert, update, delete, truncate]
    publish_via_partition_root: false
"""

from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import (
    PATIENCE_SECONDS,
    REHEARSAL_LOCK_SECONDS,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication import (
    PublicationRequest,
    publication_request,
    read_catalog,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication_plan import (
    plan_publication,
)


def ensure_publication(context: Context, request: PublicationRequest) -> Result:
    """Make the publication what is asked for."""
    patience = REHEARSAL_LOCK_SECONDS if context.check_mode else PATIENCE_SECONDS
    plan = plan_publication(request, read_catalog(context.session, request, patience))
    return {**context.carry_out(plan), "publication": plan.after}


def main() -> None:
    run_module(
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "login_db": {"type": "str", "required": True},
            "tables": {"type": "list", "elements": "raw"},
            "schemas": {"type": "list", "elements": "str"},
            "all_tables": {"type": "bool"},
            "append": {"type": "bool", "default": False},
            "publish": {"type": "list", "elements": "str"},
            "publish_via_partition_root": {"type": "bool"},
            "publish_generated_columns": {"type": "str", "choices": ["none", "stored"]},
            "require_replica_identity": {"type": "bool", "default": True},
            "owner": {"type": "str"},
            "comment": {"type": "str"},
            "new_name": {"type": "str"},
            "cascade": {"type": "bool", "default": False},
        },
        publication_request,
        ensure_publication,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ensure that a subscriber has the tables that are published to it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: subscriber_tables
short_description: Give a subscriber the tables that are published to it
version_added: 0.1.0
description:
  - Logical replication carries rows, and the subscriber has to have the tables. This module creates those that are
    missing from the SQL that M(hmm.pg_replication.schema_dump) makes on the publisher, all in one transaction.
  - Columns that are not published lose C(NOT NULL) where nothing else gives them a value.
  - Tables that have rows before their first copy are refused by name, because the copy would conflict with them.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
attributes:
  check_mode:
    support: full
    details:
      - The changes are made in a transaction that is rolled back.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  tables:
    description:
      - The tables that are published to this subscriber, as O(hmm.pg_replication.publication#module:tables) takes
        them. A name without schema is one of the schema C(public).
      - Of C(columns) it matters here which are left out; a filter (C(where)) does not.
    type: list
    elements: raw
    required: true
  state:
    description:
      - V(present) makes the tables exist.
      - V(inspected) only tells which of them are missing, and changes nothing.
    type: str
    choices: [present, inspected]
    default: present
  extensions:
    description:
      - Extensions that the tables need, for example V(vector). They are created before the tables.
    type: list
    elements: str
    default: []
  schema:
    description:
      - SQL that creates the tables that are missing, and nothing else. It is run only where tables are missing.
    type: str
  subscription:
    description:
      - The subscription of these tables. A table that is part of it already may have rows.
    type: str
  copy_data:
    description:
      - Whether the tables will be copied when they are subscribed to. Where they are not, their rows stand in nobody's
        way.
    type: bool
    default: true
  truncate:
    description:
      - Whether to delete all rows of tables that are to be copied and have rows already.
    type: bool
    default: false
  login_db:
    description:
      - The database of the subscriber.
    type: str
    required: true
seealso:
  - module: hmm.pg_replication.schema_dump
  - module: hmm.pg_replication.subscription
  - name: Logical Replication, Restrictions
    description: What is not replicated.
    link: https://www.postgresql.org/docs/current/logical-replication-restrictions.html
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: See which tables are missing aboard
  hmm.pg_replication.subscriber_tables:
    state: inspected
    tables: [documents, document_chunks]
    login_db: hmm_db
  become: true
  become_user: postgres
  register: aboard

- name: Read on the shore how they are made
  hmm.pg_replication.schema_dump:
    tables: "{{ aboard.missing }}"
    present: "{{ aboard.present }}"
    login_db: hmm_db
  become: true
  become_user: postgres
  delegate_to: shore
  register: ashore

- name: Make them aboard
  hmm.pg_replication.subscriber_tables:
    tables: [documents, document_chunks]
    schema: "{{ ashore.schema }}"
    login_db: hmm_db
  become: true
  become_user: postgres
"""

RETURN = r"""
missing:
  description: The tables that were missing, with their schemas, as M(hmm.pg_replication.schema_dump) takes them.
  returned: success
  type: list
  elements: dict
  sample: [{name: public.documents}, {name: public.document_chunks, columns: [content, document_id, id]}]
present:
  description: The tables that were there, with their schemas.
  returned: success
  type: list
  elements: str
  sample: [public.users]
with_rows:
  description: Tables new to the subscription that had rows; with O(truncate=true) they are empty now.
  returned: success
  type: list
  elements: str
  sample: []
nullable:
  description: Columns of tables that were there that lost C(NOT NULL).
  returned: success
  type: list
  elements: str
  sample: [public.document_chunks.embedding]
subscribed:
  description: Whether O(subscription) exists.
  returned: success
  type: bool
  sample: true
refresh:
  description: Whether O(subscription) exists and has other tables than these, so that it has to be refreshed.
  returned: success
  type: bool
  sample: false
queries:
  description: The statements that are run, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["ALTER TABLE \"public\".\"document_chunks\" ALTER COLUMN \"embedding\" DROP NOT NULL"]
"""

from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscriber_tables import (
    SubscriberRequest,
    plan_subscriber,
    read_subscriber,
    subscriber_request,
)


def ensure_tables(context: Context, request: SubscriberRequest) -> Result:
    """Give the subscriber its tables."""
    plan = plan_subscriber(request, read_subscriber(context.session, request))
    return {
        **context.carry_out(plan),
        "missing": plan.missing,
        "present": plan.present,
        "with_rows": plan.with_rows,
        "nullable": plan.nullable,
        "subscribed": plan.subscribed,
        "refresh": plan.refresh,
    }


def main() -> None:
    run_module(
        {
            "tables": {"type": "list", "elements": "raw", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "inspected"]},
            "extensions": {"type": "list", "elements": "str", "default": []},
            "schema": {"type": "str"},
            "subscription": {"type": "str"},
            "copy_data": {"type": "bool", "default": True},
            "truncate": {"type": "bool", "default": False},
            "login_db": {"type": "str", "required": True},
        },
        subscriber_request,
        ensure_tables,
    )


if __name__ == "__main__":
    main()

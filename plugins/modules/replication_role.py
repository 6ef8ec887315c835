#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manage the roles that ships log in as."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: replication_role
short_description: Manage the roles that standbys and subscriptions log in as
version_added: 0.1.0
description:
  - Makes, alters and drops roles with the attributes LOGIN and REPLICATION, many in one task, in one transaction.
  - A role has exactly the grants that it needs in the database of the connection; what it was granted beyond that there
    (CONNECT, USAGE on schemas, SELECT on tables and columns) is revoked.
  - Passwords come as SCRAM verifiers, so that the server never sees one.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
attributes:
  check_mode:
    support: full
    details:
      - The statements are run in a transaction that is rolled back, so what the server refuses is refused here too.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  roles:
    description:
      - The roles. Those that are not named here are left as they are.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The role's name.
        type: str
        required: true
      state:
        description:
          - V(absent) drops the role with all that it was granted in this database, and ends its sessions.
        type: str
        choices: [present, absent]
        default: present
      verifier:
        description:
          - The SCRAM verifier of its password, made by P(hmm.pg_replication.scram_sha_256#filter). Where it is omitted,
            a new role has no password and an existing one keeps its own.
        type: str
      connection_limit:
        description:
          - How many sessions the role may have at once; V(-1) is no limit.
        type: int
        default: -1
      settings:
        description:
          - Settings of the role's sessions, by C(ALTER ROLE ... SET). Others that it has are reset.
          - The server applies them to sessions in a database, those of subscriptions too, but not to physical
            replication. A standby asks for its own with C(options) in C(primary_conninfo).
        type: dict
        default: {}
      connects:
        description:
          - Whether the role is granted CONNECT on the database. Implied by O(roles[].tables).
        type: bool
        default: false
      tables:
        description:
          - The tables that a subscription copies, as in O(hmm.pg_replication.publication#module:tables). The role is
            granted SELECT on each, on C(columns) alone where these are given, and USAGE on their schemas.
        type: list
        elements: raw
seealso:
  - module: hmm.pg_replication.publication
  - plugin: hmm.pg_replication.scram_sha_256
    plugin_type: filter
  - name: Role Attributes
    description: PostgreSQL's chapter.
    link: https://www.postgresql.org/docs/current/role-attributes.html
notes:
  - The connecting role has to be a superuser.
  - A role with REPLICATION in a database can stream the changes of every publication there. SELECT limits only what it
    copies.
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Ensure the roles of two ships, and drop that of a third
  hmm.pg_replication.replication_role:
    login_db: hmm_db
    roles:
      - name: ship_algeciras
        verifier: "{{ algeciras_password | hmm.pg_replication.scram_sha_256('ship_algeciras') }}"
        connection_limit: 3
      - name: ship_oslo
        verifier: "{{ oslo_password | hmm.pg_replication.scram_sha_256('ship_oslo') }}"
        settings:
          wal_sender_timeout: 60s
        tables:
          - documents
          - name: document_chunks
            columns: [id, document_id, content]
      - name: ship_gdansk
        state: absent
  become: true
  become_user: postgres
"""

RETURN = r"""
queries:
  description: The statements in the order in which they are run, or in check mode would be; verifiers are hidden.
  returned: success
  type: list
  elements: str
  sample: ['GRANT SELECT ON TABLE "public"."documents" TO "ship_oslo"']
"""

from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._replication_role import (
    Role,
    plan_roles,
    read_roles,
    role_requests,
    wanted_grants,
)


def ensure_roles(context: Context, roles: list[Role]) -> Result:
    """Make the roles what is asked for."""
    wanted = wanted_grants(context.session, roles)
    found = read_roles(context.session, [role.name for role in roles])
    return context.carry_out(plan_roles(roles, found, wanted))


def main() -> None:
    role = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "verifier": {"type": "str", "no_log": True},
        "connection_limit": {"type": "int", "default": -1},
        "settings": {"type": "dict", "default": {}},
        "connects": {"type": "bool", "default": False},
        "tables": {"type": "list", "elements": "raw"},
    }
    run_module(
        {"roles": {"type": "list", "elements": "dict", "required": True, "options": role}},
        lambda params: role_requests(params["roles"]),
        ensure_roles,
    )


if __name__ == "__main__":
    main()

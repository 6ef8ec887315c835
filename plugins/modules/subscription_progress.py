#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell how far a subscription's first copy is; the action plugin of the same name waits for its end."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: subscription_progress
short_description: Tell how far the first copy of a PostgreSQL subscription is, or wait until it is complete
version_added: 0.1.0
description:
  - Tells of every table of a subscription how far its first copy is, and of all of them together, as
    M(hmm.pg_replication.base_backup) and M(hmm.pg_replication.follow_progress) tell of their steps.
  - With O(wait=true), asks now and then until every table is ready, and shows a line where something changed. The copy
    does not depend on it. Where the connection to the host is lost, it waits for the host to come back.
  - Reads only, in one statement.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
  - hmm.pg_replication.waiting
attributes:
  check_mode:
    support: full
    details:
      - Asks once and does not wait, since nothing was begun.
  diff_mode:
    support: N/A
    details:
      - Nothing is changed.
  idempotent:
    support: full
    details:
      - Nothing is changed.
  action:
    description: Has an action plugin of the same name, which runs on the controller.
    support: full
options:
  name:
    description:
      - The name of the subscription.
    type: str
    required: true
  login_db:
    description:
      - The database of the subscription.
    type: str
    required: true
  total_bytes:
    description:
      - How many bytes the tables have on the publisher, for percent and the time left. C(pg_table_size) of them there
        is a fair guess. V(0) is not known.
    type: int
    default: 0
  wait:
    description:
      - Whether to wait until every table is ready, as O(interval) and the timeouts say. Fails where the subscription
        is disabled, by an error for example.
    type: bool
    default: false
  grace:
    description:
      - Seconds that the subscription may be disabled in one piece before that is a failure, with O(wait=true). For a
        subscription that something on its host enables again after a cut of the link, which
        O(hmm.pg_replication.subscription#module:disable_on_error) takes for an error.
    type: float
    default: 0
seealso:
  - module: hmm.pg_replication.subscription
  - module: hmm.pg_replication.repl_lag_facts
notes:
  - Before PostgreSQL 14, the connecting role has to be a superuser.
  - While a table is copied, the bytes are those that were received for it, from PostgreSQL 14 on. After that, and on
    13, they are those that the table takes on disk. So take them for a guide.
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Wait until the ship has all rows
  hmm.pg_replication.subscription_progress:
    name: ship_oslo
    login_db: hmm_db
    total_bytes: 512000000
    wait: true
    timeout: 86400
  become: true
  become_user: postgres

- name: Look how far the copy is
  hmm.pg_replication.subscription_progress:
    name: ship_oslo
    login_db: hmm_db
  become: true
  become_user: postgres
  register: copy

- name: Show which tables are not ready
  ansible.builtin.debug:
    msg: "{{ copy.tables | rejectattr('state', 'equalto', 'ready') | map(attribute='name') }}"
"""

RETURN = r"""
progress:
  description: The progress of all tables together.
  returned: success
  type: dict
  contains:
    step:
      description: V(copy).
      type: str
      returned: always
    state:
      description: V(running), V(waiting) while no table is being copied, V(done) when every table is ready, or
        V(failed) where the subscription is disabled.
      type: str
      returned: always
    done_bytes:
      description: How many bytes have come.
      type: int
      returned: always
    total_bytes:
      description: How many there are; V(0) where it is not known.
      type: int
      returned: always
    rate:
      description: Bytes a second; V(0) unless O(wait=true).
      type: int
      returned: always
    seconds_left:
      description: Seconds until the end at this rate. Null where it is not known.
      type: int
      returned: always
    message:
      description: A sentence.
      type: str
      returned: always
    updated:
      description: The server's time, in seconds since 1970.
      type: int
      returned: always
  sample:
    step: copy
    state: running
    done_bytes: 123400000
    total_bytes: 530000000
    rate: 500000
    seconds_left: 813
    message: 2 of 4 tables are ready, public.document_chunks in work.
    updated: 1795378982
tables:
  description: The tables by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The table with its schema.
      type: str
      returned: always
    state:
      description: V(initialize), V(data_copy), V(finished_copy), V(synchronized) or V(ready).
      type: str
      returned: always
    copying:
      description: Whether a process works on it right now.
      type: bool
      returned: always
    bytes:
      description: How many bytes of it have come.
      type: int
      returned: always
  sample:
    - name: public.documents
      state: ready
      copying: false
      bytes: 81920
total:
  description: How many tables there are.
  returned: success
  type: int
  sample: 4
ready:
  description: How many of them are ready.
  returned: success
  type: int
  sample: 2
enabled:
  description: Whether the subscription is enabled.
  returned: success
  type: bool
  sample: true
apply_errors:
  description: Errors in applying changes so far. Null before PostgreSQL 15.
  returned: success
  type: int
  sample: 0
sync_errors:
  description: Errors in the copy so far. Null before PostgreSQL 15.
  returned: success
  type: int
  sample: 0
"""

from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._progress_file import (
    WAITING_OPTIONS,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription_progress import (
    ProgressRequest,
    progress_of,
    progress_request,
    read_progress,
)


def tell_progress(context: Context, request: ProgressRequest) -> Result:
    """Look once."""
    found = read_progress(context.session, request)
    return {
        "changed": False,
        "progress": progress_of(found, request.total_bytes),
        "tables": [table.shown() for table in found.tables],
        "total": len(found.tables),
        "ready": found.ready,
        "enabled": found.enabled,
        "apply_errors": found.apply_errors,
        "sync_errors": found.sync_errors,
    }


def main() -> None:
    run_module(
        {
            "name": {"type": "str", "required": True},
            "login_db": {"type": "str", "required": True},
            "total_bytes": {"type": "int", "default": 0},
            # For the action plugin: here is one look.
            "wait": {"type": "bool", "default": False},
            **WAITING_OPTIONS,
            "grace": {"type": "float", "default": 0},
        },
        progress_request,
        tell_progress,
    )


if __name__ == "__main__":
    main()

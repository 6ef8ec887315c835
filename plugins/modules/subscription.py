#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manage subscriptions."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: subscription
short_description: Manage PostgreSQL subscriptions
version_added: 0.1.0
description:
  - Creates, alters, renames, refreshes and drops subscriptions of logical replication.
  - Every option that the server can alter is altered where it differs. What it cannot is an error, before anything is
    changed. An option that is omitted is left as it is.
  - A new password or address of the publisher is an C(ALTER SUBSCRIPTION); the data is never copied again for it.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
attributes:
  check_mode:
    support: full
    details:
      - A subscription to be created is created without its slot, and rolled back, so that a publisher that cannot be
        reached, a wrong password or a table that is missing on the subscriber is found. That the publisher has a slot
        of the same name already is not.
      - Dropping a subscription and refreshing its tables contact the publisher; in check mode they do not.
  diff_mode:
    support: full
    details:
      - Where only a secret of O(connection) changes, the diff shows it as V(******** (changed\)).
  idempotent:
    support: partial
    details:
      - O(refresh=always) is an action, and a change on every run.
      - O(skip_lsn) is done once it was reached, which only a superuser can see.
options:
  name:
    description:
      - The name of the subscription, case and all.
      - A name of capitals, dashes or the like needs O(slot_name), because a slot cannot have it.
    type: str
    required: true
    aliases: [subscription]
  state:
    description:
      - V(present) makes the subscription exist as the other options say.
      - V(absent) drops it, and its slot on the publisher, which has to be reachable; see O(force).
    type: str
    choices: [present, absent]
    default: present
  connection:
    description:
      - How the subscriber's server reaches the publisher, as a mapping of libpq's keywords, a string of them, or a
        URI.
      - It is compared keyword by keyword, and replaced as a whole where it differs.
      - C(connect_timeout) in it bounds how long the server waits for a publisher out of reach.
      - C(passfile) works instead of C(password), for subscriptions that belong to a superuser.
      - Required to create a subscription.
      - A role that may not read the stored connection, as all but superusers, cannot have it changed by this module;
        that is a warning.
    type: raw
  publications:
    description:
      - The publications of the publisher that are subscribed to, all of them. Their order is of no importance.
      - Required to create a subscription. O(refresh) tells when the tables of a new one are taken up.
    type: list
    elements: str
  enabled:
    description:
      - Whether the subscription's worker runs. A new subscription is enabled, unless O(connect=false) or
        O(slot_name=none).
    type: bool
  slot_name:
    description:
      - The slot on the publisher, or V(none) for a subscription without one, which has to be disabled.
      - A new subscription has a slot of its own name. To change it here renames nothing on the publisher.
    type: str
  create_slot:
    description:
      - Whether a new subscription creates its slot on the publisher. It does, unless O(connect=false) or
        O(slot_name=none).
      - Acts only when the subscription is created.
    type: bool
  copy_data:
    description:
      - Whether the rows that are in the tables already are copied. They are, unless O(connect=false).
      - Acts when the subscription is created, and when O(refresh) takes up new tables.
    type: bool
  connect:
    description:
      - Whether the publisher is contacted when the subscription is created. V(false) creates it disabled, without a
        slot made for it, and without tables; they come when it is enabled.
      - Acts only when the subscription is created.
    type: bool
  binary:
    description:
      - Whether rows are sent in binary format. Needs PostgreSQL 14. A new subscription has it off.
    type: bool
  streaming:
    description:
      - Whether a large transaction is sent before it is committed. V(on) needs PostgreSQL 14; V(parallel), which also
        applies it before, 16.
      - A new subscription has V(off), and V(parallel) from PostgreSQL 18 on.
    type: str
    choices: ["off", "on", parallel]
  synchronous_commit:
    description:
      - The setting C(synchronous_commit) of the subscription's workers. A new subscription has V(off).
    type: str
    choices: ["off", "on", local, remote_write, remote_apply]
  two_phase:
    description:
      - Whether prepared transactions are replicated when they are prepared. Needs PostgreSQL 15, and 18 to change it,
        for which an enabled subscription is disabled meanwhile. A new subscription has it off.
    type: bool
  disable_on_error:
    description:
      - Whether the subscription is disabled by an error of its worker, rather than tried again. Needs PostgreSQL 15.
        A new subscription has it off.
    type: bool
  password_required:
    description:
      - Whether the connection of a subscription whose owner is not a superuser needs a password. Needs PostgreSQL 16.
        A new subscription has it on.
      - Only a superuser can set it to V(false), or alter a subscription that has it so.
    type: bool
  run_as_owner:
    description:
      - Whether changes are applied as the owner of the subscription, rather than as the owner of each table. Needs
        PostgreSQL 16; older servers do just that. A new subscription has it off.
    type: bool
  origin:
    description:
      - Whether the publisher sends all changes (V(any)), or only those that it did not itself get by replication
        (V(none)). Needs PostgreSQL 16. A new subscription has V(any).
    type: str
    choices: [any, none]
  failover:
    description:
      - Whether the slot is synchronised to the publisher's standbys. Needs PostgreSQL 17. A new subscription has it
        off.
      - An enabled subscription is disabled meanwhile, and the publisher has to be reachable.
    type: bool
  refresh:
    description:
      - When the tables of the publications are read anew from the publisher, and new ones are copied (O(copy_data)).
      - V(when_changed) does it where O(publications) differ, and where a disabled subscription is enabled.
      - V(always) does it on each run, which then is a change. V(never) leaves it to C(ALTER SUBSCRIPTION) by hand.
      - A disabled subscription cannot be refreshed; that is a warning.
    type: str
    choices: [when_changed, always, never]
    default: when_changed
  skip_lsn:
    description:
      - The LSN at which a transaction ended that cannot be applied, and is to be skipped, for example V(16/B374D848),
        as the server's log tells it; V(none) skips nothing. Needs PostgreSQL 15.
      - There is nothing to do where the subscription has come as far already; only a superuser can see that.
    type: str
  owner:
    description:
      - The role that owns the subscription. A new one belongs to the connecting role. Before PostgreSQL 16 it has to
        be a superuser.
    type: str
  comment:
    description:
      - The comment on the subscription. Empty removes it.
    type: str
  new_name:
    description:
      - The name that the subscription is to have. Where it has that already, O(name) is not looked for; the other
        options apply to it.
      - The slot on the publisher keeps its name.
    type: str
  force:
    description:
      - Whether a subscription is dropped without its publisher, where that cannot be reached within 30 seconds, or
        has not the slot any more. What is left there is in RV(slot_left_behind).
      - Acts only with O(state=absent). The usual way is tried first.
    type: bool
    default: false
  login_db:
    description:
      - The database of the subscription.
    type: str
    required: true
seealso:
  - module: hmm.pg_replication.publication
  - module: hmm.pg_replication.replication_slot
  - name: Logical Replication
    description: "PostgreSQL's documentation, the chapter."
    link: https://www.postgresql.org/docs/current/logical-replication.html
  - name: CREATE SUBSCRIPTION
    description: What the options mean.
    link: https://www.postgresql.org/docs/current/sql-createsubscription.html
  - name: ALTER SUBSCRIPTION
    description: How they are changed.
    link: https://www.postgresql.org/docs/current/sql-altersubscription.html
notes:
  - Subscriptions belong to a database; O(login_db) names it.
  - From PostgreSQL 16 on a role that is no superuser needs C(pg_create_subscription) and C(CREATE) on the database to
    create one, and its password stands in the connection. Before, only superusers have subscriptions.
  - The password in O(connection) is kept out of the server's log where the connecting role is a superuser. The server
    logs statements of other roles as C(log_statement) and C(log_min_error_statement) say.
  - A subscription to a database of the same server waits for itself when it creates its slot. Create that slot
    beforehand and set O(create_slot=false).
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Ensure that the ship subscribes to the shore
  hmm.pg_replication.subscription:
    name: ship_oslo
    connection:
      host: shore.example.com
      port: 5432
      dbname: hmm_db
      user: ship_oslo
      password: "{{ ship_oslo_password }}"
      sslmode: verify-full
      sslrootcert: /etc/ssl/certs/fleet-ca.crt
      connect_timeout: 20
    publications: [fleet]
    streaming: parallel
    disable_on_error: true
    login_db: hmm_db
  become: true
  become_user: postgres

- name: Take up one more publication, and only what is written from now on
  hmm.pg_replication.subscription:
    name: ship_oslo
    publications: [fleet, port_calls]
    copy_data: false
    login_db: hmm_db
  become: true
  become_user: postgres

- name: Take up the tables that were added to the publications
  hmm.pg_replication.subscription:
    name: ship_oslo
    refresh: always
    login_db: hmm_db
  become: true
  become_user: postgres

- name: Skip a transaction that cannot be applied here
  hmm.pg_replication.subscription:
    name: ship_oslo
    skip_lsn: 16/B374D848
    enabled: true
    login_db: hmm_db
  become: true
  become_user: postgres

- name: Drop the subscription of a ship whose shore is out of reach
  hmm.pg_replication.subscription:
    name: ship_oslo
    state: absent
    force: true
    login_db: hmm_db
  become: true
  become_user: postgres
  register: dropped
"""

RETURN = r"""
queries:
  description: The statements in the order in which they are run, or in check mode would be; secrets hidden.
  returned: success
  type: list
  elements: str
  sample: ["ALTER SUBSCRIPTION \"ship_oslo\" SET (binary = true)"]
subscription:
  description: The subscription as it is after the task, or in check mode would be; secrets hidden.
  returned: success
  type: dict
  contains:
    name:
      description: The name.
      type: str
      returned: always
    state:
      description: V(present) or V(absent).
      type: str
      returned: always
    enabled:
      description: Whether its worker runs.
      type: bool
      returned: present
    connection:
      description: How the publisher is reached, by libpq's keywords; none where it cannot be seen.
      type: dict
      returned: present
    publications:
      description: The publications that are subscribed to, sorted.
      type: list
      elements: str
      returned: present
    slot_name:
      description: The slot on the publisher; none where there is none.
      type: str
      returned: present
    binary:
      description: Whether rows are sent in binary format.
      type: bool
      returned: present, PostgreSQL 14 or newer
    streaming:
      description: V(off), V(on) or V(parallel).
      type: str
      returned: present, PostgreSQL 14 or newer
    synchronous_commit:
      description: The setting of its workers.
      type: str
      returned: present
    two_phase:
      description: Whether prepared transactions are replicated when they are prepared.
      type: bool
      returned: present, PostgreSQL 15 or newer
    disable_on_error:
      description: Whether an error disables it.
      type: bool
      returned: present, PostgreSQL 15 or newer
    password_required:
      description: Whether the connection needs a password.
      type: bool
      returned: present, PostgreSQL 16 or newer
    run_as_owner:
      description: Whether changes are applied as its owner.
      type: bool
      returned: present, PostgreSQL 16 or newer
    origin:
      description: V(any) or V(none).
      type: str
      returned: present, PostgreSQL 16 or newer
    failover:
      description: Whether the slot is synchronised to standbys.
      type: bool
      returned: present, PostgreSQL 17 or newer
    owner:
      description: The role that owns it.
      type: str
      returned: present
    comment:
      description: The comment; empty where there is none.
      type: str
      returned: present
    skip_lsn:
      description: Where the transaction ends that is to be skipped.
      type: str
      returned: present
  sample:
    name: ship_oslo
    state: present
    enabled: true
    connection: {host: shore.example.com, dbname: hmm_db, user: ship_oslo, password: "********"}
    publications: [fleet]
    slot_name: ship_oslo
    binary: false
    streaming: parallel
    synchronous_commit: "off"
    two_phase: false
    disable_on_error: true
    password_required: true
    run_as_owner: false
    origin: any
    failover: false
    owner: postgres
    comment: ""
    skip_lsn:
refreshed:
  description: Whether the tables of its publications were read anew.
  returned: success
  type: bool
  sample: false
slot_left_behind:
  description: What a forced drop may have left on the publisher, where it has to be dropped.
  returned: when a subscription was dropped without its publisher
  type: dict
  contains:
    slot_name:
      description: The slot of the subscription; none where it had none.
      type: str
      returned: always
    host:
      description: The publisher's host; none where the connection cannot be seen.
      type: str
      returned: always
    port:
      description: The publisher's port; none where the connection cannot be seen.
      type: str
      returned: always
    dbname:
      description: The publisher's database; none where the connection cannot be seen.
      type: str
      returned: always
    others:
      description: Slots of tables whose first copy was not done. Those that the publisher has are of no use either.
      type: list
      elements: str
      returned: always
  sample: {slot_name: ship_oslo, host: shore.example.com, port: "5432", dbname: hmm_db, others: []}
"""

from dataclasses import replace
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import ConninfoType
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ServerError
from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription import (
    SubscriptionRequest,
    SubscriptionState,
    read_subscriptions,
    subscription_request,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription_plan import (
    SubscriptionPlan,
    plan_forced_drop,
    plan_subscription,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription_publisher import (
    publisher_advice,
    publisher_failed,
    slot_left_behind,
)


def ensure_subscription(context: Context, request: SubscriptionRequest) -> Result:
    """Make the subscription what is asked for, and tell how it is."""
    server, found, secrets = read_subscriptions(context.session, request)
    context.secrets.extend(secrets)
    plan = plan_subscription(request, server, found)
    try:
        result = context.carry_out(plan)
    except ServerError as exc:
        state = found.get(request.name)
        if state and not request.present and request.force and publisher_failed(exc):
            result = drop_by_force(context, plan, state, exc)
        else:
            subscription = plan.result or (state and state.subscription)
            if subscription:
                exc.message += publisher_advice(exc, subscription, request.present)
            raise
    shown = plan.result.shown() if plan.result else {"name": request.name, "state": "absent"}
    return {**result, "subscription": shown, "refreshed": plan.refreshed}


def drop_by_force(
    context: Context, plan: SubscriptionPlan, state: SubscriptionState, error: ServerError
) -> Result:
    """Drop the subscription alone, where its publisher stands in the way."""
    name = state.subscription.name
    forced = replace(plan_forced_drop(name), before=plan.before, after=plan.after)
    result = context.carry_out(forced)
    tried = [context.session.shown(statement) for statement in plan.statements()]
    result["queries"] = [*tried, *result["queries"]]
    left = slot_left_behind(error, state)
    if left is None:
        return result
    slots = ", ".join(filter(None, [left["slot_name"], *left["others"]]))
    context.warnings.append(
        f"Subscription {name} was dropped without its publisher, which keeps WAL for it until its"
        f" slots are dropped there ({left['host']}:{left['port']}, database {left['dbname']}):"
        f" {slots}. {error.message}"
    )
    return {**result, "slot_left_behind": left}


def main() -> None:
    flag: dict[str, Any] = {"type": "bool"}
    text: dict[str, Any] = {"type": "str"}
    run_module(
        {
            "name": {"type": "str", "required": True, "aliases": ["subscription"]},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "connection": {"type": ConninfoType("raw")},
            "publications": {"type": "list", "elements": "str"},
            "enabled": flag,
            "slot_name": text,
            "create_slot": flag,
            "copy_data": flag,
            "connect": flag,
            "binary": flag,
            "streaming": {"type": "str", "choices": ["off", "on", "parallel"]},
            "synchronous_commit": {
                "type": "str",
                "choices": ["off", "on", "local", "remote_write", "remote_apply"],
            },
            "two_phase": flag,
            "disable_on_error": flag,
            "password_required": {**flag, "no_log": False},
            "run_as_owner": flag,
            "origin": {"type": "str", "choices": ["any", "none"]},
            "failover": flag,
            "refresh": {
                "type": "str",
                "default": "when_changed",
                "choices": ["when_changed", "always", "never"],
            },
            "skip_lsn": text,
            "owner": text,
            "comment": text,
            "new_name": text,
            "force": {"type": "bool", "default": False},
            "login_db": {"type": "str", "required": True},
        },
        subscription_request,
        ensure_subscription,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manage replication slots."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: replication_slot
short_description: Manage PostgreSQL replication slots
version_added: 0.1.0
description:
  - Creates, alters, advances, copies and drops physical and logical replication slots.
  - A list of names is one task and one statement, however many ships there are.
  - A slot that exists under a name, but is not what is asked for, is never reported as fine. What the server can
    alter is altered; what it cannot is an error.
  - Works on a primary, and on a standby for the slots that a standby may have of its own.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
attributes:
  check_mode:
    support: full
    details:
      - A missing output plugin is found in check mode where the connecting role is a superuser.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - The name of the slot, or a list of names. A name has lower-case letters, digits and underscores, 63 at most.
    type: list
    elements: str
    required: true
    aliases: [slot_name]
  state:
    description:
      - V(present) makes the slots exist as the other options say.
      - V(absent) drops them. A slot of another type than O(slot_type), where that is given, or of another
        database, is refused.
    type: str
    choices: [present, absent]
    default: present
  slot_type:
    description:
      - A physical slot serves a standby, a logical one a subscription. Where it is omitted, a physical slot is
        made, and a slot of either type is dropped.
      - A logical slot belongs to the database of the connection, so O(login_db) is then required.
    type: str
    choices: [physical, logical]
  plugin:
    description:
      - The output plugin of a logical slot. A new slot has V(pgoutput), the plugin of subscriptions, where it is
        omitted.
      - The plugin of a slot cannot be changed.
    type: str
    aliases: [output_plugin]
  immediately_reserve:
    description:
      - Whether a new physical slot retains WAL at once, rather than from the moment when its standby first connects.
      - Acts only when the slot is created. Without it, what is written before the standby connects may be gone by
        then.
    type: bool
    default: true
  two_phase:
    description:
      - Whether a logical slot decodes prepared transactions when they are prepared, rather than when they are
        committed.
      - Needs PostgreSQL 14, and 18 to change it. Where it is omitted, a new slot has it off and an existing one is
        left as it is.
      - Slots of a subscription follow its own option O(hmm.pg_replication.subscription#module:two_phase); set it
        there.
    type: bool
  failover:
    description:
      - Whether the slot is synchronised to standbys, so that its subscription can go on after a failover.
      - Needs PostgreSQL 17. Where it is omitted, a new slot has it off and an existing one is left as it is.
      - Changed by C(ALTER_REPLICATION_SLOT) on a replication connection, which C(pg_hba.conf) has to admit for
        O(login_user) and O(login_db).
    type: bool
  copy_from:
    description:
      - The slot that a new slot is copied from, position and all. Acts only when the slot is created.
    type: str
  advance_to:
    description:
      - The LSN that the slots are moved forward to, for example V(16/B374D848). A slot that is there already, or
        further, is left as it is.
      - For a logical slot what lies between is not sent any more.
    type: str
  on_lost:
    description:
      - What to do with a slot whose WAL is gone (C(wal_status) is C(lost)), or that was invalidated. It exists,
        and it protects nothing.
      - V(fail) fails the task, V(recreate) drops it and makes it anew, V(report) warns and leaves it.
      - The consumer of such a slot has to be seeded anew in any case.
    type: str
    choices: [fail, recreate, report]
    default: fail
  force:
    description:
      - Whether a slot in use may be dropped. The process that uses it is ended; where it comes back before the
        drop, that is tried again for up to 30 seconds.
    type: bool
    default: false
seealso:
  - module: hmm.pg_replication.subscription
  - module: hmm.pg_replication.repl_lag_facts
  - name: Replication Slots
    description: "PostgreSQL's documentation, chapter High Availability, Load Balancing, and Replication."
    link: https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS
  - name: Replication Management Functions
    description: The functions that this module uses.
    link: https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
notes:
  - The connecting role has to be a superuser or have the attribute REPLICATION.
  - A logical slot waits, at its creation, for all transactions that are running then.
  - Temporary slots go with their session, so there are none here.
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Ensure that every ship has a slot of its own
  hmm.pg_replication.replication_slot:
    name: [ship_algeciras, ship_oslo]
  become: true
  become_user: postgres

- name: Ensure a logical slot that survives a failover
  hmm.pg_replication.replication_slot:
    name: ship_oslo_logical
    slot_type: logical
    failover: true
    login_db: hmm_db
  become: true
  become_user: postgres

- name: Make a lost slot anew, before the ship is seeded again
  hmm.pg_replication.replication_slot:
    name: ship_algeciras
    on_lost: recreate
  become: true
  become_user: postgres

- name: Drop the slot of a ship that has left the fleet, over TLS from the controller
  hmm.pg_replication.replication_slot:
    name: ship_algeciras
    state: absent
    force: true
    login_host: shore.example.com
    login_user: replication_admin
    login_password: "{{ replication_admin_password }}"
    ca_cert: /etc/ssl/certs/fleet-ca.crt
  delegate_to: localhost
"""

RETURN = r"""
queries:
  description: The statements in the order in which they are run, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["SELECT slot.* FROM unnest(ARRAY['ship_oslo']::name[]) AS name, ..."]
slots:
  description: The state of every named slot after the task; in check mode, where a slot is to be made, what is
    known of it.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The slot's name.
      type: str
      returned: always
    state:
      description: V(present) or V(absent).
      type: str
      returned: always
    slot_type:
      description: V(physical) or V(logical).
      type: str
      returned: present
    plugin:
      description: The output plugin.
      type: str
      returned: present and logical
    database:
      description: The database that the slot belongs to.
      type: str
      returned: present and logical
    two_phase:
      description: Whether prepared transactions are decoded.
      type: bool
      returned: present and logical, PostgreSQL 14 or newer
    failover:
      description: Whether the slot is synchronised to standbys.
      type: bool
      returned: present and logical, PostgreSQL 17 or newer
    active:
      description: Whether something uses the slot right now.
      type: bool
      returned: present
    active_pid:
      description: The process that uses it.
      type: int
      returned: present
    synced:
      description: Whether the slot was synchronised from a primary.
      type: bool
      returned: present
    restart_lsn:
      description: The oldest WAL that the slot retains; none where it retains nothing yet.
      type: str
      returned: present
    confirmed_flush_lsn:
      description: How far the consumer of a logical slot has confirmed.
      type: str
      returned: present
    wal_status:
      description: V(reserved), V(extended), V(unreserved) or V(lost).
      type: str
      returned: present
    invalidation_reason:
      description: Why the slot was invalidated. PostgreSQL 17 or newer.
      type: str
      returned: present
    lost:
      description: Whether the slot is of no use any more.
      type: bool
      returned: present
  sample:
    - name: ship_oslo
      state: present
      slot_type: physical
      active: true
      active_pid: 4711
      synced: false
      restart_lsn: 0/3000148
      confirmed_flush_lsn:
      wal_status: reserved
      invalidation_reason:
      lost: false
lost:
  description: The names of those slots that are of no use any more.
  returned: success
  type: list
  elements: str
  sample: []
"""

from collections.abc import Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._slot import (
    Slot,
    SlotRequest,
    SlotState,
    check_plugin,
    plan_slots,
    read_slots,
    slot_request,
)


def ensure_slots(context: Context, request: SlotRequest) -> Result:
    """Make the slots what is asked for, and tell how they are."""
    names = [*request.names, *filter(None, [request.copy_from])]
    server, found = read_slots(context.session, names)
    plan = plan_slots(request, server, found)
    if request.present and plan.changed:
        check_plugin(context.session, request)
    try:
        result = context.carry_out(plan)
    except ReplicationError as exc:
        if not context.check_mode:
            tell_what_was_done(exc, context, names, found)
        raise
    if plan.changed and not context.check_mode:
        found = read_slots(context.session, request.names)[1]
    slots: list[dict[str, Any]] = []
    for name in request.names:
        told = plan.after.get(name, {}) if context.check_mode else {}
        made_anew = context.check_mode and plan.before.get(name, {}).get("lost")
        if request.present and name in found and not made_anew:
            slots.append({**found[name].shown(), **told})
        elif told:
            slots.append({"name": name, "state": "present", **told})
        else:
            slots.append({"name": name, "state": "absent"})
    lost = [slot["name"] for slot in slots if slot.get("lost")]
    return {**result, "slots": slots, "lost": lost}


def tell_what_was_done(
    error: ReplicationError, context: Context, names: list[str], before: Mapping[str, SlotState]
) -> None:
    """Add to an error which slots are other than before: no rollback takes that back."""
    try:
        _server, after = read_slots(context.session, names)
    except ReplicationError:
        return
    done = [name for name in names if slot_of(before, name) != slot_of(after, name)]
    if done:
        error.result["changed"] = True
        error.message += f" Done before that: {', '.join(done)}."


def slot_of(states: Mapping[str, SlotState], name: str) -> Slot | None:
    return states[name].slot if name in states else None


def main() -> None:
    run_module(
        {
            "name": {
                "type": "list",
                "elements": "str",
                "required": True,
                "aliases": ["slot_name"],
            },
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "slot_type": {"type": "str", "choices": ["physical", "logical"]},
            "plugin": {"type": "str", "aliases": ["output_plugin"]},
            "immediately_reserve": {"type": "bool", "default": True},
            "two_phase": {"type": "bool"},
            "failover": {"type": "bool"},
            "copy_from": {"type": "str"},
            "advance_to": {"type": "str"},
            "on_lost": {
                "type": "str",
                "default": "fail",
                "choices": ["fail", "recreate", "report"],
            },
            "force": {"type": "bool", "default": False},
        },
        slot_request,
        ensure_slots,
        required_if=[("slot_type", "logical", ["login_db"])],
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find replication slots that nothing uses, and drop those."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: unused_slots
short_description: Find replication slots that nothing uses, and drop those
version_added: 0.1.0
description:
  - A slot that nobody uses any more keeps WAL until the disk is full, or until it is lost. A slot whose ship is merely
    dark looks the same to the server. This module tells them apart by what the inventory and other servers say.
  - It says of every slot what uses it or keeps it, how much WAL it costs, and which are proved to be of no use.
  - Drops nothing unless O(drop) is true.
  - The playbook C(slot_cleanup.yml) asks the ships, and gives this module what they say.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
attributes:
  check_mode:
    support: full
    details:
      - O(seen_file) is left as it is.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  ships:
    description:
      - Every ship of the inventory, also those that are dark.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The ship's name in the inventory.
        type: str
        required: true
      slot:
        description:
          - The slot that it replicates by.
        type: str
        required: true
      owned:
        description:
          - All slots that belong to it, O(ships[].slot) among them or not. They are never dropped.
        type: list
        elements: str
        default: []
      mode:
        description:
          - V(physical) is a standby, V(logical) a subscription.
        type: str
        choices: [physical, logical]
        default: physical
      asked:
        description:
          - Whether its server could be asked for O(ships[].uses).
        type: bool
        default: false
      uses:
        description:
          - The slots that its server names, in C(primary_slot_name) and in subscriptions. They are never dropped.
        type: list
        elements: str
        default: []
      system_identifier:
        description:
          - The system identifier of its server, by which slots are known that copy a table.
        type: str
  kept:
    description:
      - Names of slots, or patterns with C(*), that something else uses than ships, for example a standby on shore or a
        program that archives WAL. They are never dropped, and neither are those of pg_auto_failover.
    type: list
    elements: str
    default: []
  unused_after:
    description:
      - A slot that nobody owns or names has to be unused for so long until that counts as a proof. A number with s, m,
        h, d or w.
      - PostgreSQL 17 or newer tells it since the slot was used last or the server was started. Of an older one it is
        known since O(seen_file) was begun.
    type: str
    default: 7d
  drop:
    description:
      - Drops the slots that are proved to be of no use, or those of O(names).
      - No process is ended. A slot that is taken meanwhile stays.
    type: bool
    default: false
  names:
    description:
      - Drops these instead, proved or not. One that is in use, that belongs to a ship of O(ships), or that a server
        names, is refused, and then nothing is dropped.
    type: list
    elements: str
    default: []
  seen_file:
    description:
      - A file on this host where it is noted since when slots have been unused. It is needed before PostgreSQL 17,
        and written in each run but in check mode.
    type: path
seealso:
  - module: hmm.pg_replication.replication_slot
  - module: hmm.pg_replication.repl_lag_facts
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Say which slots nothing uses
  hmm.pg_replication.unused_slots:
    ships:
      - {name: algeciras, slot: ship_algeciras}
      - {name: oslo, slot: ship_oslo, mode: logical}
    seen_file: /var/lib/pg_replication/main/slots_seen.json
  become: true
  become_user: postgres
  register: slots

- name: Show it
  ansible.builtin.debug:
    var: slots.lines

- name: Drop one of them
  hmm.pg_replication.unused_slots:
    ships:
      - {name: algeciras, slot: ship_algeciras}
      - {name: oslo, slot: ship_oslo, mode: logical}
    drop: true
    names: [ship_lisbon]
  become: true
  become_user: postgres
"""

RETURN = r"""
slots:
  description: Every slot, those that nothing uses first, and the dearest of them.
  returned: success, and where a name is refused
  type: list
  elements: dict
  contains:
    name:
      description: The slot's name.
      type: str
      returned: always
    type:
      description: V(physical) or V(logical).
      type: str
      returned: always
    database:
      description: The database of a logical slot.
      type: str
      returned: always
    verdict:
      description:
        - V(unused) is proved to be of no use. V(recent) lacks the time only. V(unproved) may be used by a ship that
          could not be asked.
        - V(used) is connected, V(synced) comes from a primary, V(owned) belongs to a ship of the inventory, V(named) is
          in the settings or subscriptions of one, and V(kept) is in O(kept).
      type: str
      returned: always
    why:
      description: The reason, as the end of a sentence.
      type: str
      returned: always
    ship:
      description: The ship that it belongs to or that names it.
      type: str
      returned: always
    active_pid:
      description: The process that uses it.
      type: int
      returned: always
    unused_seconds:
      description: For how long it has been unused, where that is known.
      type: float
      returned: always
    retained_bytes:
      description: The WAL that it keeps. Null where it keeps none.
      type: int
      returned: always
    lost:
      description: Whether it is lost.
      type: bool
      returned: always
  sample:
    - name: ship_lisbon
      type: physical
      database:
      verdict: unused
      why: belongs to no ship of the inventory and is named by no server that answered, and has been unused for 12 d
      ship:
      active_pid:
      unused_seconds: 1036800.0
      retained_bytes: 3328599654
      lost: false
dropped:
  description: The names of those that were dropped, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [ship_lisbon]
freed_bytes:
  description: WAL that no slot holds any more without those that are unused, or that were dropped.
  returned: success
  type: int
  sample: 3328599654
lines:
  description: The same to read, a sentence a slot, and what to do.
  returned: success
  type: list
  elements: str
  sample:
    - "ship_lisbon (physical, 3.1 GB of WAL kept): dropped: it is ..."
queries:
  description: The statements that were run, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["SELECT pg_drop_replication_slot('ship_lisbon')"]
"""

from dataclasses import replace

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._slots_seen import (
    Look,
    Seen,
    read_seen,
    renewed,
    write_seen,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._unused_slots import (
    UNUSED,
    Found,
    Request,
    Server,
    chosen,
    freed_bytes,
    judge,
    lines,
    plan_drops,
    read_usage,
    unused_slots_request,
)


def clean_up(context: Context, request: Request) -> Result:
    """Look at all slots, say what is to be thought of them, and drop what is to be dropped."""
    server, found = read_usage(context.session)
    seen = noted(context, request, server, found)
    if seen is None:
        request, seen = replace(request, seen_file=None), {}
    usages = judge(request, server, found, seen)
    dropped = chosen(request, usages)
    freed = freed_bytes(
        server,
        usages,
        dropped if request.drop else [usage for usage in usages if usage.verdict == UNUSED],
    )
    result = context.carry_out(plan_drops(server, dropped))
    return {
        **result,
        "slots": [usage.shown() for usage in usages],
        "dropped": [usage.slot.name for usage in dropped],
        "freed_bytes": freed,
        "lines": lines(request, usages, dropped, freed, done=not context.check_mode),
    }


def noted(
    context: Context, request: Request, server: Server, found: list[Found]
) -> dict[str, Seen] | None:
    """Since when slots have been unused, by the note of earlier looks; None where none is kept."""
    if request.seen_file is None or server.dates_slots:
        return {}
    looks = [Look(slot.name, slot.position, slot.active_pid is not None) for slot in found]
    try:
        before = read_seen(request.seen_file)
        seen = renewed(before, looks, server.clock)
        if not context.check_mode and seen != before:
            write_seen(request.seen_file, seen)
    except ReplicationError as exc:
        context.warnings.append(exc.message)
        return None
    # What is seen for the first time has no age yet.
    return {name: entry for name, entry in seen.items() if before.get(name) == entry}


def main() -> None:
    run_module(
        {
            "ships": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "slot": {"type": "str", "required": True},
                    "owned": {"type": "list", "elements": "str", "default": []},
                    "mode": {
                        "type": "str",
                        "default": "physical",
                        "choices": ["physical", "logical"],
                    },
                    "asked": {"type": "bool", "default": False},
                    "uses": {"type": "list", "elements": "str", "default": []},
                    "system_identifier": {"type": "str"},
                },
            },
            "kept": {"type": "list", "elements": "str", "default": []},
            "unused_after": {"type": "str", "default": "7d"},
            "drop": {"type": "bool", "default": False},
            "names": {"type": "list", "elements": "str", "default": []},
            "seen_file": {"type": "path"},
        },
        unused_slots_request,
        clean_up,
    )


if __name__ == "__main__":
    main()

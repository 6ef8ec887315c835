#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Report the state of a fleet, as its shore sees it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_status
short_description: Report the state of a fleet, as its shore sees it
version_added: 0.1.0
description:
  - Tells of each ship whether it streams, how far it is behind, how much WAL the shore keeps for it and for how long
    still, and when it was last connected; and of the shore its WAL rate, its disk and its archive.
  - All of it comes from the shore, in one connection and two statements, so that a dark ship is a row like any other.
  - What the ships themselves say is joined to it by the filter P(hmm.pg_replication.fleet_report#filter), and
    C(playbooks/fleet_status.yml) does all of it.
  - Changes nothing on the server. With O(history_file), the figures are added to that file, which is not a change.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
  - hmm.pg_replication.limits
attributes:
  check_mode:
    support: full
    details:
      - O(history_file) is read, and not written.
  diff_mode:
    support: N/A
    details:
      - Nothing is changed.
  idempotent:
    support: full
    details:
      - Nothing is changed.
options:
  name:
    description:
      - The shore's name, for the report.
    type: str
    required: true
  ships:
    description:
      - The ships of the fleet, every one of them. What belongs to none is judged as the shore's own.
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
          - The name of its slot, which is also that of its role on shore.
        type: str
        required: true
      mode:
        description:
          - Whether it has the whole cluster, or the fleet's tables.
        type: str
        choices: [physical, logical]
        default: physical
      bandwidth:
        description:
          - What its link carries, in bytes a second. With it, the report tells how long a dark ship takes to catch up
            once its link is back, and warns where the shore writes more WAL than the link carries.
        type: float
  sample_seconds:
    description:
      - How long to watch the server for the rates, of the WAL that is written and of the ships that catch up, and with
        them the time until a slot is lost.
      - V(0) takes no sample, and the rates are unknown.
    type: float
    default: 5
  disk_free_percent_warning:
    description:
      - How much of the disk with the WAL has to be free, in percent. Less is a warning.
    type: float
    default: 15
  disk_free_percent_critical:
    description:
      - How much of it has to be free, in percent. Less is critical.
    type: float
    default: 5
  archive_directory:
    description:
      - The folder on this host that WAL is archived in, to tell its size.
    type: path
  slots_file:
    description:
      - What the program tells that keeps the ships' slots on a node of a shore of several. By it, a ship that streams
        from another node is not taken for dark.
    type: path
  history_file:
    description:
      - A file on this host with earlier figures, which are returned as RV(report.history), and which those of this run
        are added to. It is made where it is missing; where its folder is missing, nothing is kept.
    type: path
seealso:
  - module: hmm.pg_replication.repl_lag_facts
  - plugin: hmm.pg_replication.fleet_report
    plugin_type: filter
notes:
  - Run it on the shore. From elsewhere the disk and the archive's size are unknown.
  - The role has to be a superuser, or a member of C(pg_monitor).
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Look at the fleet
  hmm.pg_replication.fleet_status:
    name: busan
    ships:
      - {name: algeciras, slot: ship_algeciras}
      - {name: oslo, slot: ship_oslo, mode: logical, bandwidth: 500000}
    archive_directory: /var/lib/pg_replication/main/archive
  become: true
  become_user: postgres
  register: fleet

- name: Stop where something is critical
  ansible.builtin.assert:
    that: fleet.report.status != 'critical'
"""

RETURN = r"""
report:
  description: The report. What is null is unknown, or not there.
  returned: success
  type: dict
  contains:
    format:
      description: The number of this form.
      type: int
      sample: 1
    time:
      description: When the shore was asked, by its own clock.
      type: str
      sample: "2026-11-22T08:15:29.711Z"
    status:
      description: The worst of all severities. V(ok), V(warning) or V(critical).
      type: str
      sample: warning
    shore:
      description: The shore.
      type: dict
      contains:
        name:
          description: O(name).
          type: str
          sample: busan
        version:
          description: The version of PostgreSQL.
          type: str
          sample: "17.6"
        position:
          description: The end of its WAL.
          type: str
          sample: 16/B374D848
        timeline:
          description: Its timeline.
          type: int
          sample: 1
        system_identifier:
          description: The cluster's system identifier.
          type: str
          sample: "7543210987654321098"
        wal_rate:
          description: Bytes of WAL written a second.
          type: float
          sample: 51200.0
        disk:
          description: The disk that the WAL lies on, with C(path), C(total_bytes) and C(free_bytes).
          type: dict
          sample: {path: /var/lib/postgresql/17/main/pg_wal, total_bytes: 500000000000, free_bytes: 310000000000}
        wal_directory_bytes:
          description: The size of the WAL on it.
          type: int
          sample: 1073741824
        max_slot_wal_keep_size:
          description: How much a slot may retain, in bytes. Null for no limit.
          type: int
          sample: 10737418240
        archive:
          description: Whether WAL is archived (C(enabled)), what was archived last and what failed last, and when;
            how often it failed (C(failed_count)), how many files wait (C(waiting_files)), and the size of
            O(archive_directory) (C(directory_bytes)).
          type: dict
          sample:
            enabled: true
            last_archived_time: "2026-11-22T08:14:02Z"
            last_archived_wal: 0000000100000016000000B2
            failed_count: 0
            last_failed_time:
            last_failed_wal:
            waiting_files: 0
            directory_bytes: 21474836480
        failover:
          description: Null. The filter P(hmm.pg_replication.fleet_failover#filter) tells it of a shore of several.
          type: dict
        wal_senders_used:
          description: How many walsenders are connected.
          type: int
          sample: 2
        max_wal_senders:
          description: How many may be.
          type: int
          sample: 32
        slots_used:
          description: How many slots there are.
          type: int
          sample: 2
        max_replication_slots:
          description: How many there may be.
          type: int
          sample: 32
        problems:
          description: What is wrong on the shore, worst first, as M(hmm.pg_replication.repl_lag_facts) tells it.
          type: list
          elements: dict
          sample: []
    ships:
      description: The ships, worst first.
      type: list
      elements: dict
      contains:
        name:
          description: The ship's name.
          type: str
        mode:
          description: V(physical) or V(logical).
          type: str
        slot:
          description: The name of its slot.
          type: str
        state:
          description: V(streaming), V(catching up), V(copying) (the first copy of tables), V(seeding), V(dark),
            V(missing) (the shore has no slot for it) or V(lost) (its slot is). Joined with the ship's own view also
            V(paused), V(subscription disabled), V(conflict) and V(unknown).
          type: str
        severity:
          description: The worst of its problems. V(ok), V(warning) or V(critical).
          type: str
        connected:
          description: Whether it is connected now.
          type: bool
        node:
          description: The node ashore that it streams from, where that is another one than this.
          type: str
        lag_bytes:
          description: Bytes of WAL that it is behind.
          type: int
        lag_seconds:
          description: How old its data are, in seconds. Of a dark ship that is at least the time since its last
            contact.
          type: float
        retained_bytes:
          description: Bytes of WAL kept for it on shore.
          type: int
        seconds_until_lost:
          description: Seconds until its slot may be lost, as M(hmm.pg_replication.repl_lag_facts) tells it.
          type: float
        lost_by:
          description: By what. V(wal) or V(idle).
          type: str
        last_contact:
          description: When it was last connected. Before PostgreSQL 17 the server does not know it of a dark ship, and
            only O(history_file) may.
          type: str
        last_contact_seconds:
          description: How many seconds ago that was.
          type: float
        rate:
          description: Bytes a second by which its lag shrinks. Below 0 the lag grows.
          type: float
        catch_up_seconds:
          description: Seconds until it has caught up at that rate; of a dark ship, how long it would take by its
            link once that is back.
          type: float
        own:
          description: Null. The filter P(hmm.pg_replication.fleet_report#filter) puts the ship's own view here.
          type: dict
        problems:
          description: What is wrong with it, worst first.
          type: list
          elements: dict
      sample:
        - name: oslo
          mode: logical
          slot: ship_oslo
          state: dark
          severity: warning
          connected: false
          node:
          lag_bytes: 430483528
          lag_seconds: 18720.0
          retained_bytes: 451223000
          seconds_until_lost: 833741.0
          lost_by: wal
          last_contact: "2026-11-22T03:03:29Z"
          last_contact_seconds: 18720.0
          rate:
          catch_up_seconds: 956.6
          own:
          problems:
            - severity: warning
              object: slot ship_oslo
              what: The slot has been inactive for 5 h 12 min, and its consumer lags 410.5 MB behind.
              do: See whether the link is up and its consumer runs; drop the slot if the ship has left for good.
    history:
      description: Earlier figures. Of each ship C([epoch, lag_bytes, retained_bytes]), and as C(shore)
        C([epoch, wal_rate, free_bytes]).
      type: dict
      sample:
        oslo: [[1795421729, 430483528, 451223000]]
        shore: [[1795421729, 51200.0, 310000000000]]
"""

from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import (
    MODES,
    STATUS_DEFAULTS,
    StatusRequest,
    read_status,
    status_report,
    status_request,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import limit_spec
from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Params,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._status_history import (
    Earlier,
    append_sample,
    read_history,
)


def report(context: Context, asked: tuple[str, Path | None, StatusRequest]) -> Result:
    """Look, tell, and note what was seen."""
    name, path, request = asked
    earlier = read_history(path) if path else Earlier()
    seen = read_status(context.session, request, earlier.contacts)
    found = status_report(name, seen, request, earlier.history)
    if path and path.parent.is_dir() and not context.check_mode:
        try:
            append_sample(path, found)
        except OSError as exc:
            context.warnings.append(f"history_file: {path} cannot be written: {exc.strerror}.")
    return {"changed": False, "report": found}


def asked_for(params: Params) -> tuple[str, Path | None, StatusRequest]:
    """Read the module's options.

    :raises ReplicationError: an option is wrong.
    """
    for option in ("history_file", "archive_directory", "slots_file"):
        if params[option] and not Path(params[option]).is_absolute():
            raise ReplicationError(f"{option}: {params[option]!r} is not an absolute path.")
    path = Path(params["history_file"]) if params["history_file"] else None
    return params["name"], path, status_request(params)


def main() -> None:
    ship: dict[str, Any] = {
        "name": {"type": "str", "required": True},
        "slot": {"type": "str", "required": True},
        "mode": {"type": "str", "choices": list(MODES), "default": MODES[0]},
        "bandwidth": {"type": "float"},
    }
    figures = ("sample_seconds", "disk_free_percent_warning", "disk_free_percent_critical")
    run_module(
        {
            "name": {"type": "str", "required": True},
            "ships": {"type": "list", "elements": "dict", "required": True, "options": ship},
            **{name: {"type": "float", "default": STATUS_DEFAULTS[name]} for name in figures},
            **limit_spec(),
            "archive_directory": {"type": "path"},
            "slots_file": {"type": "path"},
            "history_file": {"type": "path"},
        },
        asked_for,
        report,
    )


if __name__ == "__main__":
    main()

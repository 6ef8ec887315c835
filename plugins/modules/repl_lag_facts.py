#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gather how far replication has come, and what is wrong with it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: repl_lag_facts
short_description: Gather PostgreSQL replication lag, and what is wrong, as facts
version_added: 0.1.0
description:
  - Tells how far replication has come, as one server sees it. Asks a primary, a standby, a publisher or a subscriber,
    and returns its standbys, slots, receiver and subscriptions with their lag in bytes and seconds.
  - Judges the figures against thresholds, and returns each problem with what is wrong and what to do, worst first.
  - A ship whose link is dark is a slot whose lag grows, and never an error of this module.
  - Takes one connection and one statement, one more at the end of a sample (O(sample_seconds)), and one more where
    the role may not read something.
  - What the role may not read is null, and listed in RV(ansible_facts.repl_lag.unknown) with the grant that would help.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
  - hmm.pg_replication.limits
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details:
      - Nothing is changed.
  facts:
    description: Returns C(ansible_facts), which are added to those of the host.
    support: full
  idempotent:
    support: full
    details:
      - Nothing is changed.
options:
  sample_seconds:
    description:
      - How long to watch the server for the rate at which WAL is written
        (RV(ansible_facts.repl_lag.server.wal_rate)), and with it the time until a slot is lost. The wait is on the
        client's side.
      - V(0) takes no sample; the rate, and the time until a slot is lost by WAL, are then unknown.
    type: float
    default: 0
seealso:
  - module: hmm.pg_replication.replication_slot
  - module: hmm.pg_replication.subscription
  - name: Monitoring replication
    description: "PostgreSQL's documentation, chapter The Cumulative Statistics System."
    link: https://www.postgresql.org/docs/current/monitoring-stats.html
  - name: pg_replication_slots
    description: What the server tells of its slots.
    link: https://www.postgresql.org/docs/current/view-pg-replication-slots.html
notes:
  - Any role that can connect may run this. To see standbys and the receiver in full it has to be a member of
    C(pg_monitor) (or C(pg_read_all_stats)).
  - LSNs are text, sizes are bytes, durations are seconds, and times are UTC as ISO 8601. A connection string is never
    read.
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Gather the lag of all ships from the shore
  hmm.pg_replication.repl_lag_facts:
    sample_seconds: 5
  become: true
  become_user: postgres

- name: Show what is wrong, worst first
  ansible.builtin.debug:
    msg: "{{ item.severity }}: {{ item.object }}: {{ item.what }} {{ item.do }}"
  loop: "{{ ansible_facts.repl_lag.problems }}"

- name: Gather with thresholds of a fleet that is away for three days at a time
  hmm.pg_replication.repl_lag_facts:
    sample_seconds: 10
    lag_bytes_warning: 2GB
    lag_bytes_critical: 20GB
    lag_seconds_warning: 259200
    lag_seconds_critical: 604800
    time_to_loss_warning: 518400
    login_host: shore.example.com
    login_user: monitoring
    login_password: "{{ monitoring_password }}"
    ca_cert: /etc/ssl/certs/fleet-ca.crt
  delegate_to: localhost

- name: Stop here where something is critical
  ansible.builtin.assert:
    that: ansible_facts.repl_lag.status != 'critical'
    fail_msg: "{{ ansible_facts.repl_lag.problems | map(attribute='what') | join(' ') }}"
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: success
  type: dict
  contains:
    repl_lag:
      description: How far replication has come, as this server sees it. What is null is unknown, or not there.
      returned: success
      type: dict
      contains:
        status:
          description: The worst severity of the problems. V(ok), V(warning) or V(critical).
          type: str
          returned: always
          sample: warning
        problems:
          description: What is wrong, worst first.
          type: list
          elements: dict
          returned: always
          contains:
            severity:
              description: V(warning) or V(critical).
              type: str
              returned: always
            object:
              description: What has the problem. V(server), V(receiver), V(replay), or a standby, a slot or a
                subscription with its name.
              type: str
              returned: always
            what:
              description: What is wrong, with the figures.
              type: str
              returned: always
            do:
              description: What to do.
              type: str
              returned: always
          sample:
            - severity: warning
              object: slot ship_oslo
              what: The slot has been inactive for 5 h 12 min, and its consumer lags 410.3 MB behind.
              do: See whether the link is up and its consumer runs; drop the slot if the ship has left for good.
        unknown:
          description: What the role may not read, or cannot see in this database.
          type: list
          elements: dict
          returned: always
          contains:
            what:
              description: What is unknown.
              type: str
              returned: always
            do:
              description: The grant, or the option, that would help.
              type: str
              returned: always
          sample:
            - what: "standbys: client_addr, state, sync_state and the lags"
              do: Grant the role pg_read_all_stats, or pg_monitor, which includes it.
        server:
          description: The server that was asked.
          type: dict
          returned: always
          contains:
            version:
              description: The version of PostgreSQL.
              type: str
              returned: always
            role:
              description: V(primary) or V(standby).
              type: str
              returned: always
            position:
              description: The end of the WAL. On a standby, the end of what it has received.
              type: str
              returned: always
            time:
              description: The server's clock.
              type: str
              returned: always
            timeline:
              description: The timeline.
              type: int
              returned: always
            system_identifier:
              description: What a primary and its standbys have in common, and no other server has.
              type: str
              returned: always
            sample_seconds:
              description: How long the sample was. Null without a sample.
              type: float
              returned: always
            wal_rate:
              description: Bytes of WAL a second during the sample, written by a primary or received by a standby.
              type: float
              returned: always
            replay_rate:
              description: Bytes of WAL a second that a standby replayed during the sample.
              type: float
              returned: always
            wal_senders_used:
              description: Walsenders in use.
              type: int
              returned: always
            max_wal_senders:
              description: Walsenders possible.
              type: int
              returned: always
            slots_used:
              description: Slots that exist.
              type: int
              returned: always
            max_replication_slots:
              description: Slots possible.
              type: int
              returned: always
            max_slot_wal_keep_size:
              description: Bytes of WAL that a slot retains at most. Null for no limit.
              type: int
              returned: always
            synchronous_standby_names:
              description: The standbys that commits wait for.
              type: str
              returned: always
            wal_receiver_timeout:
              description: After how many seconds of silence a receiver ends the connection. Null for never.
              type: float
              returned: always
          sample:
            version: "17.10"
            role: primary
            position: 16/B374D848
            time: "2026-11-22T08:15:30.123456Z"
            timeline: 1
            system_identifier: "7711044299274854203"
            sample_seconds: 5.004
            wal_rate: 81920.5
            replay_rate:
            wal_senders_used: 2
            max_wal_senders: 40
            slots_used: 3
            max_replication_slots: 40
            max_slot_wal_keep_size: 68719476736
            synchronous_standby_names: ""
            wal_receiver_timeout: 60.0
        standbys:
          description: What is connected to this server right now. Standbys, subscriptions and base backups.
          type: list
          elements: dict
          returned: always
          contains:
            name:
              description: The C(application_name). For a subscription, by default its name.
              type: str
              returned: always
            pid:
              description: The walsender's process.
              type: int
              returned: always
            type:
              description: V(physical) or V(logical).
              type: str
              returned: always
            slot:
              description: The slot that it uses.
              type: str
              returned: always
            client_addr:
              description: Its address. Null also for the local socket.
              type: str
              returned: always
            user:
              description: The role that it connected as.
              type: str
              returned: always
            state:
              description: V(startup), V(catchup), V(streaming), V(backup) or V(stopping).
              type: str
              returned: always
            sync_state:
              description: V(async), V(potential), V(sync) or V(quorum).
              type: str
              returned: always
            send_lag_bytes:
              description: Bytes of WAL not sent yet.
              type: int
              returned: always
            write_lag_bytes:
              description: Bytes of WAL that it has not written yet.
              type: int
              returned: always
            flush_lag_bytes:
              description: Bytes of WAL that it has not flushed to disk yet.
              type: int
              returned: always
            replay_lag_bytes:
              description: Bytes of WAL that it has not replayed yet.
              type: int
              returned: always
            write_lag_seconds:
              description: Seconds from flushing WAL here to its confirmation that it was written there. V(0) where
                all is written; null where there is more, and the server has not measured it yet. There is no such
                measure of sending.
              type: float
              returned: always
            flush_lag_seconds:
              description: The same until it is flushed there.
              type: float
              returned: always
            replay_lag_seconds:
              description: The same until it is replayed there.
              type: float
              returned: always
            reply_time:
              description: When it sent its last answer, by its own clock.
              type: str
              returned: always
          sample:
            - name: algeciras
              pid: 4711
              type: physical
              slot: ship_algeciras
              client_addr: 198.51.100.21
              user: replicator
              state: streaming
              sync_state: async
              send_lag_bytes: 0
              write_lag_bytes: 0
              flush_lag_bytes: 0
              replay_lag_bytes: 320
              write_lag_seconds: 0.0
              flush_lag_seconds: 0.0
              replay_lag_seconds: 0.412
              reply_time: "2026-11-22T08:15:29.711Z"
        slots:
          description: All slots, whether their consumer is connected or not.
          type: list
          elements: dict
          returned: always
          contains:
            name:
              description: The slot's name.
              type: str
              returned: always
            type:
              description: V(physical) or V(logical).
              type: str
              returned: always
            plugin:
              description: The output plugin of a logical slot.
              type: str
              returned: always
            database:
              description: The database of a logical slot.
              type: str
              returned: always
            temporary:
              description: Whether it goes with its session.
              type: bool
              returned: always
            active:
              description: Whether its consumer is connected.
              type: bool
              returned: always
            active_pid:
              description: The process that uses it.
              type: int
              returned: always
            restart_lsn:
              description: The oldest WAL that it retains. Null where it retains nothing yet.
              type: str
              returned: always
            confirmed_flush_lsn:
              description: How far the consumer of a logical slot has confirmed.
              type: str
              returned: always
            lag_bytes:
              description: Bytes of WAL that the consumer is behind. From C(confirmed_flush_lsn) of a logical slot,
                C(restart_lsn) of a physical one.
              type: int
              returned: always
            retained_bytes:
              description: Bytes of WAL that it retains.
              type: int
              returned: always
            wal_status:
              description: V(reserved), V(extended), V(unreserved) or V(lost).
              type: str
              returned: always
            safe_wal_size:
              description: Bytes of WAL that can still be written until it may be lost. Null for no limit.
              type: int
              returned: always
            seconds_until_lost:
              description: Seconds until it may be lost at the rate of the sample, or by
                C(idle_replication_slot_timeout) (PostgreSQL 18) if that is sooner. Null where nothing limits it, or
                the rate is 0 or unknown.
              type: float
              returned: always
            lost_by:
              description: What would end it then. V(wal) (C(max_slot_wal_keep_size)) or V(idle)
                (C(idle_replication_slot_timeout)).
              type: str
              returned: always
            inactive_since:
              description: Since when its consumer is away. PostgreSQL 17 or newer.
              type: str
              returned: always
            inactive_seconds:
              description: The same in seconds.
              type: float
              returned: always
            lost:
              description: Whether it is of no use any more.
              type: bool
              returned: always
            invalidation_reason:
              description: Why it was invalidated. PostgreSQL 17 or newer.
              type: str
              returned: always
            failover:
              description: Whether it is synchronised to standbys. PostgreSQL 17 or newer.
              type: bool
              returned: always
            synced:
              description: Whether it was synchronised from a primary. PostgreSQL 17 or newer.
              type: bool
              returned: always
          sample:
            - name: ship_oslo
              type: physical
              plugin:
              database:
              temporary: false
              active: false
              active_pid:
              restart_lsn: 16/99BC3000
              confirmed_flush_lsn:
              lag_bytes: 430483528
              retained_bytes: 430483528
              wal_status: reserved
              safe_wal_size: 68300000000
              seconds_until_lost: 833741.0
              lost_by: wal
              inactive_since: "2026-11-22T03:03:30.5Z"
              inactive_seconds: 18720.0
              lost: false
              invalidation_reason:
              failover: false
              synced: false
        receiver:
          description: What a standby receives and replays. Null on a primary.
          type: dict
          returned: always
          contains:
            running:
              description: Whether a walreceiver runs.
              type: bool
              returned: always
            status:
              description: The walreceiver's state, for example V(streaming) or V(waiting).
              type: str
              returned: always
            sender_host:
              description: The server that it receives from.
              type: str
              returned: always
            sender_port:
              description: That server's port.
              type: int
              returned: always
            slot:
              description: The slot there that it uses.
              type: str
              returned: always
            written_lsn:
              description: The end of the WAL that was written.
              type: str
              returned: always
            flushed_lsn:
              description: The end of the WAL that was flushed to disk.
              type: str
              returned: always
            latest_end_lsn:
              description: The end of the sender's WAL, as it last told.
              type: str
              returned: always
            last_message_time:
              description: When the sender's last message came.
              type: str
              returned: always
            last_message_seconds:
              description: How many seconds ago that was.
              type: float
              returned: always
            replay_lsn:
              description: The end of the WAL that was replayed.
              type: str
              returned: always
            replay_state:
              description: V(not paused), V(pause requested) (PostgreSQL 14 or newer) or V(paused).
              type: str
              returned: always
            last_replayed_commit:
              description: When the last transaction that was replayed was committed on the primary.
              type: str
              returned: always
            receive_lag_bytes:
              description: Bytes of WAL that the sender had, when it last told, and that are not received.
              type: int
              returned: always
            replay_lag_bytes:
              description: Bytes of WAL received and not replayed yet.
              type: int
              returned: always
            replay_lag_seconds:
              description: V(0) where all that was received is replayed and the receiver streams, so that an idle
                primary does not look like a lag; otherwise the age of the last commit that was replayed.
              type: float
              returned: always
          sample:
            running: true
            status: streaming
            sender_host: shore.example.com
            sender_port: 5432
            slot: ship_algeciras
            written_lsn: 16/B374D848
            flushed_lsn: 16/B374D848
            latest_end_lsn: 16/B374D848
            last_message_time: "2026-11-22T08:15:29.5Z"
            last_message_seconds: 0.623
            replay_lsn: 16/B374D848
            replay_state: not paused
            last_replayed_commit: "2026-11-22T08:15:29.1Z"
            receive_lag_bytes: 0
            replay_lag_bytes: 0
            replay_lag_seconds: 0.0
        subscriptions:
          description: The subscriptions of all databases.
          type: list
          elements: dict
          returned: always
          contains:
            name:
              description: The subscription's name.
              type: str
              returned: always
            database:
              description: Its database.
              type: str
              returned: always
            enabled:
              description: Whether it is enabled.
              type: bool
              returned: always
            slot:
              description: The name of its slot on the publisher.
              type: str
              returned: always
            workers:
              description: How many processes work for it, those that copy tables included.
              type: int
              returned: always
            apply_worker_pid:
              description: The process that receives its changes. Null where none runs.
              type: int
              returned: always
            received_lsn:
              description: The end of the WAL that was received.
              type: str
              returned: always
            latest_end_lsn:
              description: The end of the WAL at the publisher's last keepalive.
              type: str
              returned: always
            lag_bytes:
              description: Bytes between the two, which is what came since that keepalive. How far the publisher
                itself is ahead only its slot knows.
              type: int
              returned: always
            last_message_time:
              description: When the publisher's last message came.
              type: str
              returned: always
            last_message_seconds:
              description: How many seconds ago that was.
              type: float
              returned: always
            tables:
              description: How many tables it has, and how many of them are in each state. Null in other databases
                than that of the connection.
              type: dict
              returned: always
              contains:
                total:
                  description: All tables.
                  type: int
                  returned: always
                initialize:
                  description: The copy has not begun.
                  type: int
                  returned: always
                data_copy:
                  description: Being copied.
                  type: int
                  returned: always
                finished_copy:
                  description: Copied, and not caught up yet. PostgreSQL 14 or newer.
                  type: int
                  returned: always
                synchronized:
                  description: Caught up by its own worker.
                  type: int
                  returned: always
                ready:
                  description: Replicating.
                  type: int
                  returned: always
            apply_errors:
              description: Errors in applying changes since C(stats_reset), or since it was created. PostgreSQL 15 or
                newer.
              type: int
              returned: always
            sync_errors:
              description: Errors in the first copy of tables. PostgreSQL 15 or newer.
              type: int
              returned: always
            conflicts:
              description: Conflicts by their kind. PostgreSQL 18 or newer.
              type: dict
              returned: always
            stats_reset:
              description: When the counts were last set to 0.
              type: str
              returned: always
            errors_in_sample:
              description: How many errors came during the sample (O(sample_seconds)). A subscription that fails at the
                same change again and again has one in each C(wal_retrieve_retry_interval). Null without a sample.
                PostgreSQL 15 or newer.
              type: int
              returned: always
            skip_lsn:
              description: The end of the transaction that is to be skipped. PostgreSQL 15 or newer.
              type: str
              returned: always
            disable_on_error:
              description: Whether an error disables it. PostgreSQL 15 or newer.
              type: bool
              returned: always
            disabled_by_error:
              description: Whether it seems to have been disabled by an error. It is disabled, disables itself on
                errors, and had some. PostgreSQL 15 or newer.
              type: bool
              returned: always
          sample:
            - name: ship_oslo
              database: hmm_db
              enabled: true
              slot: ship_oslo
              workers: 1
              apply_worker_pid: 4712
              received_lsn: 16/B374D848
              latest_end_lsn: 16/B374D848
              lag_bytes: 0
              last_message_time: "2026-11-22T08:15:29.5Z"
              last_message_seconds: 0.623
              tables: {total: 4, initialize: 0, data_copy: 0, finished_copy: 0, synchronized: 0, ready: 4}
              apply_errors: 0
              sync_errors: 0
              conflicts:
              stats_reset:
              errors_in_sample:
              skip_lsn:
              disable_on_error: true
              disabled_by_error: false
"""

from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import read_lag
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    LagRequest,
    assess,
    lag_request,
    limit_spec,
    status_of,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)


def gather_lag(context: Context, request: LagRequest) -> Result:
    """Read the server, and judge what was read."""
    lag = read_lag(context.session, request.sample_seconds)
    problems = assess(lag, request)
    facts = {
        "status": status_of(problems),
        "problems": [problem.shown() for problem in problems],
        **lag.shown(),
    }
    return {"changed": False, "ansible_facts": {"repl_lag": facts}}


def main() -> None:
    run_module(
        {
            "sample_seconds": {"type": "float", "default": 0},
            **limit_spec(),
        },
        lag_request,
        gather_lag,
    )


if __name__ == "__main__":
    main()

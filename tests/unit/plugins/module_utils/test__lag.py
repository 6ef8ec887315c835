# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import (
    Lag,
    ReceiverLag,
    SlotLag,
    StandbyLag,
    SubscriptionLag,
    lag_of,
)

MB = 2**20
SETTINGS = {
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_slot_wal_keep_size": "-1",
    "synchronous_standby_names": "",
    "wal_receiver_timeout": "60000",
}


def row(**more: Any) -> dict[str, Any]:
    """What a primary answers that has nothing to tell, and more."""
    return {
        "in_recovery": False,
        "clock": 1000.0,
        "position": "0/1000000",
        "replay_lsn": None,
        "time": "2026-11-22T08:15:30.5",
        "timeline": "0000000A",
        "system_identifier": "7711044278356213362",
        "checkpoint_timeline": 9,
        "settings": SETTINGS,
        "standbys": None,
        "slots": None,
        "receiver": None,
        "replay_state": None,
        "receive_lsn": None,
        "commit_time": None,
        "commit_age": None,
        "subscriptions": None,
        "workers": None,
        "tables": None,
        "statistics": None,
        **more,
    }


def lag(version: int = 180000, sample: dict[str, Any] | None = None, **more: Any) -> Lag:
    return lag_of(version, row(**more), sample)


def sample(position: str, seconds: float = 10, replay: str | None = None) -> dict[str, Any]:
    return {
        "in_recovery": replay is not None,
        "clock": 1000.0 + seconds,
        "position": position,
        "replay_lsn": replay,
    }


# --- the server ----------------------------------------------------------------------------------


def test_a_quiet_primary() -> None:
    assert lag(170010).shown() == {
        "server": {
            "version": "17.10",
            "role": "primary",
            "position": "0/1000000",
            "time": "2026-11-22T08:15:30.5Z",
            "timeline": 10,
            "system_identifier": "7711044278356213362",
            "sample_seconds": None,
            "wal_rate": None,
            "replay_rate": None,
            "wal_senders_used": 0,
            "max_wal_senders": 10,
            "slots_used": 0,
            "max_replication_slots": 10,
            "max_slot_wal_keep_size": None,
            "synchronous_standby_names": "",
            "wal_receiver_timeout": 60.0,
        },
        "standbys": [],
        "slots": [],
        "receiver": None,
        "subscriptions": [],
        "unknown": [],
    }


def test_settings_in_bytes_and_seconds() -> None:
    settings = {**SETTINGS, "max_slot_wal_keep_size": "64", "wal_receiver_timeout": "0"}
    server = lag(settings=settings).server
    assert server.max_slot_wal_keep_size == 64 * MB
    assert server.wal_receiver_timeout is None


@pytest.mark.parametrize(
    ("end", "rate"),
    [
        (sample("0/1000000"), 0.0),
        (sample("0/1000064"), 10.0),
        (sample("1/1000000", seconds=4096), 2.0**20),
        (sample("0/1000"), 0.0),  # not possible, and no negative rate
        (sample("0/1000064", seconds=0), None),
        (None, None),
    ],
)
def test_the_rate_of_a_sample(end: dict[str, Any] | None, rate: float | None) -> None:
    assert lag(sample=end).server.wal_rate == rate


def test_a_standby_has_two_rates() -> None:
    server = lag(
        in_recovery=True,
        timeline=None,
        replay_lsn="0/1000000",
        sample=sample("0/1000064", replay="0/1000032"),
        replay_state="not paused",
    ).server
    assert (server.role, server.wal_rate, server.replay_rate) == ("standby", 10.0, 5.0)
    assert server.timeline == 9  # the last checkpoint's, where nothing is received


# --- slots ---------------------------------------------------------------------------------------


def slot(end: dict[str, Any] | None = None, idle: str | None = None, **more: Any) -> SlotLag:
    found = {
        "slot_name": "ship",
        "slot_type": "physical",
        "plugin": None,
        "database": None,
        "temporary": False,
        "active": False,
        "active_pid": None,
        "restart_lsn": "0/FFF000",
        "confirmed_flush_lsn": None,
        "wal_status": "reserved",
        "safe_wal_size": None,
        "inactive_since": "2026-11-22T08:00:00",
        "inactive_age": 930.5,
        "invalidation_reason": None,
        "failover": False,
        "synced": False,
        **more,
    }
    settings = {**SETTINGS, "idle_replication_slot_timeout": idle}
    return lag(slots=[found], sample=end, settings=settings).slots[0]


def test_the_lag_of_a_slot_is_its_consumers() -> None:
    assert (slot().lag_bytes, slot().retained_bytes) == (0x1000, 0x1000)
    logical = slot(slot_type="logical", confirmed_flush_lsn="0/FFFF00")
    assert (logical.lag_bytes, logical.retained_bytes) == (0x100, 0x1000)
    unused = slot(restart_lsn=None)
    assert (unused.lag_bytes, unused.retained_bytes) == (None, None)


def test_a_position_that_is_further_than_the_servers_was() -> None:
    assert slot(restart_lsn="0/1000010").lag_bytes == 0


def test_an_active_slot_is_not_inactive() -> None:
    active = slot(active=True, active_pid=4711)
    assert (active.inactive_since, active.inactive_seconds) == (None, None)
    assert (slot().inactive_since, slot().inactive_seconds) == ("2026-11-22T08:00:00Z", 930.5)


@pytest.mark.parametrize(
    ("end", "idle", "more", "seconds", "by"),
    [
        (None, None, {"safe_wal_size": 1000}, None, None),
        (sample("0/1000000"), None, {"safe_wal_size": 1000}, None, None),
        (sample("0/1000064"), None, {"safe_wal_size": 1000}, 100.0, "wal"),
        (sample("0/1000064"), None, {"safe_wal_size": None}, None, None),
        (None, None, {"safe_wal_size": -5}, 0.0, "wal"),
        (None, None, {"wal_status": "lost"}, 0.0, None),
        (None, "0", {}, None, None),
        (None, "1000", {}, 69.5, "idle"),
        (None, "600", {}, 0.0, "idle"),
        (None, "1000", {"synced": True}, None, None),
        (None, "1000", {"restart_lsn": None}, None, None),
        (None, "1000", {"active": True}, None, None),
        (sample("0/1000064"), "1000", {"safe_wal_size": 1000}, 69.5, "idle"),
        (sample("0/1000064"), "2000", {"safe_wal_size": 1000}, 100.0, "wal"),
    ],
)
def test_seconds_until_lost(
    end: dict[str, Any] | None,
    idle: str | None,
    more: dict[str, Any],
    seconds: float | None,
    by: str | None,
) -> None:
    found = slot(end, idle, **more)
    assert (found.seconds_until_lost, found.lost_by) == (seconds, by)


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        ({}, False),
        ({"wal_status": "unreserved"}, False),
        ({"wal_status": "lost"}, True),
        ({"invalidation_reason": "idle_timeout"}, True),
    ],
)
def test_lost(more: dict[str, Any], lost: bool) -> None:
    assert slot(**more).lost is lost


# --- standbys ------------------------------------------------------------------------------------


def standby(**more: Any) -> StandbyLag:
    found = {
        "pid": 4711,
        "application_name": "algeciras",
        "usename": "replicator",
        "client_addr": "198.51.100.21",
        "state": "streaming",
        "sync_state": "async",
        "sent_lsn": "0/1000000",
        "write_lsn": "0/FFFFF0",
        "flush_lsn": "0/FFFFE0",
        "replay_lsn": "0/FFFFD0",
        "write_lag": 0.1,
        "flush_lag": 0.2,
        "replay_lag": 0.3,
        "reply_time": "2026-11-22T08:15:30",
        **more,
    }
    return lag(standbys=[found]).standbys[0]


def test_the_lag_of_each_stage() -> None:
    found = standby()
    assert found.send_lag_bytes == 0
    assert (found.write_lag_bytes, found.write_lag_seconds) == (0x10, 0.1)
    assert (found.flush_lag_bytes, found.flush_lag_seconds) == (0x20, 0.2)
    assert (found.replay_lag_bytes, found.replay_lag_seconds) == (0x30, 0.3)


@pytest.mark.parametrize("measured", [None, 5.0])
def test_a_standby_that_is_caught_up_does_not_lag(measured: float | None) -> None:
    found = standby(replay_lsn="0/1000000", replay_lag=measured)
    assert (found.replay_lag_bytes, found.replay_lag_seconds) == (0, 0.0)


def test_a_lag_that_the_server_has_not_measured_is_unknown() -> None:
    assert standby(replay_lag=None).replay_lag_seconds is None


def test_a_standby_that_cannot_be_seen_is_unknown() -> None:
    hidden = dict.fromkeys(
        ("client_addr", "state", "sync_state", "sent_lsn", "write_lsn", "flush_lsn", "replay_lsn")
    )
    found = standby(**hidden, write_lag=None, flush_lag=None, replay_lag=None)
    assert (found.replay_lag_bytes, found.replay_lag_seconds) == (None, None)


# --- the receiver --------------------------------------------------------------------------------


def receiver(running: bool = True, **more: Any) -> ReceiverLag:
    walreceiver = {
        "pid": 4711,
        "status": "streaming",
        "received_tli": 3,
        "sender_host": "shore",
        "sender_port": 5432,
        "slot_name": "ship",
        "written_lsn": "0/1000000",
        "flushed_lsn": "0/1000000",
        "latest_end_lsn": "0/1000100",
        "message_time": "2026-11-22T08:15:30",
        "message_age": 0.5,
    }
    answer = {
        "in_recovery": True,
        "timeline": None,
        "replay_lsn": "0/1000000",
        "receive_lsn": "0/1000000",
        "replay_state": "not paused",
        "commit_time": "2026-11-22T07:15:30",
        "commit_age": 3600.0,
        "receiver": {**walreceiver, **more.pop("receiver", {})} if running else None,
        **more,
    }
    found = lag(**answer).receiver
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        (receiver(), 0.0),
        (receiver(replay_lsn="0/1000010"), 0.0),  # archived WAL is further than the received
        (receiver(replay_lsn="0/FFFFF0"), 3600.0),
        (receiver(running=False), 3600.0),
        (receiver(receiver={"status": "waiting"}), 3600.0),
        (receiver(receiver={"status": None}), None),
        (receiver(replay_lsn="0/FFFFF0", commit_age=None), None),
    ],
)
def test_the_replay_lag_in_seconds(found: ReceiverLag, seconds: float | None) -> None:
    assert found.replay_lag_seconds == seconds


def test_what_is_received_and_replayed() -> None:
    found = receiver(replay_lsn="0/FFFFF0")
    assert (found.receive_lag_bytes, found.replay_lag_bytes) == (0x100, 0x10)
    gone = receiver(running=False)
    assert (gone.running, gone.status, gone.receive_lag_bytes) == (False, None, None)
    assert str(gone.flushed_lsn) == "0/1000000"


# --- subscriptions -------------------------------------------------------------------------------

SUBSCRIPTION = {
    "oid": 7,
    "subname": "ship",
    "datname": "hmm_db",
    "here": True,
    "subenabled": True,
    "subslotname": "ship",
    "subskiplsn": "0/0",
    "subdisableonerr": False,
}
APPLY = {
    "subid": 7,
    "subname": "ship",
    "pid": 4711,
    "leads": True,
    "received_lsn": "0/100",
    "latest_end_lsn": "0/C0",
    "message_time": "2026-11-22T08:15:30",
    "message_age": 0.5,
}
COPYING = {**APPLY, "pid": 4712, "leads": False, "received_lsn": None, "latest_end_lsn": None}


def subscription(**more: Any) -> SubscriptionLag:
    answer = {
        "subscriptions": [{**SUBSCRIPTION, **more.pop("subscription", {})}],
        "workers": [COPYING, APPLY],
        "tables": [
            {"subid": 7, "state": "r", "tables": 3},
            {"subid": 7, "state": "d", "tables": 1},
            {"subid": 8, "state": "r", "tables": 5},
        ],
        **more,
    }
    return lag(**answer).subscriptions[0]


def test_a_subscription_has_its_own_workers_and_tables() -> None:
    found = subscription()
    assert (found.workers, found.apply_worker_pid, found.lag_bytes) == (2, 4711, 0x40)
    assert found.tables == {
        "total": 4,
        "initialize": 0,
        "data_copy": 1,
        "finished_copy": 0,
        "synchronized": 0,
        "ready": 3,
    }
    assert found.skip_lsn is None


def test_a_subscription_without_workers() -> None:
    found = subscription(workers=[{**APPLY, "pid": None}])
    assert (found.workers, found.apply_worker_pid, found.received_lsn) == (0, None, None)


def test_tables_of_another_database_are_unknown() -> None:
    found = lag(subscriptions=[{**SUBSCRIPTION, "here": False}], workers=[APPLY], tables=[]).shown()
    assert found["subscriptions"][0]["tables"] is None
    assert found["unknown"] == [
        {
            "what": "subscriptions in hmm_db: tables",
            "do": "They can be seen in that database only: set login_db to hmm_db.",
        }
    ]


def test_by_name_where_the_oid_cannot_be_read() -> None:
    found = subscription(subscription={"oid": None})
    assert (found.workers, found.apply_worker_pid) == (2, 4711)


def test_one_name_in_two_databases_is_unknown_without_the_oid() -> None:
    hidden = {**SUBSCRIPTION, "oid": None}
    found = lag(
        subscriptions=[hidden, {**hidden, "datname": "other", "here": False}],
        workers=[APPLY, {**APPLY, "subid": 8}],
    )
    assert [known.workers for known in found.subscriptions] == [None, None]
    assert found.subscriptions[0].tables is None
    assert found.unknown[0].what == (
        "subscription ship in hmm_db: all but its name, database, slot and whether it is enabled"
    )


@pytest.mark.parametrize(
    ("enabled", "on_error", "errors", "disabled_by_error"),
    [
        (True, True, 1, False),
        (False, True, 0, False),
        (False, False, 1, False),
        (False, True, 1, True),
        (False, None, 1, None),
    ],
)
def test_disabled_by_error(
    enabled: bool, on_error: bool | None, errors: int, disabled_by_error: bool | None
) -> None:
    counts = {"subid": 7, "apply_error_count": errors, "sync_error_count": 0}
    changed = {"subenabled": enabled, "subdisableonerr": on_error}
    found = subscription(subscription=changed, statistics=[counts])
    assert found.disabled_by_error is disabled_by_error


def test_conflicts_by_kind() -> None:
    counts = {"subid": 7, "apply_error_count": 2, "sync_error_count": 0, "stats_reset": None}
    assert subscription(statistics=[counts]).conflicts is None
    found = subscription(statistics=[{**counts, "confl_update_missing": 3}])
    assert (found.apply_errors, found.conflicts) == (2, {"update_missing": 3})


# --- what could not be read ----------------------------------------------------------------------


def test_what_would_help() -> None:
    assert lag(system_identifier=None, checkpoint_timeline=None).unknown[0].do == (
        "Grant the role EXECUTE on pg_control_system() and pg_control_checkpoint()."
    )

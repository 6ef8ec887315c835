# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import (
    Fact,
    Lag,
    ReceiverLag,
    ServerLag,
    SlotLag,
    StandbyLag,
    SubscriptionLag,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    Limits,
    assess,
    duration,
    lag_request,
    size,
    status_of,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn

MB, GB = 2**20, 2**30
HOUR, DAY = 3600, 86400
DEFAULTS = {
    "sample_seconds": 0,
    "lag_bytes_warning": "256MB",
    "lag_bytes_critical": "4GB",
    "lag_seconds_warning": HOUR,
    "lag_seconds_critical": DAY,
    "time_to_loss_warning": DAY,
    "time_to_loss_critical": HOUR,
    "retained_bytes_warning": "16GB",
    "retained_bytes_critical": "64GB",
}
PRIMARY = ServerLag(version="18.4", role="primary", position=Lsn(0))
STANDBY = ServerLag(version="18.4", role="standby", position=Lsn(0))


def slot(**more: Any) -> SlotLag:
    return SlotLag(
        **{
            "name": "ship",
            "type": "physical",
            "wal_status": "reserved",
            "lag_bytes": 0,
            "inactive_seconds": 60.0,
            **more,
        }
    )


def standby(**more: Any) -> StandbyLag:
    return StandbyLag(**{"name": "oslo", "pid": 1, "state": "streaming", **more})


def receiver(**more: Any) -> ReceiverLag:
    return ReceiverLag(**{"running": True, "status": "streaming", **more})


def subscription(**more: Any) -> SubscriptionLag:
    return SubscriptionLag(
        **{
            "name": "ship",
            "database": "hmm_db",
            "enabled": True,
            "workers": 1,
            "apply_worker_pid": 1,
            **more,
        }
    )


def lag(*facts: Fact, server: ServerLag = PRIMARY) -> Lag:
    def of(kind: type[Fact]) -> tuple[Any, ...]:
        return tuple(fact for fact in facts if isinstance(fact, kind))

    return Lag(
        server=server,
        standbys=of(StandbyLag),
        slots=of(SlotLag),
        receiver=next(iter(of(ReceiverLag)), None),
        subscriptions=of(SubscriptionLag),
    )


def problems(*facts: Fact, server: ServerLag = PRIMARY, **options: Any) -> list[str]:
    """Each problem as "severity object: what"."""
    found = assess(lag(*facts, server=server), lag_request({**DEFAULTS, **options}))
    for problem in found:
        assert problem.do.endswith(".")
    return [f"{problem.severity} {problem.object}: {problem.what}" for problem in found]


# --- options -------------------------------------------------------------------------------------


def test_sizes_have_units() -> None:
    request = lag_request(
        {**DEFAULTS, "lag_bytes_warning": "1048576", "lag_bytes_critical": "1.5 GB"}
    )
    assert request.lag_bytes == Limits(MB, 1.5 * GB)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"lag_bytes_warning": "much"},
            (
                "lag_bytes_warning: 'much' is not a limit: write a number, for bytes also one with a"
                " unit (512MB), and 0 for no limit."
            ),
        ),
        (
            {"lag_seconds_critical": -1},
            (
                "lag_seconds_critical: -1 is not a limit: write a number, for bytes also one with a"
                " unit (512MB), and 0 for no limit."
            ),
        ),
        (
            {"lag_bytes_warning": "5GB"},
            (
                "lag_bytes_warning has to be below lag_bytes_critical, or nothing would ever be a"
                " warning."
            ),
        ),
        (
            {"time_to_loss_warning": 60},
            (
                "time_to_loss_warning has to be above time_to_loss_critical, or nothing would ever be"
                " a warning."
            ),
        ),
        ({"sample_seconds": -0.5}, "sample_seconds: 0 to 3600 seconds are possible."),
        ({"sample_seconds": float("nan")}, "sample_seconds: 0 to 3600 seconds are possible."),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        lag_request({**DEFAULTS, **options})
    assert raised.value.message == told


@pytest.mark.parametrize("option", [name for name in DEFAULTS if name != "sample_seconds"])
def test_0_is_no_limit(option: str) -> None:
    assert lag_request({**DEFAULTS, option: 0})


@pytest.mark.parametrize(
    ("limits", "value", "reached", "undercut"),
    [
        (Limits(10, 20), None, "ok", "ok"),
        (Limits(10, 20), 9, "ok", "critical"),
        (Limits(10, 20), 10, "warning", "critical"),
        (Limits(10, 20), 20, "critical", "ok"),
        (Limits(20, 10), 10, "critical", "warning"),
        (Limits(0, 0), 0, "ok", "ok"),
        (Limits(0, 0), 1e12, "ok", "ok"),
        (Limits(10, 0), 20, "warning", "ok"),
        (Limits(0, 20), 19, "ok", "critical"),
    ],
)
def test_limits(limits: Limits, value: float | None, reached: str, undercut: str) -> None:
    assert limits.reached(value) == reached
    assert limits.undercut(value) == undercut


# --- text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 kB"),
        (1536 * MB, "1.5 GB"),
        (3 * 2**40, "3.0 TB"),
        (2**60, "1048576.0 TB"),
    ],
)
def test_size(number: int, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (11045, "3 h 4 min"),
        (DAY + HOUR, "1 d 1 h"),
        (2 * DAY + 60, "2 d"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "facts",
    [
        (),
        (slot(),),
        (slot(active=True, active_pid=1, inactive_seconds=None), standby()),
        (slot(synced=True, inactive_seconds=9 * DAY),),
        (standby(replay_lag_bytes=0, replay_lag_seconds=0.0),),
        (standby(state=None),),
        (receiver(last_message_seconds=30.0, replay_lag_seconds=0.0),),
        (receiver(status=None),),
        (subscription(last_message_seconds=30.0, tables={"total": 1, "ready": 1}),),
        (subscription(workers=None, apply_worker_pid=None),),
    ],
)
def test_nothing_is_wrong(facts: tuple[Fact, ...]) -> None:
    assert problems(*facts) == []


@pytest.mark.parametrize(
    ("fact", "told"),
    [
        # a slot that is lost, or will be
        (
            slot(wal_status="lost", lost=True, lag_bytes=9 * GB, retained_bytes=99 * GB),
            ["critical slot ship: The slot is lost: it protects nothing any more."],
        ),
        (
            slot(lost=True, invalidation_reason="idle_timeout"),
            ["critical slot ship: The slot is lost (idle_timeout): it protects nothing any more."],
        ),
        (
            slot(wal_status="unreserved", seconds_until_lost=0.0, lost_by="wal"),
            [
                (
                    "critical slot ship: The slot is beyond max_slot_wal_keep_size: the next checkpoint may"
                    " remove the WAL that it needs, and a ship that attaches now is still saved."
                )
            ],
        ),
        (
            slot(wal_status="extended"),
            [
                (
                    "warning slot ship: The slot retains more WAL than max_wal_size, and nothing limits"
                    " it."
                )
            ],
        ),
        (
            slot(wal_status="extended", safe_wal_size=3 * MB, seconds_until_lost=9.0 * DAY),
            [
                (
                    "warning slot ship: The slot retains more WAL than max_wal_size, and 3.0 MB more until"
                    " it may be lost."
                )
            ],
        ),
        (
            slot(wal_status="extended", seconds_until_lost=2.0 * HOUR, lost_by="wal"),
            [
                (
                    "warning slot ship: The slot is lost in 2 h, if its consumer does not come further and"
                    " WAL is written as now."
                )
            ],
        ),
        (
            slot(seconds_until_lost=600.0, lost_by="idle"),
            ["critical slot ship: The slot is lost in 10 min, if its consumer stays away."],
        ),
        # a dark ship
        (
            slot(retained_bytes=16 * GB),
            ["warning slot ship: The slot retains 16.0 GB of WAL on this server's disk."],
        ),
        (
            slot(retained_bytes=64 * GB),
            ["critical slot ship: The slot retains 64.0 GB of WAL on this server's disk."],
        ),
        (
            slot(lag_bytes=300 * MB),
            [
                (
                    "warning slot ship: The slot has been inactive for 1 min, and its consumer lags 300.0 MB"
                    " behind."
                )
            ],
        ),
        (
            slot(lag_bytes=4 * GB),
            [
                (
                    "critical slot ship: The slot has been inactive for 1 min, and its consumer lags 4.0 GB"
                    " behind."
                )
            ],
        ),
        (
            slot(inactive_seconds=9.0 * DAY),
            [
                (
                    "warning slot ship: The slot has been inactive for 9 d, and its consumer lags 0 bytes"
                    " behind."
                )
            ],
        ),
        (
            slot(inactive_seconds=None),
            [
                "warning slot ship: The slot has been inactive, and its consumer lags 0 bytes behind."
            ],
        ),
        (
            slot(inactive_seconds=None, lag_bytes=None),
            ["warning slot ship: The slot has been inactive, and it retains nothing yet."],
        ),
        # a walsender that cannot be seen
        (
            slot(active=True, active_pid=1, inactive_seconds=None, lag_bytes=300 * MB),
            ["warning slot ship: Its consumer lags 300.0 MB behind."],
        ),
        # a standby
        (
            standby(replay_lag_bytes=300 * MB),
            ["warning standby oslo: The standby lags 300.0 MB behind."],
        ),
        (
            standby(replay_lag_bytes=5, replay_lag_seconds=1.0 * DAY),
            ["critical standby oslo: The standby lags 5 bytes and 1 d behind."],
        ),
        (
            standby(name="", state="catchup"),
            ["warning standby 1: The standby is catching up, and does not stream yet."],
        ),
        (
            standby(state="startup"),
            ["warning standby oslo: The standby is connecting, and does not stream yet."],
        ),
        (standby(state="backup"), ["warning standby oslo: A base backup is being taken."]),
        # a receiver
        (
            receiver(running=False, status=None),
            ["warning receiver: The standby is not connected to its primary: no walreceiver runs."],
        ),
        (
            receiver(status="waiting"),
            ["warning receiver: The standby does not stream: its walreceiver is waiting."],
        ),
        (
            receiver(last_message_seconds=45.0),
            ["warning receiver: No message has come from the sender for 45 s."],
        ),
        (
            receiver(replay_state="paused"),
            ["warning replay: Replay is paused, and what the primary does is not seen here."],
        ),
        (
            receiver(replay_state="pause requested"),
            [
                "warning replay: Replay is about to pause, and what the primary does is not seen here."
            ],
        ),
        (
            receiver(receive_lag_bytes=200 * MB, replay_lag_bytes=100 * MB),
            ["warning replay: This standby lags 300.0 MB behind."],
        ),
        (
            receiver(replay_lag_bytes=1, replay_lag_seconds=7200.0),
            ["warning replay: This standby lags 1 byte and 2 h behind."],
        ),
        # a subscription
        (
            subscription(enabled=False),
            ["warning subscription ship: The subscription is disabled in hmm_db."],
        ),
        (
            subscription(enabled=False, apply_errors=2, stats_reset="2026-11-22T08:15:30Z"),
            [
                (
                    "warning subscription ship: The subscription is disabled in hmm_db, after 2 errors"
                    " (2 applying, 0 copying) since 2026-11-22T08:15:30Z."
                )
            ],
        ),
        (
            subscription(enabled=False, disabled_by_error=True, apply_errors=1),
            [
                (
                    "critical subscription ship: The subscription is disabled in hmm_db, after 1 error"
                    " (1 applying, 0 copying) since it was created: by an error, as disable_on_error"
                    " demands."
                )
            ],
        ),
        (
            subscription(workers=0, apply_worker_pid=None),
            [
                "warning subscription ship: The subscription is enabled in hmm_db, and no worker runs."
            ],
        ),
        (
            subscription(last_message_seconds=50.0),
            ["warning subscription ship: No message has come from the sender for 50 s."],
        ),
        (
            subscription(apply_errors=1, sync_errors=2),
            [
                (
                    "warning subscription ship: The subscription had 3 errors (1 applying, 2 copying) since"
                    " it was created."
                )
            ],
        ),
        (
            subscription(conflicts={"insert_exists": 0, "update_missing": 1}),
            [
                (
                    "warning subscription ship: The subscription had 1 conflict since it was created:"
                    " update_missing 1."
                )
            ],
        ),
        (
            subscription(tables={"total": 3, "initialize": 1, "data_copy": 1, "ready": 1}),
            ["warning subscription ship: 2 of 3 tables are not ready: initialize 1, data_copy 1."],
        ),
    ],
)
def test_a_problem(fact: Fact, told: list[str]) -> None:
    assert problems(fact) == told


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ({"wal_senders_used": 8}, []),
        ({"wal_senders_used": 9}, ["warning server: 9 of 10 walsenders are in use."]),
        (
            {"wal_senders_used": 10},
            ["critical server: 10 of 10 walsenders are in use, and no other standby can connect."],
        ),
        ({"max_wal_senders": 0}, []),
        ({"slots_used": 9}, ["warning server: 9 of 10 replication slots are in use."]),
        (
            {"slots_used": 10},
            ["warning server: 10 of 10 replication slots are in use, and no other can be made."],
        ),
    ],
)
def test_what_is_used_up(server: dict[str, Any], told: list[str]) -> None:
    fields = {"version": "18.4", "role": "primary", "position": None, **server}
    assert problems(server=ServerLag(**fields)) == told


@pytest.mark.parametrize(
    ("names", "states", "missing"),
    [
        ("", [], None),
        ("oslo", [], "0 of 1"),
        ("oslo", ["sync"], None),
        ("oslo", ["async"], "0 of 1"),
        ("FIRST 2 (oslo, bergen)", ["sync", "potential"], "1 of 2"),
        ("any 2 (oslo, bergen)", ["quorum", "quorum"], None),
        ("2(oslo, bergen)", ["sync"], "1 of 2"),
        ("first", ["sync"], None),
        ("oslo", ["sync", None], None),  # what cannot be seen is no problem
    ],
)
def test_synchronous_standbys(names: str, states: list[str | None], missing: str | None) -> None:
    server = ServerLag("18.4", "primary", Lsn(0), synchronous_standby_names=names)
    connected = [standby(sync_state=sync, state=sync and "streaming") for sync in states]
    assert problems(*connected, server=server) == (
        [
            (
                f"critical server: {missing} synchronous standbys are connected, and commits wait for"
                f" the rest (synchronous_standby_names: {names})."
            )
        ]
        if missing
        else []
    )


def test_a_standby_waits_for_nobody_and_runs_no_subscription() -> None:
    server = ServerLag("18.4", "standby", Lsn(0), synchronous_standby_names="oslo")
    assert problems(subscription(workers=0, apply_worker_pid=None), server=server) == []


def test_silence_is_measured_by_the_time_out_if_there_is_one() -> None:
    quiet = receiver(last_message_seconds=100.0)
    patient = ServerLag("18.4", "standby", Lsn(0), wal_receiver_timeout=300)
    endless = ServerLag("18.4", "standby", Lsn(0), wal_receiver_timeout=None)
    assert problems(quiet, server=patient) == []
    assert problems(quiet, server=endless) == []
    assert problems(quiet, server=endless, lag_seconds_warning=90) == [
        "warning receiver: No message has come from the sender for 1 min 40 s."
    ]


def test_the_worst_comes_first() -> None:
    dark, lost = slot(inactive_seconds=9.0 * DAY), slot(name="gone", lost=True)
    found = assess(lag(dark, lost), lag_request(DEFAULTS))
    assert [problem.object for problem in found] == ["slot gone", "slot ship"]
    assert status_of(found) == "critical"
    assert status_of(found[1:]) == "warning"
    assert status_of([]) == "ok"


def test_thresholds_can_be_turned_off() -> None:
    facts = (slot(lag_bytes=9 * GB, retained_bytes=99 * GB, seconds_until_lost=1.0),)
    options = [name for name in DEFAULTS if name != "sample_seconds"]
    assert problems(*facts, **dict.fromkeys(options, 0)) == []

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the shore's figures say of a ship, and of the shore."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import (
    STATUS_DEFAULTS,
    Archive,
    Seen,
    Shore,
    StatusRequest,
    epoch,
    iso,
    settled,
    shore_of,
    status_report,
    status_request,
    streaming_elsewhere,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import (
    Lag,
    ServerLag,
    SlotLag,
    StandbyLag,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn

MB, GB = 2**20, 2**30
POSITION = Lsn.parse("test", "1/F0000000")
TIME = "2026-11-22T08:15:29.71Z"
SERVER = ServerLag(
    "17.6", "primary", POSITION, time=TIME, max_slot_wal_keep_size=10 * GB, timeline=1
)
SHORE = Shore(
    wal_directory_bytes=GB,
    disk_path="/wal",
    disk_total_bytes=500 * GB,
    disk_free_bytes=300 * GB,
    archive=Archive(enabled=True, last_archived_time="2026-11-22T08:10:00Z"),
)


def slot(name: str = "ship_oslo", **more: Any) -> SlotLag:
    given = {"type": "physical", "restart_lsn": POSITION, "lag_bytes": 0, "retained_bytes": 0}
    return SlotLag(name, **{**given, **more})


def standby(slot: str | None = "ship_oslo", **more: Any) -> StandbyLag:
    given = {"user": "ship_oslo", "state": "streaming", "replay_lag_bytes": 0}
    return StandbyLag("17/main", 11, slot=slot, **{**given, "replay_lag_seconds": 0.0, **more})


def archive(**more: Any) -> Archive:
    return Archive(True, failed_count=3, last_failed_time="2026-11-22T08:09:00Z", **more)


def request(**more: Any) -> StatusRequest:
    ships = [{"name": "oslo", "slot": "ship_oslo", "mode": "logical"}]
    return status_request({"ships": ships, **STATUS_DEFAULTS, **more})


def report(
    *slots: SlotLag,
    standbys: tuple[StandbyLag, ...] = (),
    server: ServerLag = SERVER,
    shore: Shore = SHORE,
    contacts: dict[str, float] | None = None,
    **more: Any,
) -> dict[str, Any]:
    seen = Seen(Lag(server, standbys, slots), shore, contacts or {})
    return status_report("busan", seen, request(**more))


def ship(*args: Any, **more: Any) -> dict[str, Any]:
    (found,) = report(*args, **more)["ships"]
    return dict(found)


def told(found: dict[str, Any]) -> list[str]:
    return [f"{p['severity']}: {p['object']}: {p['what']}" for p in found["problems"]]


ACTIVE = {"active": True, "active_pid": 11}


@pytest.mark.parametrize(
    ("slots", "standbys", "state", "severity"),
    [
        ([slot(**ACTIVE)], [standby()], "streaming", "ok"),
        # hidden from a role without pg_monitor
        ([slot(**ACTIVE)], [standby(state=None, replay_lag_bytes=None)], "streaming", "ok"),
        ([slot(**ACTIVE)], [standby(state="catchup")], "catching up", "warning"),
        ([slot(**ACTIVE)], [standby(replay_lag_bytes=300 * MB)], "catching up", "warning"),
        ([slot(**ACTIVE)], [standby(replay_lag_bytes=5 * GB)], "catching up", "critical"),
        ([slot(inactive_seconds=5.0)], [], "dark", "warning"),
        ([slot(lag_bytes=5 * GB)], [], "dark", "critical"),
        ([slot(lost=True, lag_bytes=None)], [], "lost", "critical"),
        ([], [], "missing", "critical"),
        ([], [standby(slot=None)], "streaming", "warning"),
        ([slot()], [standby(slot=None, state="backup")], "seeding", "ok"),
        ([slot("ship_oslo_seed")], [], "seeding", "ok"),
        ([slot("ship_oslo_seed", **ACTIVE)], [standby("ship_oslo_seed")], "seeding", "ok"),
        (
            [slot(), slot("pg_16402_sync_16386_7543210987654321098", **ACTIVE)],
            [standby("pg_16402_sync_16386_7543210987654321098", state="startup")],
            "copying",
            "warning",
        ),
    ],
)
def test_the_state_of_a_ship(
    slots: list[SlotLag], standbys: list[StandbyLag], state: str, severity: str
) -> None:
    found = ship(*slots, standbys=tuple(standbys))
    assert (found["state"], found["severity"]) == (state, severity)


def test_a_ship_that_streams_from_another_node_is_not_dark() -> None:
    seen = Seen(
        Lag(SERVER, (), (slot(inactive_seconds=500.0),)), SHORE, {}, {"ship_oslo": "incheon"}
    )
    (found,) = status_report("busan", seen, request())["ships"]
    assert (found["state"], found["severity"], found["node"]) == ("streaming", "ok", "incheon")
    assert (found["connected"], found["last_contact_seconds"]) == (True, 0)
    assert found["problems"] == []


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({}, {"ship_oslo": "incheon"}),
        ({"updated": 940}, {"ship_oslo": "incheon"}),
        ({"updated": 939}, {}),
        ({"node": "incheon"}, {}),
        ({"ships": [{"slot": "ship_oslo", "streams_from": None}]}, {}),
        ({"ships": None}, {}),
    ],
)
def test_where_ships_stream_from_is_known_by_what_was_seen_a_moment_ago(
    tmp_path: Path, told: dict[str, Any], known: dict[str, str]
) -> None:
    file = tmp_path / "status.json"
    status = {
        "updated": 995,
        "interval": 10,
        "node": "busan",
        "ships": [{"slot": "ship_oslo", "streams_from": "incheon"}],
    }
    file.write_text(json.dumps({**status, **told}))
    assert streaming_elsewhere(file, 1000) == known
    assert streaming_elsewhere(tmp_path / "none", 1000) == {}


def test_a_walsender_of_another_ship_is_not_this_ships() -> None:
    """Debian calls every standby 17/main: only slot and user tell them apart."""
    other = standby("ship_algeciras", user="ship_algeciras", replay_lag_bytes=5 * GB)
    found = report(slot(), slot("ship_algeciras", **ACTIVE), standbys=(other,))
    assert found["ships"][0]["state"] == "dark"
    # It belongs to no ship of this request, and is told as the shore's own.
    assert told(found["shore"]) == [
        "critical: standby 17/main: The standby lags 5.0 GB and 0 s behind."
    ]


def test_a_dark_ship() -> None:
    found = ship(
        slot(
            lag_bytes=100 * MB,
            retained_bytes=120 * MB,
            inactive_seconds=600.0,
            seconds_until_lost=90000.0,
            lost_by="wal",
        )
    )
    assert {
        key: found[key] for key in ("state", "connected", "lag_bytes", "lag_seconds", "rate")
    } == {
        "state": "dark",
        "connected": False,
        "lag_bytes": 100 * MB,
        "lag_seconds": 600.0,
        "rate": None,
    }
    assert (found["seconds_until_lost"], found["lost_by"]) == (90000.0, "wal")
    assert (found["last_contact"], found["last_contact_seconds"]) == ("2026-11-22T08:05:29Z", 600.0)
    assert told(found) == [
        "warning: ship oslo: The ship is not connected, and was last seen 10 min ago."
    ]


def test_a_dark_ship_says_so_once() -> None:
    assert told(ship(slot(inactive_seconds=7200.0, lag_bytes=1))) == [
        "warning: slot ship_oslo: The slot has been inactive for 2 h, and its consumer lags 1 byte behind."
    ]


def test_before_17_only_the_history_knows_the_last_contact() -> None:
    assert ship(slot())["last_contact"] is None
    now = epoch(TIME)
    assert now is not None
    found = ship(slot(lag_bytes=10), contacts={"oslo": now - 60})
    assert (found["last_contact_seconds"], found["lag_seconds"]) == (60.0, 60.0)


def test_a_restart_of_the_shore_does_not_make_a_contact() -> None:
    """inactive_since is set anew then; what is known to be later counts."""
    now = epoch(TIME)
    assert now is not None
    assert (
        ship(slot(inactive_seconds=30.0), contacts={"oslo": now - 60})["last_contact_seconds"]
        == 30.0
    )


@pytest.mark.parametrize(
    ("before", "lag", "rate", "seconds"),
    [
        (100 * MB, 50 * MB, 10 * MB, 5.0),
        (50 * MB, 100 * MB, -10 * MB, None),
        (0, 0, 0.0, 0.0),
    ],
)
def test_the_rate_of_catching_up(before: int, lag: int, rate: float, seconds: float | None) -> None:
    shore = replace(SHORE, position_before=POSITION, before={"ship_oslo": Lsn(POSITION - before)})
    found = ship(
        slot(**ACTIVE, lag_bytes=lag),
        standbys=(standby(replay_lag_bytes=lag),),
        server=replace(SERVER, sample_seconds=5.0),
        shore=shore,
    )
    assert (found["rate"], found["catch_up_seconds"]) == (rate, seconds)


@pytest.mark.parametrize(
    ("bandwidth", "wal_rate", "seconds"),
    [(None, 0.0, None), (MB, 0.0, 100.0), (MB, MB / 2, 200.0), (MB, 2 * MB, None)],
)
def test_how_long_a_dark_ship_will_take(
    bandwidth: float | None, wal_rate: float, seconds: float | None
) -> None:
    ships = [{"name": "oslo", "slot": "ship_oslo", "bandwidth": bandwidth}]
    server = replace(SERVER, wal_rate=wal_rate)
    found = ship(slot(lag_bytes=100 * MB), server=server, ships=ships)
    assert found["catch_up_seconds"] == seconds
    warned = any(problem["object"] == "link oslo" for problem in found["problems"])
    assert warned == (bandwidth is not None and wal_rate > bandwidth)


def test_what_a_lost_ship_is_to_do() -> None:
    (problem,) = ship(slot(lost=True, lag_bytes=None))["problems"]
    assert problem["do"] == "Run ship_reseed.yml -e ship=oslo, which brings it back."


def test_a_copys_slot_does_not_count_twice() -> None:
    copy = "pg_16402_sync_16386_7543210987654321098"
    found = ship(
        slot(retained_bytes=3 * MB),
        slot(copy, retained_bytes=2 * MB, **ACTIVE),
        standbys=(standby(copy, state="startup"),),
    )
    assert found["retained_bytes"] == 3 * MB


# --- the shore -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shore", "server", "problems"),
    [
        ({}, {}, []),
        ({"disk_free_bytes": None}, {}, []),
        (
            {"disk_free_bytes": 50 * GB},
            {},
            ["warning: disk: 50.0 GB are free (10 %) where the WAL lies, /wal."],
        ),
        (
            {"disk_free_bytes": 20 * GB},
            {},
            ["critical: disk: 20.0 GB are free (4 %) where the WAL lies, /wal."],
        ),
        (
            {},
            {"max_slot_wal_keep_size": 400 * GB},
            [
                ("warning: disk: max_slot_wal_keep_size allows 400.0 GB, and the disk has room for"
                 " 300.0 GB: it would be full before a slot is lost.")
            ],
        ),
        (
            {"archive": archive(last_archived_time="2026-11-22T08:10:00Z")},
            {},
            [],
        ),
        (
            {"archive": archive(last_failed_wal="0000000100000001000000EF", waiting_files=4)},
            {},
            [
                ("critical: archive: Archiving fails: the last attempt, of 0000000100000001000000EF at"
                 " 2026-11-22T08:09:00Z, failed, and 4 files wait in pg_wal, which is not emptied until"
                 " it succeeds.")
            ],
        ),
        (
            {"archive": Archive(True, last_archived_time=TIME, waiting_files=40)},
            {},
            ["warning: archive: Archiving is behind: 40 files wait in pg_wal."],
        ),
        (
            {},
            {"role": "standby"},
            ["critical: server: The server is a standby, and not the shore's primary."],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_on_the_shore(
    shore: dict[str, Any], server: dict[str, Any], problems: list[str]
) -> None:
    found = report(
        slot(**ACTIVE),
        standbys=(standby(),),
        shore=replace(SHORE, **shore),
        server=replace(SERVER, **server),
    )
    assert told(found["shore"]) == problems


@pytest.mark.parametrize(
    ("rate", "warned"), [(None, None), (1.0, None), (5 * MB, "warning"), (500 * MB, "critical")]
)
def test_a_disk_that_nothing_protects(rate: float | None, warned: str | None) -> None:
    """Without max_slot_wal_keep_size a dark ship fills the disk."""
    server = replace(SERVER, max_slot_wal_keep_size=None, wal_rate=rate)
    found = [p["severity"] for p in report(slot(), server=server)["shore"]["problems"]]
    assert found == ([warned] if warned else [])
    active = report(slot(**ACTIVE), standbys=(standby(),), server=server)
    assert active["shore"]["problems"] == []


def test_a_slot_of_nobody_is_the_shores() -> None:
    found = report(slot(**ACTIVE), slot("other", lag_bytes=5 * GB), standbys=(standby(),))
    assert told(found["shore"]) == [
        "critical: slot other: The slot has been inactive, and its consumer lags 5.0 GB behind."
    ]
    assert found["status"] == "critical"


def test_a_disk_of_another_host_is_unknown(tmp_path: Path) -> None:
    row: dict[str, Any] = {
        "data_directory": str(tmp_path / "nowhere"),
        "wal_directory_bytes": 1,
        "archive_enabled": False,
        "waiting_files": 0,
        "archiver": None,
        "slots": {"ship_oslo": "0/10", "fresh": None},
        "position": "0/20",
    }
    found = shore_of(row, request(archive_directory=str(tmp_path / "nowhere")))
    assert (found.disk_free_bytes, found.archive.directory_bytes) == (None, None)
    assert found.before == {"ship_oslo": 16}
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "A.zst").write_bytes(b"12345")
    (tmp_path / "nowhere" / "pg_wal").mkdir(parents=True)
    found = shore_of(row, request(archive_directory=str(tmp_path / "archive"), sample_seconds=0))
    assert found.archive.directory_bytes == 5
    assert found.disk_free_bytes
    assert (found.before, found.position_before) == ({}, None)


# --- the report ----------------------------------------------------------------------------------


def test_the_worst_comes_first() -> None:
    names = ["algeciras", "busy", "gone", "lost", "soon"]
    ships = [{"name": name, "slot": f"ship_{name}"} for name in names]
    found = report(
        slot("ship_algeciras", active=True),
        slot("ship_busy", lag_bytes=5 * GB),
        slot("ship_gone", lag_bytes=10),
        slot("ship_lost", lost=True, seconds_until_lost=0.0, lag_bytes=None),
        slot("ship_soon", lag_bytes=10, seconds_until_lost=100.0, lost_by="wal"),
        ships=ships,
    )
    assert [row["name"] for row in found["ships"]] == ["lost", "soon", "busy", "gone", "algeciras"]
    assert found["status"] == "critical"


def test_a_report_is_settled_anew() -> None:
    found = report(slot(**ACTIVE), standbys=(standby(),))
    assert found["status"] == "ok"
    found["ships"][0]["severity"] = "warning"
    again = settled(found)
    assert again["status"] == "warning"
    assert list(again) == list(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ships": [{"name": "a", "slot": "A"}]}, "ships[0].slot: 'A' is not a replication slot"),
        (
            {"ships": [{"name": "a", "slot": "a"}, {"name": "b", "slot": "a"}]},
            "ships: two of them have the slot 'a'.",
        ),
        ({"ships": [{"name": "a", "slot": "a", "mode": "x"}]}, "ships[0].mode: 'x'; it can be"),
        ({"disk_free_percent_warning": 4}, "disk_free_percent_warning and disk_free_percent_crit"),
        ({"sample_seconds": -1}, "sample_seconds: 0 to 3600 seconds are possible."),
        ({"lag_bytes_warning": "much"}, "lag_bytes_warning: 'much' is not a limit"),
    ],
)
def test_options_that_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplicationError) as caught:
        request(**given)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:01:00.5Z", 60.5),
        ("2026-11-22T08:15:29.711123Z", 1795335329.711123),
        (None, None),
    ],
)
def test_times(text: str | None, seconds: float | None) -> None:
    assert epoch(text) == seconds
    assert iso(epoch(text)) == (text and f"{text[:19]}Z")

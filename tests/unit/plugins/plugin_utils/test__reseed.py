# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way a ship is brought back, and what people read of it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._reseed import (
    ReseedError,
    judge,
)

MB = 1_000_000
END, PACKED = "0/9000060", "0/3000028"
FULL = {
    "name": "p1",
    "path": "/seed/p1",
    "system_identifier": "7",
    "timeline": 1,
    "start_lsn": PACKED,
    "bytes": 500 * MB,
    "data_bytes": 700 * MB,
    "base": "",
}
DATA = {
    "kind": "seeded",
    "directory": "/data",
    "system_identifier": "7",
    "seed": "p1",
    "state": "in archive recovery",
    "timeline": 1,
    "redo_lsn": "0/9000028",
    "end_lsn": END,
    "rewindable": True,
}


def ship(**known: Any) -> dict[str, Any]:
    member = {
        "name": "oslo",
        "slot": "ship_oslo",
        "mode": "physical",
        "seed_method": "pack",
        "seed_path": "",
    }
    preflight = {
        "data": {**DATA, **known.pop("data", {})},
        "packs": known.pop("packs", [FULL]),
        "free_bytes": known.pop("free_bytes", 10_000 * MB),
        "job": known.pop("job", None),
    }
    return {**member, "preflight": preflight, **known}


def since(megabytes: int = 0, **known: Any) -> dict[str, Any]:
    told = {
        "complete": False,
        "missing": "000000010000000000000009",
        "streams": False,
        "bytes": megabytes * MB,
        "written_bytes": 200 * MB,
        "ahead": False,
        "changed_bytes": None,
    }
    return {**told, **known}


def shore(**known: Any) -> dict[str, Any]:
    slot = {"slot_type": "physical", "wal_status": "lost", "restart_lsn": None, "active": False}
    told = {
        "system_identifier": "7",
        "version": 17,
        "timeline": 1,
        "history": [],
        "current_lsn": "0/F000000",
        "summarizes": True,
        "data_bytes": 700 * MB,
        "slots": {"ship_oslo": {**slot, **known.pop("slot", {})}},
        "packs": [],
        "positions": {END: since(), PACKED: since()},
    }
    return {**told, **known}


def way(judged: dict[str, Any]) -> str | None:
    return judged["chosen"] and judged["chosen"]["way"]


def test_the_cheapest_way_that_is_possible_is_taken() -> None:
    archived, changed = since(86, complete=True), since(120, complete=True, changed_bytes=100 * MB)
    for there, expected in (
        ({END: archived, PACKED: changed}, "incremental"),  # 100 MB of blocks, packed
        ({END: since(60, complete=True), PACKED: changed}, "archive"),
        ({END: since(), PACKED: {**changed, "changed_bytes": None}}, "aboard"),
        ({END: since(), PACKED: since()}, "rsync"),
    ):
        assert way(judge(ship(), shore(positions=there))) == expected
    little_room = ship(free_bytes=100 * MB)
    assert way(judge(little_room, shore())) is None
    assert way(judge(little_room, shore(positions={END: archived, PACKED: since()}))) == "archive"


def test_older_servers_have_no_incremental_backups() -> None:
    judged = judge(
        ship(), shore(version=15, positions={END: since(), PACKED: since(9, changed_bytes=1)})
    )
    reasons = {found["way"]: found["reason"] for found in judged["ways"]}
    assert reasons["incremental"] == "PostgreSQL 15 has no incremental backups"
    assert reasons["archive"] == (
        "the WAL file 000000010000000000000009 is neither archived nor kept"
    )


def test_a_ship_that_only_waits_needs_nothing() -> None:
    waits = {"wal_status": "extended", "restart_lsn": END}
    judged = judge(ship(), shore(slot=waits))
    assert (judged["state"], judged["chosen"]) == ("sound", None)
    # A slot that was made anew keeps nothing of what the ship needs.
    renewed = judge(ship(), shore(slot={**waits, "restart_lsn": "0/E000000"}))
    assert renewed["state"] == "lost"
    # What a running standby's control file tells lags behind what it has received.
    active = judge(ship(), shore(slot={**waits, "restart_lsn": "0/E000000", "active": True}))
    assert active["state"] == "sound"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"state": "in production"}, "used otherwise than by following the shore (in production)"),
        ({"timeline": 2}, "of timeline 2, which the shore, on 1, never was on"),
        ({"end_lsn": "1/0"}, "its data end at 1/0, and the shore's timeline 1 at 0/F000000"),
    ],
)
def test_diverged(data: dict[str, Any], sentence: str) -> None:
    there = {END: since(5, complete=True), "1/0": since(ahead=True, complete=True), PACKED: since()}
    judged = judge(ship(data=data), shore(positions=there))
    assert judged["state"] == "diverged"
    assert sentence in judged["lines"][0]
    assert way(judged) == "rsync"


def test_a_shore_that_changed_its_timeline() -> None:
    """The ship follows through the switch, unless it has gone past it."""
    history = [{"timeline": 1, "end": "0/A000000"}]
    slot = {"wal_status": "reserved", "restart_lsn": END}
    assert judge(ship(), shore(timeline=2, history=history, slot=slot))["state"] == "sound"
    history = [{"timeline": 1, "end": "0/8000000"}]
    assert judge(ship(), shore(timeline=2, history=history, slot=slot))["state"] == "diverged"


def test_data_of_another_system_are_not_replaced() -> None:
    judged = judge(ship(data={"system_identifier": "8"}), shore(), "rsync")
    assert (judged["state"], judged["chosen"]) == ("strange", None)


def test_what_is_asked_for_is_done_or_refused() -> None:
    slot = {"wal_status": "reserved", "restart_lsn": END, "active": True}
    assert way(judge(ship(), shore(slot=slot), "pack")) == "pack"
    assert way(judge(ship(seed_method="stream"), shore())) == "rsync"
    assert way(judge(ship(seed_method="stream"), shore(), "pack")) == "pack"
    with pytest.raises(ReseedError, match="oslo: ship_reseed_method archive is not possible: the"):
        judge(ship(), shore(), "archive")
    with pytest.raises(ReseedError, match="ship_reseed_method is 'copy'; for a physical ship it"):
        judge(ship(), shore(), "copy")


def test_what_was_begun_is_gone_on_with() -> None:
    there = {END: since(5, complete=True), PACKED: since()}
    assert way(judge(ship(job={"way": "rsync"}), shore(positions=there))) == "rsync"


def test_the_pack_in_place_gets_another_name_when_it_is_put_in_place_again() -> None:
    there = {END: since(), PACKED: since(1, complete=True)}

    def seed(name: str | None) -> str:
        return judge(ship(data={"seed": name}), shore(positions=there))["chosen"]["seed"]

    assert [seed(name) for name in (None, "p0", "p1", "p1+2")] == ["p1", "p1", "p1+2", "p1+3"]


def test_a_pack_without_what_it_builds_on() -> None:
    broken = {**FULL, "name": "p2", "base": "p0"}
    there = {END: since(), PACKED: since(1, complete=True, changed_bytes=1)}
    assert way(judge(ship(packs=[broken]), shore(positions=there))) == "rsync"
    assert way(judge(ship(packs=[FULL, {**broken, "base": "p1"}]), shore(positions=there))) in (
        "aboard",
        "incremental",
    )


def test_a_logical_ship_is_copied_anew() -> None:
    oslo = ship(mode="logical", seed_method="copy")
    judged = judge(oslo, shore())
    assert (way(judged), judged["chosen"]["full"]) == ("copy", True)
    assert judge(oslo, shore(slot={"wal_status": "reserved"}))["chosen"] is None
    assert way(judge(oslo, shore(slots={}))) == "copy"


def test_what_people_read() -> None:
    there = {END: since(86, complete=True), PACKED: since()}
    assert judge(ship(), shore(positions=there))["lines"] == [
        "oslo: lost; its slot ship_oslo is lost: WAL that it needs was removed.",
        "-> archive: the ship goes on from its own data, by the shore's archived WAL; about 86.0 MB.",
        (
            "   aboard: the pack that is aboard, and the shore's archived WAL after it; not possible: the"
            " WAL file 000000010000000000000009, after the pack aboard, is neither archived nor kept."
        ),
        (
            "   incremental: an incremental pack, built on the pack aboard; not possible: the shore's"
            " summaries of WAL do not reach back to 0/3000028."
        ),
        "   rsync: rsync: what differs of an unpacked pack; about 218.8 MB.",
        "   pack: a new pack, all of it; about 500.0 MB.",
    ]


@pytest.mark.parametrize(
    ("kind", "chosen"), [("seeded", None), ("absent", None), ("converted", "copy")]
)
def test_a_logical_ship_that_is_a_standby_yet_is_none_of_its_affairs(
    kind: str, chosen: str | None
) -> None:
    oslo = ship(mode="logical", seed_method="standby", data={"kind": kind})
    judged = judge(oslo, shore(slots={}))
    assert way(judged) == chosen
    assert ("no subscriber has been made of its standby" in " ".join(judged["lines"])) == (
        chosen is None
    )


def test_a_rewind_is_only_taken_when_asked_for() -> None:
    sound = {"wal_status": "extended", "restart_lsn": END}
    parted = ship(data={"end_lsn": "1/0"})
    there = {END: since(), "1/0": since(ahead=True), PACKED: since()}
    judged = judge(parted, shore(slot=sound, positions=there))
    assert (judged["state"], way(judged)) == ("diverged", "rsync")
    assert [line for line in judged["lines"] if "rewind" in line] == [
        "   rewind: pg_rewind: what differs, and all of the shore's pg_wal, in one go; only when asked for."
    ]
    asked = judge(parted, shore(slot=sound, positions=there), "rewind")
    assert way(asked) == "rewind"
    assert not asked["chosen"]["full"]
    # What a running ship's control file tells lags behind, so that nothing may seem to be wrong with it.
    assert way(judge(ship(), shore(slot=sound), "rewind")) == "rewind"
    with pytest.raises(ReseedError, match="oslo: ship_reseed_method rewind is not possible: WAL"):
        judge(parted, shore(positions=there), "rewind")
    plain = ship(data={"rewindable": False})
    with pytest.raises(ReseedError, match="its data have neither checksums nor wal_log_hints"):
        judge(plain, shore(slot=sound), "rewind")

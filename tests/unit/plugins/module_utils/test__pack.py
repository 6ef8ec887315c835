# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    Conninfo,
    HiddenConninfo,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.module_utils._pack import (
    Folder,
    Manifest,
    Pack,
    PackPlan,
    PackRequest,
    PackServer,
    Tool,
    backup_command,
    check_level,
    check_tool,
    compression_of,
    pack_request,
    plan_pack,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._pack_make import complaints
from ansible_collections.hmm.pg_replication.plugins.module_utils._slot import Slot, SlotState

NOW = datetime(2026, 11, 22, 20, 15, 30, tzinfo=timezone.utc)
TOOL = Tool(Path("/bin/pg_basebackup"), 18)
SECRET = "open sesame"


def request(**options: Any) -> PackRequest:
    params: dict[str, Any] = {
        "login_host": "shore",
        "login_port": 5432,
        "login_user": "postgres",
        "login_password": None,
        "login_unix_socket": None,
        "login_db": None,
        "ssl_mode": "verify-full",
        "ca_cert": None,
        "ssl_cert": None,
        "ssl_key": None,
        "connect_params": HiddenConninfo(Conninfo({})),
        "directory": "/packs",
        "fits_slots": [],
        "max_age": None,
        "force_new": False,
        "keep": 2,
        "keep_seconds": 0,
        "compression_level": None,
        "compression_workers": 2,
        "bin_directory": None,
        "group": None,
        "check_space": True,
        "progress_file": None,
        "base": None,
        "base_manifest": None,
        "unpacked_directory": None,
    }
    assert set(options) <= set(params)
    return pack_request({**params, **options})


def server(major: int = 17, **known: Any) -> PackServer:
    return PackServer(
        **{
            "version": major * 10000 + 3,
            "system_identifier": "7",
            "data_bytes": 1000,
            **known,
        }
    )


def pack(start: str = "0/3000028", hours: float = 1, **known: Any) -> Pack:
    created = NOW - timedelta(hours=hours)
    fields: dict[str, Any] = {
        "name": f"{created:%Y%m%dT%H%M%SZ}",
        "system_identifier": "7",
        "timeline": 1,
        "start_lsn": Lsn.parse("start", start),
        "stop_lsn": Lsn.parse("start", start),
        "file": "base.tar.zst",
        "compression": "zstd",
        "bytes": 700,
        "sha256": "aa",
        "data_bytes": 900,
        "version": 17,
        "server_version": "17.3",
        "created": created,
    }
    return Pack(**{**fields, **known})


def slot(name: str, restart: str | None, **known: Any) -> SlotState:
    lsn = None if restart is None else Lsn.parse("restart", restart)
    return SlotState(Slot(name, "physical"), restart_lsn=lsn, **known)


def plan(
    asked: PackRequest,
    *packs: Pack,
    slots: tuple[SlotState, ...] = (),
    on: PackServer | None = None,
    free: int = 10**6,
    foreseeing: bool = False,
) -> PackPlan:
    found = {state.slot.name: state for state in slots}
    return plan_pack(asked, on or server(), found, Folder(NOW, packs, free), foreseeing)


def problem(asked: PackRequest, *packs: Pack, **situation: Any) -> str:
    with pytest.raises(ReplicationError) as raised:
        plan(asked, *packs, **situation)
    return raised.value.message


# --- the options by themselves -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"directory": "packs"}, "directory: 'packs' is not an absolute path."),
        ({"progress_file": "p"}, "progress_file: 'p' is not an absolute path."),
        ({"keep": 0}, "keep: 0 is too small, the least is 1."),
        ({"max_age": 0}, "max_age: 0 is too small, the least is 1."),
        ({"keep_seconds": -1}, "keep_seconds: -1 is too small, the least is 0."),
        (
            {"fits_slots": ["Ship"]},
            (
                "fits_slots: 'Ship' is not a replication slot name: lower-case letters, digits and"
                " underscores, 1 to 63 of them."
            ),
        ),
        (
            {"connect_params": HiddenConninfo(Conninfo({"sslpassword": "x"}))},
            (
                "connect_params: pg_basebackup can be handed no other secret than the password; use"
                " a key without a passphrase, or a passfile."
            ),
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        request(**options)
    assert raised.value.message == told


def test_level_beyond_the_method() -> None:
    check_level(request(compression_level=19), "zstd")
    with pytest.raises(ReplicationError, match=r"^compression_level: 19 is too much for gzip"):
        check_level(request(compression_level=19), "gzip")


# --- whether a pack fits -------------------------------------------------------------------------


def test_no_pack_yet() -> None:
    made = plan(request())
    assert made.fits is None
    assert made.reason == "There is no pack yet."


def test_the_newest_that_fits_is_taken() -> None:
    older, newer = pack(hours=5), pack(hours=2)
    assert plan(request(), older, newer).fits == newer


@pytest.mark.parametrize(
    ("restart", "fits"), [("0/3000027", True), ("0/3000028", True), ("0/3000029", False)]
)
def test_a_pack_begins_no_earlier_than_its_slots_keep(restart: str, fits: bool) -> None:
    there = pack("0/3000028")
    made = plan(request(fits_slots=["a", "b"]), there, slots=(slot("a", "0/1"), slot("b", restart)))
    assert (made.fits == there) is fits
    if not fits:
        assert made.reason == (
            f"Pack {there.name} begins at 0/3000028, and slot b keeps WAL from 0/3000029 on only."
        )


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"system_identifier": "8"}, "is of another cluster: it has another system identifier"),
        ({"timeline": 2}, "is of timeline 2, the server is on 1 now"),
        ({"version": 16}, "was made by PostgreSQL 16, the server is 17 now"),
    ],
)
def test_a_pack_of_something_else(known: dict[str, Any], reason: str) -> None:
    there = pack(**known)
    assert plan(request(), there).reason == f"Pack {there.name} {reason}."


def test_too_old() -> None:
    there = pack(hours=1)
    assert plan(request(max_age=3600), there).fits == there
    assert plan(request(max_age=3599), there).reason.endswith("is 3600 s old, older than max_age.")


def test_forced() -> None:
    assert plan(request(force_new=True), pack()).fits is None


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (None, "fits_slots: there is no slot a on the server: make it first"),
        (slot("a", None), "fits_slots: slot a retains no WAL yet"),
        (slot("a", "0/1", wal_status="lost"), "fits_slots: slot a is lost and protects nothing"),
    ],
)
def test_slots_that_nothing_fits(state: SlotState | None, told: str) -> None:
    found = problem(request(fits_slots=["a"]), pack(), slots=(state,) if state else ())
    assert found.startswith(told)


@pytest.mark.parametrize("there", [(), (slot("a", "0/1", wal_status="lost"),)])
def test_a_slot_to_be_made_is_expected_in_check_mode(there: tuple[SlotState, ...]) -> None:
    made = plan(request(fits_slots=["a"]), pack(), slots=there, foreseeing=True)
    assert made.fits is None
    assert made.expected == ("a",)


# --- what a new one needs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"in_recovery": True}, "The server is a standby"),
        ({"tablespaces": ("fast", "slow")}, "The server has tablespaces of its own (fast, slow)"),
        ({"may_replicate": False}, "The connecting role may not take a base backup"),
        ({"wal_level": "minimal"}, "wal_level is minimal"),
        ({"used_senders": 10}, "All 10 walsenders of the server are in use"),
        ({"used_slots": 10}, "All 10 replication slots of the server are in use"),
    ],
)
def test_obstacles(known: dict[str, Any], told: str) -> None:
    assert problem(request(), on=server(**known)).startswith(told)


def test_all_obstacles_at_once() -> None:
    told = problem(request(), on=server(wal_level="minimal", may_replicate=False))
    assert told.startswith("2 problems, nothing was changed:\n- ")


def test_a_slot_that_is_named_guards_the_backup() -> None:
    made = plan(request(fits_slots=["a"]), slots=(slot("a", "0/1"),), on=server(used_slots=10))
    assert made.fits is None


def test_what_a_new_pack_needs_is_not_asked_of_one_that_fits() -> None:
    assert plan(request(), pack(), on=server(used_senders=10), free=0).fits is not None


def test_space() -> None:
    big = server(data_bytes=5 * 10**9)
    assert problem(request(), on=big, free=4 * 10**6) == (
        "directory: /packs has 4 MB free, and a pack of databases of 5.0 GB may need as much: free"
        " space there, or set check_space to false where the data is known to compress well."
    )
    assert plan(request(check_space=False), on=big, free=0).fits is None


# --- what goes -----------------------------------------------------------------------------------


def test_the_oldest_are_removed() -> None:
    packs = [pack(hours=hours) for hours in (5, 1, 3)]
    made = plan(request(force_new=True, keep=2), *packs)
    assert [gone.created for gone in made.removed] == [packs[2].created, packs[0].created]


def test_none_is_removed_that_may_be_fetched_yet() -> None:
    packs = [pack(hours=hours) for hours in (5, 1, 3)]
    made = plan(request(force_new=True, keep=1, keep_seconds=4 * 3600), *packs)
    assert made.removed == (packs[0],)


def test_nothing_is_removed_where_nothing_is_made() -> None:
    assert plan(request(keep=1), *(pack(hours=hours) for hours in (5, 1, 3))).removed == ()


# --- how it is made ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("major", "tool", "zstd", "compression"),
    [
        (13, 13, False, "gzip"),
        (14, 18, False, "gzip"),
        (15, 15, True, "zstd"),
        (15, 15, False, "gzip"),
        (18, 18, True, "zstd"),
    ],
)
def test_compression(major: int, tool: int, zstd: bool, compression: str) -> None:
    assert compression_of(server(major, zstd=zstd), Tool(TOOL.path, tool)) == compression


@pytest.mark.parametrize(
    ("compression", "tool", "options", "word"),
    [
        ("zstd", 15, {}, "--compress=server-zstd:level=3,workers=2"),
        (
            "zstd",
            17,
            {"compression_level": 9, "compression_workers": 0},
            "--compress=server-zstd:level=9,workers=0",
        ),
        ("gzip", 15, {}, "--compress=client-gzip:level=6"),
        ("gzip", 14, {"compression_level": 1}, "--compress=1"),
    ],
)
def test_command(compression: str, tool: int, options: dict[str, Any], word: str) -> None:
    asked = request(login_password=SECRET, login_db="hmm_db", **options)
    words = backup_command(asked, Tool(TOOL.path, tool), compression, Path("/t"), "mark")
    assert words[0] == "/bin/pg_basebackup"
    assert word in words
    assert not any(SECRET in part or "hmm_db" in part for part in words)
    assert "application_name='hmm.pg_replication pack mark'" in words[1]


def test_the_tool_must_not_be_older() -> None:
    check_tool(server(17), TOOL)
    with pytest.raises(ReplicationError) as raised:
        check_tool(server(17), replace(TOOL, major=15))
    assert raised.value.message == (
        "/bin/pg_basebackup is of PostgreSQL 15 and the server is 17.3: install"
        " postgresql-client-17, or name the folder of a pg_basebackup that is not older in"
        " bin_directory."
    )


def test_complaints() -> None:
    output = (
        "waiting for checkpoint\n 1024/2048 kB (50%), 0/1 tablespace\r\n"
        "NOTICE:  all required WAL segments have been archived\n"
        "pg_basebackup: error: could not write: No space left on device\n"
        'pg_basebackup: removing contents of data directory "/t"\n'
    )
    assert complaints(output) == ["could not write: No space left on device"]


# --- what is kept on disk ------------------------------------------------------------------------


def test_a_description_reads_back() -> None:
    there = pack("16/B374D848")
    described = json.loads(json.dumps(there.described()))
    assert described["start_lsn"] == "16/B374D848"
    assert Pack.parse(described) == there


@pytest.mark.parametrize(
    "change", [{"start_lsn": "x"}, {"created": "now"}, {"bytes": None}, {"timeline": "one"}]
)
def test_no_description(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Pack.parse({**pack().described(), **change})


def test_manifest() -> None:
    found = {
        "Files": [{"Path": "a", "Size": 10}, {"Encoded-Path": "ff", "Size": 5}],
        "WAL-Ranges": [
            {"Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100"},
            {"Timeline": 2, "Start-LSN": "0/2000100", "End-LSN": "0/3000000"},
        ],
    }
    manifest = Manifest.parse(found)
    assert (manifest.timeline, str(manifest.start_lsn), str(manifest.stop_lsn)) == (
        2,
        "0/2000028",
        "0/3000000",
    )
    assert manifest.data_bytes == 15
    for wrong in ({}, {**found, "WAL-Ranges": []}, {**found, "Files": None}):
        with pytest.raises(ReplicationError, match="cannot be read"):
            Manifest.parse(wrong)


BASE = {"base": "full", "base_manifest": "/packs/full/backup_manifest"}


def test_an_incremental_pack_is_one_of_the_base_asked_for() -> None:
    packs = (pack(name="full"), pack(name="inc", base="full"), pack(name="other", base="older"))
    server = PackServer(version=170010, system_identifier="7", summarizes=True)
    folder = Folder(NOW, packs, free_bytes=10**9)
    assert [
        plan_pack(request(**options), server, {}, folder).fits
        for options in ({}, BASE, {**BASE, "base": "older"})
    ] == [packs[0], packs[1], packs[2]]
    plan = plan_pack(request(**{**BASE, "base": "inc"}), server, {}, folder)
    assert plan.fits is None
    command = backup_command(request(**BASE), TOOL, "zstd", Path("/t"), "m")
    assert "--incremental=/packs/full/backup_manifest" in command
    assert not [
        word for word in backup_command(request(), TOOL, "zstd", Path("/t"), "m") if "incr" in word
    ]


@pytest.mark.parametrize(
    ("version", "summarizes", "sentence"),
    [
        (150014, False, "base: incremental backups came with PostgreSQL 17, and the server is 15"),
        (170010, False, "base: the server does not note which blocks change: set summarize_wal"),
    ],
)
def test_no_incremental_pack(version: int, summarizes: bool, sentence: str) -> None:
    server = PackServer(version=version, system_identifier="1", summarizes=summarizes)
    with pytest.raises(ReplicationError) as raised:
        plan_pack(request(**BASE), server, {}, Folder(NOW, (), free_bytes=10**9))
    assert sentence in raised.value.message

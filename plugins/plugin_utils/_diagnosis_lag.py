# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The doctor's rules on ships that replicate, and fall behind; and on what the shore keeps for them.

PostgreSQL: WAL Configuration; Logical Decoding, "Streaming of Large Transactions"; Continuous Archiving.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    duration,
    size,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import (
    CRITICAL,
    WARNING,
    Case,
    Facts,
    Finding,
    Rule,
    quoted,
)

_MEGABYTE = 2**20
# Less behind than this is nothing to worry of, whatever the rates.
_LAG_BYTES = 4 * _MEGABYTE
# A ship keeps up that takes nearly as much as is written.
_KEEPS_UP = 0.8
# A transaction that is worth a word: what its slot keeps since it began.
TRANSACTION_BYTES = 256 * _MEGABYTE
# As checkpoint_warning.
_CHECKPOINT_SECONDS = 30
# Of max_wal_size, what a checkpoint comes after (PostgreSQL: WAL Configuration; checkpoint_completion_target 0.9).
_CHECKPOINT_SHARE = 1 / 1.9
_NEARLY = 0.8
# Of the disk that pg_wal is on.
_FREE_SHARE = 0.1
_FREQUENT = "checkpoints are occurring too frequently"


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _rate(number: float) -> str:
    return f"{size(int(number))}/s"


def _link_too_slow(case: Case) -> Iterator[Finding]:
    rates: Facts = case.shore_server.get("rates") or {}
    slot = case.slot
    written = rates.get("wal") or 0.0
    if slot is None or not slot["active"] or slot["lag_bytes"] is None or not written:
        return
    taken = (rates.get("slots") or {}).get(slot["name"]) or 0.0
    if slot["lag_bytes"] < _LAG_BYTES or taken >= _KEEPS_UP * written:
        return
    # Nothing comes as long as a transaction is not whole: that has a rule of its own.
    if case.logical and not taken:
        return
    left = slot.get("seconds_until_lost")
    link = case.wanted.get("link") or {}
    yield Finding(
        WARNING,
        case.name,
        f"{case.name} takes {_rate(taken)}, and {case.shore_name} writes {_rate(written)}: it falls"
        " further behind for as long as that lasts.",
        (
            (
                f"within {rates['seconds']} s: {_rate(written)} of WAL written, {_rate(taken)} taken by"
                f" {slot['name']}"
            ),
            f"it is {size(slot['lag_bytes'])} behind"
            + (f"; its slot is lost in {duration(left)} at this rate" if left else ""),
            *(
                f"ship_link says {name}: {value}"
                for name, value in link.items()
                if name == "bandwidth"
            ),
        ),
        "Look what writes so much (pg_stat_statements, pg_stat_wal) and whether the link carries what"
        " it should; where it lasts: more bandwidth, or ship_mode logical with fewer columns and rows",
    )


def _large_transaction(case: Case) -> Iterator[Finding]:
    slot = case.slot
    if not case.logical or slot is None or slot["retained_bytes"] is None:
        return
    limit = int((case.wanted.get("limits") or {}).get("transaction_bytes", TRANSACTION_BYTES))
    open_ones = [
        one for one in case.shore_server.get("transactions") or () if one["xid_age"] is not None
    ]
    statistics = (case.shore_server.get("slot_statistics") or {}).get(slot["name"]) or {}
    spilled = int(statistics.get("spill_bytes") or 0)
    streamed = int(statistics.get("stream_bytes") or 0)
    decoded = (
        f"{size(spilled)} spilled to disk, {size(streamed)} streamed (pg_stat_replication_slots)"
    )
    if open_ones and slot["retained_bytes"] >= limit:
        oldest = max(open_ones, key=lambda one: one["xact_seconds"] or 0)
        who = (
            f"process {oldest['pid']} of {oldest['usename']} ({oldest['application_name'] or 'no name'}),"
            f" {oldest['state']}, for {duration(oldest['xact_seconds'] or 0)}"
        )
        yield Finding(
            WARNING,
            case.shore_name,
            f"A large transaction is open on {case.shore_name}: {size(slot['retained_bytes'])} of WAL are"
            f" kept for {case.name} since it began, and it gets its rows only when it is committed.",
            (who, decoded),
            f"Wait for its end, or on {case.shore_name}: SELECT pg_terminate_backend({oldest['pid']});"
            " better many small ones",
        )
        return
    rates: Facts = case.shore_server.get("rates") or {}
    taken = (rates.get("slots") or {}).get(slot["name"])
    if case.connected and not taken and (slot["lag_bytes"] or 0) >= limit and (spilled or streamed):
        yield Finding(
            WARNING,
            case.name,
            f"{case.name} is at a large transaction: {size(slot['lag_bytes'])} behind, and nothing counts"
            " until it is there whole.",
            (f"nothing was confirmed within {rates.get('seconds')} s", decoded),
            "Wait, and do not cut the connection: it would begin anew",
        )


def _checkpoint_storm(case: Case) -> Iterator[Finding]:
    rates: Facts = case.shore_server.get("rates") or {}
    written = rates.get("wal") or 0.0
    room = _number(case.shore_settings.get("max_wal_size")) * _MEGABYTE * _CHECKPOINT_SHARE
    if not written or not room or room / written >= _CHECKPOINT_SECONDS:
        return
    seen = next(
        (entry for entry in case.log("shore", within=120) if _FREQUENT in entry["message"]), None
    )
    yield Finding(
        WARNING,
        case.shore_name,
        f"{case.shore_name} makes a checkpoint every {max(1, round(room / written))} s: after each, every"
        " page that changes goes into the WAL whole, so that ships get several times as much.",
        (
            (
                f"{_rate(written)} of WAL are written, and max_wal_size is"
                f" {size(int(_number(case.shore_settings.get('max_wal_size')) * _MEGABYTE))}"
            ),
            *((quoted(seen),) if seen else ()),
        ),
        "Raise primary_max_wal_size (8GB unless you set it), and run playbooks/ship_onboard.yml",
    )


def _archive_failing(case: Case) -> Iterator[Finding]:
    archiver = case.shore_server.get("archiver") or {}
    failed, archived = archiver.get("last_failed_age"), archiver.get("last_archived_age")
    if (
        case.shore_settings.get("archive_mode") in (None, "off")
        or failed is None
        or (archived is not None and archived < failed)
    ):
        return
    seen = next(
        (entry for entry in case.log("shore", within=600) if "archive command" in entry["message"]),
        None,
    )
    yield Finding(
        WARNING,
        case.shore_name,
        f"{case.shore_name} cannot archive {archiver['last_failed_wal']}: WAL piles up in pg_wal, and"
        " ships that lose their slot cannot come back by the archive.",
        (
            (
                f"it failed {archiver['failed_count']} times, last {duration(failed)} ago; the last that"
                f" went well was {archiver['last_archived_wal'] or 'none'}"
            ),
            f"{archiver['waiting']} files wait",
            *((quoted(seen),) if seen else ()),
        ),
        f"On {case.shore_name}: df -h and the log; archive_command is"
        f" {case.shore_settings.get('archive_command')!r}. The role primary sets its own:"
        f" playbooks/ship_onboard.yml -e ship={case.name}",
    )


def _wal_directory_near_limit(case: Case) -> Iterator[Finding]:
    slots = [slot for slot in case.shore_lag.get("slots") or () if not slot["lost"]]
    keepers = sorted(slots, key=lambda slot: -(slot["retained_bytes"] or 0))
    limit = (case.shore_lag.get("server") or {}).get("max_slot_wal_keep_size")
    near = [
        slot
        for slot in keepers
        if slot["wal_status"] == "unreserved"
        or (limit and (slot["retained_bytes"] or 0) >= _NEARLY * limit)
    ]
    disk = next(
        (one for one in (case.shore or {}).get("disks") or () if one["holds"] == "wal"), None
    )
    full = disk is not None and disk["free_bytes"] < _FREE_SHARE * disk["total_bytes"]
    if not near and not full:
        return
    wal = (case.shore_server.get("wal") or {}).get("bytes")
    proof = [
        f"slot {slot['name']} ({'active' if slot['active'] else 'inactive'}) keeps"
        f" {size(slot['retained_bytes'] or 0)}"
        + (f" of the {size(limit)} of max_slot_wal_keep_size" if limit else "")
        for slot in (near or keepers[:3])
    ]
    if full and disk is not None:
        proof.insert(
            0,
            f"{disk['path']}: {size(disk['free_bytes'])} free of {size(disk['total_bytes'])}"
            + (f", {size(wal)} are WAL" if wal else ""),
        )
    theirs = [slot["name"] for slot in near if slot["name"] in case.wanted["ships"]]
    yield Finding(
        CRITICAL if full or any(slot["wal_status"] == "unreserved" for slot in near) else WARNING,
        case.shore_name,
        (
            f"The disk of pg_wal on {case.shore_name} is nearly full."
            if full
            else f"The WAL that {case.shore_name} keeps is near its limit: then slots are lost."
        ),
        tuple(proof),
        (
            f"Bring {', '.join(theirs)} back, or raise primary_max_slot_wal_keep_size while the disk has"
            " room"
            if theirs
            else "playbooks/slot_cleanup.yml tells which slots nothing uses, and drops them with -e drop=true"
        ),
    )


RULES = (
    Rule("archive_failing", _archive_failing),
    Rule("wal_directory_near_limit", _wal_directory_near_limit),
    Rule("checkpoint_storm", _checkpoint_storm, frozenset({"link_too_slow"})),
    Rule("large_transaction", _large_transaction, frozenset({"link_too_slow"})),
    Rule("link_too_slow", _link_too_slow),
)

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The doctor's rules on what a ship needs once it is let in: its slot, its WAL, its history, its disk, its replay.

PostgreSQL: Log-Shipping Standby Servers; Hot Standby; Replication Slots; Timelines.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    duration,
    size,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import (
    CRITICAL,
    NOT_CONNECTED,
    WARNING,
    Case,
    Facts,
    Finding,
    Rule,
    quoted,
)

# A server stops when it cannot write a segment of WAL, and a checkpoint needs some more.
_FULL_BYTES = 48 * 2**20
# Messages of one event, in seconds.
_AT_ONCE = 10
# A consumer replies each wal_receiver_status_interval, 10 s: one that has not for longer is most likely gone.
_REPLY_SECONDS = 20
# Settings that a standby needs to be as large as its primary's (PostgreSQL: Hot Standby).
_AT_LEAST = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
# What the startup process waits for once it has replayed all that is aboard.
_OUT_OF_WAL = ("RecoveryWalStream", "RecoveryRetrieveRetryInterval")
_WAL_GONE = "has already been removed"
_NO_SPACE = "No space left on device"
_RESEED = "ansible-playbook -i INVENTORY playbooks/ship_reseed.yml -e ship={}"
_ONBOARD = "ansible-playbook -i INVENTORY playbooks/ship_onboard.yml -e ship={}"


# --- the ship's server and its disk ----------------------------------------------------------------


def _ship_down(case: Case) -> Iterator[Finding]:
    if case.ship is None:
        return
    cluster = case.ship["cluster"]
    title = f"{cluster['version']} {cluster['name']}"
    last = [
        entry
        for entry in case.ship["log"]
        if entry["level"] in ("FATAL", "PANIC") and not entry["who"]
    ][-1:]
    words = tuple(quoted(entry) for entry in last)
    if not cluster["running"]:
        yield Finding(
            CRITICAL,
            case.name,
            f"PostgreSQL on {case.name} is down.",
            (f"no server runs for cluster {title} (pg_lsclusters)", *words),
            f"On {case.name}: pg_ctlcluster {title} start",
        )
    elif not case.ship_server:
        yield Finding(
            CRITICAL,
            case.name,
            f"PostgreSQL on {case.name} runs, and does not answer: it is {cluster['status']}.",
            (case.ship["server_error"], *words),
            f"On {case.name}: tail {cluster['log_file']}",
        )


def _disk_full(case: Case) -> Iterator[Finding]:
    for name, facts in ((case.shore_name, case.shore), (case.name, case.ship)):
        if facts is None:
            continue
        seen = [entry for entry in facts["log"] if _NO_SPACE in entry["message"]][-1:]
        told = False
        for disk in facts["disks"]:
            # The log's own file system may be full without harm, unless it is the same one.
            if disk["holds"] == "log" or told:
                continue
            short = disk["free_bytes"] < min(_FULL_BYTES, disk["total_bytes"])
            if not short and disk["free_inodes"] != 0:
                continue
            told = True
            yield _full(case, name, disk, tuple(quoted(entry) for entry in seen))
        if not told and seen and not facts["cluster"]["running"] and _is_last(seen[0], facts):
            yield _full(case, name, facts["disks"][0], tuple(quoted(entry) for entry in seen))


def _is_last(seen: Facts, facts: Facts) -> bool:
    """Whether nothing else has ended the server since."""
    ends = [
        one["age"] for one in facts["log"] if one["level"] in ("FATAL", "PANIC") and not one["who"]
    ]
    return bool(seen["age"] <= min(ends, default=seen["age"]) + _AT_ONCE)


def _full(case: Case, name: str, disk: Facts, words: tuple[str, ...]) -> Finding:
    room = (
        f"{size(disk['free_bytes'])} of {size(disk['total_bytes'])} are free on {disk['path']}"
        if disk["free_inodes"] != 0
        else f"{disk['path']} has no inode left"
    )
    return Finding(
        CRITICAL,
        name,
        f"The disk of {name} is full, and its server cannot write.",
        (room, *words),
        f"On {name}: du -xh --max-depth=2 {disk['path']} | sort -h | tail; free or add room, never"
        " in pg_wal by hand"
        + (
            "; a slot that keeps much may be given up: playbooks/slot_cleanup.yml"
            if name == case.shore_name
            else ""
        ),
    )


def _hot_standby_setting(case: Case) -> Iterator[Finding]:
    if case.logical or not (case.ship or {}).get("standby_signal"):
        return
    low = []
    for name in _AT_LEAST:
        own = _number(case.ship_settings.get(name))
        needed = max(
            _number(case.shore_settings.get(name)), _number((case.ship or {})["control"].get(name))
        )
        if 0 <= own < needed:
            low.append(f"{name} is {own} on {case.name}, and the primary's is {needed}")
    if not low:
        return
    seen = next(
        (entry for entry in case.log("ship") if "insufficient parameter" in entry["message"]), None
    )
    yield Finding(
        CRITICAL,
        case.name,
        f"Settings of {case.name} are below the primary's, so that it cannot replay as a hot standby.",
        (*low, *((quoted(seen),) if seen else ())),
        _ONBOARD.format(case.name) + "  # raises them, and restarts it",
    )


def _number(value: object) -> int:
    """-1: not known."""
    try:
        return int(str(value))
    except ValueError:
        return -1


# --- the slot --------------------------------------------------------------------------------------


def _slot_missing(case: Case) -> Iterator[Finding]:
    if not case.slot_name or (case.logical and case.subscription and not case.subscription["slot"]):
        return
    if case.shore_server:
        if case.slot is not None:
            return
        where = f"pg_replication_slots on {case.shore_name}"
    else:
        there = (case.probe or {}).get("remote_slot")
        if there is None or there["exists"]:
            return
        where = f"{case.shore_name}, asked from {case.name},"
    proof = [f"{where} has no {case.slot_name}"]
    if case.slot_name != case.wanted["slot"]:
        yield Finding(
            CRITICAL,
            f"slot {case.slot_name}",
            f"{case.name} names the slot {case.slot_name}, which is not there on {case.shore_name};"
            f" its own is {case.wanted['slot']}.",
            tuple(proof),
            _ONBOARD.format(case.name),
        )
        return
    needed, kept = _needed(case), _kept_from(case)
    whole = not case.logical and needed is not None and kept is not None and needed >= kept
    if whole:
        proof.append(f"{case.name} goes on from {needed}, and the shore has WAL from {kept} on")
    yield Finding(
        CRITICAL,
        f"slot {case.slot_name}",
        f"The slot {case.slot_name} is not there on {case.shore_name}"
        + (
            ". Nothing that the ship needs has gone yet, and nothing keeps it."
            if whole
            else ", and nothing keeps what the ship needs."
        ),
        tuple(proof),
        (
            f"On {case.shore_name}: SELECT pg_create_physical_replication_slot('{case.slot_name}', true)"
            if whole
            else _RESEED.format(case.name)
        ),
        {"action": "create_slot", "slot": case.slot_name} if whole else None,
    )


def _slot_lost(case: Case) -> Iterator[Finding]:
    slot = case.slot
    if slot is None or not slot["lost"]:
        return
    reason = slot["invalidation_reason"]
    yield Finding(
        CRITICAL,
        f"slot {slot['name']}",
        f"The slot {slot['name']} is lost: {case.shore_name} has removed WAL that the ship still"
        " needed.",
        (
            f"wal_status is {slot['wal_status']}"
            + (f", invalidation_reason {reason}" if reason else ""),
            f"max_slot_wal_keep_size is {case.shore_settings.get('max_slot_wal_keep_size')} MB",
        ),
        _RESEED.format(case.name),
    )


def _slot_in_use(case: Case) -> Iterator[Finding]:
    slot = case.slot
    if slot is None or not slot["active"] or not case.ship_server or _uses_its_slot(case):
        return
    pid = slot["active_pid"]
    who = next((one for one in case.shore_server["consumers"] if one["pid"] == pid), None) or {}
    age = next(
        (one["reply_age"] for one in case.shore_server["replies"] if one["pid"] == pid), None
    )
    where = who.get("client_addr") or "this host itself"
    own = (
        who.get("application_name") in ((case.probe or {}).get("target") or {}).values()
        and who.get("client_addr") in _ship_addresses(case)
        and (age is None or age > _REPLY_SECONDS)
    )
    replied = f", last heard {duration(age)} ago" if age is not None else ""
    proof = (
        (
            f"process {pid} on {case.shore_name}: {who.get('application_name') or 'no name'}, user"
            f" {who.get('usename')}, from {where}{replied}"
        ),
        *(
            quoted(entry)
            for entry in case.log("ship", within=60)
            if "is active for PID" in entry["message"]
        ),
    )
    if own:
        yield Finding(
            WARNING,
            f"slot {slot['name']}",
            f"The slot {slot['name']} is still held by a former connection of {case.name}, which"
            f" {case.shore_name} has not noticed to be gone.",
            proof[:2],
            "Wait until wal_sender_timeout"
            f" ({case.shore_settings.get('wal_sender_timeout')} ms) has passed; or on"
            f" {case.shore_name}: SELECT pg_terminate_backend({pid})",
        )
        return
    yield Finding(
        CRITICAL,
        f"slot {slot['name']}",
        f"The slot {slot['name']} is in use by another than {case.name}, which takes its WAL away.",
        proof[:2],
        f"Find out what that is and end it; on {case.shore_name}: SELECT pg_terminate_backend({pid})",
    )


def _uses_its_slot(case: Case) -> bool:
    """Whether it is the ship that uses it, or something of its own does."""
    if case.logical:
        return bool((case.subscription or {}).get("workers"))
    return bool(case.receiver.get("running") and case.receiver.get("status") == "streaming")


def _ship_addresses(case: Case) -> set[str]:
    host = (case.ship or {}).get("host") or {}
    known = {*case.wanted["addresses"], *host.get("addresses", ())}
    return known | {str((case.probe or {}).get("local_address"))}


# --- the WAL and its history -----------------------------------------------------------------------


def _needed(case: Case) -> Lsn | None:
    """Where a standby goes on."""
    ends = [
        case.receiver.get("flushed_lsn"),
        case.receiver.get("replay_lsn"),
        ((case.ship or {}).get("control") or {}).get("min_recovery_lsn"),
        ((case.ship or {}).get("control") or {}).get("checkpoint_lsn"),
    ]
    known = [Lsn.parse("lsn", end) for end in ends if end]
    return max(known, default=None)


def _kept_from(case: Case) -> Lsn | None:
    """From where on the shore has WAL, in pg_wal or, where the ship can fetch from it, in its archive."""
    oldest = (case.shore_server.get("wal") or {}).get("oldest")
    segment = _number(case.shore_settings.get("wal_segment_size"))
    if not oldest or segment <= 0:
        return None
    number = _segment_number(oldest, segment)
    archive = (case.shore or {}).get("archive") or {}
    if case.ship_settings.get("restore_command"):
        there = {_segment_number(name, segment) for name in archive.get("segments") or ()}
        while number - 1 in there:
            number -= 1
    return Lsn(number * segment)


def _segment_number(name: str, segment: int) -> int:
    return int(name[8:16], 16) * ((1 << 32) // segment) + int(name[16:24], 16)


def _wal_removed(case: Case) -> Iterator[Finding]:
    if case.logical or case.connected or case.ship is None or not case.ship["standby_signal"]:
        return
    seen = next(
        (entry for entry in case.log("ship", within=120) if _WAL_GONE in entry["message"]), None
    )
    needed, kept = _needed(case), _kept_from(case)
    segment = _number(case.shore_settings.get("wal_segment_size"))
    # Before that it replays what it has itself, and how far that goes nobody can tell from here.
    wants_more = (case.ship_server.get("startup") or {}).get("wait_event") in _OUT_OF_WAL
    if wants_more and needed is not None and kept is not None and segment > 0:
        if needed // segment * segment >= kept:
            return
        proof = [f"{case.name} goes on from {needed}, and {case.shore_name} has WAL from {kept} on"]
    elif seen is not None:
        proof = []
    else:
        return
    yield Finding(
        CRITICAL,
        case.name,
        f"WAL that {case.name} still needs is no longer on {case.shore_name}"
        + (
            ", nor in its archive."
            if case.ship_settings.get("restore_command")
            else ", and the ship has no restore_command to fetch it from an archive."
        ),
        (*proof, *((quoted(seen),) if seen else ())),
        _RESEED.format(case.name),
    )


def _timeline_diverged(case: Case) -> Iterator[Finding]:
    if case.logical or case.ship is None or _another_system(case):
        return
    shore = case.shore_lag.get("server") or (case.probe or {}).get("system") or {}
    theirs, own = shore.get("timeline"), _timeline(case)
    if not theirs or not own:
        return
    needed = _needed(case)
    forks = {
        one["timeline"]: Lsn.parse("end", one["end"])
        for one in case.shore_server.get("history") or ()
    }
    proof = [f"{case.name} is on timeline {own}, {case.shore_name} on {theirs}"]
    if case.ship_server and not case.ship_server["in_recovery"]:
        what = f"{case.name} is no standby any more: it was promoted, and goes its own way."
        proof.append(f"pg_is_in_recovery() on {case.name} is false")
    elif own > theirs:
        what = f"{case.name} follows a timeline that {case.shore_name} does not have."
    elif own in forks and needed is not None and needed > forks[own]:
        what = (
            f"{case.name} went further on timeline {own} than the point where {case.shore_name}"
            " left it."
        )
        proof.append(f"{case.name} is at {needed}; timeline {own} was left at {forks[own]}")
    elif own < theirs and case.shore_server and own not in forks:
        what = f"Timeline {own} of {case.name} is not in the history of {case.shore_name}."
    elif own == theirs and not case.connected and _ahead(case, needed):
        what = f"{case.name} has WAL that {case.shore_name} never wrote, or has lost."
        proof.append(f"{case.name} is at {needed}, {case.shore_name} at {shore['position']}")
    else:
        return
    yield Finding(
        CRITICAL,
        case.name,
        what,
        tuple(proof),
        _RESEED.format(case.name) + "  # what it has of its own is lost: look first",
    )


def _ahead(case: Case, needed: Lsn | None) -> bool:
    position = (case.shore_lag.get("server") or {}).get("position")
    return bool(position and needed is not None and needed > Lsn.parse("position", position))


def _timeline(case: Case) -> int | None:
    """The ship's, as far as it got: the receiver's own, else the control file's."""
    lag = (case.ship_lag.get("server") or {}).get("timeline")
    control = ((case.ship or {}).get("control") or {}).get("timeline")
    return max((one for one in (lag, control) if one), default=None)


def _system_identifier(case: Case) -> Iterator[Finding]:
    if not _another_system(case):
        return
    yield Finding(
        CRITICAL,
        case.name,
        f"{case.name} is a copy of another cluster than that on {case.shore_name}.",
        (
            (
                f"system identifier of {case.name}: {_own_system(case)}, of {case.shore_name}:"
                f" {_shore_system(case)}"
            ),
        ),
        _ONBOARD.format(case.name) + " -e ship_replace_data=true",
    )


def _another_system(case: Case) -> bool:
    own, theirs = _own_system(case), _shore_system(case)
    return not case.logical and bool(own and theirs and own != theirs)


def _own_system(case: Case) -> str | None:
    found: str | None = ((case.ship or {}).get("control") or {}).get("system_identifier")
    return found


def _shore_system(case: Case) -> str | None:
    server = case.shore_lag.get("server") or {}
    probe = (case.probe or {}).get("system") or {}
    found: str | None = server.get("system_identifier") or probe.get("system_identifier")
    return found


# --- receiving and replaying -----------------------------------------------------------------------


def _replay_paused(case: Case) -> Iterator[Finding]:
    state = case.receiver.get("replay_state")
    if case.logical or state in (None, "not paused"):
        return
    yield Finding(
        CRITICAL,
        case.name,
        f"Replay on {case.name} is paused: it receives WAL, and shows none of it.",
        (
            f"pg_get_wal_replay_pause_state() is {state}",
            f"{size(case.receiver.get('replay_lag_bytes') or 0)} are received and not replayed",
        ),
        f"On {case.name}: SELECT pg_wal_replay_resume()",
        {"action": "resume_replay"},
    )


def _replay_held_back(case: Case) -> Iterator[Finding]:
    if case.logical or not case.ship_server or not case.ship_server["in_recovery"]:
        return
    startup = case.ship_server.get("startup") or {}
    waits = str(startup.get("wait_event") or "")
    conflict = waits.startswith("RecoveryConflict") or startup.get("wait_event_type") in (
        "Lock",
        "BufferPin",
    )
    behind = case.receiver.get("replay_lag_bytes") or 0
    proof = [
        f"the startup process waits for {startup.get('wait_event_type')} {waits}",
        f"{size(behind)} are received and not replayed",
    ]
    if waits == "RecoveryApplyDelay":
        yield Finding(
            WARNING,
            case.name,
            f"Replay on {case.name} is delayed on purpose (recovery_min_apply_delay).",
            tuple(proof),
            f"Set recovery_min_apply_delay to 0 in ship_settings, and run {_ONBOARD.format(case.name)}",
        )
        return
    if not conflict or not behind:
        return
    longest = (case.ship_server["snapshots"] or [{}])[0]
    delay = case.ship_settings.get("max_standby_streaming_delay")
    if longest:
        proof.append(
            f"the oldest query: process {longest['pid']} of {longest['usename']}"
            f" ({longest['application_name'] or 'no name'}), for"
            f" {duration(longest['xact_seconds'] or 0)}, {longest['state']}"
        )
    yield Finding(
        WARNING,
        case.name,
        f"Replay on {case.name} waits for a query that needs rows which the shore has removed"
        + (
            ", and it waits for ever (max_standby_streaming_delay is -1)."
            if str(delay) == "-1"
            else f" (max_standby_streaming_delay is {delay} ms)."
        ),
        tuple(proof),
        f"On {case.name}: SELECT pg_cancel_backend({longest.get('pid', 'PID')}); or wait until it ends",
    )


def _receiver_off(case: Case) -> Iterator[Finding]:
    if (
        case.logical
        or case.connected
        or not case.ship_server
        or not case.ship_server["in_recovery"]
    ):
        return
    own = case.ship_server.get("primary_connection")
    words = [entry for entry in case.log("ship", within=60) if entry["level"] in ("FATAL", "ERROR")]
    if not own:
        what = (
            f"{case.name} is told of no primary (primary_conninfo is empty), and receives nothing."
        )
        proof = ["primary_conninfo is empty; no walreceiver runs"]
        fix: Facts | None = {"action": "primary_conninfo"}
    else:
        what = (
            f"No walreceiver of {case.name} streams, though the way to {case.shore_name} is open."
        )
        proof = [
            f"pg_stat_wal_receiver: {case.receiver.get('status') or 'no row'}",
            *(quoted(entry) for entry in words[:2]),
        ]
        fix = None
    yield Finding(
        CRITICAL,
        case.name,
        what,
        tuple(proof),
        _ONBOARD.format(case.name) if not own else f"On {case.name}: tail its server's log",
        fix,
    )


_GONE = frozenset({"wal_removed", "receiver_off", "slot_in_use"})

RULES = (
    Rule(
        "disk_full",
        _disk_full,
        NOT_CONNECTED
        | {"ship_down", "shore_down", "archive_failing", "wal_directory_near_limit", "port_closed"},
    ),
    Rule(
        "hot_standby_setting",
        _hot_standby_setting,
        NOT_CONNECTED | {"ship_down", "replay_paused", "replay_held_back"},
    ),
    Rule("ship_down", _ship_down, NOT_CONNECTED),
    Rule(
        "system_identifier",
        _system_identifier,
        NOT_CONNECTED | _GONE | {"timeline_diverged", "slot_missing"},
    ),
    Rule("timeline_diverged", _timeline_diverged, NOT_CONNECTED | _GONE),
    Rule("slot_lost", _slot_lost, NOT_CONNECTED | _GONE),
    Rule("wal_removed", _wal_removed, NOT_CONNECTED | {"slot_missing"}),
    Rule("slot_missing", _slot_missing, NOT_CONNECTED),
    Rule("slot_in_use", _slot_in_use, NOT_CONNECTED),
    Rule("replay_paused", _replay_paused, frozenset({"replay_held_back"})),
    Rule("replay_held_back", _replay_held_back),
    Rule("receiver_off", _receiver_off, frozenset({"link_too_slow"})),
)

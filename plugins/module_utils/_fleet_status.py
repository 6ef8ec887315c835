# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The state of a fleet as its shore sees it: two statements, and one report (format 1).

Runs without Ansible, too: the timer of the role monitoring has these files on the shore. What the
ships themselves say is joined to it on the controller, by plugin_utils/_fleet_report.py.

PostgreSQL: The Cumulative Statistics System; pg_replication_slots; pg_stat_archiver.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Row, Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import (
    POSITION,
    Lag,
    SlotLag,
    StandbyLag,
    lag_of,
    read_found,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    CRITICAL,
    LIMIT_DEFAULTS,
    OK,
    WARNING,
    LagRequest,
    Limits,
    Problem,
    assess,
    duration,
    lag_request,
    size,
    worst,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    Lsn,
    check_slot_name,
)

FORMAT = 1
MODES = ("physical", "logical")

# The states of a ship that the shore sees, and those that only the ship can tell of; unknown is a
# ship while the shore is dark.
STATES = (
    "streaming",
    "catching up",
    "copying",
    "seeding",
    "dark",
    "missing",
    "lost",
    "paused",
    "subscription disabled",
    "conflict",
    "unknown",
)

History = Mapping[str, Sequence[Sequence[Any]]]

# A slot or an application of a table's first copy: pg_16402_sync_16386_7000000000000000000, and
# before PostgreSQL 14 ship_oslo_16402_sync_16386.
_TABLE_COPY = re.compile(r"(?:^pg|.)_\d+_sync_\d+(?:_\d+)?$")
# What the shore calls the slot of a ship that is a standby before it becomes a subscriber.
SEED_SUFFIX = "_seed"
# So many files not archived yet are more than a busy moment.
_WAITING_FILES = 32
# What is seen of other nodes so many looks ago says nothing of now.
_STALE_INTERVALS = 6


@dataclass(frozen=True)
class Ship:
    """A ship of the inventory.

    :param slot: the slot on shore, which is also the name of its role there.
    :param bandwidth: what its link carries, in bytes a second, where that is known.
    """

    name: str
    slot: str
    mode: str = "physical"
    bandwidth: float | None = None


@dataclass(frozen=True)
class StatusRequest:
    """What is asked for: the ships, and where a figure becomes a problem."""

    ships: tuple[Ship, ...]
    lag: LagRequest
    disk_free_percent: Limits
    archive_directory: Path | None = None
    slots_file: Path | None = None


@dataclass(frozen=True)
class Archive:
    """How the archiving of WAL goes."""

    enabled: bool = False
    last_archived_time: str | None = None
    last_archived_wal: str | None = None
    failed_count: int = 0
    last_failed_time: str | None = None
    last_failed_wal: str | None = None
    waiting_files: int = 0
    directory_bytes: int | None = None

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return (
            self.enabled
            and self.last_failed_time is not None
            and (self.last_archived_time or "") < self.last_failed_time
        )

    def shown(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Shore:
    """What is of the shore alone. before: the positions that consumers had when a sample began."""

    wal_directory_bytes: int | None = None
    disk_path: str | None = None
    disk_total_bytes: int | None = None
    disk_free_bytes: int | None = None
    archive: Archive = Archive()
    before: Mapping[str, Lsn] = field(default_factory=dict)
    position_before: Lsn | None = None

    @property
    def free_percent(self) -> float | None:
        if not self.disk_total_bytes or self.disk_free_bytes is None:
            return None
        return 100 * self.disk_free_bytes / self.disk_total_bytes


@dataclass(frozen=True)
class Seen:
    """All that was read.

    :param contacts: when each ship was last seen connected, as epochs, by earlier samples: before
        PostgreSQL 17 the server does not know it.
    :param elsewhere: slots by which ships stream from another node of the shore, and which that is.
    """

    lag: Lag
    shore: Shore
    contacts: Mapping[str, float] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    @property
    def now(self) -> float | None:
        return epoch(self.lag.server.time)


STATUS_DEFAULTS: dict[str, Any] = {
    "sample_seconds": 5.0,
    **LIMIT_DEFAULTS,
    "disk_free_percent_warning": 15.0,
    "disk_free_percent_critical": 5.0,
}


# --- what is asked for ---------------------------------------------------------------------------


def status_request(params: Mapping[str, Any]) -> StatusRequest:
    """Read the options of the module fleet_status, or of the timer's configuration.

    :raises ReplicationError: an option is wrong, or contradicts another.
    """
    ships = tuple(_ship(index, ship) for index, ship in enumerate(params["ships"]))
    for what in ("name", "slot"):
        given = [getattr(ship, what) for ship in ships]
        twice = sorted({value for value in given if given.count(value) > 1})
        if twice:
            raise ReplicationError(f"ships: two of them have the {what} {twice[0]!r}.")
    limits = Limits(
        float(params["disk_free_percent_warning"]), float(params["disk_free_percent_critical"])
    )
    if not 0 <= limits.critical <= limits.warning <= 100:  # noqa: PLR2004
        raise ReplicationError(
            "disk_free_percent_warning and disk_free_percent_critical: 0 to 100, and the warning"
            " not below the critical, or nothing would ever be a warning."
        )
    archive, slots = params.get("archive_directory"), params.get("slots_file")
    return StatusRequest(
        ships,
        lag_request(params),
        limits,
        Path(archive) if archive else None,
        Path(slots) if slots else None,
    )


def _ship(index: int, given: Mapping[str, Any]) -> Ship:
    mode = given.get("mode") or "physical"
    if mode not in MODES:
        raise ReplicationError(f"ships[{index}].mode: {mode!r}; it can be {' or '.join(MODES)}.")
    return Ship(
        name=str(given["name"]),
        slot=check_slot_name(f"ships[{index}].slot", given["slot"]),
        mode=mode,
        bandwidth=given.get("bandwidth") or None,
    )


# --- reading -------------------------------------------------------------------------------------

_READ = """
SELECT row_to_json(shore) AS shore FROM (
SELECT {position},
       current_setting('data_directory') AS data_directory,
       (SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()) AS wal_directory_bytes,
       current_setting('archive_mode') <> 'off' AS archive_enabled,
       (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') AS waiting_files,
       (SELECT row_to_json(archiver) FROM (
            SELECT last_archived_wal, failed_count, last_failed_wal,
                   last_archived_time AT TIME ZONE 'UTC' AS last_archived_time,
                   last_failed_time AT TIME ZONE 'UTC' AS last_failed_time
              FROM pg_stat_archiver) AS archiver) AS archiver,
       (SELECT json_object_agg(slot_name, coalesce(confirmed_flush_lsn, restart_lsn))
          FROM pg_replication_slots) AS slots
) AS shore
"""


def read_status(
    session: Session, request: StatusRequest, contacts: Mapping[str, float] | None = None
) -> Seen:
    """All that the shore tells: one statement where a sample begins, and one at its end."""
    begin = session.read(sql.SQL(_READ).format(position=sql.SQL(POSITION)))[0]["shore"]
    if request.lag.sample_seconds:
        time.sleep(request.lag.sample_seconds)
    found = read_found(session)
    lag = lag_of(session.server_version, found, begin if request.lag.sample_seconds else None)
    elsewhere = streaming_elsewhere(request.slots_file, time.time()) if request.slots_file else {}
    return Seen(lag, shore_of(begin, request), contacts or {}, elsewhere)


def streaming_elsewhere(file: Path, now: float) -> dict[str, str]:
    """By what keep_slots saw a moment ago, the slots in use on another node, and which that is."""
    try:
        told = json.loads(file.read_text("utf-8"))
        if now - told["updated"] > _STALE_INTERVALS * told["interval"]:
            return {}
        return {
            ship["slot"]: ship["streams_from"]
            for ship in told["ships"]
            if ship["streams_from"] not in (None, told["node"])
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def shore_of(row: Row, request: StatusRequest) -> Shore:
    """The shore's own figures; the disk is looked at here, on the host that runs this."""
    path = f"{row['data_directory']}/pg_wal"
    total, free = _disk(path)
    archiver = row["archiver"] or {}
    sampled = bool(request.lag.sample_seconds)
    return Shore(
        wal_directory_bytes=row["wal_directory_bytes"],
        disk_path=path,
        disk_total_bytes=total,
        disk_free_bytes=free,
        archive=Archive(
            enabled=row["archive_enabled"],
            last_archived_time=_utc(archiver.get("last_archived_time")),
            last_archived_wal=archiver.get("last_archived_wal"),
            failed_count=archiver.get("failed_count") or 0,
            last_failed_time=_utc(archiver.get("last_failed_time")),
            last_failed_wal=archiver.get("last_failed_wal"),
            waiting_files=row["waiting_files"],
            directory_bytes=_folder_bytes(request.archive_directory),
        ),
        before={
            name: Lsn.parse("the server's answer", position)
            for name, position in (row["slots"] or {}).items()
            if sampled and position
        },
        position_before=Lsn.parse("the server's answer", row["position"])
        if sampled and row["position"]
        else None,
    )


def _disk(path: str) -> tuple[int | None, int | None]:
    try:
        disk = os.statvfs(path)
    except OSError:  # from another host, or as somebody else: unknown
        return None, None
    return disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize


def _folder_bytes(directory: Path | None) -> int | None:
    if directory is None:
        return None
    try:
        with os.scandir(directory) as entries:
            return sum(_file_bytes(entry) for entry in entries)
    except OSError:
        return None


def _file_bytes(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:  # what was too old has just been removed
        return 0


def _utc(text: str | None) -> str | None:
    return f"{text}Z" if text else None


# --- judging: needs no server --------------------------------------------------------------------


def status_report(
    name: str, seen: Seen, request: StatusRequest, history: History | None = None
) -> dict[str, Any]:
    """The report of a fleet, as its shore sees it: ships and problems worst first.

    :param name: the shore's.
    :param history: earlier samples, shown as they are.
    """
    lag, shore = seen.lag, seen.shore
    parts = [_Part.of(ship, lag, seen.elsewhere) for ship in request.ships]
    report = {
        "format": FORMAT,
        "time": lag.server.time,
        "shore": {
            "name": name,
            "version": lag.server.version,
            "position": str(lag.server.position) if lag.server.position is not None else None,
            "timeline": lag.server.timeline,
            "system_identifier": lag.server.system_identifier,
            "wal_rate": lag.server.wal_rate,
            "disk": {
                "path": shore.disk_path,
                "total_bytes": shore.disk_total_bytes,
                "free_bytes": shore.disk_free_bytes,
            },
            "wal_directory_bytes": shore.wal_directory_bytes,
            "max_slot_wal_keep_size": lag.server.max_slot_wal_keep_size,
            "archive": shore.archive.shown(),
            "failover": None,
            "wal_senders_used": lag.server.wal_senders_used,
            "max_wal_senders": lag.server.max_wal_senders,
            "slots_used": lag.server.slots_used,
            "max_replication_slots": lag.server.max_replication_slots,
            "problems": _shown(_shore_problems(seen, request, parts)),
        },
        "ships": [_ship_row(part, seen, request) for part in parts],
        "history": {
            key: [list(sample) for sample in samples] for key, samples in (history or {}).items()
        },
    }
    return settled(report)


def settled(report: dict[str, Any]) -> dict[str, Any]:
    """The report in its order, with the status that follows of its parts."""
    ships = sorted(report["ships"], key=_urgency)
    severities = [ship["severity"] for ship in ships]
    severities += [problem["severity"] for problem in report["shore"]["problems"]]
    head = {"format": report["format"], "time": report["time"], "status": worst(*severities)}
    return {**head, **report, **head, "ships": ships}


_WORST_FIRST = (CRITICAL, WARNING, OK)


def _urgency(ship: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sorts the worst first: by severity, then by what is lost soonest, then by the lag."""
    left = ship["seconds_until_lost"]
    return (
        _WORST_FIRST.index(ship["severity"]),
        float("inf") if left is None else left,
        -(ship["lag_bytes"] or 0),
        ship["name"],
    )


@dataclass(frozen=True)
class _Part:
    """What of the shore's slots and walsenders belongs to a ship."""

    ship: Ship
    slot: SlotLag | None
    seed: SlotLag | None
    standbys: tuple[StandbyLag, ...]
    slots: tuple[SlotLag, ...]
    node: str | None = None

    @classmethod
    def of(cls, ship: Ship, lag: Lag, elsewhere: Mapping[str, str]) -> _Part:
        # Whoever streams from another node leaves its slot here unused.
        named = {
            slot.name: replace(slot, active=True, inactive_since=None, inactive_seconds=None)
            if slot.name in elsewhere
            else slot
            for slot in lag.slots
        }
        slot, seed = named.get(ship.slot), named.get(ship.slot + SEED_SUFFIX)
        own = {found.name for found in (slot, seed) if found}
        standbys = tuple(
            standby for standby in lag.standbys if standby.slot in own or standby.user == ship.slot
        )
        used = own | {standby.slot for standby in standbys if standby.slot}
        return cls(
            ship,
            slot,
            seed,
            standbys,
            tuple(found for found in named.values() if found.name in used),
            elsewhere.get(ship.slot),
        )

    @property
    def main(self) -> StandbyLag | None:
        """The walsender that the ship's own data come by."""
        for standby in self.standbys:
            if self.slot and standby.slot == self.slot.name:
                return standby
        for standby in self.standbys:
            if not self.copies(standby) and standby.state != "backup":
                return standby
        return None

    def state_of_any(self, state: str) -> bool:
        return any(standby.state == state for standby in self.standbys)

    @staticmethod
    def copies(standby: StandbyLag) -> bool:
        """Whether it is a table's first copy."""
        return bool(_TABLE_COPY.search(standby.slot or standby.name))


def _state(part: _Part, behind: bool) -> str:
    slot, main = part.slot, part.main
    if slot is not None and slot.lost:
        return "lost"
    if slot is None and main is None and part.seed is None and not part.standbys:
        return "missing"
    if (slot is None and part.seed is not None) or part.state_of_any("backup"):
        return "seeding"
    if any(part.copies(standby) for standby in part.standbys):
        return "copying"
    if main is None and not (slot and slot.active):
        return "dark"
    catching_up = main is not None and main.state in ("catchup", "startup")
    return "catching up" if behind or catching_up else "streaming"


def _ship_row(part: _Part, seen: Seen, request: StatusRequest) -> dict[str, Any]:
    slot, main, now = part.slot or part.seed, part.main, seen.now
    lag_bytes = slot.lag_bytes if slot else None
    if main is not None and main.replay_lag_bytes is not None:
        lag_bytes = main.replay_lag_bytes
    state = _state(part, request.lag.lag_bytes.reached(lag_bytes) != OK)
    connected = bool(part.standbys) or bool(slot and slot.active)
    contact = now if connected else _contact(part, seen)
    away = max(now - contact, 0.0) if now is not None and contact is not None else None
    lag_seconds = main.replay_lag_seconds if main else None
    if not connected and lag_bytes:
        lag_seconds = away  # what is aboard is at least so old
    rate = _rate(slot, seen) if connected else None
    found = [*_ship_problems(part, state, seen, request), *_link_problems(part, seen.lag)]
    told = any(problem.object.startswith("slot ") for problem in found)
    problems = _shown([*found, *_state_problems(part, state, away, told)])
    return {
        "name": part.ship.name,
        "mode": part.ship.mode,
        "slot": part.ship.slot,
        "state": state,
        "severity": worst(*(problem["severity"] for problem in problems)),
        "connected": connected,
        "node": part.node,
        "lag_bytes": lag_bytes,
        "lag_seconds": None if lag_seconds is None else round(lag_seconds, 1),
        "retained_bytes": _retained(part),
        "seconds_until_lost": slot.seconds_until_lost if slot else None,
        "lost_by": slot.lost_by if slot else None,
        "last_contact": iso(contact),
        "last_contact_seconds": None if away is None else round(away, 1),
        "rate": rate,
        "catch_up_seconds": _catch_up(part.ship, lag_bytes, rate, seen.lag.server.wal_rate),
        "own": None,
        "problems": problems,
    }


def _retained(part: _Part) -> int | None:
    known = [slot.retained_bytes for slot in part.slots if slot.retained_bytes is not None]
    # A slot of a table's first copy holds back the same WAL.
    return max(known, default=None)


def _contact(part: _Part, seen: Seen) -> float | None:
    known = [seen.contacts[part.ship.name]] if part.ship.name in seen.contacts else []
    known += [
        seen.now - slot.inactive_seconds
        for slot in part.slots
        if slot.inactive_seconds is not None and seen.now is not None
    ]
    return max(known, default=None)


def _rate(slot: SlotLag | None, seen: Seen) -> float | None:
    """Bytes a second by which the ship's lag shrinks; below 0 it grows."""
    seconds, position = seen.lag.server.sample_seconds, seen.shore.position_before
    if slot is None or slot.lag_bytes is None or not seconds or position is None:
        return None
    before = seen.shore.before.get(slot.name)
    if before is None:
        return None
    return round((max(position - before, 0) - slot.lag_bytes) / seconds, 1)


def _catch_up(
    ship: Ship, lag_bytes: int | None, rate: float | None, wal_rate: float | None
) -> float | None:
    """How long until the ship has caught up: as now, or by what its link carries once it is back."""
    if not lag_bytes:
        return 0.0 if lag_bytes == 0 else None
    if rate is not None and rate > 0:
        return round(lag_bytes / rate, 1)
    if rate is None and ship.bandwidth:
        spare = ship.bandwidth - (wal_rate or 0)
        return round(lag_bytes / spare, 1) if spare > 0 else None
    return None


def _ship_problems(
    part: _Part, state: str, seen: Seen, request: StatusRequest
) -> Iterator[Problem]:
    # What a first copy takes along comes and goes by itself.
    own = replace(
        seen.lag,
        standbys=tuple(found for found in part.standbys if not part.copies(found)),
        slots=tuple(found for found in (part.slot, part.seed) if found),
        receiver=None,
        subscriptions=(),
    )
    for found in assess(own, request.lag):
        # A ship that is seeded need not be connected yet, and its seed has a walsender of its own.
        passing = state == "seeding" and found.severity != CRITICAL
        if part.slot is not None and part.slot.lost and found.object == f"slot {part.slot.name}":
            do = f"Run ship_reseed.yml -e ship={part.ship.name}, which brings it back."
            yield replace(found, do=do)
        elif found.object != "server" and not passing:
            yield found


def _state_problems(part: _Part, state: str, away: float | None, told: bool) -> Iterator[Problem]:
    """What the state itself says.

    :param told: whether the slot's own problems say it already.
    """
    name = f"slot {part.ship.slot}"
    onboard = f"ship_onboard.yml -e ship={part.ship.name}"
    if state == "missing":
        yield Problem(
            CRITICAL,
            name,
            f"The shore has no slot {part.ship.slot}: nothing is kept for the ship, and nothing is"
            " sent to it.",
            f"Run {onboard}; where the ship was onboard before, see first what diagnose.yml -e"
            f" ship={part.ship.name} says.",
        )
    elif part.slot is None and state != "seeding":
        yield Problem(
            WARNING,
            name,
            f"The ship is connected without its slot {part.ship.slot}: the shore keeps no WAL for"
            " it when the link is dark.",
            f"Run {onboard}, which makes the slot.",
        )
    elif state == "dark" and not told:
        yield Problem(
            WARNING,
            f"ship {part.ship.name}",
            "The ship is not connected"
            + (f", and was last seen {duration(away)} ago." if away is not None else "."),
            "Nothing where it is at sea without a link: it goes on by itself. Otherwise run"
            f" diagnose.yml -e ship={part.ship.name}.",
        )


def _link_problems(part: _Part, lag: Lag) -> Iterator[Problem]:
    bandwidth, written = part.ship.bandwidth, lag.server.wal_rate
    if bandwidth and written and written > bandwidth:
        yield Problem(
            WARNING,
            f"link {part.ship.name}",
            f"The shore writes {size(round(written))} of WAL a second, and the ship's link carries"
            f" {size(round(bandwidth))}: the lag grows while that lasts.",
            "Wait where it is a passing load; otherwise let the link carry more, or send fewer"
            " tables (ship_mode: logical, ship_tables).",
        )


def _shore_problems(seen: Seen, request: StatusRequest, parts: Sequence[_Part]) -> list[Problem]:
    lag, shore = seen.lag, seen.shore
    slots = {slot.name for part in parts for slot in part.slots}
    pids = {standby.pid for part in parts for standby in part.standbys}
    # What belongs to no ship still fills the shore's disk.
    others = replace(
        lag,
        slots=tuple(slot for slot in lag.slots if slot.name not in slots),
        standbys=tuple(standby for standby in lag.standbys if standby.pid not in pids),
    )
    found = [problem for problem in assess(lag, request.lag) if problem.object == "server"]
    found += [problem for problem in assess(others, request.lag) if problem.object != "server"]
    found += [*_role_problems(lag), *_disk_problems(lag, shore, request)]
    found += _archive_problems(shore.archive)
    return found


def _role_problems(lag: Lag) -> Iterator[Problem]:
    if lag.server.in_recovery:
        yield Problem(
            CRITICAL,
            "server",
            "The server is a standby, and not the shore's primary.",
            "Let the inventory's group shore name the primary.",
        )


def _disk_problems(lag: Lag, shore: Shore, request: StatusRequest) -> Iterator[Problem]:
    free, percent = shore.disk_free_bytes, shore.free_percent
    if free is None or percent is None:
        return
    severity = request.disk_free_percent.undercut(percent)
    if severity != OK:
        yield Problem(
            severity,
            "disk",
            f"{size(free)} are free ({percent:.0f} %) where the WAL lies, {shore.disk_path}.",
            "See which slots retain the most, free space, or lower max_slot_wal_keep_size before"
            " the server stops for want of room.",
        )
    retained = max((slot.retained_bytes or 0 for slot in lag.slots), default=0)
    limit = lag.server.max_slot_wal_keep_size
    if limit is not None and limit > free + retained:
        yield Problem(
            WARNING,
            "disk",
            f"max_slot_wal_keep_size allows {size(limit)}, and the disk has room for"
            f" {size(free + retained)}: it would be full before a slot is lost.",
            "Lower max_slot_wal_keep_size, or give the disk more room.",
        )
    waits = [slot for slot in lag.slots if not slot.active and not slot.lost and slot.restart_lsn]
    if limit is None and waits and lag.server.wal_rate:
        left = free / lag.server.wal_rate
        urgent = request.lag.time_to_loss.undercut(left)
        if urgent != OK:
            yield Problem(
                urgent,
                "disk",
                f"The disk is full in {duration(left)}: nothing limits what the slots of dark"
                " ships retain, and WAL is written as now.",
                "Set max_slot_wal_keep_size and reload, or bring the ships back.",
            )


def _archive_problems(archive: Archive) -> Iterator[Problem]:
    waiting = f"{archive.waiting_files} files wait in pg_wal"
    if archive.failing:
        yield Problem(
            CRITICAL,
            "archive",
            f"Archiving fails: the last attempt, of {archive.last_failed_wal} at"
            f" {archive.last_failed_time}, failed, and {waiting}, which is not emptied until it"
            " succeeds.",
            "Read the server's log for what archive_command said, and see to the archive's disk"
            " and permissions.",
        )
    elif archive.enabled and archive.waiting_files >= _WAITING_FILES:
        yield Problem(
            WARNING,
            "archive",
            f"Archiving is behind: {waiting}.",
            "See whether archive_command is slow or hangs; it works on one file at a time.",
        )


def _shown(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    ordered = sorted(problems, key=lambda problem: _WORST_FIRST.index(problem.severity))
    return [problem.shown() for problem in ordered]


# --- times ---------------------------------------------------------------------------------------


def epoch(text: str | None) -> float | None:
    """2026-11-22T08:15:29.71Z as seconds since 1970."""
    if not text:
        return None
    whole, _dot, fraction = text.rstrip("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return moment.timestamp() + float(f"0.{fraction or 0}")


def iso(seconds: float | None) -> str | None:
    """Seconds since 1970 as 2026-11-22T08:15:29Z."""
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, tz=timezone.utc):%Y-%m-%dT%H:%M:%S}Z"

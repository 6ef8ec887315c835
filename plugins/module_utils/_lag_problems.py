# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What is wrong with a server's replication, how bad it is, and what to do. Needs no server.

PostgreSQL: Log-Shipping Standby Servers; Replication Slots; Logical Replication, "Monitoring".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

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

OK, WARNING, CRITICAL = "ok", "warning", "critical"
_WORST_FIRST = (CRITICAL, WARNING, OK)
# From this share on, what the server has room for is nearly used up.
_NEARLY = 0.9
# A receiver that hears nothing asks for an answer at half of its time-out.
_SILENT = 0.75
_LONGEST_SAMPLE = 3600
# What to do about errors that were counted, be they past or not.
PAST_ERRORS = (
    "Read the server's log; when the cause is mended, set the count to 0 with"
    " pg_stat_reset_subscription_stats()."
)


class Limits(NamedTuple):
    """Where a figure becomes a warning, and where critical; 0 is no limit."""

    warning: float
    critical: float

    def reached(self, value: float | None) -> str:
        """How bad a figure is that must not grow too large; unknown is no problem."""
        if value is None:
            return OK
        if self.critical and value >= self.critical:
            return CRITICAL
        return WARNING if self.warning and value >= self.warning else OK

    def undercut(self, value: float | None) -> str:
        """How bad a figure is that must not grow too small."""
        if value is None:
            return OK
        if value < self.critical:
            return CRITICAL
        return WARNING if value < self.warning else OK


# What doc_fragments/limits.py tells of.
LIMIT_DEFAULTS: dict[str, str | int] = {
    "lag_bytes_warning": "256MB",
    "lag_bytes_critical": "4GB",
    "lag_seconds_warning": 3600,
    "lag_seconds_critical": 86400,
    "time_to_loss_warning": 86400,
    "time_to_loss_critical": 3600,
    "retained_bytes_warning": "16GB",
    "retained_bytes_critical": "64GB",
}


def limit_spec() -> dict[str, dict[str, Any]]:
    """The options of where a figure becomes a problem."""
    return {
        name: {"type": type(default).__name__, "default": default}
        for name, default in LIMIT_DEFAULTS.items()
    }


@dataclass(frozen=True)
class LagRequest:
    """The options of the module repl_lag_facts."""

    sample_seconds: float
    lag_bytes: Limits
    lag_seconds: Limits
    time_to_loss: Limits
    retained_bytes: Limits


@dataclass(frozen=True)
class Problem(Fact):
    """What is wrong, as a person would say it."""

    severity: str
    object: str
    what: str
    do: str


def lag_request(params: Mapping[str, Any]) -> LagRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong, or contradicts another.
    """
    if not 0 <= params["sample_seconds"] <= _LONGEST_SAMPLE:
        raise ReplicationError(f"sample_seconds: 0 to {_LONGEST_SAMPLE} seconds are possible.")
    return LagRequest(
        sample_seconds=params["sample_seconds"],
        lag_bytes=_limits(params, "lag_bytes"),
        lag_seconds=_limits(params, "lag_seconds"),
        time_to_loss=_limits(params, "time_to_loss", growing=False),
        retained_bytes=_limits(params, "retained_bytes"),
    )


def _limits(params: Mapping[str, Any], option: str, growing: bool = True) -> Limits:
    limits = Limits(
        *(_limit(name, params[name]) for name in (f"{option}_warning", f"{option}_critical"))
    )
    ordered = limits if growing else Limits(*reversed(limits))
    if ordered.critical and ordered.warning > ordered.critical:
        raise ReplicationError(
            f"{option}_warning has to be {'below' if growing else 'above'} {option}_critical,"
            " or nothing would ever be a warning."
        )
    return limits


def _limit(option: str, value: Any) -> float:
    limit = _bytes(value) if isinstance(value, str) else value
    if limit < 0:
        raise ReplicationError(
            f"{option}: {value!r} is not a limit: write a number, for bytes also one with a unit"
            " (512MB), and 0 for no limit."
        )
    return float(limit)


_BYTES = re.compile(r"(\d+(?:\.\d+)?) ?([KMGTPE]?)B?", re.IGNORECASE)


def _bytes(text: str) -> float:
    """512MB, 1.5 G or 4096 as bytes; -1 for what is none."""
    match = _BYTES.fullmatch(text.strip())
    return float(match[1]) * 1024 ** " KMGTPE".index(match[2].upper() or " ") if match else -1


# --- judging -------------------------------------------------------------------------------------


def assess(lag: Lag, request: LagRequest) -> list[Problem]:
    """Every problem, worst first."""
    return sorted(
        _Judge(lag, request).problems(), key=lambda problem: _WORST_FIRST.index(problem.severity)
    )


def status_of(problems: list[Problem]) -> str:
    return worst(*(problem.severity for problem in problems))


class _Judge:
    def __init__(self, lag: Lag, request: LagRequest) -> None:
        self.lag = lag
        self.request = request

    def problems(self) -> Iterator[Problem]:
        seen = {standby.pid for standby in self.lag.standbys if standby.state is not None}
        yield from self.server(self.lag.server)
        for slot in self.lag.slots:
            yield from self.slot(slot, slot.active_pid in seen)
        for standby in self.lag.standbys:
            yield from self.standby(standby)
        if self.lag.receiver:
            yield from self.receiver(self.lag.receiver)
        for subscription in self.lag.subscriptions:
            yield from self.subscription(subscription)

    def server(self, server: ServerLag) -> Iterator[Problem]:
        yield from self.synchronous(server)
        used, room = server.wal_senders_used, server.max_wal_senders
        if used >= _NEARLY * room and used:
            yield Problem(
                CRITICAL if used >= room else WARNING,
                "server",
                f"{used} of {room} walsenders are in use"
                + (", and no other standby can connect." if used >= room else "."),
                "Raise max_wal_senders, first on the standbys, and restart, or end what need not"
                " be connected.",
            )
        used, room = server.slots_used, server.max_replication_slots
        if used >= _NEARLY * room and used:
            yield Problem(
                WARNING,
                "server",
                f"{used} of {room} replication slots are in use"
                + (", and no other can be made." if used >= room else "."),
                "Raise max_replication_slots and restart, or drop the slots of ships that have left.",
            )

    def synchronous(self, server: ServerLag) -> Iterator[Problem]:
        names = server.synchronous_standby_names.strip()
        hidden = any(standby.state is None for standby in self.lag.standbys)
        if not names or server.in_recovery or hidden:
            return
        needed = _synchronous_needed(names)
        there = sum(standby.sync_state in ("sync", "quorum") for standby in self.lag.standbys)
        if there < needed:
            yield Problem(
                CRITICAL,
                "server",
                f"{there} of {needed} synchronous standbys are connected, and commits wait for the"
                f" rest (synchronous_standby_names: {names}).",
                "Bring one of them back, or take it out of synchronous_standby_names and reload.",
            )

    def slot(self, slot: SlotLag, standby_seen: bool) -> Iterator[Problem]:
        name = f"slot {slot.name}"
        if slot.lost:
            reason = f" ({slot.invalidation_reason})" if slot.invalidation_reason else ""
            yield Problem(
                CRITICAL,
                name,
                f"The slot is lost{reason}: it protects nothing any more.",
                "Drop it, create it anew, and seed its consumer again.",
            )
            return
        yield from self.loss(name, slot)
        retained = self.request.retained_bytes.reached(slot.retained_bytes)
        if retained != OK and slot.retained_bytes is not None:
            yield Problem(
                retained,
                name,
                f"The slot retains {size(slot.retained_bytes)} of WAL on this server's disk.",
                "Bring its consumer back, or set max_slot_wal_keep_size so that it cannot fill the"
                " disk, or drop the slot.",
            )
        if not slot.active and not slot.synced:
            yield from self.inactive(name, slot)
        elif slot.active and not standby_seen:
            yield from self.behind(name, "Its consumer", slot.lag_bytes, None)

    def loss(self, name: str, slot: SlotLag) -> Iterator[Problem]:
        left = slot.seconds_until_lost
        urgent = self.request.time_to_loss.undercut(left)
        if slot.wal_status == "unreserved":
            yield Problem(
                CRITICAL,
                name,
                "The slot is beyond max_slot_wal_keep_size: the next checkpoint may remove the WAL"
                " that it needs, and a ship that attaches now is still saved.",
                "Connect its consumer now, or raise max_slot_wal_keep_size and reload.",
            )
        elif urgent != OK and left is not None:
            yield Problem(urgent, name, *_lost_soon(left, slot.lost_by))
        elif slot.wal_status == "extended":
            yield Problem(
                WARNING,
                name,
                "The slot retains more WAL than max_wal_size"
                + (
                    f", and {size(slot.safe_wal_size)} more until it may be lost."
                    if slot.safe_wal_size is not None
                    else ", and nothing limits it."
                ),
                "Bring its consumer back, and see that the disk has room for what it retains.",
            )

    def inactive(self, name: str, slot: SlotLag) -> Iterator[Problem]:
        """A dark ship: its absence is never more than a warning, what it retains may be."""
        severity = self.request.lag_bytes.reached(slot.lag_bytes)
        if slot.inactive_seconds is None:
            away = ""
            severity = worst(severity, WARNING)
        else:
            away = f" for {duration(slot.inactive_seconds)}"
            if self.request.lag_seconds.reached(slot.inactive_seconds) != OK:
                severity = worst(severity, WARNING)
        if severity != OK:
            behind = (
                "it retains nothing yet"
                if slot.lag_bytes is None
                else f"its consumer lags {size(slot.lag_bytes)} behind"
            )
            yield Problem(
                severity,
                name,
                f"The slot has been inactive{away}, and {behind}.",
                "See whether the link is up and its consumer runs; drop the slot if the ship has"
                " left for good.",
            )

    def standby(self, standby: StandbyLag) -> Iterator[Problem]:
        name = f"standby {standby.name or standby.pid}"
        yield from self.behind(
            name, "The standby", standby.replay_lag_bytes, standby.replay_lag_seconds
        )
        if standby.state in _PASSING_STATES:
            yield Problem(WARNING, name, *_PASSING_STATES[standby.state])

    def behind(
        self, name: str, who: str, lag_bytes: int | None, lag_seconds: float | None
    ) -> Iterator[Problem]:
        severity = worst(
            self.request.lag_bytes.reached(lag_bytes), self.request.lag_seconds.reached(lag_seconds)
        )
        if severity != OK:
            figures = [size(lag_bytes)] if lag_bytes is not None else []
            figures += [duration(lag_seconds)] if lag_seconds is not None else []
            yield Problem(
                severity,
                name,
                f"{who} lags {' and '.join(figures)} behind.",
                "Compare the rate of WAL with what the link carries, and look for a standby that"
                " replays slowly (conflicting queries, slow disks).",
            )

    def receiver(self, receiver: ReceiverLag) -> Iterator[Problem]:
        name = "receiver"
        if not receiver.running:
            yield Problem(
                WARNING,
                name,
                "The standby is not connected to its primary: no walreceiver runs.",
                "See whether the link is up, then read the server's log and check primary_conninfo"
                " and primary_slot_name.",
            )
        elif receiver.status not in ("streaming", None):
            yield Problem(
                WARNING,
                name,
                f"The standby does not stream: its walreceiver is {receiver.status}.",
                "If it stays so, read the server's log, and the primary's.",
            )
        elif self.silent(receiver.last_message_seconds):
            yield _silence(name, receiver.last_message_seconds or 0)
        if receiver.replay_state != "not paused":
            yield Problem(
                WARNING,
                "replay",
                f"Replay is {_PAUSE_TEXT.get(receiver.replay_state, receiver.replay_state)}, and"
                " what the primary does is not seen here.",
                "Run SELECT pg_wal_replay_resume(), and read the server's log if it pauses again.",
            )
        yield from self.behind(
            "replay",
            "This standby",
            _sum(receiver.receive_lag_bytes, receiver.replay_lag_bytes),
            receiver.replay_lag_seconds,
        )

    def silent(self, seconds: float | None) -> bool:
        timeout = self.lag.server.wal_receiver_timeout
        if seconds is None:
            return False
        if timeout:
            return seconds >= _SILENT * timeout
        return self.request.lag_seconds.reached(seconds) != OK

    def subscription(self, found: SubscriptionLag) -> Iterator[Problem]:
        name = f"subscription {found.name}"
        errors = (found.apply_errors or 0) + (found.sync_errors or 0)
        since = f" since {found.stats_reset}" if found.stats_reset else " since it was created"
        counted = (
            f"{_count(errors, 'error')} ({found.apply_errors or 0} applying,"
            f" {found.sync_errors or 0} copying)"
        )
        if not found.enabled:
            yield Problem(
                CRITICAL if found.disabled_by_error else WARNING,
                name,
                f"The subscription is disabled in {found.database}"
                + (f", after {counted}{since}" if errors else "")
                + (
                    ": by an error, as disable_on_error demands."
                    if found.disabled_by_error
                    else "."
                ),
                "Read the server's log and mend the cause of the error, then enable it."
                if errors
                else "Enable it, or drop it: its slot retains WAL on the publisher.",
            )
        else:
            yield from self.workers(name, found)
            if errors:
                yield Problem(
                    WARNING,
                    name,
                    f"The subscription had {counted}{since}.",
                    PAST_ERRORS,
                )
        conflicts = {kind: count for kind, count in (found.conflicts or {}).items() if count}
        if conflicts:
            kinds = ", ".join(f"{kind} {count}" for kind, count in conflicts.items())
            yield Problem(
                WARNING,
                name,
                f"The subscription had {_count(sum(conflicts.values()), 'conflict')}{since}: {kinds}.",
                "Read the server's log for the rows, and see who else writes to these tables here.",
            )
        tables = found.tables or {}
        waiting = tables.get("total", 0) - tables.get("ready", 0)
        if waiting:
            states = ", ".join(
                f"{state} {count}"
                for state, count in tables.items()
                if count and state not in ("total", "ready")
            )
            yield Problem(
                WARNING,
                name,
                f"{waiting} of {_count(tables['total'], 'table')} are not ready: {states}.",
                "Wait for the first copy to end; if it does not, read the server's log.",
            )

    def workers(self, name: str, found: SubscriptionLag) -> Iterator[Problem]:
        # A standby of a subscriber has its subscriptions, and never runs them.
        if self.lag.server.in_recovery or found.workers is None:
            return
        if found.apply_worker_pid is None:
            yield Problem(
                WARNING,
                name,
                f"The subscription is enabled in {found.database}, and no worker runs.",
                "See whether the link is up, then read the server's log; if it says nothing, raise"
                " max_logical_replication_workers and max_worker_processes.",
            )
        elif self.silent(found.last_message_seconds):
            yield _silence(name, found.last_message_seconds or 0)


_PASSING_STATES = {
    "catchup": (
        "The standby is catching up, and does not stream yet.",
        "Wait; if it stays so, the link carries less than the WAL that is written.",
    ),
    "backup": (
        "A base backup is being taken.",
        "Wait until it ends; it competes with the standbys for the link.",
    ),
    "startup": (
        "The standby is connecting, and does not stream yet.",
        "If it stays so, read the server's log, and the standby's.",
    ),
}
_PAUSE_TEXT = {"pause requested": "about to pause"}


def _lost_soon(left: float, lost_by: str | None) -> tuple[str, str]:
    if lost_by == "idle":
        return (
            f"The slot is lost in {duration(left)}, if its consumer stays away.",
            "Connect its consumer, or raise idle_replication_slot_timeout and reload.",
        )
    return (
        (
            f"The slot is lost in {duration(left)}, if its consumer does not come further and WAL is"
            " written as now."
        ),
        "Connect its consumer, or raise max_slot_wal_keep_size and reload.",
    )


def _silence(name: str, seconds: float) -> Problem:
    return Problem(
        WARNING,
        name,
        f"No message has come from the sender for {duration(seconds)}.",
        "See whether the link is up; the connection ends by itself after wal_receiver_timeout.",
    )


def _synchronous_needed(names: str) -> int:
    """How many standbys a commit waits for (PostgreSQL: Replication, synchronous_standby_names)."""
    match = re.match(r"(?:(?:first|any)\s*)?(\d+)\s*\(", names, re.IGNORECASE)
    return int(match.group(1)) if match else 1


def worst(*severities: str) -> str:
    return min(severities, key=_WORST_FIRST.index, default=OK)


def _sum(*values: int | None) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size(number: int) -> str:
    """1610612736 -> 1.5 GB; units as PostgreSQL's."""
    power = min(max(number.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{number / 1024**power:.1f} {_UNITS[power]}" if power else _count(number, "byte")


def duration(seconds: float) -> str:
    """11045 -> 3 h 4 min"""
    whole = int(seconds)
    for unit, length, smaller, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"

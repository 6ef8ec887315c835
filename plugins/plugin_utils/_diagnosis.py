# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The doctor: from what both ends told to causes, worst first, each with its proof and the next command.

A rule is a function of a case, which yields what it found. What a cause explains is not blamed as well: the other
finding is a symptom. Rules know nothing of each other but that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    duration,
    size,
)

Facts = Mapping[str, Any]

CRITICAL, WARNING, OK, UNKNOWN = "critical", "warning", "ok", "unknown"
_WORST_FIRST = (CRITICAL, WARNING)

CONNECTION = frozenset(
    {
        "shore_down",
        "shore_unreachable",
        "ship_unreachable",
        "port_closed",
        "wrong_address",
        "name_not_resolved",
        "hba_missing",
        "hba_mismatch",
        "wrong_password",
        "tls_off",
        "certificate_expired",
        "certificate_authority",
        "certificate_name",
        "role_without_replication",
        "role_without_select",
        "walsenders_exhausted",
        "clock_off",
        "connection_failed",
    }
)
STANDBY = frozenset(
    {
        "ship_down",
        "slot_missing",
        "slot_in_use",
        "slot_lost",
        "wal_removed",
        "timeline_diverged",
        "system_identifier",
        "hot_standby_setting",
        "disk_full",
        "replay_paused",
        "replay_held_back",
        "receiver_off",
    }
)
LOGICAL = frozenset(
    {
        "wal_level",
        "subscription_missing",
        "subscription_disabled",
        "subscription_disabled_by_error",
        "conflict",
        "table_missing_aboard",
        "column_missing_aboard",
        "publication_dropped",
        "table_not_copied",
        "logical_workers_exhausted",
        "no_replica_identity",
    }
)
LAG = frozenset(
    {
        "link_too_slow",
        "large_transaction",
        "checkpoint_storm",
        "archive_failing",
        "wal_directory_near_limit",
    }
)
FAILOVER = frozenset({"no_primary", "slot_not_kept", "failover_degraded"})
# What follows where the ship does not get through to the shore at all.
NOT_CONNECTED = frozenset(
    {"receiver_off", "link_too_slow", "table_not_copied", "subscription_disabled_by_error"}
)


@dataclass(frozen=True)
class Finding:
    """A cause. The rule leaves out `cause`, which is its own.

    :param object: what it is about: a host, a slot, a subscription.
    :param proof: what was seen, a sentence each.
    :param next: the command, or what to do.
    :param fix: what -e fix=true would do: {"action": ..., ...}; None where that is left to people.
    """

    severity: str
    object: str
    what: str
    proof: tuple[str, ...] = ()
    next: str = ""
    fix: Facts | None = None
    cause: str = ""


@dataclass(frozen=True)
class Rule:
    """One cause: how it is found, and which others it is the reason of."""

    cause: str
    find: Callable[[Case], Iterator[Finding]]
    explains: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Case:
    """What is known of one ship and its shore.

    :param ship: facts of module diagnosis_facts; None: they could not be had, and ship_error says why.
    :param ship_dark: why the host does not answer; "" where it does.
    :param probe: of module connection_probe.
    :param clocks: of "shore" and "ship", how many seconds their clocks are ahead of the controller's, at least and at
        most.
    :param errors: why "shore", "ship" or "probe" could not be looked at.
    :param inventory: what -i was given.
    :param failover: of a shore of several nodes its "state" and "problems", see _failover_report; {} of one.
    :param wanted: what the inventory says: mode, role, slot, database, subscription, publication, tables, addresses,
        shore_addresses, shore_port, ships (the names of all of them on the shore).
    """

    name: str
    shore_name: str
    wanted: Facts
    shore: Facts | None = None
    ship: Facts | None = None
    probe: Facts | None = None
    shore_dark: str = ""
    ship_dark: str = ""
    errors: Facts = field(default_factory=dict)
    clocks: Mapping[str, Sequence[float]] = field(default_factory=dict)
    inventory: str = ""
    failover: Facts = field(default_factory=dict)

    # --- ends ---

    @property
    def logical(self) -> bool:
        return bool(self.wanted["mode"] == "logical")

    @property
    def shore_server(self) -> Facts:
        return _part(self.shore, "server")

    @property
    def ship_server(self) -> Facts:
        return _part(self.ship, "server")

    @property
    def shore_lag(self) -> Facts:
        return _part(self.shore_server, "lag")

    @property
    def ship_lag(self) -> Facts:
        return _part(self.ship_server, "lag")

    @property
    def shore_settings(self) -> Facts:
        return _part(self.shore_server, "settings") or _part(self.shore, "settings_in_files")

    @property
    def ship_settings(self) -> Facts:
        return _part(self.ship_server, "settings") or _part(self.ship, "settings_in_files")

    # --- what lies between them ---

    @property
    def role(self) -> str:
        """Whom the ship connects as."""
        target = _part(self.probe, "target")
        return str(target.get("user") or self.wanted["role"])

    @property
    def slot_name(self) -> str:
        """The slot that the ship itself names, else the inventory's."""
        return str((self.probe or {}).get("slot") or self.wanted["slot"])

    @cached_property
    def slot(self) -> Facts | None:
        return _named(self.shore_lag.get("slots") or (), self.slot_name)

    @cached_property
    def sender(self) -> Facts | None:
        """The walsender that serves the ship's slot."""
        senders: Sequence[Facts] = self.shore_lag.get("standbys") or ()
        return next((found for found in senders if found.get("slot") == self.slot_name), None)

    @property
    def receiver(self) -> Facts:
        return _part(self.ship_lag, "receiver")

    @cached_property
    def subscription(self) -> Facts | None:
        """The ship's subscription, with its tables and workers."""
        return _named(self.ship_server.get("subscriptions") or (), self.wanted["subscription"])

    @cached_property
    def subscription_lag(self) -> Facts:
        found = _named(self.ship_lag.get("subscriptions") or (), self.wanted["subscription"])
        return found or {}

    @property
    def connected(self) -> bool:
        """Whether the ship takes WAL from the shore right now."""
        if not self.ship_server:
            return bool(self.slot and self.slot["active"] and self.sender)
        if self.logical:
            return self.subscription_lag.get("apply_worker_pid") is not None and bool(
                self.subscription_lag.get("last_message_time")
            )
        return bool(self.receiver.get("running") and self.receiver.get("status") == "streaming")

    @property
    def severity(self) -> str:
        """Of what keeps new connections out: one that is there goes on."""
        return WARNING if self.connected else CRITICAL

    @property
    def came_through(self) -> bool:
        """Whether the probe reached a replication connection."""
        return self.probe is not None and self.probe.get("stage") is None

    def clock_offset(self, end: str) -> float | None:
        """How many seconds a clock is off, as far as that is sure; None: unknown."""
        if end not in self.clocks:
            return None
        least, most = self.clocks[end]
        return least if least > 0 else most if most < 0 else 0.0

    def log(self, *hosts: str, within: float = 300) -> Iterator[Facts]:
        """What the logs tell of late: of "ship", "shore"; newest first."""
        for host in hosts or ("ship", "shore"):
            facts: Facts | None = self.ship if host == "ship" else self.shore
            for entry in reversed((facts or {}).get("log") or ()):
                if entry["age"] <= within:
                    yield entry


def _part(facts: Facts | None, key: str) -> Facts:
    found: Facts = (facts or {}).get(key) or {}
    return found


def _named(found: Iterable[Facts], name: str) -> Facts | None:
    return next((one for one in found if one["name"] == name), None)


def quoted(entry: Facts) -> str:
    """A message of a log as proof."""
    parts = [str(entry[part]) for part in ("message", "detail", "context") if entry.get(part)]
    times = f" ({entry['times']} times)" if entry.get("times", 1) > 1 else ""
    return f"log, {entry['time']}: {entry['level']}: {' / '.join(parts)}{times}"


# --- judging -------------------------------------------------------------------------------------


def diagnose(case: Case, rules: Iterable[Rule]) -> dict[str, Any]:
    """Everything found, worst first; symptoms apart, each with what explains it."""
    found: list[tuple[Finding, frozenset[str]]] = []
    for rule in rules:
        found += [(_complete(one, rule, case), rule.explains) for one in rule.find(case)]
    explained = _explained(found)
    causes = [finding for finding, _explains in found if finding.cause not in explained]
    symptoms = [finding for finding, _explains in found if finding.cause in explained]
    causes.sort(key=lambda finding: _WORST_FIRST.index(finding.severity))
    unseen = list(_unseen(case))
    nothing = UNKNOWN if unseen and not case.connected else OK
    status = causes[0].severity if causes else nothing
    diagnosis = {
        "ship": case.name,
        "mode": case.wanted["mode"],
        "status": status,
        "state": state_of(case),
        "causes": list(dict.fromkeys(finding.cause for finding in causes)),
        "findings": [asdict(finding) for finding in causes],
        "explained": [{**asdict(finding), "by": explained[finding.cause]} for finding in symptoms],
        "checked": list(_checked(case)),
        "unknown": unseen,
    }
    return {**diagnosis, "lines": list(lines_of(diagnosis))}


def _complete(finding: Finding, rule: Rule, case: Case) -> Finding:
    """With its cause, and the next command as it can be run."""
    command = finding.next
    if case.inventory:
        command = command.replace("-i INVENTORY", f"-i {case.inventory}")
    return replace(finding, cause=rule.cause, next=command)


def _explained(found: Iterable[tuple[Finding, frozenset[str]]]) -> dict[str, str]:
    """Of each cause that follows from another the one at the bottom of it."""
    reasons = {
        cause: finding.cause
        for finding, explains in found
        for cause in sorted(explains)
        if cause != finding.cause
    }
    bottom = {}
    for cause, reason in reasons.items():
        while reason in reasons:
            reason = reasons[reason]  # noqa: PLW2901 - the rules' explanations have no circle
        bottom[cause] = reason
    return bottom


def state_of(case: Case) -> str:
    """How the ship's replication looks, in a line."""
    parts = [_ship_state(case)]
    waiting = case.receiver.get("replay_lag_bytes")
    if waiting:
        parts.append(f"{size(waiting)} received and not replayed")
    slot = case.slot
    if slot is not None:
        if slot.get("lag_bytes") is not None:
            parts.append(f"{size(slot['lag_bytes'])} behind")
        if not slot["active"] and slot.get("inactive_seconds") is not None:
            parts.append(f"its slot inactive for {duration(slot['inactive_seconds'])}")
        if slot.get("retained_bytes"):
            parts.append(f"{size(slot['retained_bytes'])} of WAL kept for it")
    return ", ".join(parts)


def _ship_state(case: Case) -> str:
    if case.connected:
        return "replicates"
    if case.ship_dark:
        return "does not answer"
    if case.ship is not None and not case.ship["cluster"]["running"]:
        return "its server is down"
    return "does not replicate"


def _unseen(case: Case) -> Iterator[str]:
    """What could not be looked at."""
    for name, dark, end in (
        (case.shore_name, case.shore_dark, "shore"),
        (case.name, case.ship_dark, "ship"),
    ):
        if dark:
            yield f"{name} does not answer to Ansible, so that nothing is known from there: {dark}"
        elif case.errors.get(end):
            yield f"{name} could not be looked at: {case.errors[end]}"
    for name, facts in ((case.shore_name, case.shore), (case.name, case.ship)):
        if facts and facts.get("server_error"):
            yield f"the server of {name} could not be asked: {facts['server_error']}"
        error = _part(facts, "server").get("database_error") if facts else None
        if error:
            yield f"{case.wanted['database']} on {name} could not be looked at: {error}"
    if case.errors.get("probe"):
        yield f"the way from {case.name} could not be tried: {case.errors['probe']}"


def _checked(case: Case) -> Iterator[str]:
    """What was looked at, to be told where nothing is found."""
    if case.probe is not None:
        target = case.probe["target"]
        yield (
            f"the way from {case.name} to {target.get('host') or target.get('hostaddr')} port"
            f" {target.get('port')}: name, TCP, TLS and certificate, password, replication"
        )
    if case.shore_server:
        yield (
            f"on {case.shore_name}: the slot {case.slot_name}, the role {case.role}, walsenders,"
            " WAL, archive and disk"
        )
    if case.ship_server and case.logical:
        tables = len((case.subscription or {}).get("tables") or ())
        yield (
            f"on {case.name}: the subscription {case.wanted['subscription']}, its workers and"
            f" {tables} tables, disk and log"
        )
    elif case.ship_server:
        yield f"on {case.name}: receiver and replay, settings, history, disk and log"
    if case.shore and case.ship:
        yield "the clocks of both"


def lines_of(diagnosis: Facts) -> Iterator[str]:
    """The diagnosis for people."""
    yield f"{diagnosis['ship']} ({diagnosis['mode']}): {diagnosis['status']}: {diagnosis['state']}"
    for number, finding in enumerate(diagnosis["findings"], 1):
        yield f"  {number}. {finding['severity']}: {finding['cause']} ({finding['object']})"
        yield f"     {finding['what']}"
        for proof in finding["proof"]:
            yield f"     proof: {proof}"
        if finding["next"]:
            yield f"     next:  {finding['next']}"
        if finding["fix"]:
            yield "     fix:   -e fix=true does it"
    for finding in diagnosis["explained"]:
        yield f"  follows from {finding['by']}: {finding['cause']} ({finding['object']})"
    if not diagnosis["findings"] and diagnosis["status"] == OK:
        yield "  Nothing is wrong. What was looked at:"
        for line in diagnosis["checked"]:
            yield f"   - {line}"
    for line in diagnosis["unknown"]:
        yield f"  not known: {line}"

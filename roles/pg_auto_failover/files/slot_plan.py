# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be done about the ships' slots on one node of a shore of several. Asks no server.

The promise: no slot is ever moved past what its ship has been seen to have. A slot's position is a
proof of that only when it has moved while it was watched, since then the ship has confirmed it (or
the keeper of another node, who goes by the same proof). Where a slot was made tells nothing of its
ship: on a node that was built anew it begins where that node's WAL begins, which can be far ahead of
a ship that has been dark. Moving the other nodes' slots there would lose that ship.

Standard library; Python 3.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FIRST_WITH_FAILOVER_SLOTS = 17
# Until here no logical slot can be used on a standby: what is there is left of a former primary.
LAST_WITHOUT_STANDBY_DECODING = 15
# Slots by which a subscription copies its tables, made and dropped by the subscriber.
_TABLE_SYNC = re.compile(r"pg_\d+_sync_\d+_\d+")
_SHIP = "ship_"  # what the slots of ships begin with, see the filter ship_name
_NAME = re.compile(r"[a-z0-9_]{1,63}")
# How many intervals old what was seen of a node may be and still prove that a slot has moved.
_WATCHED = 2.5
# After how many intervals a slot that vanished is made again: all others have seen it gone by then.
_VANISHED = 3
_FIRST_REST, _LONGEST_REST = 60.0, 3600.0  # seconds between two pushes of the same ship
CRITICAL, WARNING = "critical", "warning"


def number(lsn: str | None) -> int | None:
    """A position in the WAL, as PostgreSQL writes it, as a number."""
    if not lsn:
        return None
    high, _slash, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def text(lsn: int | None) -> str:
    """A number as a position in the WAL."""
    return "0/0" if lsn is None else f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


# --- what is given -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ship:
    """One ship's slot.

    :param by_standby: it is to stream from a standby, and is pushed there off the primary.
    """

    name: str
    slot: str
    logical: bool
    by_standby: bool = False


@dataclass(frozen=True)
class Wanted:
    """What the role has written down.

    :param absent: slots of ships that left.
    :param gate: whether synchronized_standby_slots is kept (PostgreSQL 17).
    """

    ships: Sequence[Ship]
    absent: Sequence[str] = ()
    interval: float = 10.0
    gate: bool = True


# --- what is seen --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slot:
    """A row of pg_replication_slots, of any version."""

    name: str
    logical: bool
    active: bool = False
    pid: int | None = None
    restart: int | None = None
    confirmed: int | None = None
    lost: bool = False
    holds_rows: bool = False
    temporary: bool = False
    failover: bool = False
    synced: bool = False
    wal_status: str | None = None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Slot:
        return cls(
            name=row["slot_name"],
            logical=row["slot_type"] == "logical",
            active=bool(row["active"]),
            pid=row["active_pid"],
            restart=number(row["restart_lsn"]),
            confirmed=number(row["confirmed_flush_lsn"]),
            lost=row.get("wal_status") == "lost" or bool(row.get("invalidation_reason")),
            holds_rows=row["xmin"] is not None or row["catalog_xmin"] is not None,
            temporary=bool(row["temporary"]),
            failover=bool(row.get("failover")),
            synced=bool(row.get("synced")),
            wal_status=row.get("wal_status"),
        )


@dataclass(frozen=True)
class Sender:
    """A row of pg_stat_replication."""

    pid: int
    name: str
    state: str
    sync: str
    flushed: int | None = None


@dataclass(frozen=True)
class Look:
    """What is seen of one node's server at once.

    :param started: when its postmaster did, as text.
    :param position: flushed on a primary, replayed on a standby.
    :param redo: where a slot that is made now would begin.
    :param ends: where the timelines before its own ended, as far as that was asked.
    """

    node: str
    version: int
    system: str
    started: str
    primary: bool
    position: int
    redo: int
    timeline: int
    slots: Mapping[str, Slot]
    settings: Mapping[str, str] = field(default_factory=dict)
    senders: Sequence[Sender] = ()
    ends: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, node: str, row: Mapping[str, Any]) -> Look:
        slots = [Slot.read(slot) for slot in row["slots"]]
        return cls(
            node=node,
            version=int(row["version"]),
            system=str(row["system"]),
            started=str(row["started"]),
            primary=bool(row["primary"]),
            position=number(row["position"]) or 0,
            redo=number(row["redo"]) or 0,
            timeline=int(row["timeline"]),
            slots={slot.name: slot for slot in slots},
            settings=row["settings"] or {},
            senders=[
                Sender(
                    sender["pid"],
                    sender["application_name"] or "",
                    sender["state"] or "",
                    sender["sync_state"] or "",
                    number(sender["flush_lsn"]),
                )
                for sender in row["senders"]
            ],
        )


def forks(history: str) -> dict[int, int]:
    """Where each former timeline ended, by the text of a history file."""
    found = {}
    for line in history.splitlines():
        words = line.split()
        if len(words) > 1 and words[0].isdigit() and "/" in words[1]:
            found[int(words[0])] = number(words[1]) or 0
    return found


# --- what is remembered from look to look --------------------------------------------------------


@dataclass
class Memory:
    """What a look leaves to the next one.

    :param nodes: of each other node: when it was looked at, its postmaster's start, its slots.
    :param here: this server's start, and its slots.
    :param gone: since when slots have been missing that were here while the server ran.
    :param confirmed: of logical ships: how far each was by the primary's slot, and when.
    :param missing: logical ships whose slot the primary does not have, and what was known then.
    :param pushed: when a ship was pushed to a standby, and how long it is left alone after that.
    :param made: where slots began that were made here, until they move.
    """

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    here: dict[str, Any] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    confirmed: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, dict[str, Any]] = field(default_factory=dict)
    pushed: dict[str, dict[str, float]] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)


def watch(memory: Memory, look: Look, now: float, interval: float) -> dict[str, int]:
    """Remember another node's slots. Which of them prove where their ship is, and where that is."""
    before = memory.nodes.get(look.node) or {}
    known: Mapping[str, Any] = before.get("slots") or {}
    age = now - float(before.get("looked") or 0)
    # A server that was started anew may be another one, built anew under the same name.
    if before.get("started") != look.started or not 0 <= age <= _WATCHED * interval:
        known = {}
    slots: dict[str, dict[str, Any]] = {}
    proofs = {}
    for slot in look.slots.values():
        if slot.logical or slot.restart is None or slot.lost:
            continue
        seen = known.get(slot.name)
        moved = bool(seen) and (bool(seen["moved"]) or int(seen["first"]) != slot.restart)
        slots[slot.name] = {
            "first": int(seen["first"]) if seen else slot.restart,
            "moved": moved,
        }
        if moved:
            proofs[slot.name] = slot.restart
    memory.nodes[look.node] = {"looked": now, "started": look.started, "slots": slots}
    return proofs


def on_this_history(position: int, timeline: int, here: Look) -> bool:
    """Whether a position that another node tells is one of this node's own history.

    A node that has not followed a promotion yet, or never will, tells of WAL that is none here.
    """
    if timeline >= here.timeline:
        return True
    return timeline in here.ends and position <= here.ends[timeline]


# --- what is to be done --------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be."""

    severity: str
    object: str
    what: str
    do: str = ""


@dataclass(frozen=True)
class Action:
    """One thing to do.

    :param kind: create, drop, advance, push, snapshot.
    :param told: a sentence for the journal; empty: it is done every few seconds.
    :param forced: whoever uses the slot is cut off.
    """

    kind: str
    slot: str
    told: str = ""
    position: int = 0
    pid: int = 0
    forced: bool = False


@dataclass
class Plan:
    """What is to be done on this node, and what cannot be.

    :param gate: slots to name in synchronized_standby_slots; None: it is left alone.
    :param news: sentences on what has changed without any doing of this program.
    """

    actions: list[Action] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    gate: list[str] | None = None
    news: list[str] = field(default_factory=list)


class Planner:
    """Makes the plan of one look."""

    def __init__(
        self,
        wanted: Wanted,
        here: Look,
        others: Iterable[Look],
        memory: Memory,
        now: float,
    ) -> None:
        self.wanted = wanted
        self.here = here
        self.memory = memory
        self.now = now
        self.plan = Plan()
        self.others = list(self._of_this_system(others))
        self.proofs = {look.node: watch(memory, look, now, wanted.interval) for look in self.others}

    def make(self) -> Plan:
        """The plan; the memory is renewed."""
        self._say_of_primaries()
        for name in self.wanted.absent:
            self._remove(name)
        for ship in self.wanted.ships:
            if ship.logical:
                self._logical(ship)
            else:
                self._physical(ship)
        self._leftovers()
        self._strangers()
        if self.here.primary:
            self._gate()
            self._push()
            self._snapshot()
        self._remember_here()
        return self.plan

    # What is known

    def _of_this_system(self, others: Iterable[Look]) -> Iterator[Look]:
        for look in others:
            if look.system == self.here.system:
                yield look
                continue
            self._problem(
                CRITICAL,
                f"node {look.node}",
                f"{look.node} holds another database system ({look.system}, here"
                f" {self.here.system}).",
                "Correct its address in the inventory, or build it anew as a node of this shore.",
            )

    def _primary(self) -> Look | None:
        """The primary among the others: the one that was promoted last."""
        primaries = [look for look in self.others if look.primary]
        return max(primaries, key=lambda look: look.timeline, default=None)

    def _proof(self, slot: str) -> int | None:
        """How far a ship has been seen to be, by the slots of the other nodes."""
        found = [
            self.proofs[look.node][slot]
            for look in self.others
            if slot in self.proofs[look.node]
            and on_this_history(self.proofs[look.node][slot], look.timeline, self.here)
        ]
        return max(found, default=None)

    def _in_use_elsewhere(self, slot: str) -> bool:
        return any(look.slots[slot].active for look in self.others if slot in look.slots)

    def _problem(self, severity: str, what_of: str, what: str, do: str = "") -> None:
        self.plan.problems.append(Problem(severity, what_of, what, do))

    def _act(self, kind: str, slot: str, told: str = "", **more: Any) -> None:
        self.plan.actions.append(Action(kind, slot, told, **more))

    def _say_of_primaries(self) -> None:
        primary = self._primary()
        if self.here.primary and primary is not None:
            later, former = (
                (primary.node, self.here.node)
                if primary.timeline > self.here.timeline
                else (self.here.node, primary.node)
            )
            self._problem(
                CRITICAL,
                f"node {former}",
                f"{later} and {former} both take writes; {later} was promoted later.",
                f"See that {former} is stopped: what is written there will be lost.",
            )

    # Physical ships

    def _physical(self, ship: Ship) -> None:
        slot = self.here.slots.get(ship.slot)
        if slot is None:
            self._create(ship)
        elif slot.logical:
            self._problem(
                CRITICAL,
                f"slot {slot.name}",
                f"The slot {slot.name} of the physical ship {ship.name} is a logical one here.",
                "Drop it, or give the ship another slot.",
            )
        elif slot.active:
            return
        elif slot.lost:
            self._lost(ship, slot)
        elif slot.restart is None:
            self._replace(slot, "it kept no WAL")
        elif slot.holds_rows and self._replaceable(slot):
            self._replace(slot, "it kept rows from vacuum for a ship that streams from elsewhere")
        else:
            self._advance(ship, slot)

    def _create(self, ship: Ship) -> None:
        since = self.memory.gone.get(ship.slot)
        was_here = self.memory.here.get("started") == self.here.started and (
            ship.slot in (self.memory.here.get("slots") or [])
        )
        if was_here or since is not None:
            since = self.now if since is None else since
            # Made at once, it would look to the others as if its ship had moved it.
            if 0 <= self.now - since < _VANISHED * self.wanted.interval:
                self.memory.gone[ship.slot] = since
                return
        self.memory.gone.pop(ship.slot, None)
        self._act("create", ship.slot, f"Made the slot {ship.slot}, which {self.here.node} lacked.")

    def _lost(self, ship: Ship, slot: Slot) -> None:
        primary = self._primary()
        ashore = primary.slots.get(slot.name) if primary is not None else None
        if self._replaceable(slot):
            self._replace(slot, "it was lost, while the ship streams from elsewhere")
        elif not self.here.primary and ashore is not None and not ashore.lost:
            # It keeps nothing. Made again once the others have seen that it is gone.
            self._act("drop", slot.name, f"Dropped the slot {slot.name}: it was lost here.")
        else:
            self._problem(
                CRITICAL,
                f"slot {slot.name}",
                f"The slot of {ship.name} is lost here: WAL that the ship needs was removed.",
                f"If it does not stream from another node, bring it back with ship_reseed.yml -e"
                f" ship={ship.name}.",
            )

    def _replaceable(self, slot: Slot) -> bool:
        """Whether a slot that is made now is no further than its ship."""
        proof = self._proof(slot.name)
        return proof is not None and self._in_use_elsewhere(slot.name) and self.here.redo <= proof

    def _replace(self, slot: Slot, why: str) -> None:
        self._act("drop", slot.name)
        self._act("create", slot.name, f"Made the slot {slot.name} anew: {why}.")

    def _advance(self, ship: Ship, slot: Slot) -> None:
        restart = slot.restart or 0
        proof = self._proof(slot.name)
        if proof is not None and min(proof, self.here.position) > restart:
            self._act("advance", slot.name, position=min(proof, self.here.position))
            return
        elsewhere = [
            look.slots[slot.name].restart or 0
            for look in self.others
            if slot.name in look.slots and not look.slots[slot.name].lost
        ]
        furthest = max(elsewhere, default=0)
        if self.memory.made.get(slot.name) == restart and 0 < furthest < restart:
            self._problem(
                WARNING,
                f"slot {slot.name}",
                f"The slot of {ship.name} was made here at {text(restart)}, and the ship had"
                f" {text(furthest)} when it was heard of last: what lies between is kept for it by"
                " other nodes and by the WAL archive, and not by this node.",
                "It passes when the ship has caught up.",
            )

    # Logical ships

    def _logical(self, ship: Ship) -> None:
        primary = self.here if self.here.primary else self._primary()
        if primary is not None:
            self._logical_ashore(ship, primary)
        slot = self.here.slots.get(ship.slot)
        if self.here.primary or self.here.version < FIRST_WITH_FAILOVER_SLOTS:
            return
        ashore = primary.slots.get(ship.slot) if primary is not None else None
        if ashore is None or not ashore.failover:
            return  # said of the primary
        if slot is None or not slot.synced or slot.temporary or slot.lost:
            self._problem(
                WARNING,
                f"slot {ship.slot}",
                f"The slot of {ship.name} is not synchronized to this standby yet: after a failover"
                " to it the ship could not go on.",
                "Where this lasts, read the server's log on slot synchronization.",
            )

    def _logical_ashore(self, ship: Ship, primary: Look) -> None:
        """What the primary's slot of a logical ship tells; this node may be that primary."""
        slot = primary.slots.get(ship.slot)
        known = self.memory.confirmed.get(ship.slot)
        if slot is None:
            self._logical_missing(ship, primary, known)
            return
        before = self.memory.missing.pop(ship.slot, None)
        if before is not None and before.get("confirmed"):
            self.plan.news.append(
                f"The slot {ship.slot} is there again, from {text(slot.confirmed)} on. What was"
                f" committed after {before['confirmed']} and before that reaches {ship.name} only by"
                " a new copy of its tables."
            )
        self.memory.confirmed[ship.slot] = {
            "confirmed": text(slot.confirmed),
            "at": round(self.now),
            "timeline": primary.timeline,
        }
        if slot.lost:
            self._problem(
                CRITICAL,
                f"slot {ship.slot}",
                f"The slot of {ship.name} is lost on {primary.node}.",
                f"ship_reseed.yml -e ship={ship.name} copies its tables anew.",
            )
        elif primary.version >= FIRST_WITH_FAILOVER_SLOTS and not slot.failover:
            self._problem(
                WARNING,
                f"slot {ship.slot}",
                f"The slot of {ship.name} is no failover slot: a failover would lose it.",
                "Set failover: true in ship_subscription_options, and run ship_onboard.yml.",
            )

    def _logical_missing(self, ship: Ship, primary: Look, known: Mapping[str, Any] | None) -> None:
        if ship.slot not in self.memory.missing:
            self.memory.missing[ship.slot] = {**(known or {}), "since": round(self.now)}
        told = self.memory.missing[ship.slot]
        if not told.get("confirmed"):
            return  # it was never there: the ship is still to be onboarded
        self._problem(
            CRITICAL,
            f"slot {ship.slot}",
            f"{primary.node} has no slot {ship.slot}. {ship.name} had confirmed"
            f" {told['confirmed']} on timeline {told['timeline']} when it was seen last; what was"
            " committed after that is missing aboard, and a slot that is made now would leave that"
            " gap without a word.",
            f"ship_reseed.yml -e ship={ship.name} copies its tables anew.",
        )

    # What is left over

    def _leftovers(self) -> None:
        """Logical slots that a standby has of its former life as a primary."""
        if self.here.primary:
            return
        primary = self._primary()
        absent = set(self.wanted.absent)
        ours = {ship.slot for ship in self.wanted.ships if ship.logical}
        for slot in self.here.slots.values():
            if not slot.logical or slot.active or slot.synced or slot.temporary:
                continue
            if slot.name in absent:
                continue  # goes anyway
            if self.here.version >= FIRST_WITH_FAILOVER_SLOTS:
                self._leftover_failover(slot, primary)
            elif self._managed_otherwise():
                return
            elif slot.name in ours or _TABLE_SYNC.fullmatch(slot.name):
                if self.here.version <= LAST_WITHOUT_STANDBY_DECODING or primary is not None:
                    self._drop_leftover(slot, "it cannot be used on a standby")
            elif self.here.version <= LAST_WITHOUT_STANDBY_DECODING:
                self._problem(
                    WARNING,
                    f"slot {slot.name}",
                    f"The logical slot {slot.name} is left of the time when {self.here.node} was the"
                    " primary. It keeps WAL and dead rows.",
                    "It is no ship's, and so is left alone: drop it if nothing else needs it.",
                )

    def _leftover_failover(self, slot: Slot, primary: Look | None) -> None:
        if not slot.failover or primary is None:
            return
        if slot.name in primary.slots or _TABLE_SYNC.fullmatch(slot.name):
            self._drop_leftover(slot, "it stood in the way of the primary's, which is to come here")
        else:
            self._problem(
                WARNING,
                f"slot {slot.name}",
                f"The slot {slot.name} is left here of the time when {self.here.node} was the"
                f" primary, and {primary.node} has none: it is the last that there is.",
                "It goes when the primary has one again; drop it by hand if it never shall.",
            )

    def _drop_leftover(self, slot: Slot, why: str) -> None:
        self._act(
            "drop",
            slot.name,
            f"Dropped the slot {slot.name}, left of the time when {self.here.node} was the primary:"
            f" {why}.",
        )

    def _strangers(self) -> None:
        """Slots by whose name they were a ship's, and which nobody has named."""
        named = {ship.slot for ship in self.wanted.ships} | {*self.wanted.absent}
        for slot in self.here.slots.values():
            if slot.name in named or slot.logical or slot.active or slot.temporary:
                continue
            if slot.name.startswith(_SHIP):
                self._problem(
                    WARNING,
                    f"slot {slot.name}",
                    f"The slot {slot.name} is no known ship's, and keeps WAL on {self.here.node}.",
                    "Onboard that ship, or drop the slot.",
                )

    def _managed_otherwise(self) -> bool:
        return "pg_failover_slots" in self.here.settings.get("shared_preload_libraries", "")

    def _remove(self, name: str) -> None:
        slot = self.here.slots.get(name)
        # What is synchronized goes when it is gone on the primary, and cannot be dropped before.
        if slot is not None and (self.here.primary or not slot.synced):
            self._act("drop", name, f"Dropped the slot {name}, whose ship has left.", forced=True)

    # On the primary

    def _gate(self) -> None:
        """Logical ships get nothing that the synchronous standbys do not have."""
        if self.here.version < FIRST_WITH_FAILOVER_SLOTS or not self.wanted.gate:
            return
        names = synchronous_names(self.here.settings.get("synchronous_standby_names", ""))
        if names is None:
            self._problem(
                WARNING,
                "synchronized_standby_slots",
                "synchronous_standby_names does not name its standbys, and so neither can"
                " synchronized_standby_slots name their slots.",
                "Name them: the names of the standbys' slots have to be their application_name.",
            )
            return
        there = [
            name for name in names if name in self.here.slots and not self.here.slots[name].logical
        ]
        for name in names:
            if name not in there:
                self._problem(
                    WARNING,
                    "synchronized_standby_slots",
                    f"The synchronous standby {name} has no slot of that name, and logical ships"
                    " cannot be kept from being ahead of it.",
                    "Give it primary_slot_name and application_name alike.",
                )
        self.plan.gate = sorted(there)

    def _push(self) -> None:
        """Ships that shall stream from a standby, and stream from here."""
        streaming = any(
            sender.state == "streaming" and sender.sync in ("sync", "quorum")
            for sender in self.here.senders
        )
        senders = {sender.pid: sender for sender in self.here.senders}
        for ship in self.wanted.ships:
            slot = self.here.slots.get(ship.slot)
            if ship.logical or not ship.by_standby:
                continue
            if slot is None or not slot.active or slot.pid not in senders:
                continue
            sender = senders[slot.pid]
            if not streaming or sender.state != "streaming":
                continue
            standby = self._ready_for(slot.name, sender.flushed)
            if standby is not None:
                self._push_one(ship, sender, standby)

    def _ready_for(self, name: str, flushed: int | None) -> str | None:
        """A standby from which a ship could go on at once.

        libpq connects to a standby and asks afterwards whether that serves: a ship that was sent to
        one that does not would be stuck there.
        """
        for look in self.others:
            slot = look.slots.get(name)
            if look.primary or slot is None or slot.active or slot.lost or slot.restart is None:
                continue
            if flushed is not None and slot.restart <= flushed:
                return look.node
        return None

    def _push_one(self, ship: Ship, sender: Sender, standby: str) -> None:
        before = self.memory.pushed.get(ship.slot) or {}
        rest = float(before.get("rest") or 0)
        age = self.now - float(before.get("at") or 0)
        if 0 <= age < rest:
            return
        # It came back soon: from where it is, the standby may be out of reach.
        rest = min(max(_FIRST_REST, rest * 2 if age < rest * 3 else 0), _LONGEST_REST)
        self.memory.pushed[ship.slot] = {"at": self.now, "rest": rest}
        self._act(
            "push",
            ship.slot,
            f"Ended the connection of {ship.name}, so that it streams from {standby}. Should it come"
            f" back here, it is left alone for {rest:.0f} s.",
            pid=sender.pid,
        )

    def _snapshot(self) -> None:
        """Help a standby that has begun to synchronize a slot to be done with it.

        It is when the ship's slot here has moved on, by the running transactions that a server logs
        now and then while somebody writes (chapter "Replication Slot Synchronization").
        """
        for ship in self.wanted.ships:
            begun = (look.slots.get(ship.slot) for look in self.others if not look.primary)
            if any(slot is not None and slot.synced and slot.temporary for slot in begun):
                self._act("snapshot", ship.slot)
                return

    def _remember_here(self) -> None:
        made = {action.slot for action in self.plan.actions if action.kind == "create"}
        self.memory.here = {
            "started": self.here.started,
            "slots": sorted({*self.here.slots, *made}),
        }
        for name in list(self.memory.gone):
            if name in self.here.slots:
                del self.memory.gone[name]
        ships = {ship.slot for ship in self.wanted.ships}
        kept: tuple[dict[str, Any], ...] = (
            self.memory.gone,
            self.memory.confirmed,
            self.memory.missing,
            self.memory.pushed,
            self.memory.made,
        )
        for part in kept:
            for name in set(part) - ships:
                del part[name]
        for name, position in list(self.memory.made.items()):
            slot = self.here.slots.get(name)
            if slot is None or slot.restart != position:
                del self.memory.made[name]


# --- texts of settings ---------------------------------------------------------------------------


def synchronous_names(setting: str) -> list[str] | None:
    """The names in synchronous_standby_names; None: it takes whoever comes (*).

    PostgreSQL: Replication settings, "synchronous_standby_names".
    """
    rest = setting.strip()
    found = re.fullmatch(r"(?:(?:ANY|FIRST)\s+)?\d+\s*\((.*)\)", rest, re.IGNORECASE | re.DOTALL)
    if found:
        rest = found[1]
    names = []
    for quoted, bare in re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', rest):
        name = quoted.replace('""', '"') if quoted else bare
        if name == "*" and not quoted:
            return None
        names.append(name)
    return names


def gate_file(names: Iterable[str]) -> str:
    """The drop-in file that has logical ships wait for these slots."""
    checked = [name for name in names if _NAME.fullmatch(name)]
    return (
        "# Written by keep_slots of hmm.pg_replication: the slots of the synchronous standbys.\n"
        f"synchronized_standby_slots = '{', '.join(checked)}'\n"
    )


_ASSIGNED = re.compile(
    r"^[ \t]*primary_conninfo(?:[ \t]*=[ \t]*|[ \t]+)'((?:[^'\\\n]|''|\\.)*)'",
    re.MULTILINE | re.IGNORECASE,
)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def primary_conninfo(content: str) -> str | None:
    """The primary_conninfo that a file of settings sets; None: none.

    PostgreSQL: src/backend/utils/misc/guc-file.l, "GUC_scanstr".
    """
    found = _ASSIGNED.findall(content)
    if not found:
        return None

    def plain(part: re.Match[str]) -> str:
        if part[0] == "''":
            return "'"
        octal = part[2]
        return chr(int(octal, 8)) if octal else _ESCAPES.get(part[1], part[1])

    return re.sub(r"''|\\((?:([0-7]{1,3})|.))", plain, found[-1])


def conninfo_file(conninfo: str) -> str:
    """The drop-in file that sets primary_conninfo."""
    quoted = conninfo.replace("\\", "\\\\").replace("'", "''")
    return (
        "# Written by keep_slots of hmm.pg_replication: what pg_auto_failover set, and the database\n"
        "# that slot synchronization needs.\n"
        f"primary_conninfo = '{quoted}'\n"
    )

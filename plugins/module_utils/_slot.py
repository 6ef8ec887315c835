# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Replication slots: what is asked for, what is there, and the plan between.

PostgreSQL: Replication Slots; Replication Management Functions; pg_replication_slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    ServerError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    Lsn,
    check_identifier,
    check_slot_name,
    if_given,
    unique,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan, Step, Way
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import (
    columns_since,
    name_array,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import (
    SLOT,
    missing_at_alter,
    missing_at_create,
    version_text,
)

BUILT_IN_PLUGIN = "pgoutput"
LOGICAL_ON_STANDBY = 16  # the version that brought logical decoding on standbys


@dataclass(frozen=True)
class Slot:
    """What a slot is. two_phase and failover are None where the server does not have them."""

    name: str
    slot_type: str
    plugin: str | None = None
    database: str | None = None
    two_phase: bool | None = None
    failover: bool | None = None

    def shown(self) -> dict[str, Any]:
        """The fields that this slot has, without its name."""
        return {
            field: value
            for field, value in asdict(self).items()
            if field != "name" and value is not None
        }


@dataclass(frozen=True)
class SlotState:
    """A slot that is there: what it is, and how it is doing.

    :param may_end: whether the connecting role may end the process that uses it.
    """

    slot: Slot
    temporary: bool = False
    synced: bool = False
    active_pid: int | None = None
    may_end: bool = True
    restart_lsn: Lsn | None = None
    confirmed_flush_lsn: Lsn | None = None
    wal_status: str | None = None
    invalidation_reason: str | None = None

    @property
    def lost(self) -> bool:
        """It exists and is of no use: the WAL that it needs is gone, or it was invalidated."""
        return self.wal_status == "lost" or self.invalidation_reason is not None

    @property
    def position(self) -> Lsn | None:
        """How far its consumer has come."""
        return self.confirmed_flush_lsn if self.slot.slot_type == "logical" else self.restart_lsn

    def shown(self) -> dict[str, Any]:
        def text(lsn: Lsn | None) -> str | None:
            return None if lsn is None else str(lsn)

        return {
            "name": self.slot.name,
            "state": "present",
            **self.slot.shown(),
            "active": self.active_pid is not None,
            "active_pid": self.active_pid,
            "synced": self.synced,
            "restart_lsn": text(self.restart_lsn),
            "confirmed_flush_lsn": text(self.confirmed_flush_lsn),
            "wal_status": self.wal_status,
            "invalidation_reason": self.invalidation_reason,
            "lost": self.lost,
        }


@dataclass(frozen=True)
class SlotServer:
    """What the plan has to know of the server."""

    version: int
    database: str
    in_recovery: bool = False
    wal_level: str = "logical"
    max_slots: int = 10
    used_slots: int = 0
    may_replicate: bool = True
    position: Lsn = Lsn(0)  # noqa: RUF009


@dataclass(frozen=True)
class SlotRequest:
    """The options of the module replication_slot, checked as far as that goes without a server."""

    names: tuple[str, ...]
    present: bool = True
    slot_type: str | None = None
    plugin: str | None = None
    immediately_reserve: bool = True
    two_phase: bool | None = None
    failover: bool | None = None
    copy_from: str | None = None
    advance_to: Lsn | None = None
    on_lost: str = "fail"
    force: bool = False

    @property
    def created_type(self) -> str:
        return self.slot_type or "physical"


def slot_request(params: Mapping[str, Any]) -> SlotRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong, or makes no sense beside another.
    """

    names = tuple(
        check_slot_name("name", name) for name in unique(n.strip() for n in params["name"])
    )
    if not names:
        raise ReplicationError("name: the list is empty; name at least one slot.")
    request = SlotRequest(
        names=names,
        present=params["state"] == "present",
        slot_type=params["slot_type"],
        plugin=if_given(check_identifier, "plugin", params),
        immediately_reserve=params["immediately_reserve"],
        two_phase=params["two_phase"],
        failover=params["failover"],
        copy_from=if_given(check_slot_name, "copy_from", params),
        advance_to=if_given(Lsn.parse, "advance_to", params),
        on_lost=params["on_lost"],
        force=params["force"],
    )
    if request.present and request.created_type == "physical":
        for option in ("plugin", "two_phase", "failover"):
            if getattr(request, option):
                raise ReplicationError(f"{option}: only a logical slot has it (slot_type).")
    if request.copy_from in names:
        raise ReplicationError(f"copy_from: {request.copy_from} cannot be copied from itself.")
    return request


# --- reading -------------------------------------------------------------------------------------

_SERVER = """
SELECT pg_is_in_recovery() AS in_recovery,
       current_setting('wal_level') AS wal_level,
       current_setting('max_replication_slots')::int AS max_slots,
       (SELECT count(*)::int FROM pg_replication_slots) AS used_slots,
       (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
           AS may_replicate,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_flush_lsn() END::text AS position,
       (SELECT coalesce(json_agg(found), '[]'::json)
          FROM (SELECT {columns} FROM pg_replication_slots WHERE slot_name = ANY ({names})) AS found
       ) AS slots
"""
_COLUMNS = {
    13: "slot_name, slot_type, plugin, database, temporary, active_pid,"
    " (SELECT pg_has_role(usesysid, 'USAGE')"
    " OR (NOT rolsuper AND pg_has_role('pg_signal_backend', 'USAGE'))"
    " FROM pg_stat_get_activity(coalesce(active_pid, 0)) JOIN pg_roles ON oid = usesysid)"
    " AS may_end,"
    " restart_lsn,"
    " confirmed_flush_lsn, wal_status",
    14: "two_phase",
    17: "failover, synced, invalidation_reason",
}


def read_slots(session: Session, names: Iterable[str]) -> tuple[SlotServer, dict[str, SlotState]]:
    """The server, and those of the named slots that exist, in one statement."""
    row = session.read(
        sql.SQL(_SERVER).format(
            columns=columns_since(_COLUMNS, session.major), names=name_array(names)
        )
    )[0]
    found = {slot["slot_name"]: _slot_state(slot) for slot in row.pop("slots")}
    server = SlotServer(
        version=session.server_version,
        database=session.database,
        **{**row, "position": Lsn.parse("position", row["position"] or "0/0")},
    )
    return server, found


def _slot_state(row: Mapping[str, Any]) -> SlotState:
    def lsn(column: str) -> Lsn | None:
        return Lsn.parse(column, row[column]) if row[column] else None

    return SlotState(
        slot=Slot(
            name=row["slot_name"],
            slot_type=row["slot_type"],
            plugin=row["plugin"],
            database=row["database"],
            two_phase=row.get("two_phase") if row["slot_type"] == "logical" else None,
            failover=row.get("failover") if row["slot_type"] == "logical" else None,
        ),
        temporary=row["temporary"],
        synced=row.get("synced", False),
        active_pid=row["active_pid"],
        may_end=row["may_end"] is not False,
        restart_lsn=lsn("restart_lsn"),
        confirmed_flush_lsn=lsn("confirmed_flush_lsn"),
        wal_status=row["wal_status"],
        invalidation_reason=row.get("invalidation_reason"),
    )


# --- planning ------------------------------------------------------------------------------------


def plan_slots(request: SlotRequest, server: SlotServer, found: Mapping[str, SlotState]) -> Plan:
    """The steps that make the slots what is asked for.

    :raises ReplicationError: what the server would refuse, every slot's problem in one error.
    """
    planner = _PresentPlanner if request.present else _AbsentPlanner
    return planner(request, server, found).plan()


class _Planner:
    def __init__(
        self, request: SlotRequest, server: SlotServer, found: Mapping[str, SlotState]
    ) -> None:
        self.request = request
        self.server = server
        self.found = found
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}

    def refuse(self, name: str, problem: str) -> None:
        self.problems.append(f"Slot {name} {problem}.")

    def check_may_replicate(self) -> None:
        if not self.server.may_replicate:
            self.problems.append(
                "The connecting role may not manage replication slots: it has to be a superuser or"
                " have the attribute REPLICATION (ALTER ROLE ... REPLICATION)."
            )

    def check_droppable(self, state: SlotState) -> None:
        if state.synced and self.server.in_recovery:
            self.refuse(
                state.slot.name,
                "is synchronised from the primary and cannot be dropped here: drop it there",
            )
        elif state.active_pid is not None and not self.request.force:
            self.refuse(
                state.slot.name,
                f"is in use by the process {state.active_pid}: stop its consumer, or set force to"
                " end the process",
            )
        elif state.active_pid is not None and not state.may_end:
            self.refuse(
                state.slot.name,
                f"is in use by the process {state.active_pid}, which the connecting role may not"
                " end: connect as that process's role, or as a superuser",
            )

    def drop_step(self, names: list[str], reason: str) -> Step:
        slots = name_array(names)
        return Step(
            reason=reason,
            statement=sql.SQL(
                "SELECT slot_name, pg_drop_replication_slot(slot_name)"
                " FROM pg_replication_slots WHERE slot_name = ANY ({})"
            ).format(slots),
            way=Way.AUTOCOMMIT,
            prelude=sql.SQL(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                " WHERE slot_name = ANY ({}) AND active_pid IS NOT NULL"
            ).format(slots)
            if self.request.force
            else None,
        )


class _AbsentPlanner(_Planner):
    def plan(self) -> Plan:
        dropped = [self.found[name] for name in self.request.names if name in self.found]
        for state in dropped:
            self.check_is_meant(state.slot)
            self.check_droppable(state)
            self.before[state.slot.name] = state.slot.shown()
        if dropped:
            self.check_may_replicate()
        fail_with_all(self.problems)
        steps = []
        if dropped:
            steps.append(
                self.drop_step([state.slot.name for state in dropped], "drop what is not wanted")
            )
        return Plan(steps, self.before, self.after)

    def check_is_meant(self, slot: Slot) -> None:
        if self.request.slot_type not in (None, slot.slot_type):
            self.refuse(slot.name, f"is {slot.slot_type}, not {self.request.slot_type}")
        elif slot.database not in (None, self.server.database):
            self.refuse(
                slot.name,
                f"belongs to the database {slot.database}, not to {self.server.database}: set"
                " login_db to it",
            )


class _PresentPlanner(_Planner):
    def __init__(
        self, request: SlotRequest, server: SlotServer, found: Mapping[str, SlotState]
    ) -> None:
        super().__init__(request, server, found)
        self.dropped: list[str] = []
        self.created: dict[str, Slot] = {}
        self.altered: list[tuple[Slot, Slot]] = []

    def plan(self) -> Plan:
        for name in self.request.names:
            self.consider(name)
        advanced = self.advanced()
        if self.created or self.altered or advanced:
            self.check_may_replicate()
        if self.created:
            self.check_creatable(len(self.created) - len(self.dropped))
        fail_with_all(self.problems)

        steps = []
        if self.dropped:
            steps.append(self.drop_step(self.dropped, "drop what is lost"))
        steps.extend(self.create_steps())
        steps.extend(_alter_step(made, wanted) for made, wanted in self.altered)
        if advanced:
            steps.append(self.advance_step(advanced))
        return Plan(steps, self.before, self.after, self.warnings)

    def consider(self, name: str) -> None:
        """Note what has to be done for one slot."""
        state = self.found.get(name)
        wanted = self.wanted(name)
        if state is None:
            self.create(wanted)
        elif not self.check_same(wanted, state.slot):
            pass
        elif state.lost and self.request.on_lost == "recreate":
            self.check_droppable(state)
            self.dropped.append(name)
            self.before[name] = {**state.slot.shown(), "lost": True}
            self.create(wanted)
        elif self.check_usable(state) and state.slot != wanted:
            self.check_alterable(wanted, state.slot)
            self.check_not_in_use(state)
            self.altered.append((state.slot, wanted))
            self.before[name] = state.slot.shown()
            self.after[name] = wanted.shown()

    def create(self, wanted: Slot) -> None:
        self.after[wanted.name] = wanted.shown()
        made = self.created[wanted.name] = self.as_created(wanted)
        if made != wanted:
            self.check_alterable(wanted, made)
            self.altered.append((made, wanted))

    def wanted(self, name: str) -> Slot:
        """The slot as it is asked for; what is not asked for is as it is, or as created."""
        request = self.request
        if request.created_type == "physical":
            return Slot(name, "physical")
        state = self.found.get(name)
        there = state.slot if state is not None and state.slot.slot_type == "logical" else None

        def flag(option: str) -> bool | None:
            if self.server.version // 10000 < SLOT[option].create:
                return True if getattr(request, option) else None
            if getattr(request, option) is not None:
                return bool(getattr(request, option))
            return bool(getattr(there, option)) if there else False

        return Slot(
            name,
            "logical",
            plugin=request.plugin or self.copied_plugin(there) or BUILT_IN_PLUGIN,
            database=self.server.database,
            two_phase=flag("two_phase"),
            failover=flag("failover"),
        )

    def copied_plugin(self, there: Slot | None) -> str | None:
        """The source's plugin; once the copy is there, its own, for the source may be gone."""
        if self.request.copy_from is None:
            return None
        source = self.found.get(self.request.copy_from)
        return there.plugin if there else source.slot.plugin if source else None

    def as_created(self, wanted: Slot) -> Slot:
        """What the create step makes: a copy has neither two_phase nor failover yet."""
        if self.request.copy_from is None or wanted.slot_type == "physical":
            return wanted
        return replace(
            wanted,
            two_phase=None if wanted.two_phase is None else False,
            failover=None if wanted.failover is None else False,
        )

    def check_usable(self, state: SlotState) -> bool:
        """Refuse, or warn of, a slot that does not do what slots are for."""
        name = state.slot.name
        if state.temporary:
            self.refuse(name, "is there, but temporary: it goes with the session that made it")
        elif state.lost:
            why = state.invalidation_reason or "wal_status is lost"
            if self.request.on_lost == "report":
                self.warnings.append(f"Slot {name} is of no use any more ({why}).")
            else:
                self.refuse(
                    name,
                    f"is of no use any more ({why}): its consumer has to be seeded anew. on_lost:"
                    " recreate makes the slot anew, report leaves it",
                )
        else:
            if (
                state.slot.slot_type == "physical"
                and state.restart_lsn is None
                and self.request.immediately_reserve
            ):
                self.warnings.append(
                    f"Slot {name} retains no WAL until its standby connects: it was created"
                    " without immediately_reserve."
                )
            return True
        return False

    def check_same(self, wanted: Slot, there: Slot) -> bool:
        """Refuse what no server can change in a slot."""
        for field, what in (("slot_type", "type"), ("database", "database"), ("plugin", "plugin")):
            is_, should = getattr(there, field), getattr(wanted, field)
            if is_ != should:
                self.refuse(
                    wanted.name,
                    f"exists with the {what} {is_}, not {should}, which cannot be changed: drop it first, or"
                    " take another name",
                )
                return False
        return True

    def check_alterable(self, wanted: Slot, made: Slot) -> None:
        if self.server.in_recovery and wanted.failover and not made.failover:
            self.refuse(wanted.name, "cannot be given failover=true on a standby")
        for option in ("two_phase", "failover"):
            if getattr(wanted, option) == getattr(made, option):
                continue
            missing = missing_at_alter(SLOT, option, self.server.version)
            if missing:
                value = str(getattr(wanted, option)).lower()
                anew = (
                    "; or drop it and create it anew"
                    if self.server.version // 10000 >= SLOT[option].create
                    else ""
                )
                self.refuse(wanted.name, f"cannot be given {option}={value}: {missing}{anew}")

    def check_not_in_use(self, state: SlotState) -> None:
        if state.synced and self.server.in_recovery:
            self.refuse(state.slot.name, "is synchronised from the primary: change it there")
        elif state.active_pid is not None:
            self.refuse(
                state.slot.name,
                f"is in use by the process {state.active_pid} and cannot be altered: disable its"
                " subscription first",
            )

    def check_creatable(self, more: int) -> None:
        request, server = self.request, self.server
        if server.used_slots + more > server.max_slots:
            self.problems.append(
                f"{server.used_slots} of {server.max_slots} replication slots are in use, and {more}"
                " more are needed: raise max_replication_slots (a restart), or drop slots that"
                " nothing uses."
            )
        if request.created_type == "logical":
            self.check_logical()
        elif server.wal_level == "minimal":
            self.problems.append(
                "wal_level is minimal: set it to replica or logical, and restart the server."
            )
        if request.copy_from is not None:
            self.check_source(request.copy_from)

    def check_logical(self) -> None:
        request, server = self.request, self.server
        if server.wal_level != "logical":
            self.problems.append(
                f"wal_level is {server.wal_level}: a logical slot needs logical, and a restart of"
                " the server."
            )
        if server.in_recovery and server.version // 10000 < LOGICAL_ON_STANDBY:
            self.problems.append(
                f"A logical slot on a standby needs PostgreSQL {LOGICAL_ON_STANDBY} or newer, this"
                f" server is {version_text(server.version)}."
            )
        if server.in_recovery and request.failover:
            self.problems.append("failover: not possible for a slot created on a standby.")
        for option in ("two_phase", "failover"):
            missing = missing_at_create(SLOT, option, server.version)
            if getattr(request, option) and missing:
                self.problems.append(f"{missing}.")

    def check_source(self, name: str) -> None:
        source = self.found.get(name)
        problem = (
            "does not exist"
            if source is None
            else f"is {source.slot.slot_type}, not {self.request.created_type}"
            if source.slot.slot_type != self.request.created_type
            else f"belongs to the database {source.slot.database}"
            if source.slot.database not in (None, self.server.database)
            else "is of no use any more"
            if source.lost
            else "retains no WAL yet"
            if source.restart_lsn is None
            else ""
        )
        if problem:
            self.problems.append(f"copy_from: slot {name} {problem}.")

    def advanced(self) -> list[str]:
        """The slots that have to move forward, checked."""
        target = self.request.advance_to
        if target is None:
            return []
        if target > self.server.position:
            self.problems.append(
                f"advance_to: {target} is ahead of the server, which is at {self.server.position}."
            )
        if self.created and not self.request.immediately_reserve and not self.request.copy_from:
            self.problems.append("advance_to: a new slot needs immediately_reserve for it.")
        return [
            name
            for name in self.request.names
            if name in self.created or self.is_behind(self.found[name], target)
        ]

    def is_behind(self, state: SlotState, target: Lsn) -> bool:
        name = state.slot.name
        column = _position_column(state.slot.slot_type)
        if state.lost:
            return False
        if state.position is None:
            self.refuse(name, "retains no WAL yet and cannot be advanced")
            return False
        if state.position >= target:
            return False
        if state.active_pid is not None:
            self.refuse(name, f"is in use by the process {state.active_pid} and cannot be advanced")
        self.before[name] = {**self.before.get(name, {}), column: str(state.position)}
        self.after[name] = {**self.after.get(name, {}), column: str(target)}
        return True

    def create_steps(self) -> Iterator[Step]:
        """One step, but where a lost slot had flags of its own that it shall have again."""
        alike: dict[Slot, list[str]] = {}
        for name, slot in self.created.items():
            alike.setdefault(replace(slot, name=""), []).append(name)
        return (self.create_step(names, slot) for slot, names in alike.items())

    def create_step(self, names: list[str], slot: Slot) -> Step:
        request = self.request
        arguments: dict[str, sql.Composable]
        if request.copy_from is not None:
            # Never temporary, as the copy of a temporary slot would be.
            plugin = ", {plugin}" if request.plugin else ""
            function = f"pg_copy_{slot.slot_type}_replication_slot({{source}}, name, false{plugin})"
            arguments = {
                "source": sql.Literal(request.copy_from),
                "plugin": sql.Literal(request.plugin),
            }
        elif slot.slot_type == "physical":
            function = "pg_create_physical_replication_slot(name, {reserve})"
            arguments = {"reserve": sql.Literal(request.immediately_reserve)}
        else:
            flags = [flag for flag in (slot.two_phase, slot.failover) if flag is not None]
            function = "pg_create_logical_replication_slot(name, {plugin}, {flags})"
            arguments = {
                "plugin": sql.Literal(slot.plugin),
                "flags": sql.SQL(", ").join(sql.Literal(flag) for flag in (False, *flags)),
            }
        return Step(
            reason="create what is missing",
            statement=sql.SQL(
                "SELECT slot.* FROM unnest({names}) AS name, LATERAL {call} AS slot"
            ).format(names=name_array(names), call=sql.SQL(function).format(**arguments)),
            way=Way.AUTOCOMMIT,
        )

    def advance_step(self, names: list[str]) -> Step:
        return Step(
            reason="advance what is behind",
            statement=sql.SQL(
                "SELECT pg_replication_slot_advance(slot_name, {target}) FROM pg_replication_slots"
                " WHERE slot_name = ANY ({names}) AND {position} < {target}"
            ).format(
                names=name_array(names),
                position=sql.Identifier(_position_column(self.request.created_type)),
                target=sql.SQL("{}::pg_lsn").format(sql.Literal(str(self.request.advance_to))),
            ),
            way=Way.AUTOCOMMIT,
        )


def _position_column(slot_type: str) -> str:
    return "confirmed_flush_lsn" if slot_type == "logical" else "restart_lsn"


def _alter_step(made: Slot, wanted: Slot) -> Step:
    changes = [
        f"{option.upper()} {str(getattr(wanted, option)).lower()}"
        for option in ("two_phase", "failover")
        if getattr(wanted, option) != getattr(made, option)
    ]
    return Step(
        reason=f"alter slot {wanted.name}",
        statement=sql.SQL("ALTER_REPLICATION_SLOT {} (" + ", ".join(changes) + ")").format(
            sql.Identifier(wanted.name)
        ),
        way=Way.REPLICATION,
    )


# --- what only the server can tell ---------------------------------------------------------------


def check_plugin(session: Session, request: SlotRequest) -> None:
    """Refuse an output plugin that the server does not have.

    Only a superuser can find out beforehand.
    """
    plugin = request.plugin or BUILT_IN_PLUGIN
    if plugin == BUILT_IN_PLUGIN or not session.superuser:
        return
    try:
        session.rows(sql.SQL("LOAD {}").format(sql.Literal(plugin)))
    except ServerError as exc:
        raise ReplicationError(
            f"plugin: the server has no output plugin {plugin!r}: {exc.message}"
        ) from None

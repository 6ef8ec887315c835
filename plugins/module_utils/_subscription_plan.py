# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Subscriptions: the plan from what is there to what is asked for.

PostgreSQL: CREATE SUBSCRIPTION; ALTER SUBSCRIPTION; DROP SUBSCRIPTION.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    SECRET_KEYWORDS,
    Conninfo,
    HiddenLiteral,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import check_slot_name
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan, Step, Way
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription import (
    NO_SLOT,
    OPTIONS,
    ORDINARY_OWNERS,
    Subscription,
    SubscriptionRequest,
    SubscriptionServer,
    SubscriptionState,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import (
    SUBSCRIPTION,
    missing_at_alter,
    missing_at_create,
)

# How long a forced drop waits for the publisher before it goes on without.
FORCE_AFTER_SECONDS = 30
# What the server changes in a disabled subscription only, whose worker has ended.
_OFFLINE = ("two_phase", "failover")
# What a server does that does not know the option yet: to ask for just that is fine.
_BEFORE_IT_CAME = {
    "binary": False,
    "streaming": "off",
    "two_phase": False,
    "disable_on_error": False,
    "password_required": True,
    "run_as_owner": True,
    "origin": "any",
    "failover": False,
}
_PARALLEL_BY_DEFAULT = 18
_AT_CREATE = {**_BEFORE_IT_CAME, "run_as_owner": False}


@dataclass
class SubscriptionPlan(Plan):
    """A plan, and the subscription as it will be; None: absent."""

    result: Subscription | None = None
    refreshed: bool = False


def plan_subscription(
    request: SubscriptionRequest,
    server: SubscriptionServer,
    found: Mapping[str, SubscriptionState],
) -> SubscriptionPlan:
    """The steps that make the subscription what is asked for.

    :raises ReplicationError: what the server would refuse, every problem in one error.
    """
    if not request.present:
        return _plan_absent(request, server, found.get(request.name))
    request = _by_its_name(request, found)
    state = found.get(request.name)
    if state is None:
        return _Creation(request, server).plan()
    return _Alteration(request, server, state).plan()


def _by_its_name(
    request: SubscriptionRequest, found: Mapping[str, SubscriptionState]
) -> SubscriptionRequest:
    """The request by the name that the subscription has now."""
    name, new_name = request.name, request.new_name
    if new_name is None or new_name == name:
        return request
    if new_name in found and name in found:
        raise ReplicationError(
            f"new_name: subscription {name} cannot be renamed: {new_name} exists as well."
        )
    if new_name in found:
        return replace(request, name=new_name, new_name=None)
    if name not in found:
        raise ReplicationError(
            f"new_name: neither subscription {name} nor {new_name} exists. To create one, leave"
            " new_name out."
        )
    return request


# --- what creating and altering have in common ---------------------------------------------------


def _alter(name: str, reason: str, change: str | sql.Composable, **how: Any) -> Step:
    change = sql.SQL(change) if isinstance(change, str) else change
    return Step(
        f"{reason} of subscription {name}",
        sql.SQL("ALTER SUBSCRIPTION {} {}").format(sql.Identifier(name), change),
        **how,
    )


def _assignments(values: Mapping[str, Any]) -> sql.Composable:
    return sql.SQL(", ").join(
        sql.SQL(f"{option} = {{}}").format(
            sql.SQL("NONE") if (option, value) == ("slot_name", NO_SLOT) else sql.Literal(value)
        )
        for option, value in values.items()
    )


def _names(names: Iterable[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


class _Planner:
    """Collects problems and steps for one subscription that is to be present."""

    def __init__(self, request: SubscriptionRequest, server: SubscriptionServer) -> None:
        self.request = request
        self.server = server
        self.name = request.name
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.steps: list[Step] = []

    def refuse(self, problem: str) -> None:
        self.problems.append(f"Subscription {self.name}: {problem}.")

    def options(self, otherwise: Mapping[str, Any]) -> dict[str, Any]:
        """Every option but the slot's name: as asked for, else as otherwise; None: none here."""
        values: dict[str, Any] = {}
        for option in OPTIONS[1:]:
            asked = getattr(self.request, option)
            if option in SUBSCRIPTION and self.server.major < SUBSCRIPTION[option].create:
                values[option] = None
                if asked not in (None, _BEFORE_IT_CAME[option]):
                    self.refuse(f"{missing_at_create(SUBSCRIPTION, option, self.server.version)}")
                continue
            values[option] = otherwise[option] if asked is None else asked
            if option == "streaming" and asked == "parallel":
                missing = missing_at_create(SUBSCRIPTION, "streaming=parallel", self.server.version)
                if missing:
                    self.refuse(missing)
        return values

    def check_server(self) -> None:
        if self.server.in_recovery:
            self.problems.append("This server is a standby: connect to the primary.")

    def check_owner(self, owner: str) -> None:
        """Refuse an owner that the subscription cannot be given to."""
        server = self.server
        if server.owner_superuser is None:
            self.refuse(f"the role {owner} does not exist")
        elif server.major < ORDINARY_OWNERS and not server.owner_superuser:
            self.refuse(f"before PostgreSQL 16 its owner has to be a superuser, and {owner} is not")
        elif not server.superuser and not (server.may_give_to_owner and server.may_create):
            self.refuse(
                f"to give it to {owner}, {server.role} has to be a member of that role, with SET,"
                " and to have CREATE on the database"
            )

    def check_password(self, wanted: Subscription, owner_superuser: bool) -> None:
        """Refuse a connection that its owner may not use."""
        if (
            self.server.major >= ORDINARY_OWNERS
            and not owner_superuser
            and wanted.password_required
            and wanted.connection is not None
            and "password" not in wanted.connection
        ):
            self.refuse(
                f"its owner {wanted.owner} is not a superuser, so that connection needs a password"
                " (a passfile is not enough), or password_required: false, which a superuser may"
                " set"
            )

    def set_owner(self, owner: str) -> None:
        self.steps.append(
            _alter(
                self.name,
                "change the owner",
                sql.SQL("OWNER TO {}").format(sql.Identifier(owner)),
            )
        )

    def set_comment(self, comment: str) -> None:
        self.steps.append(
            Step(
                f"change the comment of subscription {self.name}",
                sql.SQL("COMMENT ON SUBSCRIPTION {} IS {}").format(
                    sql.Identifier(self.name), sql.Literal(comment or None)
                ),
            )
        )

    def set_skip_lsn(self, wanted: Subscription) -> None:
        skipped = sql.Literal(str(wanted.skip_lsn)) if wanted.skip_lsn else sql.SQL("NONE")
        self.steps.append(
            _alter(self.name, "set skip_lsn", sql.SQL("SKIP (lsn = {})").format(skipped))
        )


# --- create --------------------------------------------------------------------------------------


class _Creation(_Planner):
    def plan(self) -> SubscriptionPlan:
        request = self.request
        wanted = self.wanted()
        self.check(wanted)
        fail_with_all(self.problems)
        self.create(wanted)
        if wanted.owner != self.server.role:
            self.set_owner(wanted.owner)
        if wanted.comment:
            self.set_comment(wanted.comment)
        if wanted.skip_lsn:
            self.set_skip_lsn(wanted)
        return SubscriptionPlan(
            self.steps,
            {"name": request.name, "state": "absent"},
            wanted.shown(),
            self.warnings,
            result=wanted,
        )

    def wanted(self) -> Subscription:
        request = self.request
        slot_name = request.slot_name or request.name
        streaming = "parallel" if self.server.major >= _PARALLEL_BY_DEFAULT else "off"
        defaults = {**_AT_CREATE, "streaming": streaming, "synchronous_commit": "off"}
        return Subscription(
            name=request.name,
            connection=request.connection,
            publications=request.publications or (),
            enabled=request.connect is not False and slot_name != NO_SLOT
            if request.enabled is None
            else request.enabled,
            slot_name=slot_name,
            skip_lsn=request.skip_lsn or Subscription.skip_lsn,
            owner=request.owner or self.server.role,
            comment=request.comment or "",
            **self.options(defaults),
        )

    def check(self, wanted: Subscription) -> None:
        request, server = self.request, self.server
        self.check_server()
        for option in ("connection", "publications"):
            if not getattr(request, option):
                self.refuse(f"it does not exist, and {option} is needed to create it")
        if request.connect is False:
            for option in ("enabled", "create_slot", "copy_data"):
                if getattr(request, option):
                    self.refuse(
                        f"{option}: true is not possible when it is created with connect: false"
                    )
        if wanted.slot_name == NO_SLOT:
            if request.create_slot:
                self.refuse("create_slot: true is not possible with slot_name: none")
        else:
            self.check_slot_name(wanted.slot_name)
        if request.skip_lsn and server.major < SUBSCRIPTION["skip_lsn"].create:
            self.refuse(f"{missing_at_create(SUBSCRIPTION, 'skip_lsn', server.version)}")
        self.check_role(wanted)

    def check_slot_name(self, name: str) -> None:
        try:
            check_slot_name("slot_name", name)
        except ReplicationError as exc:
            self.refuse(f"its slot would have its name, so give it a slot_name. {exc.message[:-1]}")

    def check_role(self, wanted: Subscription) -> None:
        server = self.server
        if not server.may_subscribe:
            self.refuse(
                f"{server.role} may not create it: it has to be a superuser"
                + (
                    ", or a member of pg_create_subscription"
                    if server.major >= ORDINARY_OWNERS
                    else ""
                )
            )
        elif not server.may_create:
            self.refuse(f"{server.role} may not create it: it needs CREATE on the database")
        if wanted.password_required is False and not server.superuser:
            self.refuse("only a superuser may set password_required: false")
        self.check_password(replace(wanted, owner=server.role), server.superuser)
        if wanted.owner != server.role:
            self.check_owner(wanted.owner)
            if server.superuser:
                self.check_password(wanted, bool(server.owner_superuser))

    def create(self, wanted: Subscription) -> None:
        request = self.request
        options: dict[str, Any] = {}
        connects = request.connect is not False
        creates_slot = connects and wanted.slot_name != NO_SLOT and request.create_slot is not False
        if not connects:
            options["connect"] = False
        elif request.copy_data is not None:
            options["copy_data"] = request.copy_data
        if connects and not wanted.enabled:
            options["enabled"] = False
        if connects and not creates_slot:
            options["create_slot"] = False
        if request.slot_name is not None:
            options["slot_name"] = request.slot_name
        if request.slot_name == NO_SLOT:
            options.update(enabled=False, create_slot=False)
        for option in OPTIONS[1:]:
            asked = getattr(request, option)
            if asked is not None and getattr(wanted, option) is not None:
                options[option] = asked
        rehearsed = {**options, "enabled": False, "create_slot": False, "slot_name": NO_SLOT}
        self.steps.append(
            Step(
                f"create subscription {self.name}",
                self.statement(wanted, options),
                way=Way.AUTOCOMMIT if creates_slot else Way.TRANSACTION,
                # All but the slot, which no rollback takes back: the publisher is asked for its
                # tables, and they have to exist here.
                rehearsal=self.statement(wanted, rehearsed) if connects else None,
            )
        )

    def statement(self, wanted: Subscription, options: Mapping[str, Any]) -> sql.Composable:
        statement = sql.SQL("CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {}").format(
            sql.Identifier(wanted.name),
            HiddenLiteral(wanted.connection or Conninfo({})),
            _names(wanted.publications),
        )
        if options:
            statement += sql.SQL(" WITH ({})").format(_assignments(options))
        return statement


# --- alter ---------------------------------------------------------------------------------------


class _Alteration(_Planner):
    def __init__(
        self,
        request: SubscriptionRequest,
        server: SubscriptionServer,
        state: SubscriptionState,
    ) -> None:
        super().__init__(request, server)
        self.state = state
        self.before = state.subscription

    def plan(self) -> SubscriptionPlan:
        wanted = self.wanted()
        refresh = self.refresh_due(wanted)
        if wanted != self.before or refresh:
            self.check(wanted)
        fail_with_all(self.problems)
        self.alter(wanted, refresh)
        return SubscriptionPlan(
            self.steps,
            self.before.shown(),
            _shown_after(self.before.connection, wanted),
            self.warnings,
            result=wanted,
            refreshed=refresh,
        )

    def wanted(self) -> Subscription:
        request, before = self.request, self.before

        def asked(option: str) -> Any:
            value = getattr(request, option)
            return getattr(before, option) if value is None else value

        publications = asked("publications")
        return Subscription(
            name=request.new_name or self.name,
            connection=self.connection(),
            publications=before.publications
            if set(publications) == set(before.publications)
            else publications,
            enabled=asked("enabled"),
            slot_name=asked("slot_name"),
            skip_lsn=self.skip_lsn(),
            owner=asked("owner"),
            comment=asked("comment"),
            **self.options({option: getattr(before, option) for option in OPTIONS}),
        )

    def connection(self) -> Conninfo | None:
        before = self.before.connection
        asked = self.request.connection
        if asked is None or before is not None or self.state.unreadable:
            return before if asked is None else asked
        self.warnings.append(
            f"Subscription {self.name}: its stored connection cannot be seen by"
            f" {self.server.role}, so that it was left as it is, whether it differs or not."
        )
        return None

    def skip_lsn(self) -> Any:
        asked, before, progress = self.request.skip_lsn, self.before.skip_lsn, self.state.progress
        if asked is None or asked == before:
            return before
        missing = missing_at_alter(SUBSCRIPTION, "skip_lsn", self.server.version)
        if missing:
            self.refuse(missing)
        return before if asked and progress is not None and progress >= asked else asked

    def refresh_due(self, wanted: Subscription) -> bool:
        """Whether the tables of the publications are to be read anew, and can be."""
        request = self.request
        changed = wanted.publications != self.before.publications
        due = {
            "always": True,
            "never": False,
            "when_changed": changed or (wanted.enabled and not self.before.enabled),
        }[request.refresh]
        if not due:
            return False
        if not wanted.enabled:
            self.warnings.append(
                f"Subscription {self.name} is disabled, so that the tables of its publications"
                " were not read anew: that is done when it is enabled (refresh)."
            )
            return False
        if self.state.two_phase_in_force and wanted.two_phase and request.copy_data is not False:
            problem = (
                "its tables cannot be refreshed with a copy of their data while two_phase is in"
                " force: set copy_data: false, or refresh: never"
            )
            if changed or request.refresh == "always":
                self.refuse(problem)
            else:
                self.warnings.append(f"Subscription {self.name}: {problem}.")
            return False
        return True

    def changed(self, wanted: Subscription) -> dict[str, Any]:
        """The options of ALTER SUBSCRIPTION ... SET that differ, as they are to be."""
        return {
            option: getattr(wanted, option)
            for option in OPTIONS
            if getattr(wanted, option) != getattr(self.before, option)
        }

    def check(self, wanted: Subscription) -> None:
        server, before = self.server, self.before
        self.check_server()
        if not self.state.owned:
            self.refuse(
                f"{server.role} may not alter it: it belongs to {before.owner}. Connect as that"
                " role, as a member of it, or as a superuser"
            )
        elif not server.superuser and replace(before, comment=wanted.comment) != wanted:
            if before.password_required is False:
                self.refuse("with password_required: false, only a superuser may alter it")
            elif wanted.password_required is False:
                self.refuse("only a superuser may set password_required: false")
        self.check_options(wanted)
        self.check_roles(wanted)

    def check_options(self, wanted: Subscription) -> None:
        before = self.before
        for option in self.changed(wanted):
            if option not in SUBSCRIPTION:
                continue
            missing = missing_at_alter(SUBSCRIPTION, option, self.server.version)
            if missing:
                self.refuse(
                    f"{option} is {_text(getattr(before, option))} and cannot be made"
                    f" {_text(getattr(wanted, option))}: {missing}. Or drop it, and create it anew"
                )
        if wanted.slot_name == NO_SLOT:
            if wanted.enabled:
                self.refuse(
                    "without a slot it cannot be enabled: set enabled: false, or a slot_name"
                )
            if wanted.failover != before.failover:
                self.refuse("without a slot its failover cannot be changed: set a slot_name")

    def check_roles(self, wanted: Subscription) -> None:
        server, before = self.server, self.before
        if wanted.owner != before.owner:
            self.check_owner(wanted.owner)
        if wanted.name != before.name and server.major >= ORDINARY_OWNERS and not server.may_create:
            self.refuse(f"to rename it, {server.role} needs CREATE on the database")
        if (wanted.owner, wanted.connection, wanted.password_required) != (
            before.owner,
            before.connection,
            before.password_required,
        ):
            given = wanted.owner != before.owner
            self.check_password(
                wanted, bool(server.owner_superuser) if given else self.state.owner_superuser
            )

    def alter(self, wanted: Subscription, refresh: bool) -> None:
        """Change what differs: first together, then what has to be alone, its name last."""
        before = self.before
        changed = self.changed(wanted)
        offline = {option: changed.pop(option) for option in _OFFLINE if option in changed}
        new_owner = wanted.owner if wanted.owner != before.owner else None

        if before.enabled and (offline or not wanted.enabled):
            undo = self.statement("ENABLE") if wanted.enabled else None
            self.add("disable the worker", "DISABLE", undo=undo)
        # A superuser keeps all rights, and what the new owner may do counts for the rest; another
        # role may lose them with the subscription.
        if new_owner and self.server.superuser:
            self.set_owner(new_owner)
        self.change_together(wanted, changed, refresh)
        if offline:
            self.change_offline(offline)
        if wanted.enabled and (offline or not before.enabled):
            # Undone where the refresh fails, so that the next run finds it still to be done.
            undo = self.statement("DISABLE") if refresh and not before.enabled else None
            self.add("enable the worker", "ENABLE", undo=undo)
        if refresh:
            self.refresh(wanted)
        if new_owner and not self.server.superuser:
            self.set_owner(new_owner)
        if wanted.name != before.name:
            self.add("change the name", sql.SQL("RENAME TO {}").format(sql.Identifier(wanted.name)))

    def statement(self, change: str) -> sql.Composable:
        return _alter(self.name, "", change).statement

    def add(self, reason: str, change: str | sql.Composable, **how: Any) -> None:
        self.steps.append(_alter(self.name, reason, change, **how))

    def change_together(
        self, wanted: Subscription, options: Mapping[str, Any], refresh: bool
    ) -> None:
        before = self.before
        if options:
            self.add("change options", sql.SQL("SET ({})").format(_assignments(options)))
        # Only now may it be one without a password (password_required).
        if wanted.connection != before.connection and wanted.connection is not None:
            self.add(
                "change the connection",
                sql.SQL("CONNECTION {}").format(HiddenLiteral(wanted.connection)),
            )
        if wanted.skip_lsn != before.skip_lsn:
            self.set_skip_lsn(wanted)
        if wanted.comment != before.comment:
            self.set_comment(wanted.comment)
        if wanted.publications != before.publications and not refresh:
            self.add("change the publications", _publications_clause(wanted, {"refresh": False}))

    def change_offline(self, options: Mapping[str, Any]) -> None:
        if self.before.enabled or self.state.running:
            self.steps.append(
                Step(
                    f"the worker of subscription {self.name} runs",
                    sql.SQL(
                        "SELECT NOT EXISTS (SELECT FROM pg_stat_subscription"
                        " WHERE subid = {} AND pid IS NOT NULL)"
                    ).format(sql.Literal(self.state.oid)),
                    way=Way.AUTOCOMMIT,
                    wait_for=True,
                )
            )
        self.add(
            f"change {' and '.join(options)}",
            sql.SQL("SET ({})").format(_assignments(options)),
            way=Way.AUTOCOMMIT,
        )

    def refresh(self, wanted: Subscription) -> None:
        copy_data = self.request.copy_data
        copying = {} if copy_data is None else {"copy_data": copy_data}
        if wanted.publications != self.before.publications:
            self.add(
                "change the publications",
                _publications_clause(wanted, {"refresh": True, **copying}),
                way=Way.AUTOCOMMIT,
                rehearsal=_alter(
                    self.name, "", _publications_clause(wanted, {"refresh": False})
                ).statement,
            )
            return
        clause: sql.Composable = sql.SQL("REFRESH PUBLICATION")
        if copying:
            clause += sql.SQL(" WITH ({})").format(_assignments(copying))
        self.add("refresh the tables", clause, way=Way.AUTOCOMMIT)


def _text(value: Any) -> str:
    return str(value).lower()


def _publications_clause(wanted: Subscription, options: Mapping[str, Any]) -> sql.Composable:
    return sql.SQL("SET PUBLICATION {} WITH ({})").format(
        _names(wanted.publications), _assignments(options)
    )


def _shown_after(before: Conninfo | None, wanted: Subscription) -> dict[str, Any]:
    """The state after, for the diff: where but a secret changes, that is to be seen."""
    after = wanted.shown()
    if before is not None and wanted.connection is not None:
        for keyword in SECRET_KEYWORDS & before.keys() & wanted.connection.keys():
            if before[keyword] != wanted.connection[keyword]:
                after["connection"][keyword] += " (changed)"
    return after


# --- drop ----------------------------------------------------------------------------------------


def _plan_absent(
    request: SubscriptionRequest, server: SubscriptionServer, state: SubscriptionState | None
) -> SubscriptionPlan:
    absent = {"name": request.name, "state": "absent"}
    if state is None:
        return SubscriptionPlan(before=absent, after=absent)
    planner = _Planner(request, server)
    planner.check_server()
    if not state.owned:
        planner.refuse(
            f"{server.role} may not drop it: it belongs to {state.subscription.owner}. Connect as"
            " that role, as a member of it, or as a superuser"
        )
    fail_with_all(planner.problems)
    patience = sql.SQL(f"SET statement_timeout = '{FORCE_AFTER_SECONDS}s'")
    step = replace(
        _drop_step(request.name), way=Way.AUTOCOMMIT, prelude=patience if request.force else None
    )
    return SubscriptionPlan([step], state.subscription.shown(), absent)


def plan_forced_drop(name: str) -> Plan:
    """Drop it without its publisher, where the slot stays."""
    # Where a table's first copy is not done, even a subscription without a slot tries to reach its
    # publisher, however long that takes. The password is there for owners that need one.
    nowhere = sql.Literal("host=/nonexistent password=none")
    return Plan(
        [
            _alter(name, "disable the worker", "DISABLE"),
            _alter(name, "give up the slot", "SET (slot_name = NONE)"),
            _alter(name, "give up the publisher", sql.SQL("CONNECTION {}").format(nowhere)),
            _drop_step(name),
        ]
    )


def _drop_step(name: str) -> Step:
    return Step(
        f"drop subscription {name}",
        sql.SQL("DROP SUBSCRIPTION {}").format(sql.Identifier(name)),
    )

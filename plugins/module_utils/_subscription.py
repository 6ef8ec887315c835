# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Subscriptions: what is asked for, and what is there.

PostgreSQL: Logical Replication, "Subscription"; pg_subscription.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    INSUFFICIENT_PRIVILEGE,
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
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import name_array
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import SUBSCRIPTION

# PostgreSQL takes slot_name = 'none' for NONE, so that no slot of a subscription has this name.
NO_SLOT = "none"
NO_LSN = Lsn(0)
# From this version on, a role that is no superuser may own a subscription.
ORDINARY_OWNERS = SUBSCRIPTION["password_required"].create

# The options of CREATE SUBSCRIPTION ... WITH that ALTER SUBSCRIPTION ... SET knows too: fields of
# Subscription and of SubscriptionRequest.
OPTIONS = (
    "slot_name",
    "binary",
    "streaming",
    "synchronous_commit",
    "two_phase",
    "disable_on_error",
    "password_required",
    "run_as_owner",
    "origin",
    "failover",
)


@dataclass(frozen=True)
class Subscription:
    """What a subscription is. An option is None where the server does not have it."""

    name: str
    connection: Conninfo | None  # None: there is one, and it cannot be seen
    publications: tuple[str, ...]
    enabled: bool
    slot_name: str
    synchronous_commit: str = "off"
    binary: bool | None = None
    streaming: str | None = None
    two_phase: bool | None = None
    disable_on_error: bool | None = None
    password_required: bool | None = None
    run_as_owner: bool | None = None
    origin: str | None = None
    failover: bool | None = None
    skip_lsn: Lsn = NO_LSN
    owner: str = ""
    comment: str = ""

    def shown(self) -> dict[str, Any]:
        """All that can be said of it; secrets hidden."""
        options = {option: getattr(self, option) for option in OPTIONS[1:]}
        return {
            "name": self.name,
            "state": "present",
            "enabled": self.enabled,
            "connection": None if self.connection is None else self.connection.shown(),
            "publications": sorted(self.publications),
            "slot_name": None if self.slot_name == NO_SLOT else self.slot_name,
            **{option: value for option, value in options.items() if value is not None},
            "owner": self.owner,
            "comment": self.comment,
            "skip_lsn": str(self.skip_lsn) if self.skip_lsn else None,
        }


@dataclass(frozen=True)
class SubscriptionState:
    """A subscription that is there: what it is, and how it is doing.

    :param unreadable: its stored connection is no connection string by the driver's libpq.
    :param owned: the connecting role has the rights of its owner.
    :param running: workers of it run.
    :param two_phase_in_force: two_phase is more than pending.
    :param progress: how far it has come on the publisher; None: unknown.
    :param sync_slots: slots on the publisher that its first copies may have left there.
    """

    subscription: Subscription
    oid: int = 0
    unreadable: bool = False
    owner_superuser: bool = True
    owned: bool = True
    running: bool = False
    two_phase_in_force: bool = False
    progress: Lsn | None = None
    sync_slots: tuple[str, ...] = ()


@dataclass(frozen=True)
class SubscriptionServer:
    """What the plan has to know of the server and of the connecting role.

    :param owner_superuser: whether the owner that is asked for is a superuser; None: no such role.
    """

    version: int
    role: str = "postgres"
    superuser: bool = True
    in_recovery: bool = False
    may_subscribe: bool = True
    may_create: bool = True
    owner_superuser: bool | None = None
    may_give_to_owner: bool = True

    @property
    def major(self) -> int:
        return self.version // 10000


@dataclass(frozen=True)
class SubscriptionRequest:
    """The module's options, checked as far as that goes without a server. None: not managed."""

    name: str
    present: bool = True
    new_name: str | None = None
    connection: Conninfo | None = None
    publications: tuple[str, ...] | None = None
    enabled: bool | None = None
    slot_name: str | None = None
    create_slot: bool | None = None
    copy_data: bool | None = None
    connect: bool | None = None
    binary: bool | None = None
    streaming: str | None = None
    synchronous_commit: str | None = None
    two_phase: bool | None = None
    disable_on_error: bool | None = None
    password_required: bool | None = None
    run_as_owner: bool | None = None
    origin: str | None = None
    failover: bool | None = None
    refresh: str = "when_changed"
    skip_lsn: Lsn | None = None
    owner: str | None = None
    comment: str | None = None
    force: bool = False

    @property
    def names(self) -> list[str]:
        return unique(filter(None, [self.name, self.new_name]))


def subscription_request(params: Mapping[str, Any]) -> SubscriptionRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong, or makes no sense beside another.
    """
    same = ("enabled", "create_slot", "copy_data", "connect", "refresh", "comment", "force")
    request = SubscriptionRequest(
        name=check_identifier("name", params["name"]),
        present=params["state"] == "present",
        new_name=if_given(check_identifier, "new_name", params),
        connection=params["connection"] and params["connection"].require("connection"),
        publications=_publications(params["publications"]),
        slot_name=_slot_name(params["slot_name"]),
        skip_lsn=_skip_lsn(params["skip_lsn"]),
        owner=if_given(check_identifier, "owner", params),
        **{option: params[option] for option in (*same, *OPTIONS[1:])},
    )
    problems = []
    if not request.present and request.new_name is not None:
        problems.append("new_name: there is nothing to rename with state: absent.")
    if request.slot_name == NO_SLOT and request.enabled:
        problems.append("enabled: a subscription without a slot cannot be enabled (slot_name).")
    fail_with_all(problems)
    return request


def _publications(names: list[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    if not names:
        raise ReplicationError(
            "publications: the list is empty, and a subscription has at least one."
        )
    return tuple(check_identifier("publications", name) for name in unique(names))


def _slot_name(text: str | None) -> str | None:
    if text is None or text.lower() == NO_SLOT:
        return text and NO_SLOT
    return check_slot_name("slot_name", text)


def _skip_lsn(text: str | None) -> Lsn | None:
    if text is None:
        return None
    return NO_LSN if text.lower() == "none" else Lsn.parse("skip_lsn", text)


# --- reading -------------------------------------------------------------------------------------

_SERVER = """
SELECT pg_is_in_recovery() AS in_recovery,
       current_user::text AS role,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       {may_subscribe} AS may_subscribe,
       (SELECT rolsuper FROM pg_roles WHERE rolname = {owner}) AS owner_superuser,
       coalesce((SELECT {may_give} FROM pg_roles WHERE rolname = {owner}), true)
           AS may_give_to_owner,
       (SELECT coalesce(json_agg(found), '[]'::json)
          FROM (SELECT {columns} FROM pg_subscription AS s
                 WHERE subname = ANY ({names})
                   AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
               ) AS found
       ) AS subscriptions
"""
_COLUMNS = {
    13: """
        s.oid::bigint AS oid, subname, subpublications, subenabled, subslotname, subsynccommit,
        pg_get_userbyid(subowner) AS owner, pg_has_role(subowner, 'USAGE') AS owned,
        (SELECT rolsuper FROM pg_roles WHERE oid = subowner) AS owner_superuser,
        obj_description(s.oid, 'pg_subscription') AS comment,
        EXISTS (SELECT FROM pg_stat_subscription WHERE subid = s.oid AND pid IS NOT NULL)
            AS running""",
    # ReplicationSlotNameForTablesync() in the server; before 14 such slots were temporary.
    14: """subbinary, substream,
        (SELECT json_agg(concat_ws('_', 'pg', s.oid, 'sync', srrelid,
                                   (SELECT system_identifier FROM pg_control_system())))
           FROM pg_subscription_rel WHERE srsubid = s.oid AND srsubstate NOT IN ('i', 'r', 's'))
            AS sync_slots""",
    15: "subtwophasestate, subdisableonerr, subskiplsn",
    16: "subpasswordrequired, subrunasowner, suborigin",
    17: "subfailover",
}
_CONNECTION = "subconninfo"
_PROGRESS = """
        (SELECT remote_lsn FROM pg_replication_origin_status WHERE external_id = 'pg_' || s.oid)
            AS progress"""


def read_subscriptions(
    session: Session, request: SubscriptionRequest
) -> tuple[SubscriptionServer, dict[str, SubscriptionState], list[str]]:
    """The server, those of the request's subscriptions that exist, and what must stay hidden.

    In one statement; two where the role may not read connections.
    """
    try:
        row = session.read(_reading(session, request, see_connection=True))[0]
    except ServerError as exc:
        if exc.sqlstate != INSUFFICIENT_PRIVILEGE:
            raise
        row = _read_without_connection(session, request)
    subscriptions = row.pop("subscriptions")
    states = {found["subname"]: _state(found) for found in subscriptions}
    server = SubscriptionServer(session.server_version, superuser=session.superuser, **row)
    return server, states, [secret for found in subscriptions for secret in _secrets(found)]


def _read_without_connection(session: Session, request: SubscriptionRequest) -> dict[str, Any]:
    try:
        return session.read(_reading(session, request, see_connection=False))[0]
    except ServerError as exc:
        if exc.sqlstate != INSUFFICIENT_PRIVILEGE:
            raise
        raise ReplicationError(
            "The connecting role may not read pg_subscription. Before PostgreSQL 14 only a"
            " superuser may: connect as one."
        ) from None


def _reading(session: Session, request: SubscriptionRequest, see_connection: bool) -> Any:
    columns = [text for since, text in _COLUMNS.items() if session.major >= since]
    if see_connection:
        columns.append(_CONNECTION)
    if session.superuser:
        columns.append(_PROGRESS)
    modern = session.major >= ORDINARY_OWNERS
    return sql.SQL(_SERVER).format(
        columns=sql.SQL(", ".join(columns)),
        names=name_array(request.names),
        owner=sql.Literal(request.owner),
        may_subscribe=sql.SQL(
            "pg_has_role('pg_create_subscription', 'USAGE')"
            if modern
            else "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
        ),
        may_give=sql.SQL("pg_has_role(oid, 'SET')" if modern else "true"),
    )


# A boolean before PostgreSQL 16.
_STREAMING = {None: None, False: "off", True: "on", "f": "off", "t": "on", "p": "parallel"}


def _state(row: Mapping[str, Any]) -> SubscriptionState:
    connection, unreadable = _connection(row)
    two_phase, origin = row.get("subtwophasestate"), row.get("suborigin")
    return SubscriptionState(
        subscription=Subscription(
            name=row["subname"],
            connection=connection,
            publications=tuple(row["subpublications"]),
            enabled=row["subenabled"],
            slot_name=row["subslotname"] or NO_SLOT,
            synchronous_commit=_on_or_off(row["subsynccommit"].lower()),
            binary=row.get("subbinary"),
            streaming=_STREAMING[row.get("substream")],
            two_phase=two_phase and two_phase != "d",
            disable_on_error=row.get("subdisableonerr"),
            password_required=row.get("subpasswordrequired"),
            run_as_owner=row.get("subrunasowner"),
            origin=origin and origin.lower(),
            failover=row.get("subfailover"),
            skip_lsn=Lsn.parse("subskiplsn", row.get("subskiplsn") or "0/0"),
            owner=row["owner"],
            comment=row["comment"] or "",
        ),
        oid=row["oid"],
        unreadable=unreadable,
        owner_superuser=row["owner_superuser"],
        owned=row["owned"],
        running=row["running"],
        two_phase_in_force=two_phase == "e",
        progress=Lsn.parse("remote_lsn", row["progress"]) if row.get("progress") else None,
        sync_slots=tuple(row.get("sync_slots") or ()),
    )


def _on_or_off(setting: str) -> str:
    """A setting as it is called; the server keeps any of the words that it takes for it."""
    words = {"on": ("true", "yes", "1"), "off": ("false", "no", "0")}
    return next((name for name, others in words.items() if setting in others), setting)


def _connection(row: Mapping[str, Any]) -> tuple[Conninfo | None, bool]:
    text = row.get(_CONNECTION)
    if not text:  # not to be read by this role, or hidden by a managed service
        return None, False
    try:
        return Conninfo.parse(text), False
    except ValueError:
        return None, True


def _secrets(row: Mapping[str, Any]) -> list[str]:
    connection, unreadable = _connection(row)
    if connection is not None:
        return connection.secrets()
    if unreadable:
        # Where the password is in it cannot be told: the server's complaint may quote any word.
        return [row[_CONNECTION], *re.findall(r"[^\s=':/@]{4,}", row[_CONNECTION])]
    return []

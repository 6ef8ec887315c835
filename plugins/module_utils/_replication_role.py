# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Roles that ships log in as: what is asked for, what is there, and the plan between.

PostgreSQL: Role Attributes; GRANT; ALTER ROLE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    Conninfo,
    HiddenLiteral,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    TableName,
    check_identifier,
    parse_table_name,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan, Step
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import name_array

_VERIFIER = re.compile(r"SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")


class Grant(NamedTuple):
    """One privilege that a ship needs: CONNECT, USAGE or SELECT, by what it is on."""

    kind: str  # database, schema, table or column
    path: tuple[str, ...]

    @property
    def privilege(self) -> sql.Composable:
        if self.kind == "column":
            return sql.SQL("SELECT ({}) ON TABLE {}").format(
                sql.Identifier(self.path[-1]), sql.Identifier(*self.path[:-1])
            )
        words = {
            "database": "CONNECT ON DATABASE {}",
            "schema": "USAGE ON SCHEMA {}",
            "table": "SELECT ON TABLE {}",
        }
        return sql.SQL(words[self.kind]).format(sql.Identifier(*self.path))

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(self.path)}"


class HiddenText(HiddenLiteral):
    """A text as an SQL literal that is never shown, and that keeps its statement out of the log."""

    def __init__(self, text: str) -> None:
        super().__init__(Conninfo({"password": text}))
        self.text = text

    def as_string(self, context: Any = None) -> str:
        return str(sql.Literal(self.text).as_string(context))

    def shown_as_string(self, context: Any) -> str:
        return str(sql.Literal("********").as_string(context))


class Table(NamedTuple):
    """A table that a ship reads, and the columns; none: all of them."""

    name: TableName
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Role:
    """What is asked for, for one role."""

    name: str
    present: bool
    verifier: str | None = None
    connection_limit: int = -1
    settings: Mapping[str, str] = field(default_factory=dict)
    connects: bool = False
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class RoleState:
    """A role that is there."""

    oid: int
    login: bool
    replication: bool
    superuser: bool
    verifier: str | None
    connection_limit: int
    settings: Mapping[str, str]
    grants: frozenset[Grant] = frozenset()


def role_requests(entries: Iterable[Mapping[str, Any]]) -> list[Role]:
    """The roles of the option, every problem in one error."""
    problems: list[str] = []
    roles: dict[str, Role] = {}
    for index, entry in enumerate(entries):
        where = f"roles[{index}]"
        try:
            role = _role(where, entry)
        except ReplicationError as exc:
            problems.append(exc.message)
            continue
        if role.name in roles:
            problems.append(f"{where}.name: {role.name!r} is there twice.")
        roles[role.name] = role
    fail_with_all(problems)
    return list(roles.values())


def _role(where: str, entry: Mapping[str, Any]) -> Role:
    name = check_identifier(f"{where}.name", entry["name"])
    if entry["state"] == "absent":
        return Role(name, present=False)
    verifier = entry["verifier"]
    if verifier is not None and not _VERIFIER.fullmatch(verifier):
        raise ReplicationError(
            f"{where}.verifier: this is no SCRAM verifier; make it of the password by the filter"
            " hmm.pg_replication.scram_sha_256."
        )
    settings = entry["settings"] or {}
    return Role(
        name,
        present=True,
        verifier=verifier,
        connection_limit=entry["connection_limit"],
        settings={str(key): _text(value) for key, value in settings.items() if value is not None},
        connects=entry["connects"] or bool(entry["tables"]),
        tables=tuple(
            _table(f"{where}.tables[{number}]", table)
            for number, table in enumerate(entry["tables"] or [])
        ),
    )


def _table(where: str, given: Any) -> Table:
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping) or "name" not in given:
        raise ReplicationError(f"{where}: a table is a name, or a mapping with name and columns.")
    columns = given.get("columns") or []
    if not isinstance(columns, list):
        raise ReplicationError(f"{where}.columns: a list of names.")
    return Table(
        parse_table_name(f"{where}.name", str(given["name"])),
        tuple(check_identifier(f"{where}.columns", str(column)) for column in columns),
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


# search_path decides here, so this comes before any Session.read().
_TABLES = """
SELECT given.place, space.nspname, class.relname
FROM pg_catalog.unnest({}::pg_catalog.text[]) WITH ORDINALITY AS given (name, place)
LEFT JOIN pg_catalog.pg_class AS class
    ON class.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(given.name)::pg_catalog.oid
LEFT JOIN pg_catalog.pg_namespace AS space
    ON space.oid OPERATOR(pg_catalog.=) class.relnamespace
"""


def wanted_grants(session: Session, roles: Iterable[Role]) -> dict[str, frozenset[Grant]]:
    """The grants that each role needs in this database."""
    asked = {table.name for role in roles for table in role.tables}
    found = _find_tables(session, sorted(asked, key=str))
    fail_with_all(
        f"roles: there is no table {name} in database {session.database}: make it, or take it"
        " off the list."
        for name, path in found.items()
        if path is None
    )
    return {role.name: frozenset(_needed(role, session.database, found)) for role in roles}


def _find_tables(
    session: Session, names: list[TableName]
) -> dict[TableName, tuple[str, str] | None]:
    if not names:
        return {}
    quoted = [
        ".".join('"' + part.replace('"', '""') + '"' for part in name if part is not None)
        for name in names
    ]
    found: dict[TableName, tuple[str, str] | None] = {}
    for row in session.rows(sql.SQL(_TABLES).format(sql.Literal(quoted))):
        path = (row["nspname"], row["relname"]) if row["relname"] else None
        found[names[row["place"] - 1]] = path
    return found


def _needed(
    role: Role, database: str, found: Mapping[TableName, tuple[str, str] | None]
) -> Iterator[Grant]:
    if role.connects:
        yield Grant("database", (database,))
    for table in role.tables:
        path = found[table.name]
        if path is None:
            continue
        yield Grant("schema", path[:1])
        if table.columns:
            yield from (Grant("column", (*path, column)) for column in table.columns)
        else:
            yield Grant("table", path)


_ROLES = """
SELECT rolname, pg_authid.oid::int8 AS oid, rolcanlogin, rolreplication, rolsuper, rolpassword, rolconnlimit, setconfig
FROM pg_authid LEFT JOIN pg_db_role_setting ON setrole = pg_authid.oid AND setdatabase = 0
WHERE rolname = ANY ({})
"""

_GRANTS = """
SELECT rolname, kind, path FROM (
    SELECT 'database' AS kind, ARRAY[datname]::text[] AS path, entry.* FROM pg_database,
        aclexplode(datacl) AS entry
        WHERE datname = current_database() AND privilege_type = 'CONNECT'
    UNION ALL
    SELECT 'schema', ARRAY[nspname]::text[], entry.* FROM pg_namespace, aclexplode(nspacl) AS entry
        WHERE privilege_type = 'USAGE'
    UNION ALL
    SELECT 'table', ARRAY[nspname, relname]::text[], entry.*
        FROM pg_class JOIN pg_namespace AS space ON space.oid = relnamespace,
        aclexplode(relacl) AS entry
        WHERE privilege_type = 'SELECT' AND relkind <> 'S'
    UNION ALL
    SELECT 'column', ARRAY[nspname, relname, attname]::text[], entry.*
        FROM pg_attribute JOIN pg_class AS class ON class.oid = attrelid
        JOIN pg_namespace AS space ON space.oid = relnamespace,
        aclexplode(attacl) AS entry
        WHERE privilege_type = 'SELECT'
) AS granted JOIN pg_roles ON pg_roles.oid = grantee
WHERE rolname = ANY ({})
"""


def read_roles(session: Session, names: list[str]) -> dict[str, RoleState]:
    """The roles that are there, with what they were granted in this database."""
    grants: dict[str, set[Grant]] = {}
    for row in session.read(sql.SQL(_GRANTS).format(name_array(names))):
        grants.setdefault(row["rolname"], set()).add(Grant(row["kind"], tuple(row["path"])))
    return {
        row["rolname"]: RoleState(
            row["oid"],
            row["rolcanlogin"],
            row["rolreplication"],
            row["rolsuper"],
            row["rolpassword"],
            row["rolconnlimit"],
            dict(entry.split("=", 1) for entry in row["setconfig"] or []),
            frozenset(grants.get(row["rolname"], ())),
        )
        for row in session.read(sql.SQL(_ROLES).format(name_array(names)))
    }


def plan_roles(
    roles: Iterable[Role],
    found: Mapping[str, RoleState],
    wanted: Mapping[str, frozenset[Grant]],
) -> Plan:
    """The statements from what is there to what is asked for."""
    plan = Plan()
    for role in roles:
        state = found.get(role.name)
        if not role.present:
            if state is not None:
                _refuse_superuser(role, state)
                plan.steps.extend(_drop(role.name, state.oid))
                plan.before[role.name] = _shown_state(state)
            continue
        if state is None:
            steps = [_create(role), *_settings(role, {}), *_grants(role, wanted, frozenset())]
        else:
            _refuse_superuser(role, state)
            steps = [
                *_alter(role, state),
                *_settings(role, state.settings),
                *_grants(role, wanted, state.grants),
            ]
        if steps:
            plan.steps.extend(steps)
            plan.before[role.name] = _shown_state(state) if state else {}
            plan.after[role.name] = _shown_role(role, wanted[role.name], state)
    return plan


def _refuse_superuser(role: Role, state: RoleState) -> None:
    if state.superuser:
        raise ReplicationError(
            f"roles: {role.name} is a superuser, and no ship's role: take another name."
        )


def _create(role: Role) -> Step:
    statement = sql.SQL("CREATE ROLE {} LOGIN REPLICATION CONNECTION LIMIT {}{}").format(
        sql.Identifier(role.name), sql.Literal(role.connection_limit), _password(role.verifier)
    )
    return Step(f"make the role {role.name}", statement)


def _alter(role: Role, state: RoleState) -> Iterator[Step]:
    parts: list[sql.Composable] = []
    if not state.login:
        parts.append(sql.SQL(" LOGIN"))
    if not state.replication:
        parts.append(sql.SQL(" REPLICATION"))
    if state.connection_limit != role.connection_limit:
        parts.append(sql.SQL(" CONNECTION LIMIT {}").format(sql.Literal(role.connection_limit)))
    if role.verifier is not None and state.verifier != role.verifier:
        parts.append(_password(role.verifier))
    if parts:
        statement = sql.SQL("ALTER ROLE {}{}").format(
            sql.Identifier(role.name), sql.Composed(parts)
        )
        yield Step(f"alter the role {role.name}", statement)


def _password(verifier: str | None) -> sql.Composable:
    if verifier is None:
        return sql.SQL("")
    return sql.SQL(" PASSWORD {}").format(HiddenText(verifier))


def _settings(role: Role, found: Mapping[str, str]) -> Iterator[Step]:
    for name, value in sorted(role.settings.items()):
        if found.get(name) != value:
            yield Step(
                f"set {name} for {role.name}",
                sql.SQL("ALTER ROLE {} SET {} TO {}").format(
                    sql.Identifier(role.name), sql.Identifier(name), sql.Literal(value)
                ),
            )
    for name in sorted(set(found) - set(role.settings)):
        yield Step(
            f"reset {name} for {role.name}",
            sql.SQL("ALTER ROLE {} RESET {}").format(
                sql.Identifier(role.name), sql.Identifier(name)
            ),
        )


def _grants(
    role: Role, wanted: Mapping[str, frozenset[Grant]], found: frozenset[Grant]
) -> Iterator[Step]:
    revoked = found - wanted[role.name]
    for grant in sorted(revoked):
        yield Step(
            f"revoke what {role.name} has on {grant}",
            sql.SQL("REVOKE {} FROM {}").format(grant.privilege, sql.Identifier(role.name)),
        )
    # To revoke SELECT on a table takes it from each of its columns, too.
    left = {grant for grant in found - revoked if Grant("table", grant.path[:-1]) not in revoked}
    for grant in sorted(wanted[role.name] - left):
        yield Step(
            f"grant {role.name} what it needs on {grant}",
            sql.SQL("GRANT {} TO {}").format(grant.privilege, sql.Identifier(role.name)),
        )


def _drop(name: str, oid: int) -> Iterator[Step]:
    yield Step(
        f"revoke all that {name} has",
        sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)),
    )
    yield Step(f"drop the role {name}", sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
    # Only now: until the role is gone, the ship would be back at once. Its sessions outlive it.
    yield Step(
        f"end the sessions of {name}",
        sql.SQL(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
            " WHERE usesysid OPERATOR(pg_catalog.=) {}::pg_catalog.oid"
        ).format(sql.Literal(oid)),
        rehearsal=sql.SQL("SELECT 1"),
    )


def _shown_state(state: RoleState) -> dict[str, Any]:
    return {
        "login": state.login,
        "replication": state.replication,
        "connection_limit": state.connection_limit,
        "settings": dict(state.settings),
        "grants": sorted(map(str, state.grants)),
    }


def _shown_role(role: Role, wanted: frozenset[Grant], state: RoleState | None) -> dict[str, Any]:
    shown = {
        "login": True,
        "replication": True,
        "connection_limit": role.connection_limit,
        "settings": dict(role.settings),
        "grants": sorted(map(str, wanted)),
    }
    if role.verifier is not None and (state is None or state.verifier != role.verifier):
        shown["verifier"] = "a new one"
    return shown

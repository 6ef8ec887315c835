# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Which option came with which version of PostgreSQL: the one table of it."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError

OLDEST_SUPPORTED = 13


class Since(NamedTuple):
    """The major version from which an option can be given at create, and altered."""

    create: int
    alter: int


SLOT = {
    "two_phase": Since(14, 18),
    "failover": Since(17, 17),
}
PUBLICATION = {
    "publish_via_partition_root": Since(13, 13),
    "schemas": Since(15, 15),
    "columns": Since(15, 15),
    "where": Since(15, 15),
    "publish_generated_columns": Since(18, 18),
}
SUBSCRIPTION = {
    "binary": Since(14, 14),
    "streaming": Since(14, 14),
    "streaming=parallel": Since(16, 16),
    "two_phase": Since(15, 18),
    "disable_on_error": Since(15, 15),
    "skip_lsn": Since(15, 15),
    "password_required": Since(16, 16),
    "run_as_owner": Since(16, 16),
    "origin": Since(16, 16),
    "failover": Since(17, 17),
}


def version_text(server_version: int) -> str:
    """170010 -> 17.10"""
    return f"{server_version // 10000}.{server_version % 10000}"


def require_supported(server_version: int) -> None:
    """Refuse a server that is older than this collection supports."""
    if server_version // 10000 < OLDEST_SUPPORTED:
        raise ReplicationError(
            f"The server is PostgreSQL {version_text(server_version)}:"
            f" {OLDEST_SUPPORTED} or newer is needed."
        )


def missing_at_create(table: dict[str, Since], option: str, server_version: int) -> str | None:
    """The sentence to say where the server does not know the option yet, else None."""
    needed = table[option].create
    if server_version // 10000 >= needed:
        return None
    return (
        f"{option} needs PostgreSQL {needed} or newer,"
        f" this server is {version_text(server_version)}"
    )


def missing_at_alter(table: dict[str, Since], option: str, server_version: int) -> str | None:
    """The sentence to say where the server cannot change the option, else None."""
    since = table[option]
    missing = missing_at_create(table, option, server_version)
    if missing:
        return missing
    if server_version // 10000 < since.alter:
        return (
            f"{option} can be changed from PostgreSQL {since.alter} on,"
            f" this server is {version_text(server_version)}"
        )
    return None

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Subscriptions: what to say where the publisher stands in the way, and what stays there.

PostgreSQL: Logical Replication, "Replication Slot Management".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ServerError
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription import (
    NO_SLOT,
    Subscription,
    SubscriptionState,
)

# Class 08: the connection to the publisher, or its answer. XX000 is what PostgreSQL 13 says
# instead. The others: the connection cannot be parsed, its owner may not use it, no answer came.
_PUBLISHER_STATES = ("08", "XX000", "42601", "2F003", "57014")


def publisher_failed(error: ServerError) -> bool:
    """Whether a statement failed for the publisher's sake, and not for the subscriber's."""
    return (error.sqlstate or "").startswith(_PUBLISHER_STATES)


def publisher_advice(error: ServerError, subscription: Subscription, present: bool) -> str:
    """What to do where the publisher stands in the way, as sentences; "" where it does not."""
    if present:
        # Here the rest of those states may be the subscriber's own.
        about_it = "publisher" in error.message or "replication slot" in error.message
        if not (about_it or (error.sqlstate or "").startswith("08")):
            return ""
    elif not publisher_failed(error):
        return ""
    where = "{host}:{port}".format(**_address(subscription.connection))
    if not present:
        return (
            f" The slot of a subscription is dropped on its publisher ({where}): make that"
            " reachable and run the task again, or set force: true to drop the subscription alone, and drop"
            " the slot there by hand."
        )
    if "already exists" in error.message:
        return (
            " The publisher has a slot of that name: drop it there, set another slot_name, or"
            " create_slot: false to go on with it."
        )
    return (
        f" It is the subscriber's server that connects to the publisher ({where}): check"
        " connection, that the publisher runs, and that its pg_hba.conf admits the subscriber."
    )


def slot_left_behind(error: ServerError, state: SubscriptionState) -> dict[str, Any] | None:
    """The slot that a forced drop has left on the publisher, and where that is."""
    name = state.subscription.slot_name
    gone = name == NO_SLOT or f'replication slot "{name}" does not exist' in error.message
    if gone and not state.sync_slots:
        return None
    return {
        "slot_name": None if gone else name,
        **_address(state.subscription.connection),
        "others": list(state.sync_slots),
    }


def _address(connection: Conninfo | None) -> dict[str, str | None]:
    given: Mapping[str, str] = connection or {}
    return {
        "host": given.get("host", given.get("hostaddr")),
        "port": given.get("port", "5432") if connection else None,
        "dbname": given.get("dbname", given.get("user")),
    }

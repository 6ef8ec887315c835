# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What -e fix=true does about a diagnosis: only what can be taken back, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._replicas import block

Facts = Mapping[str, Any]

# The rules of a ship in pg_hba.conf are text that another module writes.
HBA = "hba_block"


@dataclass(frozen=True)
class Fix:
    """One thing that is done.

    :param host: where.
    :param what: in words, that fit after "would" and after "did".
    :param database: "" where any will do.
    :param statements: what the server is told.
    :param blocks: what pg_hba.conf is to have, as module hba_blocks takes it.
    """

    host: str
    what: str
    database: str = ""
    statements: tuple[str, ...] = ()
    blocks: tuple[Facts, ...] = ()


@dataclass(frozen=True)
class _Action:
    ashore: bool
    what: Callable[[Facts], str]
    statements: Callable[[Facts], tuple[str, ...]] = lambda _fix: ()
    in_database: bool = False


_ACTIONS = {
    HBA: _Action(True, lambda fix: f"write the lines of {fix['ship']} into pg_hba.conf"),
    "create_slot": _Action(
        True,
        lambda fix: f"create the slot {fix['slot']}, and keep WAL for it from now on",
        lambda fix: (f"SELECT pg_create_physical_replication_slot({_literal(fix['slot'])}, true)",),
    ),
    "resume_replay": _Action(
        False,
        lambda _fix: "resume replay",
        lambda _fix: ("SELECT pg_wal_replay_resume()",),
    ),
    "primary_conninfo": _Action(
        False,
        lambda _fix: "give the receiver the primary_conninfo of the configuration files back",
        lambda _fix: ("ALTER SYSTEM RESET primary_conninfo", "SELECT pg_reload_conf()"),
    ),
    "refresh_subscription": _Action(
        False,
        lambda fix: f"refresh the subscription {fix['subscription']}, which copies new tables",
        lambda fix: (f"ALTER SUBSCRIPTION {_name(fix['subscription'])} REFRESH PUBLICATION",),
        in_database=True,
    ),
    "enable_subscription": _Action(
        False,
        lambda fix: f"enable the subscription {fix['subscription']}",
        lambda fix: (f"ALTER SUBSCRIPTION {_name(fix['subscription'])} ENABLE",),
        in_database=True,
    ),
}


def fixes(
    diagnosis: Mapping[str, Facts], shore: str, wanted: Mapping[str, Facts]
) -> list[dict[str, Any]]:
    """What is to be done; a cause that has no fix is left to people.

    :param wanted: what the inventory says of each ship, as a case of the doctor has it.
    """
    return [asdict(fix) for fix in _fixes(diagnosis, shore, wanted)]


def _fixes(
    diagnosis: Mapping[str, Facts], shore: str, wanted: Mapping[str, Facts]
) -> Iterator[Fix]:
    for ship, found in diagnosis.items():
        for finding in found["findings"]:
            if finding["fix"] is None:
                continue
            asked = {"ship": ship, **finding["fix"]}
            action = _ACTIONS[asked["action"]]
            yield Fix(
                host=shore if action.ashore else ship,
                what=f"{action.what(asked)} ({finding['cause']} of {ship})",
                database=wanted[ship]["database"] if action.in_database else "",
                statements=action.statements(asked),
                blocks=(_block(wanted[ship]),) if asked["action"] == HBA else (),
            )


def _block(wanted: Facts) -> Facts:
    """As the role primary would make it."""
    logical = wanted["ship_mode"] == "logical"
    return block(
        {
            "name": wanted["role"],
            "mode": wanted["ship_mode"],
            "addresses": wanted["addresses"],
            # Of a subscriber that is still the standby that it is made of.
            "seed": "pending" if logical and wanted["mode"] == "physical" else "none",
        },
        wanted["database"],
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'

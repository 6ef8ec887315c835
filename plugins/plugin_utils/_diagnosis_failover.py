# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The doctor's rules on a shore of several nodes: who takes writes, who would take over, who keeps the ship's slot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import (
    CRITICAL,
    Case,
    Facts,
    Finding,
    Rule,
)

_FORMATION = "formation "
_SLOT = "slot "


def _no_primary(case: Case) -> Iterator[Finding]:
    if _has_none(case):
        yield from _findings(found for found in _problems(case) if _is_about_writes(found))


def _failover_degraded(case: Case) -> Iterator[Finding]:
    yield from _findings(
        found
        for found in _problems(case)
        if not found["object"].startswith(_SLOT)
        and not (_has_none(case) and _is_about_writes(found))
    )


def _slot_not_kept(case: Case) -> Iterator[Finding]:
    """Of the ship's own slot; others are its neighbours'."""
    own = f"{_SLOT}{case.slot_name} on "
    yield from _findings(found for found in _problems(case) if found["object"].startswith(own))


def _problems(case: Case) -> Iterable[Facts]:
    problems: Iterable[Facts] = case.failover.get("problems") or ()
    return problems


def _has_none(case: Case) -> bool:
    """Whether the monitor says that no node takes writes."""
    state: Facts = case.failover.get("state") or {}
    return state.get("status") is not None and state.get("primary") is None


def _is_about_writes(problem: Facts) -> bool:
    return bool(problem["severity"] == CRITICAL and problem["object"].startswith(_FORMATION))


def _findings(problems: Iterable[Facts]) -> Iterator[Finding]:
    for found in problems:
        yield Finding(found["severity"], found["object"], found["what"], (), found.get("do") or "")


RULES = (
    Rule(
        "no_primary",
        _no_primary,
        frozenset({"shore_down", "shore_unreachable", "port_closed", "failover_degraded"}),
    ),
    Rule("slot_not_kept", _slot_not_kept, frozenset({"slot_missing", "slot_lost"})),
    Rule("failover_degraded", _failover_degraded),
)

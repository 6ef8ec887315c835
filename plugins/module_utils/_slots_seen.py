# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Since when each slot has been seen unused and unmoved: a note for servers that do not tell.

PostgreSQL tells inactive_since from 17 on. Each look at an older one is noted in a file; what a slot
is counted from is the first look since which it was neither connected nor moved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.module_utils._whole_file import write_whole


class Seen(NamedTuple):
    """When a slot was first seen so, and where in the WAL it was."""

    since: float
    position: str


class Look(NamedTuple):
    """A slot as it is now."""

    name: str
    position: str
    active: bool


def position_of(restart_lsn: Lsn | None, confirmed_flush_lsn: Lsn | None) -> str:
    """Where a slot is: it changes whenever the slot is of use to someone."""
    return " ".join(str(lsn) for lsn in (restart_lsn, confirmed_flush_lsn) if lsn is not None)


def renewed(seen: Mapping[str, Seen], looks: Iterable[Look], now: float) -> dict[str, Seen]:
    """The note after one more look. Slots that are gone, or in use, are not in it."""
    return {look.name: _seen(seen.get(look.name), look, now) for look in looks if not look.active}


def _seen(before: Seen | None, look: Look, now: float) -> Seen:
    # A clock that was set back would make slots older than they are.
    if before is not None and before.position == look.position and before.since <= now:
        return before
    return Seen(now, look.position)


def read_seen(path: str) -> dict[str, Seen]:
    """The note; empty where there is none yet, or none that can be read as one."""
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError:
        return {}  # begun anew: every slot is then as young as can be
    except OSError as exc:
        raise _refused(path, exc) from None
    entries = content.items() if isinstance(content, dict) else ()
    return {name: seen for name, entry in entries for seen in [_entry(entry)] if seen}


def _entry(entry: Any) -> Seen | None:
    try:
        return Seen(float(entry["since"]), str(entry["position"]))
    except (KeyError, TypeError, ValueError):
        return None


def write_seen(path: str, seen: Mapping[str, Seen]) -> None:
    """Put the note in its place at once and whole.

    :raises ReplicationError: it cannot be written.
    """
    content = {name: entry._asdict() for name, entry in sorted(seen.items())}
    try:
        write_whole(Path(path), (json.dumps(content, indent=1) + "\n").encode("utf-8"))
    except OSError as exc:
        raise _refused(path, exc) from None


def _refused(path: str, exc: OSError) -> ReplicationError:
    return ReplicationError(
        f"{path}, the note of slots that were seen, cannot be read or written: {exc.strerror}."
    )

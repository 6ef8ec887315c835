# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The end of a server's log: what belongs to replication, and how long ago it was.

Understands what Debian's log_line_prefix writes: '%m [%p] %q%u@%d '.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

_BYTES = 512 * 1024
_MOST = 60
_LONGEST = 1000
_LINE = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) \S+ \[(?P<pid>\d+)\] (?P<who>[^\n]*?)"
    r"(?P<level>[A-Z]+):  (?P<text>[^\n]*(?:\n\t[^\n]*)*)",
    re.MULTILINE,
)
_BELONGS = {"DETAIL": "detail", "HINT": "hint", "CONTEXT": "context"}
_KEPT = ("WARNING", "ERROR", "FATAL", "PANIC")
# Lines of level LOG that tell of replication; the others only say that the server lives.
_TELLING = re.compile(
    r"checkpoints are occurring|checkpoint starting|streaming WAL|WAL stream|timeline|archive command"
    r"|terminating walsender|invalidating|replication slot|subscription|logical replication|recovery"
    r"|waiting for WAL|invalid record|No space left|requested WAL|new target|restore"
)
_LSN = re.compile(r"\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b")
_SUBSCRIPTION = re.compile(r'subscription "([^"]+)"')


@dataclass(frozen=True)
class Entry:
    """One message; times: how often it is there, age: of the last one, in seconds."""

    time: str
    age: float
    pid: int
    who: str
    level: str
    message: str
    detail: str = ""
    hint: str = ""
    context: str = ""
    lsn: str | None = None
    subscription: str | None = None
    times: int = 1

    @property
    def likeness(self) -> tuple[str, ...]:
        """Messages that differ in figures alone are one."""
        return tuple(
            re.sub(r"[0-9A-F]*\d[0-9A-F/]*", "#", part)
            for part in (self.level, self.message, self.detail, self.context)
        )


def log_entries(
    path: Path | None, now: str | None, seconds: float, users: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """What a log tells of the last seconds, oldest first; what is repeated, once.

    :param now: the time as the log would write it; None: that of the log's last line.
    :param users: whose sessions belong to replication.
    """
    found = _entries(_tail(path), now, set(users))
    recent: dict[tuple[str, ...], Entry] = {}
    for entry in found:
        # What stopped a subscription may be as old as the log.
        if entry.age > seconds and entry.subscription is None:
            continue
        before = recent.pop(entry.likeness, None)
        recent[entry.likeness] = replace(entry, times=before.times + 1 if before else 1)
    return [asdict(entry) for entry in list(recent.values())[-_MOST:]]


def _tail(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _entries(text: str, now: str | None, users: set[str]) -> list[Entry]:
    lines = list(_LINE.finditer(text))
    if not lines:
        return []
    clock = _time(now or lines[-1]["time"])
    subscriptions: dict[int, str] = {}
    found: list[Entry] = []
    open_entries: dict[int, int] = {}
    for line in lines:
        pid, level = int(line["pid"]), line["level"]
        message = " ".join(line["text"].split())[:_LONGEST]
        if named := _SUBSCRIPTION.search(message):
            subscriptions[pid] = named[1]
        if level in _BELONGS and pid in open_entries:
            index = open_entries[pid]
            found[index] = _with(found[index], _BELONGS[level], message)
            continue
        open_entries.pop(pid, None)
        if not _belongs(level, message, line["who"], users):
            continue
        open_entries[pid] = len(found)
        found.append(
            Entry(
                time=line["time"],
                age=round((clock - _time(line["time"])).total_seconds(), 1),
                pid=pid,
                who=line["who"].strip(),
                level=level,
                message=message,
                lsn=_lsn(message),
                subscription=subscriptions.get(pid),
            )
        )
    return found


def _belongs(level: str, message: str, who: str, users: set[str]) -> bool:
    """Messages of the server's own processes, and of the sessions of ships."""
    user = who.strip().partition("@")[0]
    if user and user not in users:
        return False
    return level in _KEPT or (level == "LOG" and _TELLING.search(message) is not None)


def _with(entry: Entry, part: str, text: str) -> Entry:
    told = replace(
        entry,
        detail=text if part == "detail" else entry.detail,
        hint=text if part == "hint" else entry.hint,
        context=text if part == "context" else entry.context,
    )
    named = _SUBSCRIPTION.search(text)
    return replace(
        told,
        lsn=told.lsn or _lsn(text),
        subscription=told.subscription or (named[1] if named else None),
    )


def _lsn(text: str) -> str | None:
    found = _LSN.search(text)
    return found[0] if found else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text if "." in text else f"{text}.000")

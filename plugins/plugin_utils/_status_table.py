# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The report of a fleet as a table for a terminal."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    CRITICAL,
    OK,
    WARNING,
    duration,
    size,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._failover_report import (
    failover_text,
)

Row = Mapping[str, Any]

UNKNOWN = "-"
# Severity is seen without colour, too.
_MARKS = {CRITICAL: "!!", WARNING: " !", OK: "  "}
_COLOURS = {CRITICAL: "1;31", WARNING: "33", OK: "32"}
_FAINT, _BOLD = "2", "1"
_GAP = "  "
_NARROWEST = 40


def size_text(number: float | None) -> str:
    """Bytes for people; a dash for unknown."""
    return UNKNOWN if number is None else size(round(number))


def duration_text(seconds: float | None) -> str:
    """A time for people; a dash for unknown."""
    return UNKNOWN if seconds is None else duration(seconds)


def contact_text(ship: Row) -> str:
    """When the ship was last heard of."""
    if ship["connected"]:
        return f"now, at {ship['node']}" if ship.get("node") else "now"
    seconds = ship["last_contact_seconds"]
    return UNKNOWN if seconds is None else f"{duration(seconds)} ago"


def rate_text(rate: float | None) -> str:
    """Bytes a second for people."""
    return UNKNOWN if rate is None else f"{size(round(rate))}/s"


def catch_up_text(ship: Row) -> str:
    """How long until the ship has caught up, where it is behind."""
    if ship["state"] == "streaming":
        return UNKNOWN
    return duration_text(ship["catch_up_seconds"])


def time_text(text: str | None) -> str:
    """2026-11-22T08:15:29.711Z as 2026-11-22 08:15:29 UTC."""
    return f"{text[:10]} {text[11:19]} UTC" if text else "at an unknown time"


def archive_text(archive: Row | None) -> str:
    """How the archiving of WAL goes, in a few words."""
    if archive is None:
        return "archive unknown"
    if not archive["enabled"]:
        return "no archive"
    failed = archive["last_failed_time"] or ""
    words = "archive fails" if failed > (archive["last_archived_time"] or "") else "archive well"
    return f"{words}, {archive['waiting_files']} files wait" if archive["waiting_files"] else words


def shore_texts(shore: Row) -> list[str]:
    """The shore's figures, a few words each; none where it tells nothing."""
    if shore["version"] is None:
        return []
    disk = shore["disk"]
    kept = shore["max_slot_wal_keep_size"]
    return [
        f"PostgreSQL {shore['version']}",
        f"WAL {rate_text(shore['wal_rate'])}"
        if shore["wal_rate"] is not None
        else "WAL rate unknown",
        f"{size_text(shore['wal_directory_bytes'])} of WAL on disk",
        f"disk {size_text(disk['free_bytes'])} free of {size_text(disk['total_bytes'])}"
        if disk["free_bytes"] is not None
        else "disk unknown",
        f"a slot keeps {size(kept)} at most" if kept is not None else "slots keep without limit",
        archive_text(shore["archive"]),
        f"{shore['slots_used']}/{shore['max_replication_slots']} slots",
        f"{shore['wal_senders_used']}/{shore['max_wal_senders']} walsenders",
        *([failover_text(shore["failover"])] if shore.get("failover") else []),
    ]


def problems_of(report: Row) -> list[tuple[str, Row]]:
    """Who has which problem, worst first: the shore's, then the ships' in their order."""
    shore = report["shore"]
    found = [(shore["name"], problem) for problem in shore["problems"]]
    found += [(ship["name"], problem) for ship in report["ships"] for problem in ship["problems"]]
    return sorted(found, key=lambda one: one[1]["severity"] != CRITICAL)


class _Column(NamedTuple):
    """A column; those with the highest rank are left out first where the terminal is narrow."""

    head: str
    text: Callable[[Row], str]
    rank: int = 0
    right: bool = False


_COLUMNS = (
    _Column("SHIP", lambda ship: ship["name"]),
    _Column("MODE", lambda ship: ship["mode"], 5),
    _Column("STATE", lambda ship: ship["state"]),
    _Column("LAG", lambda ship: size_text(ship["lag_bytes"]), 0, True),
    _Column("AGE", lambda ship: duration_text(ship["lag_seconds"]), 3, True),
    _Column("KEPT", lambda ship: size_text(ship["retained_bytes"]), 2, True),
    _Column("LOST IN", lambda ship: duration_text(ship["seconds_until_lost"]), 1, True),
    _Column("CATCH-UP", catch_up_text, 6, True),
    _Column("LAST CONTACT", contact_text, 4, True),
)


def table(report: Row, coloured: bool, width: int) -> str:
    """The report: its head, the ships, and what is wrong, worst first."""
    paint = _painted if coloured else _plain
    lines = [*_head(report, paint, width), ""]
    lines += _rows(report["ships"], paint, width)
    problems = list(_problems(report, paint, width))
    return "\n".join([*lines, "", *(problems or ["Nothing is wrong."])])


def _painted(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if text.strip() else text


def _plain(text: str, _colour: str) -> str:
    return text


Paint = Callable[[str, str], str]


def _head(report: Row, paint: Paint, width: int) -> Iterator[str]:
    status, shore = report["status"], report["shore"]
    yield " ".join(
        [
            paint(f"Fleet of {shore['name']}", _BOLD),
            f"at {time_text(report['time'])}:",
            paint(status, _COLOURS[status]),
        ]
    )
    yield from textwrap.wrap(", ".join(shore_texts(shore)), max(width, _NARROWEST))


def _rows(ships: Iterable[Row], paint: Paint, width: int) -> Iterator[str]:
    rows = list(ships)
    if not rows:
        yield "No ship."
        return
    cells = {column: [column.head, *map(column.text, rows)] for column in _COLUMNS}
    widths = {column: max(map(_width, cells[column])) for column in _COLUMNS}
    columns = _fitting(widths, width)
    marks = ["  ", *(_MARKS[ship["severity"]] for ship in rows)]
    colours = [_FAINT, *(_COLOURS[ship["severity"]] for ship in rows)]
    for index, (mark, colour) in enumerate(zip(marks, colours)):
        line = [paint(mark, colour)]
        for column in columns:
            text = _padded(cells[column][index], widths[column], column.right)
            # The head, and of a ship what says how it is.
            line.append(paint(text, colour) if index == 0 or column.head == "STATE" else text)
        yield _GAP.join(line).rstrip()


def _fitting(widths: Mapping[_Column, int], width: int) -> list[_Column]:
    columns = list(_COLUMNS)
    while len(columns) > 1:
        needed = 2 + sum(widths[column] + len(_GAP) for column in columns)
        widest = max(columns, key=lambda column: column.rank)
        if needed <= width or widest.rank == 0:
            break
        columns.remove(widest)
    return columns


def _problems(report: Row, paint: Paint, width: int) -> Iterator[str]:
    room = max(width, _NARROWEST)
    for who, problem in problems_of(report):
        severity = problem["severity"]
        head = f"{severity}: {who}: {problem['object']}: "
        first, *rest = textwrap.wrap(
            head + problem["what"], room, subsequent_indent="    ", break_on_hyphens=False
        )
        yield first.replace(severity, paint(severity, _COLOURS[severity]), 1)
        yield from rest
        yield from textwrap.wrap(
            problem["do"],
            room,
            initial_indent="    ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )


def _width(text: str) -> int:
    """The columns that a terminal gives a text: Korean letters take two."""
    return sum(
        0
        if unicodedata.combining(letter)
        else 2
        if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in text
    )


def _padded(text: str, width: int, right: bool) -> str:
    room = " " * (width - _width(text))
    return room + text if right else text + room

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What a primary still has for a standby that fell behind: WAL, archived WAL, summaries of it, packs.

PostgreSQL: WAL Internals; Timelines; System Information Functions, "WAL Summarization Information Functions".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn, segment_name
from ansible_collections.hmm.pg_replication.plugins.module_utils._pack import INCREMENTAL
from ansible_collections.hmm.pg_replication.plugins.module_utils._pack_make import (
    read_folder,
    told,
)

_ARCHIVED = re.compile(r"([0-9A-F]{24})\.zst")
_SEGMENT = re.compile(r"[0-9A-F]{24}")


@dataclass(frozen=True)
class Request:
    """The options of the module seed_sources."""

    packs_directory: Path | None
    archive_directory: Path | None
    positions: tuple[Lsn, ...]


def sources_request(params: Mapping[str, Any]) -> Request:
    """Read the module's options.

    :raises ReplicationError: an option is wrong.
    """
    folders = {name: params[name] for name in ("packs_directory", "archive_directory")}
    fail_with_all(
        f"{option}: {path!r} is not an absolute path."
        for option, path in folders.items()
        if path is not None and not Path(path).is_absolute()
    )
    return Request(
        **{option: path and Path(path) for option, path in folders.items()},
        positions=tuple(Lsn.parse("positions", text) for text in params["positions"]),
    )


@dataclass(frozen=True)
class Wal:
    """The WAL of a primary, as it is now.

    :param history: where each timeline before this one ended, oldest first.
    :param segments: the files in pg_wal.
    :param archived: the bytes of each file in the archive.
    :param summaries: beginning and end of each summary, on this timeline.
    """

    timeline: int
    current: Lsn
    segment_bytes: int
    history: tuple[tuple[int, Lsn], ...] = ()
    segments: frozenset[str] = frozenset()
    archived: Mapping[str, int] = field(default_factory=dict)
    summaries: tuple[tuple[Lsn, Lsn], ...] = ()

    def names_from(self, position: Lsn) -> Iterable[str]:
        """The files that hold the WAL from a position on, as the primary's own history has them."""
        last = self.current // self.segment_bytes
        for number in range(position // self.segment_bytes, last + 1):
            timeline = next(
                (old for old, end in self.history if number < end // self.segment_bytes),
                self.timeline,
            )
            yield f"{timeline:08X}{segment_name(number, self.segment_bytes)}"

    def from_position(self, position: Lsn) -> dict[str, Any]:
        """Whether the WAL from there on is still to be had, and how many bytes it is on a link."""
        names = list(self.names_from(position))
        missing = next(
            (name for name in names if name not in self.archived and name not in self.segments),
            None,
        )
        gone = next((name for name in names if name not in self.segments), None)
        first = position // self.segment_bytes * self.segment_bytes
        # A file that is not archived is streamed, up to where it is written.
        streamed = sum(
            min(self.segment_bytes, self.current - first - number * self.segment_bytes)
            for number, name in enumerate(names)
            if name not in self.archived
        )
        return {
            "complete": missing is None,
            "missing": missing,
            "streams": gone is None,
            "bytes": sum(self.archived.get(name, 0) for name in names)
            + min(streamed, max(0, self.current - position)),
            "written_bytes": max(0, self.current - position),
            "ahead": position > self.current,
        }

    def summarized_from(self, position: Lsn) -> bool:
        """Whether there are summaries from a position on, without a gap."""
        reached = position
        for start, end in sorted(self.summaries):
            if start <= reached < end:
                reached = end
        return bool(self.summaries) and reached >= max(end for _start, end in self.summaries)


_SERVER = """
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       pg_is_in_recovery() AS in_recovery,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_flush_lsn()) END AS walfile,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END AS current,
       (SELECT bytes_per_wal_segment FROM pg_control_init()) AS segment_bytes,
       coalesce(current_setting('summarize_wal', true) = 'on', false) AS summarizes,
       (SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database) AS data_bytes,
       (SELECT coalesce(json_agg(name), '[]') FROM pg_ls_waldir()) AS segments,
       (SELECT coalesce(json_object_agg(slot_name, json_build_object('slot_type', slot_type,
                 'wal_status', wal_status, 'restart_lsn', restart_lsn, 'active', active)), '{}')
          FROM pg_replication_slots) AS slots
"""

# The length is given because pg_read_file(text, boolean) came with 16 only.
_HISTORY = """
SELECT pg_read_file(current_setting('data_directory') || '/pg_wal/' || {}, 0, 1048576, true) AS text
"""

_SUMMARIES = """
SELECT start_lsn::text AS start, end_lsn::text AS end
  FROM pg_available_wal_summaries() WHERE tli = {}
"""

_CHANGED = """
SELECT p.position::text AS position,
       (SELECT count(*) * current_setting('block_size')::bigint FROM (
          SELECT DISTINCT c.reltablespace, c.reldatabase, c.relfilenode, c.relforknumber, c.relblocknumber
            FROM pg_available_wal_summaries() AS s
                 CROSS JOIN LATERAL pg_wal_summary_contents(s.tli, s.start_lsn, s.end_lsn) AS c
           WHERE s.tli = {timeline} AND s.end_lsn > p.position AND NOT c.is_limit_block) AS blocks) AS bytes
  FROM unnest({positions}::pg_lsn[]) AS p (position)
"""


def read_sources(session: Session, request: Request) -> dict[str, Any]:
    """All that is told, as the module returns it."""
    try:
        server = session.read(sql.SQL(_SERVER))[0]
        if server["in_recovery"]:
            raise ReplicationError(
                "The server is a standby: connect to its primary, which ships are seeded from."
            )
        timeline = int(server["walfile"][:8], 16)
        wal = Wal(
            timeline=timeline,
            current=Lsn.parse("current", server["current"]),
            segment_bytes=server["segment_bytes"],
            history=_history(session, timeline),
            segments=frozenset(filter(_SEGMENT.fullmatch, server["segments"])),
            archived=archived(request.archive_directory),
            summaries=_summaries(session, timeline),
        )
        changed = _changed(
            session, timeline, [p for p in request.positions if wal.summarized_from(p)]
        )
    except OSError as exc:
        raise ReplicationError(f"{exc.filename}: {exc.strerror}.") from None
    packs = read_folder(request.packs_directory).packs if request.packs_directory else ()
    return {
        "system_identifier": server["system_identifier"],
        "version": session.server_version // 10000,
        "timeline": timeline,
        "history": [{"timeline": number, "end": str(end)} for number, end in wal.history],
        "current_lsn": str(wal.current),
        "summarizes": server["summarizes"],
        "data_bytes": server["data_bytes"],
        "slots": server["slots"],
        "packs": [pack.described() for pack in sorted(packs, key=lambda pack: pack.created)],
        "positions": {
            str(position): {**wal.from_position(position), "changed_bytes": changed.get(position)}
            for position in request.positions
        },
    }


def archived(directory: Path | None) -> dict[str, int]:
    """The bytes of each segment in the archive; an archive that is still to be made has none."""
    if directory is None or not directory.is_dir():
        return {}
    with told(), os.scandir(directory) as entries:
        return {
            match[1]: entry.stat().st_size
            for entry in entries
            if (match := _ARCHIVED.fullmatch(entry.name))
        }


def _history(session: Session, timeline: int) -> tuple[tuple[int, Lsn], ...]:
    if timeline == 1:
        return ()
    rows = session.read(sql.SQL(_HISTORY).format(sql.Literal(f"{timeline:08X}.history")))
    return parse_history(rows[0]["text"] or "")


def parse_history(text: str) -> tuple[tuple[int, Lsn], ...]:
    """A timeline history file: each line a timeline, and where it was left."""
    lines = [line.split() for line in text.splitlines()]
    return tuple(
        (int(words[0]), Lsn.parse("history", words[1]))
        for words in lines
        if len(words) > 1 and words[0].isdigit()
    )


def _summaries(session: Session, timeline: int) -> tuple[tuple[Lsn, Lsn], ...]:
    if session.server_version < INCREMENTAL * 10000:
        return ()
    rows = session.read(sql.SQL(_SUMMARIES).format(sql.Literal(timeline)))
    return tuple((Lsn.parse("start", row["start"]), Lsn.parse("end", row["end"])) for row in rows)


def _changed(session: Session, timeline: int, positions: Sequence[Lsn]) -> dict[Lsn, int]:
    if not positions:
        return {}
    query = sql.SQL(_CHANGED).format(
        timeline=sql.Literal(timeline), positions=sql.Literal([str(p) for p in positions])
    )
    return {Lsn.parse("position", row["position"]): row["bytes"] for row in session.read(query)}

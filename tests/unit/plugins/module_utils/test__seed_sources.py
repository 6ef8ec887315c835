# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which WAL is still to be had, worked out from names of files."""

from __future__ import annotations

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.module_utils._seed_sources import (
    Wal,
    parse_history,
)

MIB = 1 << 20
SEGMENT = 16 * MIB


def lsn(text: str) -> Lsn:
    return Lsn.parse("test", text)


def wal(**known: object) -> Wal:
    fields = {
        "timeline": 1,
        "current": lsn("0/5800000"),
        "segment_bytes": SEGMENT,
        "segments": frozenset({"000000010000000000000004", "000000010000000000000005"}),
        "archived": {
            "000000010000000000000002": 3 * MIB,
            "000000010000000000000003": 4 * MIB,
            "000000010000000000000004": 5 * MIB,
        },
    }
    return Wal(**{**fields, **known})  # type: ignore[arg-type]


def test_archived_wal_is_counted_compressed_and_the_rest_as_it_is_streamed() -> None:
    assert wal().from_position(lsn("0/2000028")) == {
        "complete": True,
        "missing": None,
        "streams": False,
        "bytes": 12 * MIB + SEGMENT // 2,
        "written_bytes": lsn("0/5800000") - lsn("0/2000028"),
        "ahead": False,
    }


def test_wal_that_streams() -> None:
    told = wal(archived={}).from_position(lsn("0/5400000"))
    assert (told["complete"], told["streams"], told["bytes"]) == (True, True, 4 * MIB)


def test_a_gap() -> None:
    told = wal().from_position(lsn("0/1FFFFFF"))
    assert (told["complete"], told["missing"]) == (False, "000000010000000000000001")


def test_a_position_that_the_primary_has_not_reached() -> None:
    told = wal().from_position(lsn("0/6000000"))
    assert (told["ahead"], told["bytes"]) == (True, 0)


def test_names_follow_the_timelines() -> None:
    history = parse_history("1\t0/3000100\tno recovery target specified\n\n2\t1/0\treason\n")
    assert history == ((1, lsn("0/3000100")), (2, lsn("1/0")))
    known = wal(timeline=3, history=history, current=lsn("1/1000000"))
    names = list(known.names_from(lsn("0/2000000")))
    # The segment of a switch is taken from the new timeline, which has all of it.
    assert names[:2] == ["000000010000000000000002", "000000020000000000000003"]
    assert names[-3:] == [
        "0000000200000000000000FF",
        "000000030000000100000000",
        "000000030000000100000001",
    ]


@pytest.mark.parametrize(
    ("position", "reached"), [("0/2000000", True), ("0/2800000", True), ("0/1000000", False)]
)
def test_summaries(position: str, reached: bool) -> None:
    summaries = ((lsn("0/3000000"), lsn("0/4000000")), (lsn("0/2000000"), lsn("0/3000000")))
    assert wal(summaries=summaries).summarized_from(lsn(position)) is reached


def test_summaries_with_a_gap() -> None:
    """What comes after the gap is of no use, but neither does it reach the end."""
    summaries = ((lsn("0/2000000"), lsn("0/3000000")), (lsn("0/4000000"), lsn("0/5000000")))
    assert not wal(summaries=summaries).summarized_from(lsn("0/2000000"))

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measurements as a table, and where docs/benchmarks.md has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.playbook import Measurement
from tests.lab.paths import CHECKOUT

PAGE = CHECKOUT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

HEADER = """\
| work | run, s: ours | theirs | ratio | task, s: ours | theirs | ratio | SQL: ours | theirs |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True)
class Row:
    """One case, measured some times with either collection."""

    major: int
    subject: str
    name: str
    ours: Sequence[Measurement]
    peer: Sequence[Measurement]

    def ratio(self, field: str) -> float | None:
        """How many times ours the peer takes, median to median."""
        ours, peer = (values(side, field) for side in (self.ours, self.peer))
        return median(peer) / median(ours) if ours and peer else None


def values(side: Sequence[Measurement], field: str) -> list[float]:
    found = [getattr(measurement, field) for measurement in side]
    return [value for value in found if value is not None]


def figures(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The generated part of the page."""
    lines = [f"- {name}: {fact}" for name, fact in facts.items()]
    for major in sorted({row.major for row in rows}, reverse=True):
        lines += ["", f"### PostgreSQL {major}", "", HEADER]
        lines += [_line(row) for row in rows if row.major == major]
    errors = list(_errors(rows))
    if errors:
        lines += ["", "Marked \\*: the work was done, and the task failed all the same:", ""]
        lines += errors
    return "\n".join(lines)


def write(text: str, page: Path = PAGE) -> None:
    """Put the figures between the page's markers."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page.name} has not the markers {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _line(row: Row) -> str:
    mark = " \\*" if any(measurement.error for measurement in row.peer) else ""
    cells = [f"{row.subject}: {row.name}{mark}"]
    for field in ("wall", "task"):
        ratio = row.ratio(field)
        cells += [_seconds(values(side, field)) for side in (row.ours, row.peer)]
        cells.append("" if ratio is None else f"{ratio:.1f}")
    cells += [_count(values(side, "statements")) for side in (row.ours, row.peer)]
    return f"| {' | '.join(cells)} |"


def _seconds(found: Sequence[float]) -> str:
    if not found:
        return ""
    return f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def _count(found: Sequence[float]) -> str:
    low, high = min(found), max(found)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _errors(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        errors = {measurement.error for measurement in row.peer if measurement.error}
        for error in sorted(errors):
            yield f"- PostgreSQL {row.major}, {row.subject}: {row.name}: `{error}`"

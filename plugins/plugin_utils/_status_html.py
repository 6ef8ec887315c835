# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The report of a fleet as one page, which asks for nothing outside itself and runs no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import epoch
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    CRITICAL,
    duration,
    size,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._failover_report import (
    failover_text,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._status_table import (
    UNKNOWN,
    archive_text,
    catch_up_text,
    contact_text,
    duration_text,
    rate_text,
    size_text,
    time_text,
)

Row = Mapping[str, Any]
Sample = Sequence[Any]
Point = tuple[float, float]

# A chart has so many points at most, however long the history is.
_POINTS = 160
_CHART = (240, 44)
_MARK = {"critical": "\u25b2", "warning": "\u25c6", "ok": "\u25cf"}

_STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --ink: #16202c; --faint: #5b6775;
  --line: #d9dee5; --track: #e6eaef; --lag: #2563a8; --kept: #8a5a00;
  --critical: #b3261e; --critical-back: #fbe9e7; --warning: #8a5a00; --warning-back: #fdf3dc;
  --ok: #1c6b3c; --ok-back: #e4f3ea; }
@media (prefers-color-scheme: dark) { :root { --back: #10151b; --card: #19212a; --ink: #e8edf2;
  --faint: #9aa7b5; --line: #2c3845; --track: #2a3541; --lag: #7db3ee; --kept: #e2b254;
  --critical: #ff9d94; --critical-back: #4a1f1c; --warning: #f0c365; --warning-back: #41330f;
  --ok: #84d3a3; --ok-back: #173a26; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem; max-width: 84rem; background: var(--back); color: var(--ink);
  font: 15px/1.45 system-ui, "Noto Sans KR", sans-serif; font-variant-numeric: tabular-nums; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1rem; margin-bottom: 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
time, .faint { color: var(--faint); }
.badge { display: inline-block; padding: .1rem .55rem; border-radius: 1rem; font-weight: 600; white-space: nowrap; }
.critical { color: var(--critical); background: var(--critical-back); }
.warning { color: var(--warning); background: var(--warning-back); }
.ok { color: var(--ok); background: var(--ok-back); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem; margin: 0; }
dl > div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .7rem; }
dt { color: var(--faint); font-size: .85rem; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
dd .faint { font-weight: 400; font-size: .85rem; }
table { width: 100%; border-collapse: collapse; background: var(--card); border: 1px solid var(--line); }
th { text-align: left; font-size: .85rem; font-weight: 600; color: var(--faint); }
th, td { padding: .45rem .7rem; vertical-align: top; }
tbody { border-top: 1px solid var(--line); }
tbody th { font-size: 1rem; color: var(--ink); overflow-wrap: anywhere; }
tbody th .faint { display: block; font-weight: 400; font-size: .85rem; }
svg { display: block; width: 100%; }
svg.bar { height: .4rem; margin-top: .25rem; max-width: 10rem; }
svg.chart { height: 2.75rem; min-width: 8rem; max-width: 15rem; }
.track { fill: var(--track); } .lag { fill: var(--lag); } .kept { fill: var(--kept); }
.lag-area { fill: var(--lag); opacity: .25; }
.lag-line, .kept-line { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.lag-line { stroke: var(--lag); } .kept-line { stroke: var(--kept); stroke-dasharray: 4 3; }
ul { margin: 0; padding: 0; list-style: none; }
li { border-left: .25rem solid; padding: .2rem .6rem; margin: .3rem 0; overflow-wrap: anywhere; }
li.critical, li.warning { background: none; }
li span { display: block; color: var(--ink); }
li .do { color: var(--faint); }
td.problems { padding-top: 0; }
footer { margin-top: 1.5rem; color: var(--faint); font-size: .85rem; }
.key { display: inline-block; width: 1.2rem; height: .5rem; vertical-align: middle; }
@media (max-width: 60rem) {
  body { padding: .75rem; }
  table, tbody, tr, td, tbody th { display: block; width: auto; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table { background: none; border: 0; }
  tbody { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; margin-bottom: .75rem;
    padding: .35rem 0; }
  tbody th { padding-bottom: 0; }
  td { display: grid; grid-template-columns: 8rem minmax(0, 1fr); padding: .2rem .7rem; }
  td::before { content: attr(data-label); color: var(--faint); }
  td > .badge { justify-self: start; }
  td.unknown { display: none; }
  td.problems { display: block; padding-top: .35rem; }
  td.problems::before { content: none; }
}
@media print {
  :root { color-scheme: light; --back: #fff; --card: #fff; --ink: #000; --faint: #444; --line: #999; --track: #ddd;
    --lag: #2563a8; --kept: #8a5a00; --critical: #b3261e; --critical-back: #fff; --warning: #8a5a00;
    --warning-back: #fff; --ok: #1c6b3c; --ok-back: #fff; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  .badge { border: 1px solid; }
  tbody, dl > div, li { break-inside: avoid; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def page(report: Row) -> str:
    """The whole file."""
    shore = report["shore"]
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    # Nothing is fetched, whatever got into the report.
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    title = f"Fleet of {shore['name']}: {report['status']}"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            *_header(report),
            *_shore(report),
            *_ships(report),
            *_footer(report),
            "</body>",
            "</html>",
            "",
        ]
    )


def _badge(severity: str, text: str) -> str:
    return f'<span class="badge {severity}">{_MARK[severity]} {escape(text)}</span>'


def _header(report: Row) -> Iterator[str]:
    ships = report["ships"]
    counted = [
        f"{len(list(group))} {state}"
        for state, group in groupby(sorted(ship["state"] for ship in ships))
    ]
    yield "<header>"
    yield f"<h1>Fleet of {escape(report['shore']['name'])}</h1>"
    yield _badge(report["status"], report["status"])
    yield f'<time datetime="{escape(report["time"] or "")}">{time_text(report["time"])}</time>'
    yield f'<span class="faint">{len(ships)} ships: {escape(", ".join(counted) or "none")}</span>'
    yield "</header>"


# --- the shore -----------------------------------------------------------------------------------


def _shore(report: Row) -> Iterator[str]:
    shore = report["shore"]
    yield '<section id="shore">'
    yield f"<h2>Shore {escape(shore['name'])}</h2>"
    yield from _problem_list(shore["problems"])
    if shore["version"] is not None:
        yield "<dl>"
        for label, text, more in _shore_figures(report):
            yield f"<div><dt>{label}</dt><dd>{escape(text)}{more}</dd></div>"
        yield "</dl>"
    yield "</section>"


def _shore_figures(report: Row) -> Iterator[tuple[str, str, str]]:
    shore = report["shore"]
    disk, kept, archive = shore["disk"], shore["max_slot_wal_keep_size"], shore["archive"]
    samples = report["history"].get("shore", ())
    yield "PostgreSQL", shore["version"], _faint(f"timeline {shore['timeline']}")
    yield "WAL rate", rate_text(shore["wal_rate"]), _small_chart("WAL rate", _points(samples, 1))
    used = None
    if disk["free_bytes"] is not None:
        used = disk["total_bytes"] - disk["free_bytes"]
    yield (
        "Disk free",
        size_text(disk["free_bytes"]),
        _faint(f"of {size_text(disk['total_bytes'])}") + _bar("kept", used, disk["total_bytes"]),
    )
    yield "WAL on disk", size_text(shore["wal_directory_bytes"]), ""
    yield "A slot keeps at most", size(kept) if kept is not None else "no limit", ""
    last = archive and archive["last_archived_time"]
    yield "Archive", archive_text(archive), _faint(f"last {time_text(last)}") if last else ""
    yield "Slots", f"{shore['slots_used']} of {shore['max_replication_slots']}", ""
    yield "Walsenders", f"{shore['wal_senders_used']} of {shore['max_wal_senders']}", ""
    if shore.get("failover"):
        nodes = ", ".join(
            f"{node['name']} {node['reported_state']}" for node in shore["failover"]["nodes"]
        )
        yield "Failover", failover_text(shore["failover"]), _faint(nodes)


def _faint(text: str) -> str:
    return f' <span class="faint">{escape(text)}</span>' if text else ""


# --- the ships -----------------------------------------------------------------------------------

_HEADS = (
    "Ship",
    "State",
    "Lag",
    "Kept ashore",
    "Lost in",
    "Last contact",
    "Catches up in",
    "History",
)


def _ships(report: Row) -> Iterator[str]:
    ships, limit = report["ships"], report["shore"]["max_slot_wal_keep_size"]
    most_lag = max((ship["lag_bytes"] or 0 for ship in ships), default=0)
    most_kept = limit or max((ship["retained_bytes"] or 0 for ship in ships), default=0)
    unknown = (UNKNOWN, f"<span>{UNKNOWN}</span>")
    yield '<section id="ships">'
    yield "<h2>Ships, worst first</h2>"
    yield "<table>"
    yield (
        "<thead><tr>" + "".join(f'<th scope="col">{head}</th>' for head in _HEADS) + "</tr></thead>"
    )
    for ship in ships:
        yield f'<tbody class="ship" data-ship="{escape(ship["name"])}" data-severity="{ship["severity"]}">'
        yield "<tr>"
        yield f'<th scope="row">{escape(ship["name"])}{_faint(ship["mode"])}</th>'
        cells = [
            _badge(ship["severity"], ship["state"]),
            f"<span>{_lag_text(ship)}{_bar('lag', ship['lag_bytes'], most_lag)}</span>",
            f"<span>{size_text(ship['retained_bytes'])}{_bar('kept', ship['retained_bytes'], most_kept)}</span>",
            duration_text(ship["seconds_until_lost"]),
            f"<span>{contact_text(ship)}{_faint(_own_text(ship))}</span>",
            f"<span>{catch_up_text(ship)}{_faint(_rate_words(ship))}</span>",
            _ship_chart(ship, report),
        ]
        for head, cell in zip(_HEADS[1:], cells):
            known = ' class="unknown"' if cell in unknown else ""
            yield f'<td data-label="{head}"{known}>{cell}</td>'
        yield "</tr>"
        if ship["problems"]:
            yield f'<tr><td class="problems" colspan="{len(_HEADS)}">'
            yield from _problem_list(ship["problems"])
            yield "</td></tr>"
        yield "</tbody>"
    yield "</table>"
    yield "</section>"


def _lag_text(ship: Row) -> str:
    age = ship["lag_seconds"]
    return size_text(ship["lag_bytes"]) + (_faint(duration(age)) if age else "")


def _own_text(ship: Row) -> str:
    if ship.get("unreached"):
        return "not reached by the controller"
    return ""


def _rate_words(ship: Row) -> str:
    rate = ship["rate"]
    if not rate or ship["state"] == "streaming":
        return ""
    return f"by {rate_text(rate)}" if rate > 0 else f"falls behind by {rate_text(-rate)}"


def _problem_list(problems: Iterable[Row]) -> Iterator[str]:
    found = list(problems)
    if not found:
        return
    yield "<ul>"
    for problem in found:
        severity = "critical" if problem["severity"] == CRITICAL else "warning"
        yield (
            f'<li class="{severity}"><strong>{_MARK[severity]} {severity}: {escape(problem["object"])}</strong>'
            f'<span>{escape(problem["what"])}</span><span class="do">{escape(problem["do"])}</span></li>'
        )
    yield "</ul>"


def _footer(report: Row) -> Iterator[str]:
    yield "<footer>"
    yield (
        '<p><svg class="key" viewBox="0 0 10 4"><rect class="lag" width="10" height="4"/></svg> lag'
        ' &#160; <svg class="key" viewBox="0 0 10 4"><rect class="kept" width="10" height="4"/></svg>'
        " WAL kept ashore, of what a slot may keep</p>"
    )
    spans = [_span(samples) for samples in report["history"].values() if samples]
    if spans:
        first = min(begin for begin, _end in spans)
        now = epoch(report["time"]) or max(end for _begin, end in spans)
        yield f"<p>The charts go back {duration(max(now - first, 0))}.</p>"
    yield "<p>Times are UTC, by the shore's clock. docs/fleet-status.md tells how to read this.</p>"
    yield "</footer>"


# --- bars and charts -----------------------------------------------------------------------------


def _bar(kind: str, value: float | None, whole: float | None) -> str:
    """A bar of a value's share; nothing where either is unknown."""
    if value is None or not whole:
        return ""
    share = min(max(100 * value / whole, 0), 100)
    return (
        '<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="4"/>'
        f'<rect class="{kind}" width="{share:.1f}" height="4"/></svg>'
    )


def _span(samples: Sequence[Sample]) -> tuple[float, float]:
    return samples[0][0], samples[-1][0]


def _points(samples: Iterable[Sample], index: int) -> list[Point]:
    return [(sample[0], sample[index]) for sample in samples if sample[index] is not None]


def _ship_chart(ship: Row, report: Row) -> str:
    """The ship's lag as an area, and what is kept for it as a line, now included."""
    now = epoch(report["time"])
    samples = list(report["history"].get(ship["name"], ()))
    if samples and now is not None and now > samples[-1][0]:
        samples.append([now, ship["lag_bytes"], ship["retained_bytes"]])
    lag, kept = thinned(_points(samples, 1)), thinned(_points(samples, 2))
    if len(lag) < 2 and len(kept) < 2:  # noqa: PLR2004
        return UNKNOWN
    highest = max(value for _moment, value in [*lag, *kept])
    span = _span(samples)
    said = f"Lag over {duration(span[1] - span[0])}, at most {size(round(highest))}"
    return (
        f"<span>{_open_chart(said)}{_area(lag, span, highest)}{_line('lag', lag, span, highest)}"
        f"{_line('kept', kept, span, highest)}</svg>{_faint(f'at most {size(round(highest))}')}</span>"
    )


def _small_chart(name: str, points: list[Point]) -> str:
    found = thinned(points)
    if len(found) < 2:  # noqa: PLR2004
        return ""
    span = (found[0][0], found[-1][0])
    highest = max(value for _moment, value in found)
    said = f"{name} over {duration(span[1] - span[0])}"
    return (
        _open_chart(said)
        + _area(found, span, highest)
        + _line("lag", found, span, highest)
        + "</svg>"
    )


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most so many points as a chart takes: of each stretch of time the highest."""
    if len(points) <= _POINTS:
        return list(points)
    first, last = points[0][0], points[-1][0]
    stretch = (last - first) / _POINTS or 1
    buckets: dict[int, Point] = {}
    for point in points:
        bucket = int((point[0] - first) / stretch)
        if bucket not in buckets or point[1] > buckets[bucket][1]:
            buckets[bucket] = point
    return list(buckets.values())


def _open_chart(said: str) -> str:
    width, height = _CHART
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(said)}">'
    )


def _placed(points: Iterable[Point], span: tuple[float, float], highest: float) -> list[str]:
    width, height = _CHART
    seconds = span[1] - span[0] or 1
    return [
        f"{(moment - span[0]) / seconds * width:.1f},"
        f"{height - 1 - value / (highest or 1) * (height - 2):.1f}"
        for moment, value in points
    ]


def _line(kind: str, points: Sequence[Point], span: tuple[float, float], highest: float) -> str:
    placed = _placed(points, span, highest)
    return f'<polyline class="{kind}-line" points="{" ".join(placed)}"/>' if len(placed) > 1 else ""


def _area(points: Sequence[Point], span: tuple[float, float], highest: float) -> str:
    placed = _placed(points, span, highest)
    if len(placed) < 2:  # noqa: PLR2004
        return ""
    bottom = _CHART[1]
    first, last = placed[0].partition(",")[0], placed[-1].partition(",")[0]
    return (
        f'<polygon class="lag-area" points="{first},{bottom} {" ".join(placed)} {last},{bottom}"/>'
    )

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What earlier looks at the fleet saw: a file of one JSON line a look, which does not grow for ever.

    {"thinned": 1795421000}
    {"t": 1795421729, "shore": [51200.0, 310000000000], "ships": {"oslo": [430483528, 451223000, 1795403010]}}

Of the shore its WAL rate and free bytes, of each ship the lag, the bytes retained for it, and when
it was last connected. A line that was cut off by a power cut is passed over. Runs without Ansible.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import epoch
from ansible_collections.hmm.pg_replication.plugins.module_utils._whole_file import write_whole

MINUTE, HOUR, DAY = 60, 3600, 86400
# How long samples are kept, and how far apart: until it is so old, one in so many seconds.
KEPT = ((DAY, MINUTE), (30 * DAY, 15 * MINUTE))
# What a report shows of them: enough for a chart, and little enough to be sent.
SHOWN = ((DAY, 15 * MINUTE), (30 * DAY, 6 * HOUR))
_THINNED_EVERY = HOUR
# The last line is in here, unless the fleet has thousands of ships.
_TAIL_BYTES = 1 << 18

Line = dict[str, Any]


@dataclass(frozen=True)
class Earlier:
    """What a report shows of earlier looks, and when each ship was last seen connected (epochs)."""

    history: dict[str, list[list[Any]]] = field(default_factory=dict)
    contacts: dict[str, float] = field(default_factory=dict)


def read_history(path: Path) -> Earlier:
    """What is shown of earlier looks; nothing where there were none, or none that can be read."""
    try:
        lines = _samples(path.read_bytes())
    except OSError:
        return Earlier()
    history: dict[str, list[list[Any]]] = {}
    for line in thinned(lines, SHOWN):
        moment = round(line["t"])
        history.setdefault("shore", []).append([moment, *line["shore"]])
        for name, (lag, retained, _contact) in line["ships"].items():
            history.setdefault(name, []).append([moment, lag, retained])
    return Earlier(history, _contacts(lines))


def read_contacts(path: Path) -> dict[str, float]:
    """When each ship was last seen connected, from the end of the file only."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
            return _contacts(_samples(file.read()))
    except OSError:
        return {}


def append_sample(path: Path, report: Mapping[str, Any]) -> None:
    """Add a look, and every hour thin out what is old.

    :raises OSError: the file cannot be written.
    """
    sample = sample_of(report)
    if sample is None:
        return
    with _locked(path.parent):
        since = _thinned_at(path)
        if since is None or abs(sample["t"] - since) >= _THINNED_EVERY:
            _rewrite(path, sample)
        else:
            _append(path, sample)


def sample_of(report: Mapping[str, Any]) -> Line | None:
    """What is kept of a report; None of one without a time, as that of a shore that is dark."""
    moment = epoch(report["time"])
    shore = report["shore"]
    if moment is None or shore["position"] is None:
        return None
    return {
        "t": round(moment, 1),
        "shore": [shore["wal_rate"], (shore["disk"] or {}).get("free_bytes")],
        "ships": {
            ship["name"]: [
                ship["lag_bytes"],
                ship["retained_bytes"],
                _rounded(epoch(ship["last_contact"])),
            ]
            for ship in report["ships"]
        },
    }


def _rounded(moment: float | None) -> int | None:
    return None if moment is None else round(moment)


def thinned(lines: Iterable[Line], steps: Iterable[tuple[int, int]]) -> list[Line]:
    """Of the lines, in their order, the last one in each piece of time; what is too old is left out.

    :param steps: until which age, and how long a piece is.
    """
    ordered = sorted(lines, key=lambda line: line["t"])
    if not ordered:
        return []
    newest = ordered[-1]["t"]
    kept: dict[tuple[int, int], Line] = {}
    for line in ordered:
        piece = next((piece for until, piece in steps if newest - line["t"] <= until), None)
        if piece is not None:
            kept[piece, int(line["t"] // piece)] = line
    return sorted(kept.values(), key=lambda line: line["t"])


# --- the file ------------------------------------------------------------------------------------


def _append(path: Path, sample: Line) -> None:
    text = _text(sample)
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        if file.read(1) != b"\n":
            text = b"\n" + text  # the last one was cut off
        file.write(text)


def _rewrite(path: Path, sample: Line) -> None:
    """Put the thinned file in its place at once and whole."""
    try:
        before = _samples(path.read_bytes())
    except FileNotFoundError:
        before = []
    # Of a clock that was ahead, what it noted would stay for ever.
    known = [line for line in before if line["t"] < sample["t"] + _THINNED_EVERY]
    lines = [{"thinned": sample["t"]}, *thinned([*known, sample], KEPT)]
    write_whole(path, b"".join(map(_text, lines)))


def _text(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode("utf-8") + b"\n"


def _thinned_at(path: Path) -> float | None:
    try:
        with path.open("rb") as file:
            return float(json.loads(file.readline(1000))["thinned"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _samples(content: bytes) -> list[Line]:
    return list(filter(None, map(_sample, content.split(b"\n"))))


def _sample(text: bytes) -> Line | None:
    """A line, if it is one: it may be the head, or cut off at either end."""
    try:
        line = json.loads(text)
        wal_rate, free_bytes = line["shore"]
        ships = {
            str(name): [lag, retained, contact]
            for name, (lag, retained, contact) in line["ships"].items()
        }
        return {"t": float(line["t"]), "shore": [wal_rate, free_bytes], "ships": ships}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _contacts(lines: Iterable[Line]) -> dict[str, float]:
    """The latest of each: a look knows what the looks before it knew."""
    found: dict[str, float] = {}
    for line in sorted(lines, key=lambda line: line["t"]):
        for name, (_lag, _retained, contact) in line["ships"].items():
            if isinstance(contact, (int, float)):
                found[name] = float(contact)
    return found


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Of the timer and of an operator who look at once, one waits for the other."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

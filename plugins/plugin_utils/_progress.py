# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""How far a long piece of work is, as one line for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Progress:
    """What a progress file says.

    :param state: running, waiting, done or failed.
    :param total_bytes: 0 where it is not known.
    :param rate: bytes a second.
    """

    step: str
    state: str
    done_bytes: int = 0
    total_bytes: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
    message: str = ""

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Progress:
        """The progress of a file's content; what is missing or odd counts as not known."""
        left = content.get("seconds_left")
        return cls(
            step=str(content.get("step") or ""),
            state=str(content.get("state") or ""),
            done_bytes=int(_number(content.get("done_bytes"))),
            total_bytes=int(_number(content.get("total_bytes"))),
            rate=_number(content.get("rate")),
            seconds_left=None if left is None else _number(left),
            message=str(content.get("message") or ""),
        )

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed")


def progress_line(name: str, progress: Progress) -> str:
    """One line: who, which step, how much of how much, how fast, how long still, and what is said of it.

    >>> progress_line("algeciras", Progress("fetch", "running", 123400000, 530000000, 500000, 813))
    'algeciras: fetch 123.4 of 530.0 MB, 23 %, 0.5 MB/s, 14 min left'
    """
    figures = _figures(progress)
    head = f"{name}: {progress.step}" if progress.step else name
    if figures:
        head = f"{head} {', '.join(figures)}"
    if progress.state in ("waiting", "failed"):
        head = f"{head} ({progress.state})"
    return f"{head}: {progress.message}" if progress.message else head


def _figures(progress: Progress) -> list[str]:
    done, total = progress.done_bytes, progress.total_bytes
    if total > 0:
        figures = [_of(min(done, total), total), f"{min(100, done * 100 // total)} %"]
    elif done > 0:
        figures = [size(done)]
    else:
        return []
    if progress.state == "running":
        if progress.rate > 0:
            figures.append(f"{_scaled(progress.rate, *unit(progress.rate, 'MB'))}/s")
        if progress.seconds_left is not None:
            figures.append(f"{duration(progress.seconds_left)} left")
    return figures


def unit(count: float, least: str = "") -> tuple[int, str]:
    """The unit to write so many bytes in; `least` is taken for smaller ones, down to a tenth of it."""
    for factor, name in _UNITS:
        if count >= factor or (name == least and count * 10 >= factor):
            return factor, name
    return 1, "B"


def size(count: float) -> str:
    """Bytes for people: 530.0 MB."""
    return _scaled(count, *unit(count))


def _of(done: int, total: int) -> str:
    factor, name = unit(total)
    if factor == 1:
        return f"{done} of {total} {name}"
    return f"{done / factor:.1f} of {total / factor:.1f} {name}"


def _scaled(count: float, factor: int, name: str) -> str:
    return f"{count:.0f} {name}" if factor == 1 else f"{count / factor:.1f} {name}"


def duration(seconds: float) -> str:
    """A time for people, never shorter than it is: 45 s, 14 min, 3 h 20 min, 2 d 5 h."""
    whole = math.ceil(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes = math.ceil(whole / _MINUTE)
    if minutes < _HOUR // _MINUTE:
        return f"{minutes} min"
    if whole < _DAY:
        return _two(minutes, _HOUR // _MINUTE, "h", "min")
    return _two(math.ceil(whole / _HOUR), _DAY // _HOUR, "d", "h")


def _two(count: int, factor: int, large: str, small: str) -> str:
    whole, rest = divmod(count, factor)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return 0.0
    return max(0.0, float(value))

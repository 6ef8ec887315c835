# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""How far a long piece of work is, told to whoever reads a small file of JSON."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What doc_fragments/waiting.py tells of.
WAITING_OPTIONS: dict[str, dict[str, Any]] = {
    "interval": {"type": "float", "default": 5},
    "timeout": {"type": "float", "default": 0},
    "unreachable_timeout": {"type": "float", "default": 1800},
}
# The rate is that of so many seconds past: steady enough to read, quick enough to follow a link.
WINDOW_SECONDS = 30


class Rate:
    """Bytes a second, of late."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def after(self, now: float, done_bytes: int) -> float:
        """The rate, so many bytes being done by now."""
        if self._samples and done_bytes < self._samples[-1][1]:
            self._samples.clear()  # another thing is counted now
        self._samples.append((now, done_bytes))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW_SECONDS:  # noqa: PLR2004
            self._samples.popleft()
        began, first = self._samples[0]
        return (done_bytes - first) / (now - began) if now > began else 0.0


def rated(progress: dict[str, Any], rate: float) -> dict[str, Any]:
    """The progress with its rate, and with the time left where that can be told."""
    left = max(progress["total_bytes"] - progress["done_bytes"], 0)
    known = progress["state"] == "running" and rate > 0 and progress["total_bytes"] > 0
    return {
        **progress,
        "rate": round(rate),
        "seconds_left": round(left / rate) if known else None,
    }


class Progress:
    """One step of the work; path None: nobody wants to know."""

    def __init__(
        self, path: Path | None, step: str, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self.step = step
        self._clock = clock
        self._rate = Rate()

    @property
    def wanted(self) -> bool:
        return self.path is not None

    def tell(self, state: str, message: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        """Write the file anew, at once: a reader finds the former content or this one.

        :param state: running, waiting, done or failed.
        :param message: a sentence.
        :param total_bytes: 0: not known.
        """
        if self.path is None:
            return
        told = self.measured(state, message, done_bytes, total_bytes)
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(told, stream)
        aside.replace(self.path)

    def measured(
        self, state: str, message: str, done_bytes: int, total_bytes: int
    ) -> dict[str, Any]:
        """What the file says, the rate and the time left included."""
        now = self._clock()
        progress = {
            "step": self.step,
            "state": state,
            "done_bytes": done_bytes,
            "total_bytes": total_bytes,
            "rate": 0,
            "seconds_left": None,
            "message": message,
            "updated": round(now),
        }
        return rated(progress, self._rate.after(now, done_bytes))

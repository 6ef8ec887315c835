# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting on a condition, within a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.02


def wait_until(condition: Callable[[], T], what: str, timeout: float = 30) -> T:
    """Ask until the answer is true, and return it; after timeout seconds, fail and say for what."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain until {what}")
        time.sleep(INTERVAL)
    return answer

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running programs so that nothing is left of them, however they or this process end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
GRACE = 15  # seconds to end in order
INTERVAL = 0.05


class GateError(Exception):
    """A gate found something; the text says what, if the output does not."""


def adopt_orphans() -> None:
    """Become the parent of whatever a child leaves behind, so that it can be ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    capture: bool = False,
) -> str:
    """Run a program; raises GateError if it fails. Returns its output if that is captured."""
    words = [str(word) for word in command]
    with subprocess.Popen(
        ["setpriv", "--pdeathsig=TERM", "--", *words],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.STDOUT if capture else None,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _none = process.communicate()
        except BaseException:
            _end_group(process)
            raise
    if process.returncode != 0:
        raise GateError(
            f"{output or ''}\n{Path(words[0]).name} ended with {process.returncode}".strip()
        )
    return output or ""


def end_left_over() -> list[str]:
    """End what the programs left running; return what had to be ended."""
    _wait_for_end()
    ended = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, name in _children().items():
            ended.append(name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        _wait_for_end()
    return sorted(set(ended))


def _end_group(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def _wait_for_end() -> None:
    """Servers end by themselves when their parent does: let them."""
    deadline = time.monotonic() + GRACE
    while _children() and time.monotonic() < deadline:
        time.sleep(INTERVAL)


def _children() -> dict[int, str]:
    """The processes whose parent is this one, the ended ones having been reaped."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            before, _parenthesis, after = status.read_text().rpartition(")")
            state, parent = after.split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found[int(status.parent.name)] = before.partition("(")[2]
    return found


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)

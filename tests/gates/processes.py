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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
GRACE = 15  # seconds to end in order
INTERVAL = 0.05

_beside: set[int] = set()  # children that are not left over: they go on while others end


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


@contextlib.contextmanager
def beside(command: Sequence[str | Path], folder: Path, log: Path) -> Iterator[Beside]:
    """Have a program run beside what is done meanwhile, and write to a file; it ends with this."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = ["setpriv", "--pdeathsig=TERM", "--", *map(str, command)]
    with (
        log.open("w") as output,
        subprocess.Popen(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        _beside.add(process.pid)
        try:
            yield Beside(process, log)
        finally:
            # It ends what it started itself, and needs its time for it.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(4 * GRACE)
            process.kill()
            _beside.discard(process.pid)


@dataclass(frozen=True)
class Beside:
    """A program that runs beside others."""

    process: subprocess.Popen[str]
    log: Path

    def failed(self) -> bool:
        return self.process.poll() not in (None, 0)

    def show_to_its_end(self) -> int:
        """Print what it has written and what it goes on to write; return its exit code."""
        with self.log.open(encoding="utf-8", errors="replace") as output:
            while True:
                ended = self.process.poll() is not None
                print(output.read(), end="", flush=True)
                if ended:
                    return self.process.returncode
                time.sleep(1)


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
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            before, _parenthesis, after = status.read_text().rpartition(")")
            state, parent = after.split()[:2]
            pid = int(status.parent.name)
            if int(parent) != os.getpid() or pid in _beside:
                continue
            if state == "Z":
                os.waitpid(pid, os.WNOHANG)
            else:
                found[pid] = before.partition("(")[2]
    return found


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)

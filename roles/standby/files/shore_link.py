# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a file is pulled from the shore: the command, and what its failure means."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)

# Exit codes of rsync that say "the link" (rsync(1), "EXIT VALUES"); 255 is ssh's own.
_RSYNC_CUT = frozenset((5, 10, 12, 20, 30, 35, 255))
_BY_SIGNAL = 128
# Lines of rsync that only repeat what ssh said before them.
_PROGRESS = re.compile(r"[\d,]+ +\d+%")
_REPEATING = ("rsync error:", "rsync: connection unexpectedly closed")
# What ssh and the far rsync say where trying again cannot help, and what to do about it.
_HOPELESS = (
    ("No space left on device", "The disk aboard is full: free space on it."),
    ("Disk quota exceeded", "The disk aboard is full: free space on it."),
    ("Read-only file system", "The disk aboard is mounted read-only: look into the kernel's log."),
    ("Permission denied (", "The shore refuses the ship's SSH key: is it in its authorized_keys?"),
    (
        "Host key verification failed",
        "The shore's SSH host key is not the one in known_hosts: see host_keys in standby_seed_source.",
    ),
    ("command not found", "rsync is not installed ashore."),
    ("unsafe arg", "The shore's forced command does not serve that path."),
    (
        "No such file or directory",
        "It is not there: has the pack been replaced ashore by a newer one?",
    ),
)


@dataclass(frozen=True)
class Shore:
    """Where packs and WAL come from, and with which patience."""

    transport: str
    path: str
    host: str = ""
    port: int = 22
    user: str = ""
    identity: str = ""
    known_hosts: str = ""
    rsync_timeout: int = 60
    connect_timeout: int = 15
    keepalive: int = 10
    throttle: int = 0

    @classmethod
    def read(cls, source: Mapping[str, Any], link: Mapping[str, Any]) -> Shore:
        """The shore of a job: who, from `source`; how patiently, from `link`."""
        return cls(
            transport=str(source["transport"]),
            path=str(source.get("path") or ""),
            host=str(source.get("host") or ""),
            port=int(source.get("port") or 22),
            user=str(source.get("user") or ""),
            identity=str(source.get("identity") or ""),
            known_hosts=str(source.get("known_hosts") or ""),
            rsync_timeout=int(link.get("rsync_timeout_s") or 60),
            connect_timeout=int(link.get("connect_timeout_s") or 15),
            keepalive=int(link.get("keepalives_interval_s") or 10),
            throttle=int(link.get("throttle_kib_s") or 0),
        )

    def pull(self, what: str, target: str, *options: str) -> list[str]:
        """The rsync command that pulls a file or a folder; `what` is relative to the shore's folder."""
        command = ["rsync", "--no-motd", f"--timeout={self.rsync_timeout}", *options]
        if self.throttle:
            command.append(f"--bwlimit={self.throttle}")
        path = os.path.join(self.path, what)  # noqa: PTH118 - the path is of another machine
        if self.transport == "local":
            return [*command, "--no-whole-file", "--", path, target]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return [
            *command,
            f"--rsh={shlex.join(self._ssh())}",
            "--",
            f"{self.user}@{host}:{path}",
            target,
        ]

    def _ssh(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityFile": self.identity,
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "ConnectTimeout": self.connect_timeout,
            # A link that goes dark says nothing: without these, ssh waits for it for ever.
            "ServerAliveInterval": self.keepalive,
            "ServerAliveCountMax": max(3, self.rsync_timeout // self.keepalive),
            "ControlPath": "none",
            "Compression": "no",
        }
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "/dev/null", "-p", str(self.port), *flags]


def known(told: str) -> str | None:
    """What is known of a fault that trying again cannot cure, as a sentence."""
    for sign, sentence in _HOPELESS:
        for line in told.splitlines():
            if sign in line:
                return f"{sentence} ({line.strip()})"
    return None


def hopeless(code: int, told: str) -> str | None:
    """Why trying again cannot help, as a sentence; None where it is the link's fault."""
    sentence = known(told)
    if sentence or code in _RSYNC_CUT or code < 0 or code >= _BY_SIGNAL:
        return sentence
    if "failed verification" in told:  # the part that was there is not this pack's beginning
        return None
    return f"rsync ended with code {code}: {last_line(told) or 'it says nothing'}."


def last_line(text: str) -> str:
    """What a program said last, its closing line that only repeats the code left out."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not _PROGRESS.match(line)]
    telling = [line for line in lines if not line.startswith(_REPEATING)]
    return (telling or lines or [""])[-1]


def die_with_parent() -> None:
    """Between fork and exec: no child goes on writing when this program is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def run(
    command: Sequence[str],
    watch: Callable[[int], None] = lambda _pid: None,
    every: float = 1.0,
    keep: Sequence[int] = (),
) -> tuple[int, str]:
    """Run a program to its end; its exit code, and what it wrote as errors.

    :param watch: called with the child's PID every so many seconds while it runs.
    :param keep: files that the child holds open too: a lock lasts as long as both.
    """
    # In memory: a pipe that nobody reads would stop the child, and a disk may be full.
    with os.fdopen(os.memfd_create("stderr"), "w+b") as errors:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=tuple(keep),
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            preexec_fn=die_with_parent,  # noqa: PLW1509 - there are no threads here
        ) as child:
            try:
                wait(child, watch, every)
            except BaseException:
                child.terminate()
                raise
        errors.seek(0)
        return child.returncode, errors.read().decode(errors="replace")


def wait(child: subprocess.Popen[bytes], watch: Callable[[int], None], every: float) -> None:
    """Wait for a child's end, and look at it now and then."""
    while True:
        try:
            child.wait(timeout=every)
        except subprocess.TimeoutExpired:  # noqa: PERF203 - this is the waiting
            watch(child.pid)
        else:
            return

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fresh minimal Debian machines: roots whose processes end with what was run in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.gates.packages import need
from tests.gates.paths import CACHE
from tests.gates.processes import run
from tests.gates.roots import Suite, mirror

PACKAGES = "ca-certificates,git,make"
OWN_CERTIFICATES = Path("/usr/local/share/ca-certificates")  # of a proxy, where there is one

# Processes, devices, shared memory and mounts of its own; all of it ends with the script.
ENTER = """\
set -eu
cd "$1"
mount --rbind /dev dev
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs run
mkdir -m 1777 run/lock
exec chroot . /usr/bin/env -C "$2" sh -euc "$3"
"""


@dataclass(frozen=True)
class Machine:
    """A Debian root of which nothing is kept."""

    root: Path

    def run(
        self, script: str, folder: str = "/", variables: Mapping[str, str] | None = None
    ) -> str:
        """Run a shell script in it, as root; return its output."""
        own = {"HOME": "/root", "LC_ALL": "C.UTF-8", "PATH": os.defpath + ":/usr/sbin:/sbin"}
        kept = {name: value for name, value in os.environ.items() if name.endswith("_proxy")}
        return run(
            [
                *("unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child"),
                f"--mount-proc={self.root / 'proc'}",
                *("sh", "-c", ENTER, "sh", self.root, folder, script),
            ],
            {**kept, **own, **(variables or {})},
            capture=True,
        )

    def files(self, without: tuple[str, ...]) -> dict[str, str]:
        """Every file with its owner, mode and content, but for those whose path begins so."""
        found = {}
        for folder, names, others in os.walk(self.root):
            for name in [*names, *others]:
                path = Path(folder, name)
                inside = f"/{path.relative_to(self.root)}"
                if not inside.startswith(without):
                    found[inside] = _description(path)
            names[:] = [
                name
                for name in names
                if not f"/{Path(folder, name).relative_to(self.root)}/".startswith(without)
            ]
        return found


@contextlib.contextmanager
def machine(suite: Suite) -> Iterator[Machine]:
    """A fresh machine of this suite; it is gone afterwards."""
    root = CACHE / "machines" / suite.name
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "--archive", "--reflink=auto", _model(suite), root])
    try:
        yield Machine(root)
    finally:
        shutil.rmtree(root)


def _model(suite: Suite) -> Path:
    """What fresh machines of this suite are copied from; made the first time."""
    root = CACHE / "roots" / f"{suite.name}-fresh"
    done = root.with_suffix(".done")
    if done.exists():
        return root
    print(f"making a fresh Debian {suite.name}", flush=True)
    need("mmdebstrap", "mmdebstrap")
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    run(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"),
            *(suite.name, root, mirror()),
        ]
    )
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")  # else a package makes one
    for certificate in sorted(OWN_CERTIFICATES.glob("*.crt")):
        shutil.copy(certificate, root / OWN_CERTIFICATES.relative_to("/"))
    run(["chroot", root, "update-ca-certificates"], capture=True)
    done.touch()
    return root


def _description(path: Path) -> str:
    status = path.lstat()
    owner = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        return f"{owner} -> {path.readlink()}"
    if stat.S_ISREG(status.st_mode):
        return f"{owner} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    return owner

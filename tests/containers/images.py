# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images hmm-lab:<suite>: what a ship has when it is delivered, which is Debian and SSH.

    python -m tests.containers.images [SUITE ...]

They are bootstrapped from the mirror that this machine itself uses, with its settings for apt, so
that no registry of images is needed. The packages that roles install are not installed in them,
but lie in apt's cache: installing them takes seconds and no network.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.containers.engine import engine
from tests.gates.packages import need
from tests.gates.processes import run
from tests.gates.roots import mirror

NAME = "hmm-lab"
SUITES = {"bookworm": "15", "trixie": "17"}  # and the PostgreSQL that each brings
INSTALLED = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
)
DOWNLOADED = (
    "acl",
    "nftables",
    "openssh-client",
    "pg-auto-failover-cli",
    "postgresql-{version}",
    "postgresql-{version}-auto-failover",
    "python3-apt",
    "python3-cryptography",
    "python3-psycopg2",
    "rsync",
    "ufw",
    "zstd",
)
# Of apt's settings, those about how to reach a mirror and whether to believe it.
APT_SETTINGS = ("Acquire::http", "Acquire::https", "Acquire::Check-")
ETC = Path(__file__).with_name("etc")
PYTHON = Path(__file__).with_name("usercustomize.py")
CERTIFICATES = Path("/usr/local/share/ca-certificates")


def build(suites: Sequence[str] = tuple(SUITES)) -> None:
    """Make the images that are missing or were made by another recipe."""
    for suite in suites:
        recipe = _recipe(suite)
        if _label(suite) != recipe:
            _build(suite, recipe)


def _build(suite: str, recipe: str) -> None:
    print(f"making the image {NAME}:{suite}", flush=True)
    need("mmdebstrap", "mmdebstrap")
    address = mirror()
    hooks = [
        f'cp -r {ETC}/. "$1/etc/"',
        f'cp {PYTHON} "$1/usr/lib/python3/dist-packages/"',
        *_hooks(suite),
    ]
    if address.startswith("https:") and CERTIFICATES.is_dir():
        hooks.insert(
            0, f'cp {CERTIFICATES}/* "$1{CERTIFICATES}/"; chroot "$1" update-ca-certificates'
        )
    bootstrap = [
        *("mmdebstrap", "--quiet", "--variant=minbase"),
        f"--include={','.join(INSTALLED)}",
        *("--skip=cleanup/apt/cache", "--skip=cleanup/apt/lists"),
        *(f"--aptopt={line}" for line in _apt_settings()),
        *("--aptopt=Acquire::Languages none", "--dpkgopt=force-unsafe-io"),
        *(f"--customize-hook={hook}" for hook in hooks),
        *(suite, "-", address),
    ]
    changes = ('CMD ["/sbin/init"]', f"LABEL recipe={recipe}")
    options = [word for change in changes for word in ("--change", change)]
    with subprocess.Popen(bootstrap, stdout=subprocess.PIPE) as making:
        subprocess.run(
            ["docker", "import", *options, "-", f"{NAME}:{suite}"],
            stdin=making.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    if making.returncode != 0:
        run(["docker", "image", "rm", f"{NAME}:{suite}"])
        raise subprocess.CalledProcessError(making.returncode, "mmdebstrap")


def _hooks(suite: str) -> list[str]:
    """What is done to a bootstrapped root; $1 is where it lies."""
    downloaded = " ".join(DOWNLOADED).format(version=SUITES[suite])
    install = "apt-get install --quiet=2 --yes --no-install-recommends --download-only"
    return [
        f'chroot "$1" {install} {downloaded}',
        # Every container gets keys and an identity of its own when it starts.
        'rm -f "$1"/etc/ssh/ssh_host_*',
        ': > "$1/etc/machine-id"',
        'install -d -m 0700 "$1/root/.ssh"',
        'chroot "$1" systemctl --quiet enable lab-route.service',
        'install -d -m 1777 "$1/var/cache/lab-python"',
        # Nothing may restart or hold the package database while a role is at work.
        'chroot "$1" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer',
    ]


def _recipe(suite: str) -> str:
    """What an image is made by, so that a change makes it anew."""
    files = [path.read_text() for path in [*sorted(ETC.rglob("*")), PYTHON] if path.is_file()]
    recipe = [suite, *INSTALLED, *_hooks(suite), *files]
    return hashlib.sha256("\n".join(recipe).encode()).hexdigest()


def _label(suite: str) -> str:
    words = ["docker", "image", "inspect", "--format", "{{ index .Config.Labels `recipe` }}"]
    found = subprocess.run([*words, f"{NAME}:{suite}"], check=False, capture_output=True, text=True)
    return found.stdout.strip()


def _apt_settings() -> list[str]:
    dump = run(["apt-config", "dump"], capture=True)
    return [
        line
        for line in dump.splitlines()
        if line.startswith(APT_SETTINGS) and not line.endswith(' "";')
    ]


if __name__ == "__main__":
    with engine():
        build(sys.argv[1:] or tuple(SUITES))

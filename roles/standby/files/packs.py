# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packs aboard, and small files that a power cut leaves whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Archives of a pack, and what unpacks them.
UNPACKERS = {"base.tar.zst": "zstd", "base.tar.gz": "gzip"}
MANIFEST = "backup_manifest"
DESCRIPTION = "pack.json"
_LONGEST_CHAIN = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class SeedError(Exception):
    """Something that trying again does not cure; the text is a sentence for the operator."""


@dataclasses.dataclass(frozen=True)
class Pack:
    """A compressed base backup, as pack.json describes it.

    :param base: the pack that an incremental one builds on; empty for a full one.
    """

    name: str
    file: str
    bytes: int
    sha256: str
    data_bytes: int
    version: int
    system_identifier: str
    timeline: int
    start_lsn: str
    base: str

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Pack:
        """The pack of these facts; a sentence where some are missing."""
        try:
            version = int(facts["version"])
            pack = cls(
                name=str(facts["name"]),
                file=str(facts.get("file") or "base.tar.zst"),
                bytes=int(facts["bytes"]),
                sha256=str(facts["sha256"]),
                data_bytes=int(facts["data_bytes"]),
                version=version // 10000 if version >= 10000 else version,  # noqa: PLR2004
                system_identifier=str(facts["system_identifier"]),
                timeline=int(facts["timeline"]),
                start_lsn=str(facts["start_lsn"]),
                base=str(facts.get("base") or ""),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SeedError(f"The pack's description is incomplete or wrong: {error!r}.") from None
        for name in [pack.name, *([pack.base] if pack.base else [])]:
            if not _NAME.fullmatch(name):
                raise SeedError(f"{name!r} is no name of a pack.")
        if pack.file not in UNPACKERS:
            raise SeedError(
                f"The pack {pack.name} is {pack.file}, and {', '.join(UNPACKERS)} are known."
            )
        return pack


def chain(directory: Path, pack: Pack) -> list[Pack]:
    """The packs aboard that an incremental one builds on, a full one first, and itself."""
    packs = [pack]
    while packs[0].base:
        facts = read_json(directory / packs[0].base / DESCRIPTION)
        if not facts or len(packs) > _LONGEST_CHAIN:
            raise SeedError(
                f"The pack {packs[0].name} builds on {packs[0].base}, which is not aboard: take a"
                " full pack."
            )
        packs.insert(0, Pack.read(facts))
    return packs


def lsn(text: str) -> int:
    """A position in the WAL as a number."""
    high, slash, low = text.partition("/")
    try:
        return (int(high, 16) << 32) + int(low, 16) if slash else int(text, 16)
    except ValueError:
        raise SeedError(f"{text!r} is no position in the WAL.") from None


def size(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB"


def misfit(pack: Pack, wanted: Mapping[str, Any]) -> str | None:
    """Why a pack is not one for this ship, as a sentence."""
    checks = (
        ("version", pack.version, "PostgreSQL's major version"),
        ("system_identifier", pack.system_identifier, "the system identifier"),
        ("timeline", pack.timeline, "the timeline"),
    )
    for key, has, name in checks:
        need = wanted.get(key)
        if need and str(need) != str(has):
            return (
                f"The pack {pack.name} does not fit: {name} is {has} in it, and {need} ashore."
                " Take a newer pack."
            )
    oldest = wanted.get("oldest_lsn")
    if oldest and lsn(pack.start_lsn) < lsn(str(oldest)):
        return (
            f"The pack {pack.name} begins at {pack.start_lsn}, and the shore keeps the WAL from"
            f" {oldest} on: take a newer pack."
        )
    return None


def sync(path: Path) -> None:
    """Have everything below a folder on the disk, whatever happens next."""
    subprocess.run(["sync", "--file-system", str(path)], check=True)


def write_synced(path: Path, content: Mapping[str, Any]) -> None:
    """A small JSON file that is there as a whole or not at all, a power cut included."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have a folder's names on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, which may change meanwhile."""
    total = 0
    for root, _folders, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118
    return total

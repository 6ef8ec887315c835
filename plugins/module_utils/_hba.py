# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Blocks of rules at the top of pg_hba.conf: pure text (PostgreSQL: The pg_hba.conf File)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)

TYPES = ("local", "host", "hostssl", "hostnossl")
METHODS = ("cert", "ident", "md5", "peer", "reject", "scram-sha-256", "trust")

_BEGIN = "# BEGIN hmm.pg_replication "
_END = "# END hmm.pg_replication "
_ANYWHERE = ("all", "samehost", "samenet")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_PLAIN = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True)
class Block:
    """Rules that belong together under a name; none: the block is to go."""

    name: str
    lines: tuple[str, ...]


def wanted_blocks(blocks: Iterable[Mapping[str, Any]]) -> list[Block]:
    """The blocks of the option, every problem in one error."""
    problems: list[str] = []
    wanted: dict[str, Block] = {}
    for index, block in enumerate(blocks):
        where = f"blocks[{index}]"
        name = block["name"]
        if not _NAME.fullmatch(name):
            problems.append(f"{where}.name: {name!r}: letters, digits, '_', '.' and '-' only.")
        if name in wanted:
            problems.append(f"{where}.name: {name!r} is there twice.")
        lines: list[str] = []
        try:
            lines = _block_lines(where, block)
        except ReplicationError as exc:
            problems.append(exc.message)
        wanted[name] = Block(name, tuple(lines))
    fail_with_all(problems)
    return list(wanted.values())


def with_blocks(text: str, wanted: Iterable[Block]) -> str:
    """The file with the blocks at its top; what is not theirs keeps its lines and their order."""
    found, rest = _taken_apart(text)
    for block in wanted:
        if block.lines:
            found[block.name] = block.lines
        else:
            found.pop(block.name, None)
    top = "".join(
        "".join(f"{line}\n" for line in (_BEGIN + name, *lines, _END + name))
        for name, lines in found.items()
    )
    return top + rest


def block_at(text: str, line_number: int) -> str | None:
    """The name of the block that a line, counted from 1, belongs to."""
    name = None
    for line in text.splitlines()[:line_number]:
        if line.startswith(_BEGIN):
            name = line[len(_BEGIN) :]
        elif line.startswith(_END):
            name = None
    return name


def _taken_apart(text: str) -> tuple[dict[str, tuple[str, ...]], str]:
    found: dict[str, tuple[str, ...]] = {}
    rest: list[str] = []
    name: str | None = None
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        plain = line.rstrip("\r\n")
        if name is None and plain.startswith(_BEGIN):
            name, lines = plain[len(_BEGIN) :], []
        elif name is not None and plain == _END + name:
            found[name] = tuple(lines)
            name = None
        elif name is not None and plain.startswith((_BEGIN, _END)):
            break
        elif name is not None:
            lines.append(plain)
        else:
            rest.append(line)
    if name is not None:
        raise ReplicationError(
            f"pg_hba.conf: the line {_BEGIN + name!r} has no end of its own: put"
            f" {_END + name!r} behind the block, or delete both."
        )
    return found, "".join(rest)


def _block_lines(where: str, block: Mapping[str, Any]) -> list[str]:
    if block["state"] == "absent":
        return []
    if not block["rules"]:
        raise ReplicationError(f"{where}: a block without rules; give rules or state: absent.")
    return [
        line
        for number, rule in enumerate(block["rules"])
        for line in _lines(f"{where}.rules[{number}]", rule)
    ]


def _lines(where: str, rule: Mapping[str, Any]) -> list[str]:
    kind = rule["type"]
    addresses = rule["addresses"] or []
    if kind == "local" and addresses:
        raise ReplicationError(f"{where}.addresses: a local rule has none.")
    if kind != "local" and not addresses:
        raise ReplicationError(f"{where}.addresses: a {kind} rule needs one; 'all' is any.")
    databases = ",".join(_word(f"{where}.databases", name) for name in rule["databases"])
    users = ",".join(_word(f"{where}.users", name) for name in rule["users"])
    if not databases or not users:
        raise ReplicationError(f"{where}: databases and users each need a name; 'all' is any.")
    places = [_address(f"{where}.addresses", text) for text in addresses] or [""]
    return [
        " ".join(filter(None, (kind, databases, users, place, rule["method"]))) for place in places
    ]


def _word(where: str, text: str) -> str:
    if not text or any(char in text for char in '\n\r\0"'):
        raise ReplicationError(f"{where}: {text!r} cannot stand in pg_hba.conf.")
    # Keywords (all, replication) lose their meaning in quotes; anything else loses nothing.
    return text if _PLAIN.fullmatch(text) else f'"{text}"'


def _address(where: str, text: str) -> str:
    if text in _ANYWHERE or _HOST.fullmatch(text):
        return text
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as exc:
        raise ReplicationError(
            f"{where}: {exc}; write an address, or a network such as 198.51.100.0/24."
        ) from None

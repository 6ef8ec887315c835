# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""A drop-in file of server settings: pure text (PostgreSQL: Setting Parameters)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)

DROP_IN_PREFIX = "50-pg_replication-"
_HEADER = "# Written by Ansible, collection hmm.pg_replication: changes made here are lost.\n"
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*")
_LINE = re.compile(rf"^({_SETTING.pattern})\s*=", re.MULTILINE)


def drop_in_name(name: str) -> str:
    """The name of the file."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ReplicationError(
            f"name: {name!r} becomes part of a file's name: letters, digits, _ and - only."
        )
    return f"{DROP_IN_PREFIX}{name}.conf"


def drop_in(settings: Mapping[str, Any]) -> str | None:
    """The text of the file, None where nothing is set."""
    wanted = {name: value for name, value in settings.items() if value is not None}
    fail_with_all(
        problem for name, value in wanted.items() if (problem := _problem(name, value)) is not None
    )
    if not wanted:
        return None
    lines = [f"{name} = {_quoted(_text(value))}\n" for name, value in sorted(wanted.items())]
    return _HEADER + "".join(lines)


def names_in(text: str) -> list[str]:
    """The settings that a text of ours sets."""
    return [found.group(1).lower() for found in _LINE.finditer(text)]


def _problem(name: str, value: Any) -> str | None:
    if not isinstance(name, str) or not _SETTING.fullmatch(name):
        return f"settings: {name!r} is no name of a setting."
    if isinstance(value, dict):
        return f"settings: {name} is a mapping: give text, a number, a boolean or a list."
    if any(character in _text(value) for character in "\n\r\0"):
        return f"settings: {name} has a line break in its value, which PostgreSQL cannot read."
    return None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"

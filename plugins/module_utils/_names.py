# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Names, log sequence numbers and expressions, checked before any connection is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError

T = TypeVar("T")

# NAMEDATALEN - 1: the server cuts longer names, and the second run would not find its own object.
MAX_NAME_BYTES = 63
_SLOT_NAME = re.compile(rf"[a-z0-9_]{{1,{MAX_NAME_BYTES}}}")
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def if_given(check: Callable[[str, str], T], option: str, params: Mapping[str, Any]) -> T | None:
    """What check makes of an option, or None where the task does not give it."""
    return None if params[option] is None else check(option, params[option])


def check_text(option: str, value: Any) -> None:
    """Refuse, anywhere in value, what PostgreSQL cannot hold as text."""
    if isinstance(value, str):
        if "\x00" in value:
            raise ReplicationError(f"{option}: a NUL character is not possible in PostgreSQL.")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ReplicationError(f"{option}: not valid Unicode text.") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(f"{option}.{key}", item)
            check_text(f"{option} (a key)", key)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            check_text(f"{option}[{index}]", item)


def check_identifier(option: str, name: str) -> str:
    """A legal SQL name, taken as it is written: any text of 1 to 63 bytes."""
    if not name:
        raise ReplicationError(f"{option}: a name cannot be empty.")
    if len(name.encode("utf-8")) > MAX_NAME_BYTES:
        raise ReplicationError(
            f"{option}: {name!r} is longer than {MAX_NAME_BYTES} bytes, and PostgreSQL would cut it."
        )
    return name


def check_slot_name(option: str, name: str) -> str:
    """A legal name of a replication slot (PostgreSQL: Replication Slots)."""
    if not _SLOT_NAME.fullmatch(name):
        raise ReplicationError(
            f"{option}: {name!r} is not a replication slot name: lower-case letters, digits and"
            f" underscores, 1 to {MAX_NAME_BYTES} of them."
        )
    return name


class Lsn(int):
    """A position in the WAL (PostgreSQL: pg_lsn Type), comparable as a number."""

    @classmethod
    def parse(cls, option: str, text: str) -> Lsn:
        match = _LSN.fullmatch(text.strip())
        if not match:
            raise ReplicationError(
                f"{option}: {text!r} is not an LSN, which looks like 16/B374D848."
            )
        return cls((int(match.group(1), 16) << 32) + int(match.group(2), 16))

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"


def segment_name(number: int, segment_bytes: int) -> str:
    """A WAL file's name behind its timeline (PostgreSQL: WAL Internals)."""
    per_log = (1 << 32) // segment_bytes
    return f"{number // per_log:08X}{number % per_log:08X}"


class TableName(NamedTuple):
    """A table as a task names it; schema None: wherever the search_path finds it."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return ".".join(_requote(part) for part in self if part is not None)


_NAME_PART = re.compile(r'"(?:[^"]|"")*"|[^".]+')


def parse_table_name(option: str, text: str) -> TableName:
    """`table` or `schema.table`, case kept; a part with a dot or a quote in it in double quotes."""
    parts: list[str] = []
    position = 0
    while True:
        match = _NAME_PART.match(text, position)
        if not match:
            break
        part = match.group()
        parts.append(part[1:-1].replace('""', '"') if part.startswith('"') else part)
        position = match.end()
        if position == len(text) or text[position] != ".":
            break
        position += 1
    if position != len(text) or not 1 <= len(parts) <= len(TableName._fields) or text.endswith("."):
        raise ReplicationError(
            f"{option}: {text!r} is not a table name: write table or schema.table, and a part that itself has"
            ' a dot or a double quote in it in double quotes ("a.b").'
        )
    for part in parts:
        check_identifier(option, part)
    return TableName(parts[0] if parts[1:] else None, parts[-1])


def _requote(part: str) -> str:
    return '"{}"'.format(part.replace('"', '""')) if "." in part or '"' in part else part


# A backslash is possible only where it is an escape in every server and setting: behind an E that
# is a token of its own. Elsewhere its meaning hangs on standard_conforming_strings, and before
# PostgreSQL 15 on what stands before the E (1E'\' is a number and an escape string there). To the
# server every character beyond ASCII belongs to a name, dashes and blanks too.
_QUOTED = re.compile(
    r"""
      (?<! [\w$\u0080-\U0010ffff] ) [eE] ' (?: [^'\\] | \\. | '' )* '    # an escape string
    | ' (?: [^'\\] | '' )* '                            # a plain string
    | " (?: [^"\\] | "" )* "                            # a quoted name
    """,
    re.VERBOSE | re.DOTALL,
)
_REFUSED = {
    ";": "a semicolon",
    "$": "a dollar sign outside quotes",
    "\\": "a backslash outside E''",
    "'": "an unclosed quote, or a backslash in one that is not E'',",
    '"': "an unclosed quote",
    "--": "a comment",
    "/*": "a comment",
}


def check_expression(option: str, text: str) -> str:
    """One SQL expression, which cannot end the parenthesis that it is put into.

    A row filter is SQL and reaches the server as such. Whatever could close it and begin a
    statement of its own is refused here; the server checks the rest.
    """
    if not text.strip():
        raise ReplicationError(
            f"{option}: the filter is empty; leave the option out for no filter."
        )

    def refuse(what: str) -> ReplicationError:
        return ReplicationError(f"{option}: {what} is not possible in {text!r}.")

    depth = 0
    position = 0
    while position < len(text):
        quoted = _QUOTED.match(text, position)
        if quoted:
            position = quoted.end()
            continue
        char = text[position]
        reason = _REFUSED.get(text[position : position + 2]) or _REFUSED.get(char)
        if reason:
            raise refuse(reason)
        depth += (char == "(") - (char == ")")
        if depth < 0:
            raise refuse("an unbalanced parenthesis")
        position += 1
    if depth:
        raise refuse("an unbalanced parenthesis")
    return text


def unique(items: Iterable[str]) -> list[str]:
    """The items in their order, each once."""
    return list(dict.fromkeys(items))

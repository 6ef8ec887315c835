# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PostgreSQL's lexer makes of an expression, in order to judge what was let through to it.

Written from the documentation (SQL Syntax, "Lexical Structure") and the server's answers, and
apart from the code that it judges: it reads, character by character, what that code only matches.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

# standard_conforming_strings on and off; 13 stands for 14 too, and 16 for what came after it.
SETTINGS = tuple(itertools.product((True, False), (13, 15, 16)))

_IDENTIFIER = re.compile(r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*")
_DOLLAR = re.compile(r"\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$")
_NUMBER = {
    13: re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"),
    16: re.compile(
        r"0[xX](?:_?[0-9A-Fa-f])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+"
        r"|(?:[0-9](?:_?[0-9])*\.?(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)"
        r"(?:[eE][-+]?[0-9](?:_?[0-9])*)?"
    ),
}
_NUMBER[15] = _NUMBER[13]
# Between two parts of one string: blanks and comments with a newline among them.
_CONTINUED = re.compile(r"(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\f\v\n\r]|--[^\n\r]*[\n\r])*'")
_PARAMETER = re.compile(r"\$[0-9]+")
_NEWLINE = re.compile(r"[\n\r]")
_STARTS = ("b'", "x'", "e'", "u&'", 'u&"', "'", '"', "--", "/*")
_NAME_START = re.compile(r"[A-Za-z_\u0080-\U0010ffff]")


class Refused(Exception):  # noqa: N818
    """The server reads no further, and runs nothing of it."""


class Open(Exception):  # noqa: N818
    """Something is still open at the end: it would take in what comes behind."""


def leaves(text: str, standard_strings: bool, major: int) -> bool:
    """Whether text, put between parentheses, could reach outside of them."""
    depth = 0
    try:
        for token in tokens(text, standard_strings, major):
            depth += (token == "(") - (token == ")")
            if depth < 0 or token == ";":
                return True
    except Refused:
        return False
    except Open:
        return True
    return depth != 0


def tokens(text: str, standard_strings: bool, major: int) -> Iterator[str]:
    """The tokens; a comment is none."""
    at = 0
    while at < len(text):
        start = at
        at = _token_end(text, at, standard_strings, major)
        if text[start : start + 2] not in ("--", "/*"):
            yield text[start:at]


def _token_end(text: str, at: int, standard_strings: bool, major: int) -> int:
    quoted = _quoted_end(text, at, standard_strings)
    if quoted is not None:
        return quoted
    if number := _PARAMETER.match(text, at) or _NUMBER[major].match(text, at):
        if major >= 15 and _NAME_START.match(text, number.end()):
            raise Refused
        return number.end()
    name = _IDENTIFIER.match(text, at)
    return name.end() if name else at + 1


def _quoted_end(text: str, at: int, standard_strings: bool) -> int | None:
    """Where a string, a quoted name or a comment ends, if one begins here."""
    start = next((start for start in _STARTS if text[at:].lower().startswith(start)), None)
    if start in ("b'", "x'", "e'", "'"):
        escapes = start == "e'" or (start == "'" and not standard_strings)
        return _string_end(text, at + len(start), escapes)
    if start == "u&'":
        if not standard_strings:
            raise Refused
        return _string_end(text, at + len(start), escapes=False)
    if start in ('u&"', '"'):
        return _name_end(text, at + len(start))
    if start == "--":
        return _line_end(text, at)
    if start == "/*":
        return _comment_end(text, at)
    return _dollar_end(text, at)


def _line_end(text: str, at: int) -> int:
    newline = _NEWLINE.search(text, at)
    if not newline:
        raise Open
    return newline.start()


def _dollar_end(text: str, at: int) -> int | None:
    dollar = _DOLLAR.match(text, at)
    if not dollar:
        return None
    end = text.find(dollar.group(), dollar.end())
    if end < 0:
        raise Open
    return end + len(dollar.group())


def _string_end(text: str, at: int, escapes: bool) -> int:
    while at < len(text):
        if text[at] == "\\" and escapes:
            at += 2
        elif text[at] != "'":
            at += 1
        elif text[at + 1 : at + 2] == "'":
            at += 2
        elif continued := _CONTINUED.match(text, at + 1):
            at = continued.end()
        else:
            return at + 1
    raise Open


def _name_end(text: str, at: int) -> int:
    while at < len(text):
        if text[at] != '"':
            at += 1
        elif text[at + 1 : at + 2] == '"':
            at += 2
        else:
            return at + 1
    raise Open


def _comment_end(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        mark = text[at : at + 2]
        if mark == "/*":
            depth += 1
            at += 2
        elif mark == "*/":
            depth -= 1
            at += 2
            if depth == 0:
                return at
        else:
            at += 1
    raise Open

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What a server's log says of the workers of a subscription."""

from __future__ import annotations

import re

# Debian's log_line_prefix: the process number in brackets. What follows a line indented belongs to it.
_LINE = re.compile(
    r"^(?P<prefix>[^\n]*?\[(?P<pid>\d+)\][^\n]*?)(?P<level>[A-Z]+):  (?P<text>[^\n]*(?:\n\t[^\n]*)*)",
    re.MULTILINE,
)
_TOLD = ("ERROR", "DETAIL", "CONTEXT", "HINT")
_MOST_CHARACTERS = 1000


def worker_error(log: str, subscription: str) -> str:
    """Why a worker of the subscription failed last, as sentences; "" where the log does not tell.

    A worker names its subscription when it begins, and when it disables it.
    """
    lines = [
        (found["pid"], found["level"], " ".join(found["text"].split()))
        for found in _LINE.finditer(log)
    ]
    own = {pid for pid, _level, text in lines if f'subscription "{subscription}"' in text}
    failed = [
        index for index, (pid, level, _text) in enumerate(lines) if pid in own and level == "ERROR"
    ]
    if not failed:
        return ""
    told = _block(lines, failed[-1])
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in told)[
        :_MOST_CHARACTERS
    ]


def _block(lines: list[tuple[str, str, str]], start: int) -> list[str]:
    """The error and the lines of the same process that explain it."""
    pid = lines[start][0]
    told = [lines[start][2]]
    for other, level, text in lines[start + 1 :]:
        if other != pid:
            continue
        if level not in _TOLD[1:]:
            break
        told.append(text)
    return told

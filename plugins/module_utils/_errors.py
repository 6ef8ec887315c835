# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What goes wrong, said in sentences that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# SQLSTATEs that decide what is done next (PostgreSQL: appendix "PostgreSQL Error Codes").
INSUFFICIENT_PRIVILEGE = "42501"
LOCK_NOT_AVAILABLE = "55P03"
OBJECT_IN_USE = "55006"


class ReplicationError(Exception):
    """The one root of all errors that a module reports.

    :param message: one or more sentences: what is wrong, and what to do.
    :param result: further keys for the module's failure result.
    """

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.message = message
        self.result = result


class ServerError(ReplicationError):
    """The server answered a statement with an error.

    :param sqlstate: the SQLSTATE, PostgreSQL's appendix "PostgreSQL Error Codes".
    """

    def __init__(self, message: str, sqlstate: str | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def fail_with_all(problems: Iterable[str]) -> None:
    """Raise one error that tells every problem; none raises nothing."""
    told = list(problems)
    if len(told) == 1:
        raise ReplicationError(told[0])
    if told:
        raise ReplicationError("\n- ".join([f"{len(told)} problems, nothing was changed:", *told]))


# SQLSTATE -> what to do about it, where the server's own words leave that open.
_ADVICE = {
    "25006": "This server is a standby, or default_transaction_read_only is on: connect to the primary.",
    INSUFFICIENT_PRIVILEGE: "Connect as a role that may do this, or grant the connecting role what is missing.",
    "53100": "The server's disk is full: free space there first.",
    "53300": "The server has no connection left: raise max_connections or end idle ones.",
    "53400": "Raise the setting that the message names, or remove what is not needed any more.",
    OBJECT_IN_USE: "Something still uses it: end that first.",
    LOCK_NOT_AVAILABLE: "Another session holds a lock on it: try again when that has ended.",
    "57014": "The statement was cancelled, by a timeout or by hand: nothing of it was kept.",
    "57P01": "The server was shut down meanwhile: run the task again when it is back.",
    "58030": "The server cannot read or write its disk: look into its log.",
}


def describe(
    sqlstate: str | None, primary: str | None, detail: str | None = None, hint: str | None = None
) -> str:
    """The server's message, detail and hint, and our advice, as sentences.

    Never the part that quotes the statement ("LINE 1: ..."): it may quote a password.
    """
    parts = [primary, detail, hint, _ADVICE.get(sqlstate or "")]
    return " ".join(_sentence(part) for part in parts if part)


def _sentence(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.splitlines())
    return " ".join(line if line[-1] in ".!?:" else line + "." for line in lines if line)

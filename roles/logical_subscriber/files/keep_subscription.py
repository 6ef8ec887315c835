# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep a subscription enabled over a link that comes and goes.

With disable_on_error the server disables a subscription for any error of its workers, and a
connection that is cut is one of them: after the first cut nothing would be replicated any more. This
program enables the subscription again where the server's log says that a connection ended, and only
there. A conflict stays what disable_on_error is for: it stops the subscription, and is reported.

Standard library and psycopg2; Python 3.9.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

TAIL_BYTES = 1_000_000

# What an ended connection looks like in a worker's error: the server's words, and libpq's.
LINK_ERRORS = re.compile(
    r"could not (receive data from|send data to) WAL stream"
    r"|could not send end-of-streaming message to primary"
    r"|terminating logical replication worker due to timeout"
    r"|could not connect to the publisher"
    r"|connection to server .* failed"
    r"|server closed the connection unexpectedly"
    r"|SSL (SYSCALL )?error|SSL connection has been closed"
    r"|could not (receive data from|send data to) server"
    r"|Connection (timed out|reset by peer|refused)|Broken pipe"
    r"|No route to host|Network is unreachable|timeout expired"
    r"|no connection to the server|connection not open"
    r"|terminating (walsender process|connection) due to"
    r"|the database system is (shutting down|starting up|not yet accepting connections)"
)
_LINE = re.compile(
    r"^[^\n]*?\[(?P<pid>\d+)\][^\n]*?(?P<level>[A-Z]+):  (?P<text>[^\n]*(?:\n\t[^\n]*)*)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Config:
    """What the role writes for this program."""

    database: str
    subscription: str
    socket_directory: str
    port: int
    log_file: str
    status_file: str
    interval: float = 10.0

    @classmethod
    def read(cls, path: Path) -> Config:
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Verdict:
    """Why a subscription is disabled, as its log tells it.

    :param link: a connection ended, and nothing else.
    """

    link: bool
    reason: str


def judge(log: str, subscription: str) -> Verdict | None:
    """What the log says of the subscription last; None: not that an error has disabled it."""
    lines = [
        (found["pid"], found["level"], " ".join(found["text"].split()))
        for found in _LINE.finditer(log)
    ]
    name = re.escape(f'subscription "{subscription}"')
    event = re.compile(rf"{name}.*(has been disabled|has started|will (stop|restart)|has finished)")
    events = [
        index
        for index, (_pid, level, text) in enumerate(lines)
        if level == "LOG" and event.search(text)
    ]
    if not events or "has been disabled" not in lines[events[-1]][2]:
        return None
    pid = lines[events[-1]][0]
    errors = [
        text for other, level, text in lines[: events[-1]] if other == pid and level == "ERROR"
    ]
    if not errors:
        return None
    return Verdict(link=bool(LINK_ERRORS.search(errors[-1])), reason=errors[-1])


def log_texts(path: Path) -> Iterator[str]:
    """The end of the log; then that of the one before, in case it was put aside just now."""
    for name in (path, path.with_name(f"{path.name}.1")):
        with contextlib.suppress(OSError), name.open("rb") as file:
            file.seek(max(0, name.stat().st_size - TAIL_BYTES))
            yield file.read().decode(errors="replace")


def last_verdict(texts: Iterable[str], subscription: str) -> Verdict | None:
    """The verdict of the first text that says anything of the subscription."""
    for text in texts:
        if f'subscription "{subscription}"' in text:
            return judge(text, subscription)
    return None


class Keeper:
    """One look after the other, until someone ends this."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._told: tuple[str, str] | None = None

    def look(self) -> None:
        """Enable the subscription if a cut has disabled it."""
        config = self._config
        try:
            connection = psycopg2.connect(
                host=config.socket_directory,
                port=config.port,
                dbname=config.database,
                application_name="pg_replication keep_subscription",
                connect_timeout=10,
            )
        except psycopg2.Error:
            self._tell("waiting", "The server does not answer.")
            return
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                self._keep(cursor)
        except psycopg2.Error as error:
            self._tell("waiting", f"The server refused: {str(error).strip()}")
        finally:
            connection.close()

    def _keep(self, cursor: Any) -> None:
        name = self._config.subscription
        cursor.execute(
            "SELECT subenabled FROM pg_catalog.pg_subscription WHERE subname = %s AND subdbid ="
            " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
            (name,),
        )
        row = cursor.fetchone()
        if row is None:
            self._tell("waiting", f"There is no subscription {name}.")
            return
        if row[0]:
            self._tell("running", f"Subscription {name} is enabled.")
            return
        verdict = last_verdict(log_texts(Path(self._config.log_file)), name)
        if verdict is None:
            self._tell(
                "waiting", f"Subscription {name} is disabled, by no error that the log tells of."
            )
        elif not verdict.link:
            self._tell(
                "failed",
                f"Subscription {name} was disabled by an error: {verdict.reason} Set that right, and"
                " run the playbook again.",
            )
        else:
            cursor.execute(sql.SQL("ALTER SUBSCRIPTION {} ENABLE").format(sql.Identifier(name)))
            self._tell(
                "running",
                f"Enabled subscription {name} after its connection ended: {verdict.reason}",
            )

    def _tell(self, state: str, message: str) -> None:
        if (state, message) == self._told:
            return
        self._told = (state, message)
        say(message)
        content: Mapping[str, Any] = {
            "step": "subscription",
            "state": state,
            "message": message,
            "updated": int(time.time()),
        }
        target = Path(self._config.status_file)
        partial = target.with_name(f".{target.name}.partial")
        try:
            partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            say(f"{target} cannot be written: {error.strerror}.")


def say(message: str) -> None:
    """For the journal."""
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


def detach() -> None:
    """Go on without whoever started this."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)


def alone(config: Config) -> int | None:
    """A lock that ends with this process; None: another one is at work."""
    lock = os.open(f"{config.status_file}.lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--detach", action="store_true", help="where no systemd keeps this running")
    options = parser.parse_args()
    config = Config.read(options.config)
    if alone(config) is None:
        say("Another one is at work.")
        return 0
    if options.detach:
        detach()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ended.set())
    keeper = Keeper(config)
    # Whoever takes the subscription away removes this file, which ends this where no systemd does.
    while options.config.exists():
        keeper.look()
        if ended.wait(config.interval):
            break
        config_now = Config.read(options.config) if options.config.exists() else config
        if config_now != config:
            config = config_now
            keeper = Keeper(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())

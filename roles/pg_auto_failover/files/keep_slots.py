# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep the ships' replication slots on a node of a shore of several, so that ships follow a failover.

keep_slots --config FILE [--check | --conninfo]

Runs on every data node, from a timer. Every node holds every physical ship's slot; where it is not
in use, it follows the one that is. Logical ships' slots, which PostgreSQL 17 synchronizes itself,
are kept free of what stops that, and from being ahead of the synchronous standbys. What it does it
tells in sentences, and what is wrong in its status file. slot_plan.py decides, this program does.

With --check it only tells. With --conninfo it does no more than give the primary_conninfo that
pg_auto_failover set the database that slot synchronization needs.

Standard library and psycopg2; Python 3.9.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.extensions import make_dsn, parse_dsn
from slot_plan import (
    CRITICAL,
    WARNING,
    Action,
    Look,
    Memory,
    Plan,
    Planner,
    Problem,
    Ship,
    Wanted,
    conninfo_file,
    forks,
    gate_file,
    number,
    primary_conninfo,
    text,
)

_WRONG = 3
_PATIENCE = 5.0  # seconds for a slot whose connection was ended to be free
_LOCK_PATIENCE = 20.0  # seconds
_SETTINGS = (
    "synchronous_standby_names",
    "synchronized_standby_slots",
    "sync_replication_slots",
    "shared_preload_libraries",
    "primary_conninfo",
)

# All of a look in one statement, which a role without any privilege may make, too. Rows as JSON,
# since every version has other columns.
_LOOK = """
SELECT json_build_object(
  'version', current_setting('server_version_num')::int / 10000,
  'system', (SELECT system_identifier::text FROM pg_control_system()),
  'started', extract(epoch FROM pg_postmaster_start_time())::text,
  'primary', NOT pg_is_in_recovery(),
  'position', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                   ELSE pg_current_wal_flush_lsn() END,
  'redo', (SELECT redo_lsn FROM pg_control_checkpoint()),
  'timeline', CASE WHEN pg_is_in_recovery()
    THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                  (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                  (SELECT received_tli FROM pg_stat_wal_receiver))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'slots', (SELECT coalesce(json_agg(row_to_json(s)), '[]') FROM pg_replication_slots AS s),
  'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name = ANY (%s)),
  'senders', (SELECT coalesce(json_agg(row_to_json(r)), '[]')
                FROM pg_stat_replication AS r WHERE r.pid IS NOT NULL))
"""


@dataclasses.dataclass(frozen=True)
class Node:
    """Another data node."""

    name: str
    host: str
    port: int


class Config:
    """What the role wrote."""

    def __init__(self, path: Path) -> None:
        given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.node = str(given["node"])
        self.socket_directory = str(given["socket_directory"])
        self.port = int(given["port"])
        self.user = str(given.get("user", "postgres"))
        self.nodes = [
            Node(str(node["name"]), str(node["host"]), int(node.get("port", 5432)))
            for node in given["nodes"]
        ]
        self.connection: Mapping[str, Any] = given["connection"]
        self.state = Path(given["state_directory"])
        self.settings = Path(given["settings_directory"])
        # What pg_auto_failover writes for a standby; '': this shore is another's work.
        self.standby_file = given.get("standby_file") or ""
        ships = [
            Ship(
                str(ship["name"]),
                str(ship["slot"]),
                ship["mode"] == "logical",
                bool(ship.get("by_standby")),
            )
            for ship in given["ships"]
        ]
        kept = {ship.slot for ship in ships}
        self.wanted = Wanted(
            ships=ships,
            absent=[name for name in given.get("absent", []) if name not in kept],
            interval=float(given.get("interval", 10)),
            gate=bool(given.get("gate", True)),
        )

    @property
    def status_file(self) -> Path:
        return self.state / "status.json"

    @property
    def memory_file(self) -> Path:
        return self.state / "memory.json"

    @property
    def gate_file(self) -> Path:
        return self.settings / "60-pg_replication-gate.conf"

    @property
    def conninfo_file(self) -> Path:
        return self.settings / "90-pg_replication-conninfo.conf"


def say(message: str) -> None:
    """For the journal."""
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


def sentence(error: Exception) -> str:
    """What the server or libpq says, on one line."""
    told = " ".join(str(error).split())
    return told if told.endswith(".") else f"{told}."


def write_whole(path: Path, content: str, mode: int) -> None:
    """Put the content in its place at once: readers find the former file or this one."""
    descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(made).chmod(mode)
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink()
        raise


def content_of(path: Path) -> str | None:
    """A file's content; None where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


# --- looking -------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected(**parameters: Any) -> Iterator[Any]:
    """A cursor in autocommit, of a session that no network can hold for long."""
    connection = psycopg2.connect(
        **{
            "dbname": "postgres",
            "application_name": "pg_replication keep_slots",
            "connect_timeout": 3,
            "tcp_user_timeout": 5000,
            "keepalives_idle": 2,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "options": "-c search_path=pg_catalog,pg_temp -c statement_timeout=15s -c lock_timeout=5s",
            **parameters,
        }
    )
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def look(cursor: Any, node: str) -> Look:
    cursor.execute(_LOOK, (list(_SETTINGS),))
    return Look.read(node, cursor.fetchone()[0])


def look_at_others(config: Config) -> tuple[list[Look], dict[str, str]]:
    """What is seen of the other nodes, and of which not, and why."""
    found, unseen = [], {}
    for node in config.nodes:
        try:
            with connected(**{**config.connection, "host": node.host, "port": node.port}) as cursor:
                found.append(look(cursor, node.name))
        except psycopg2.Error as error:  # noqa: PERF203
            unseen[node.name] = sentence(error)
    return found, unseen


def history(cursor: Any, here: Look) -> dict[int, int]:
    """Where the timelines before this node's own ended."""
    if here.timeline == 1:
        return {}
    cursor.execute(
        "SELECT pg_read_file(%s, 0, 1000000, true)", (f"pg_wal/{here.timeline:08X}.history",)
    )
    return forks(cursor.fetchone()[0] or "")


# --- doing ---------------------------------------------------------------------------------------


class Keeper:
    """One look at all nodes, and what follows from it on this one."""

    def __init__(self, config: Config, check: bool) -> None:
        self.config = config
        self.check = check
        self.before = read_json(config.status_file)
        self.memory = self._recall()
        self.problems: list[Problem] = []
        self.done: list[str] = []

    def keep(self) -> None:
        """Look, decide, do, and write down."""
        config = self.config
        here: Look | None = None
        self.conninfo()
        try:
            with connected(
                host=config.socket_directory, port=config.port, user=config.user
            ) as cursor:
                here = look(cursor, config.node)
                here = dataclasses.replace(here, ends=history(cursor, here))
                others, unseen = look_at_others(config)
                now = time.time()
                plan = Planner(config.wanted, here, others, self.memory, now).make()
                self._report(plan)
                for action in plan.actions:
                    self._do(cursor, action)
                self._gate(cursor, here, plan)
                if plan.actions and not self.check:
                    here = look(cursor, config.node)
        except psycopg2.Error as error:
            # A node in maintenance, or whose server pg_auto_failover has stopped, is none to mend.
            self.problems.append(
                Problem(
                    WARNING, f"node {config.node}", f"The server cannot be asked: {sentence(error)}"
                )
            )
            others, unseen = [], {}
        for name, reason in sorted(unseen.items()):
            self.problems.append(
                Problem(
                    WARNING,
                    f"node {name}",
                    f"{name} cannot be asked how far the ships are: {reason} Slots here stay where"
                    " they are as far as nobody else knows.",
                )
            )
        self._write_down(here, others)

    def _report(self, plan: Plan) -> None:
        self.problems += plan.problems
        for news in plan.news:
            self._tell(news)

    def _tell(self, message: str) -> None:
        self.done.append(message)
        say(f"Would say: {message}" if self.check else message)

    def _do(self, cursor: Any, action: Action) -> None:
        if self.check:
            if action.told:
                say(f"Would do: {action.told}")
            elif action.kind == "advance":
                say(f"Would do: Moved the slot {action.slot} to {text(action.position)}.")
            return
        try:
            getattr(self, f"_{action.kind}")(cursor, action)
        except psycopg2.errors.ObjectInUse:
            return  # its ship was quicker; the next look sees it
        except psycopg2.errors.ConfigurationLimitExceeded:
            self._failed(
                action,
                "all replication slots are in use. Raise max_replication_slots, which needs a"
                " restart: shore_maintenance.yml does that without a failover.",
            )
        except psycopg2.Error as error:
            if cursor.connection.closed:
                raise
            self._failed(action, sentence(error))
        else:
            if action.told:
                self._tell(action.told)

    def _failed(self, action: Action, why: str) -> None:
        does = {
            "create": "made",
            "drop": "dropped",
            "advance": "moved",
            "push": "freed of its connection",
            "snapshot": "helped to be synchronized to the standby",
        }[action.kind]
        self.problems.append(
            Problem(CRITICAL, f"slot {action.slot}", f"It could not be {does}: {why}")
        )

    def _create(self, cursor: Any, action: Action) -> None:
        cursor.execute(
            "SELECT lsn::text FROM pg_create_physical_replication_slot(%s, true)", (action.slot,)
        )
        self.memory.made[action.slot] = number(cursor.fetchone()[0]) or 0

    def _drop(self, cursor: Any, action: Action) -> None:
        """Drop a slot; of a ship that left, even while that uses it, and comes back once or twice."""
        until = time.monotonic() + _PATIENCE
        while True:
            cursor.execute(
                "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (action.slot,)
            )
            row = cursor.fetchone()
            if row is None:
                return
            if row[0] is not None and action.forced:
                cursor.execute("SELECT pg_terminate_backend(%s)", (row[0],))
            try:
                cursor.execute("SELECT pg_drop_replication_slot(%s)", (action.slot,))
            except psycopg2.errors.ObjectInUse:
                if not action.forced or time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def _advance(self, cursor: Any, action: Action) -> None:
        # The server takes the lesser of this and what it has itself.
        cursor.execute(
            "SELECT pg_replication_slot_advance(%s, %s::pg_lsn)",
            (action.slot, text(action.position)),
        )

    def _push(self, cursor: Any, action: Action) -> None:
        cursor.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE slot_name = %s AND active_pid = %s",
            (action.slot, action.pid),
        )

    def _snapshot(self, cursor: Any, _action: Action) -> None:
        cursor.execute("SELECT pg_log_standby_snapshot()")

    # Files of settings

    def _gate(self, cursor: Any, here: Look, plan: Plan) -> None:
        if plan.gate is None:
            return
        path = self.config.gate_file
        wanted, former = gate_file(plan.gate), content_of(path)
        named = ", ".join(plan.gate)
        current = here.settings.get("synchronized_standby_slots", "")
        if wanted == former:
            if current != named:
                self.problems.append(
                    Problem(
                        WARNING,
                        "synchronized_standby_slots",
                        f"It is {current!r}, and {path} says {named!r}.",
                        "Something that the server reads later sets it, too, ALTER SYSTEM for"
                        " example: reset it there.",
                    )
                )
            return
        if former is None and not named and not current:
            return
        told = (
            f"Logical ships wait for the slots {named} from now on."
            if named
            else "Logical ships wait for no standby from now on: none is synchronous."
        )
        if self.check:
            say(f"Would do: {told}")
        elif self._put(cursor, path, wanted, former):
            self._tell(told)

    def conninfo(self) -> None:
        """Give what pg_auto_failover set as primary_conninfo a database, where that lacks one.

        Until 2.2 it writes none, and PostgreSQL 17 synchronizes no slot without. The files are read,
        not the server: this has to be right before the server starts, too.
        """
        config = self.config
        if not config.standby_file:
            return
        path = config.conninfo_file
        former = content_of(path)
        wanted = self._conninfo_wanted(content_of(Path(config.standby_file)) or "")
        if wanted == former:
            return
        told = (
            "Gave primary_conninfo the database that slot synchronization needs."
            if wanted is not None
            else "primary_conninfo is pg_auto_failover's own again."
        )
        if self.check:
            say(f"Would do: {told}")
            return
        try:
            with connected(
                host=config.socket_directory, port=config.port, user=config.user
            ) as cursor:
                put = self._put(cursor, path, wanted, former)
        except psycopg2.OperationalError:
            put = self._put(None, path, wanted, former)
        if put:
            self._tell(told)

    def _conninfo_wanted(self, content: str) -> str | None:
        conninfo = primary_conninfo(content)
        if not conninfo:
            return None
        try:
            parts = parse_dsn(conninfo)
        except psycopg2.ProgrammingError:
            self.problems.append(
                Problem(
                    CRITICAL,
                    "primary_conninfo",
                    f"What {self.config.standby_file} sets cannot be read by libpq's rules.",
                )
            )
            return None
        return None if "dbname" in parts else conninfo_file(make_dsn(conninfo, dbname="postgres"))

    def _put(self, cursor: Any, path: Path, wanted: str | None, former: str | None) -> bool:
        """Write or remove a file of settings, and have the server read it if it can."""
        try:
            self._write(path, wanted)
            if cursor is None:
                return True
            cursor.execute(
                "SELECT name, error FROM pg_file_settings"
                " WHERE sourcefile = %s AND error IS NOT NULL",
                (str(path.resolve()),),
            )
            errors = [f"{name}: {error}" for name, error in cursor.fetchall()]
            if errors:
                self._write(path, former)
                self.problems.append(
                    Problem(
                        CRITICAL,
                        str(path),
                        f"The server would not take it ({'; '.join(errors)}); the former is back.",
                    )
                )
                return False
            cursor.execute("SELECT pg_reload_conf()")
        except OSError as error:
            self.problems.append(
                Problem(CRITICAL, str(path), f"It cannot be written: {error.strerror}.")
            )
            return False
        return True

    @staticmethod
    def _write(path: Path, content: str | None) -> None:
        if content is None:
            path.unlink(missing_ok=True)
        else:
            # A connection string may hold a password.
            write_whole(path, content, 0o600)

    # What is kept between two runs

    def _recall(self) -> Memory:
        given = read_json(self.config.memory_file)
        names = {field.name for field in dataclasses.fields(Memory)}
        kept = {name: value for name, value in given.items() if name in names}
        if any(not isinstance(value, dict) for value in kept.values()):
            return Memory()  # forgetting costs a few seconds, and nothing else
        return Memory(**kept)

    def _write_down(self, here: Look | None, others: Sequence[Look]) -> None:
        told = {
            (problem["object"], problem["what"]) for problem in self.before.get("problems") or []
        }
        for problem in self.problems:
            if (problem.object, problem.what) not in told:
                say(" ".join(part for part in (problem.what, problem.do) if part))
        if self.check:
            return
        write_whole(self.config.memory_file, json.dumps(dataclasses.asdict(self.memory)), 0o640)
        write_whole(
            self.config.status_file, json.dumps(self._status(here, others), indent=1) + "\n", 0o640
        )

    def _status(self, here: Look | None, others: Sequence[Look]) -> dict[str, Any]:
        severities = {problem.severity for problem in self.problems}
        former = (self.before.get("done") or [])[: 20 - len(self.done)]
        at = round(time.time())
        return {
            "format": 1,
            "updated": at,
            "interval": self.config.wanted.interval,
            "node": self.config.node,
            "status": next((s for s in (CRITICAL, WARNING) if s in severities), "ok"),
            "role": "down" if here is None else "primary" if here.primary else "standby",
            "timeline": here.timeline if here else None,
            "position": text(here.position) if here else None,
            "nodes": {
                each.node: {
                    "role": "primary" if each.primary else "standby",
                    "timeline": each.timeline,
                    "position": text(each.position),
                }
                for each in others
            },
            "ships": [self._ship(ship, here, others) for ship in self.config.wanted.ships],
            "missing": self.memory.missing,
            "problems": [dataclasses.asdict(problem) for problem in self.problems],
            "done": [{"at": at, "what": what} for what in reversed(self.done)] + former,
        }

    def _ship(self, ship: Ship, here: Look | None, others: Sequence[Look]) -> dict[str, Any]:
        slot = here.slots.get(ship.slot) if here else None
        using = [
            each.node
            for each in ([here] if here else []) + list(others)
            if ship.slot in each.slots and each.slots[ship.slot].active
        ]
        told: dict[str, Any] = {
            "name": ship.name,
            "slot": ship.slot,
            "mode": "logical" if ship.logical else "physical",
            "streams_from": using[0] if using else None,
            "present": slot is not None,
        }
        if slot is not None:
            told.update(
                active=slot.active,
                restart_lsn=text(slot.restart) if slot.restart is not None else None,
                wal_status=slot.wal_status,
                lost=slot.lost,
            )
            if ship.logical:
                told.update(
                    confirmed_lsn=text(slot.confirmed) if slot.confirmed is not None else None,
                    failover=slot.failover,
                    synced=slot.synced and not slot.temporary,
                )
        return told


def read_json(path: Path) -> dict[str, Any]:
    """What was written down; nothing where that is not there or was cut."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """A lock that ends with this process; False: another one is at work for too long."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        until = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # noqa: PERF203
                if time.monotonic() > until:
                    yield False
                    return
                time.sleep(0.1)
            else:
                yield True
                return
    finally:
        os.close(handle)


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep the ships' slots on this node of the shore.")
    parser.add_argument("--config", type=Path, required=True)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--check", action="store_true", help="only tell what would be done")
    ways.add_argument(
        "--conninfo", action="store_true", help="only give primary_conninfo its database"
    )
    options = parser.parse_args()
    try:
        config = Config(options.config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(
            f"{options.config} cannot be used: {error}. Run playbooks/shore_ha.yml again.\n"
        )
        return _WRONG
    try:
        with alone(config.state / "lock") as free:
            if not free:
                sys.stderr.write("Another one is at work, for too long.\n")
                return 1
            keeper = Keeper(config, options.check)
            if options.conninfo:
                keeper.conninfo()
                for problem in keeper.problems:
                    say(problem.what)
            else:
                keeper.keep()
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        sys.stderr.write(f"{error.strerror or error}{where}.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

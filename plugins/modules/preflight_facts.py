#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gather what has to be known of a host before replication is set up on it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: preflight_facts
short_description: Gather what has to be known of a host before replication is set up on it
version_added: 0.1.0
description:
  - Looks at a Debian host that may have nothing but Python, and returns in one round trip what decides whether it can
    become part of a fleet. These are its distribution, clock and free space, what it reaches, what lies in the place of
    its data directory, and, where a server runs, its settings and the room it has for one more consumer.
  - Judges nothing and changes nothing. It needs neither PostgreSQL nor psycopg2; a running server is asked with its own
    C(psql), as the operating system's user C(postgres).
  - Has to run as root.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details:
      - Nothing is changed.
  facts:
    description: Returns C(ansible_facts), which are added to those of the host.
    support: full
  idempotent:
    support: full
    details:
      - Nothing is changed.
options:
  version:
    description: The major version of PostgreSQL that is wanted, for example V(15).
    type: str
    required: true
  cluster:
    description: The name of the cluster that is wanted.
    type: str
    default: main
  database:
    description: A database to look for tables in; its settings are read too.
    type: str
  tables:
    description:
      - Tables in O(database) that are to be published, as the option O(hmm.pg_replication.publication#module:tables) of
        M(hmm.pg_replication.publication) takes them. Their columns and replica identity are looked at.
      - To know which columns a C(where) looks at, temporary tables are made and rolled back.
    type: list
    elements: raw
    default: []
  pack_directories:
    description: Folders that hold packs that standbys are seeded from, or that are one.
    type: list
    elements: path
    default: []
  connect_to:
    description: What this host should reach.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What to call it in the result.
        type: str
        required: true
      host:
        description: A name or an address.
        type: str
        required: true
      port:
        description: A TCP port.
        type: int
        required: true
  connect_timeout:
    description: How many seconds to wait for each connection.
    type: int
    default: 15
  controller_epoch:
    description: The controller's time, in seconds since 1970, to compare this host's clock with.
    type: float
author:
  - HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Look at the ship before anything is changed
  hmm.pg_replication.preflight_facts:
    version: "15"
    connect_to:
      - name: shore
        host: shore.example.com
        port: 5432
    controller_epoch: "{{ now().timestamp() }}"
"""

RETURN = r"""
ansible_facts:
  description: Facts that are added to those of the host.
  returned: always
  type: dict
  contains:
    preflight:
      description: What was found.
      type: dict
      contains:
        distribution:
          description: C(ID) and C(VERSION_ID) of C(/etc/os-release), for example V(debian 12).
          type: str
          sample: debian 12
        architecture:
          description: The machine's architecture.
          type: str
          sample: x86_64
        clock_offset:
          description: How many seconds this host's clock is ahead of O(controller_epoch); null without it.
          type: float
          sample: 0.4
        free_bytes:
          description: Free space of the file system where clusters lie.
          type: int
          sample: 81604378624
        sudo:
          description: Whether there is C(sudo).
          type: bool
          sample: true
        unreachable:
          description: Those of O(connect_to) that did not answer, each with O(connect_to[].name) and the reason.
          type: list
          elements: dict
          sample: [{"name": "shore", "host": "203.0.113.10", "port": 5432, "reason": "timed out"}]
        installed:
          description: Whether the server's programs of O(version) are installed.
          type: bool
        cluster:
          description: The cluster as postgresql-common knows it; null where there is none.
          type: dict
          sample: {"port": 5432, "status": "online", "data_directory": "/var/lib/postgresql/15/main"}
        data:
          description: What lies in the place of the data directory.
          type: dict
          contains:
            kind:
              description:
                - V(absent) is nothing, or an empty directory. V(seeded) is a standby that was put in place by this
                  collection, V(converted) one that has been made a subscriber since, V(promoted) one that is neither
                  any more.
                - V(standby) is a standby made by other means, V(server) any other server's data, V(foreign) anything
                  else.
              type: str
              sample: absent
            directory:
              description: Where.
              type: str
              sample: /var/lib/postgresql/15/main
            system_identifier:
              description: Of a server's data; null where it cannot be read.
              type: str
              sample: "7300000000000000000"
            seed:
              description: The name of the seed that was put in place; null where there is none.
              type: str
              sample: 20261122T201530Z-1-0000000003000028
            state:
              description: What the control file calls the state of the cluster; null where it cannot be read.
              type: str
              sample: in archive recovery
            timeline:
              description: The timeline of the data, where they end.
              type: int
              sample: 1
            redo_lsn:
              description: From where WAL is needed to go on.
              type: str
              sample: 0/3000028
            end_lsn:
              description: The furthest position that the control file, or a running standby, tells of.
              type: str
              sample: 0/3000138
            rewindable:
              description: Whether pg_rewind could tell what changed, by data checksums or wal_log_hints.
              type: bool
              sample: false
        packs:
          description: The whole packs in O(pack_directories), oldest first, each as M(hmm.pg_replication.base_backup)
            describes it.
          type: list
          elements: dict
          sample: []
        job:
          description: A seed that was begun in one of O(pack_directories) and has not come to its end, with its C(way);
            null where there is none.
          type: dict
          sample: {"way": "rsync"}
        server:
          description: What the running server said; null where none runs, or where it could not be asked.
          type: dict
          sample: {"version": 150014, "in_recovery": false, "slots": {"max": 10, "used": ["ship_oslo"]}}
        server_error:
          description: Why a running server could not be asked.
          type: str
          sample: ""
"""

import fcntl
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hmm.pg_replication.plugins.module_utils._control_file import (
    data_end,
    read_control,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication import (
    TableRequest,
    table_requests,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._replica_identity import RELATIONS

_MARKER = "pg_replication_seed.json"
# Of the role logical_subscriber: what the making of a subscriber began with, and held while it is under way.
_CONVERSION = "pg_replication_conversion.json"
_CONVERSION_LOCK = "/var/lib/pg_replication/{}/conversion.lock"

# One statement, one JSON value. It has to be understood by every version from 13 on; what a version
# lacks comes through to_jsonb() of the row, as null.
_SERVER_QUERY = """
SELECT json_build_object(
  'version', current_setting('server_version_num')::int,
  'in_recovery', pg_is_in_recovery(),
  'received_lsn', greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()),
  'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'settings', (SELECT json_object_agg(name, setting)
    FROM pg_settings WHERE name IN ('wal_level', 'max_wal_senders', 'max_replication_slots',
    'listen_addresses', 'archive_mode')),
  'archive', (SELECT CASE
    WHEN bool_or(name = 'archive_mode' AND setting = 'off') THEN ''
    WHEN bool_or(name = 'archive_library' AND setting <> '') THEN 'other'
    WHEN bool_or(setting LIKE '/usr/local/lib/pg_replication/archive_wal %') THEN 'pg_replication'
    WHEN bool_or(name = 'archive_command' AND setting <> '') THEN 'other'
    ELSE '' END FROM pg_settings WHERE name IN ('archive_mode', 'archive_command', 'archive_library')),
  'slots', json_build_object('max', current_setting('max_replication_slots')::int,
    'used', (SELECT coalesce(json_agg(slot_name ORDER BY slot_name), '[]') FROM pg_replication_slots)),
  'clients', (SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
  'senders', json_build_object('max', current_setting('max_wal_senders')::int,
    'used', (SELECT count(*) FROM pg_stat_replication)),
  'databases', (SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE NOT datistemplate),
  'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
  'tablespaces', (SELECT coalesce(json_agg(spcname ORDER BY spcname), '[]') FROM pg_tablespace
    WHERE spcname NOT IN ('pg_default', 'pg_global')),
  'uptime_seconds', extract(epoch FROM now() - pg_postmaster_start_time())::bigint)
"""

_WAL_RATE_QUERY = """
SELECT json_build_object('bytes', wal_bytes,
  'seconds', extract(epoch FROM now() - stats_reset)::bigint) FROM pg_stat_wal
"""
_FIRST_WITH_WAL_STATISTICS = 140000

# All tables of the database that cannot tell which row an update or a delete is of.
_IDENTITY_QUERY = """
SELECT coalesce(json_agg(c.oid::regclass::text ORDER BY c.oid::regclass::text), '[]') FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.relreplident <> 'f'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
    AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)
"""

_TABLES_QUERY = """
WITH RECURSIVE
wanted AS (SELECT key AS name, to_regclass(value)::oid AS oid FROM json_each_text(:'tables'::json)),
tree (name, oid) AS (
  SELECT name, oid FROM wanted WHERE oid IS NOT NULL
  UNION SELECT name, inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.oid),
{relations}
SELECT coalesce(json_object_agg(wanted.name, CASE WHEN c.oid IS NULL THEN NULL ELSE json_build_object(
    'oid', c.oid::bigint, 'kind', c.relkind, 'persistence', c.relpersistence,
    'columns', (SELECT json_agg(attname ORDER BY attnum) FROM pg_attribute
      WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
    'relations', (SELECT json_agg(found) FROM tree JOIN relation USING (oid)
      WHERE tree.name = wanted.name)) END), '{}')
FROM wanted LEFT JOIN pg_class c USING (oid)
""".replace("{relations}", RELATIONS)

# Only the server can tell which columns an expression looks at. It becomes the check of a temporary table, which
# is named like the table itself, for filters that say documents.id; no lock is taken that holds up anyone.
_FILTERS_QUERY = """
BEGIN;
SET LOCAL lock_timeout = '3s';
SELECT set_config('pg_replication.filters', :'filters', true) AS filters \\gset
DO $do$
DECLARE
  entry record;
  used json;
  answers jsonb := '[]';
BEGIN
  FOR entry IN
    SELECT f.name, f."where", c.relname, format('%I.%I', n.nspname, c.relname) AS place
      FROM json_to_recordset(current_setting('pg_replication.filters')::json)
           AS f (name text, place text, "where" text)
      JOIN pg_class c ON c.oid = to_regclass(f.place)
      JOIN pg_namespace n ON n.oid = c.relnamespace
  LOOP
    BEGIN
      EXECUTE format('CREATE TEMPORARY TABLE pg_temp.%I (LIKE %s, CHECK (%s))',
                     entry.relname, entry.place, entry."where");
      SELECT to_json(array(SELECT attname FROM pg_attribute
                            WHERE attrelid = conrelid AND attnum = ANY (conkey)))
        INTO used FROM pg_constraint
       WHERE contype = 'c' AND conrelid = to_regclass(format('pg_temp.%I', entry.relname));
      EXECUTE format('DROP TABLE pg_temp.%I', entry.relname);
      answers := answers || jsonb_build_object(
        'name', entry.name, 'where', entry."where", 'columns', used, 'refusal', '');
    EXCEPTION WHEN others THEN
      answers := answers || jsonb_build_object(
        'name', entry.name, 'where', entry."where", 'columns', '[]'::json, 'refusal', sqlerrm);
    END;
  END LOOP;
  PERFORM set_config('pg_replication.filters', answers::text, true);
END
$do$;
SELECT current_setting('pg_replication.filters');
ROLLBACK;
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "database": {"type": "str"},
            "tables": {"type": "list", "elements": "raw", "default": []},
            "pack_directories": {"type": "list", "elements": "path", "default": []},
            "connect_to": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "host": {"type": "str", "required": True},
                    "port": {"type": "int", "required": True},
                },
            },
            "connect_timeout": {"type": "int", "default": 15},
            "controller_epoch": {"type": "float"},
        },
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(msg="preflight_facts has to run as root: set become on the task or play.")
    entries = module.params["tables"]
    try:
        requests = table_requests(entries) or ()
    except ReplicationError as exc:
        module.fail_json(msg=str(exc))
    names = [entry if isinstance(entry, str) else entry["name"] for entry in entries]
    found = _preflight(module.params, list(zip(names, requests)))
    module.exit_json(changed=False, ansible_facts={"preflight": found})


def _preflight(
    params: Mapping[str, Any], tables: Sequence[tuple[str, TableRequest]]
) -> dict[str, Any]:
    now = time.time()
    version, cluster_name = params["version"], params["cluster"]
    programs = Path("/usr/lib/postgresql", version, "bin")
    cluster = _cluster(version, cluster_name)
    directory = Path(
        cluster["data_directory"] if cluster else f"/var/lib/postgresql/{version}/{cluster_name}"
    )
    server, server_error = None, ""
    if cluster and cluster["status"].startswith("online"):
        server, server_error = _server(cluster["port"], params["database"], tables)
    return {
        "distribution": _distribution(Path("/etc/os-release")),
        "architecture": platform.machine(),
        "clock_offset": None
        if params["controller_epoch"] is None
        else round(now - params["controller_epoch"], 1),
        "free_bytes": _free_bytes(directory),
        "sudo": shutil.which("sudo") is not None,
        "unreachable": _unreachable(params["connect_to"], params["connect_timeout"]),
        "installed": (programs / "postgres").exists(),
        "cluster": cluster,
        "data": _data(
            directory,
            version,
            Path(_CONVERSION_LOCK.format(cluster_name)),
            (server or {}).get("received_lsn"),
        ),
        "packs": _packs(params["pack_directories"]),
        "job": _job(params["pack_directories"]),
        "server": server,
        "server_error": server_error,
    }


def _distribution(release: Path) -> str:
    try:
        text = release.read_text("utf-8")
    except OSError:
        return "unknown"
    found = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', text, re.MULTILINE))
    return f"{found.get('ID', 'unknown')} {found.get('VERSION_ID', '')}".strip()


def _cluster(version: str, name: str) -> dict[str, Any] | None:
    lister = shutil.which("pg_lsclusters")
    if lister is None:
        return None
    answer = subprocess.run([lister, "-h"], capture_output=True, text=True, check=False).stdout
    for line in answer.splitlines():
        # version, name, port, status, owner, data directory, log file; the owner of a cluster
        # without its data directory is <unknown>.
        fields = line.split()
        if fields[:2] == [version, name]:
            return {"port": int(fields[2]), "status": fields[3], "data_directory": fields[5]}
    return None


def _free_bytes(directory: Path) -> int:
    for place in (directory, *directory.parents):
        if place.is_dir():
            return shutil.disk_usage(place).free
    return 0


def _unreachable(targets: Sequence[Mapping[str, Any]], timeout: int) -> list[dict[str, Any]]:
    answers = [{**target, "reason": _refusal(target, timeout)} for target in targets]
    return [answer for answer in answers if answer["reason"]]


def _refusal(target: Mapping[str, Any], timeout: int) -> str:
    try:
        socket.create_connection((target["host"], target["port"]), timeout).close()
    except OSError as error:
        return (error.strerror or str(error) or type(error).__name__).lower()
    return ""


def _data(directory: Path, version: str, lock: Path, received: str | None = None) -> dict[str, Any]:
    control = read_control(version, directory)
    identifier = control.get("Database system identifier")
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        kind = "absent"
    elif (directory / _MARKER).exists():
        kind = _seeded(directory, identifier, lock)
    elif (directory / "standby.signal").exists():
        kind = "standby"
    elif (directory / "PG_VERSION").exists():
        kind = "server"
    else:
        kind = "foreign"
    end, timeline = data_end(control, directory, received)
    return {
        "kind": kind,
        "directory": str(directory),
        "system_identifier": identifier,
        "seed": _read_json(directory / _MARKER).get("name"),
        "state": control.get("Database cluster state"),
        "timeline": timeline,
        "redo_lsn": control.get("Latest checkpoint's REDO location"),
        "end_lsn": None if end is None else str(end),
        "rewindable": control.get("Data page checksum version", "0") != "0"
        or control.get("wal_log_hints setting") == "on",
    }


def _packs(directories: Sequence[str]) -> list[dict[str, Any]]:
    """Those whose archive and manifest are there as a whole."""
    found = []
    places = [Path(directory) for directory in directories]
    for folder in [
        *places,
        *(inner for place in places if place.is_dir() for inner in place.iterdir()),
    ]:
        pack = _read_json(folder / "pack.json")
        archive = folder / str(pack.get("file"))
        manifest = folder / "backup_manifest"
        if archive.is_file() and manifest.is_file() and archive.stat().st_size == pack.get("bytes"):
            found.append({**pack, "path": str(folder)})
    return sorted(found, key=lambda pack: str(pack.get("created")))


def _job(directories: Sequence[str]) -> dict[str, Any] | None:
    for directory in directories:
        job = _read_json(Path(directory, "job.json"))
        if job and _read_json(Path(directory, "status.json")).get("state") != "done":
            incremental = (job.get("pack") or {}).get("base")
            return {"way": "incremental" if incremental else job.get("method")}
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _seeded(directory: Path, identifier: str | None, lock: Path) -> str:
    """What has become of a seed."""
    if (directory / "standby.signal").exists() or _is_held(lock):
        return "seeded"
    # pg_createsubscriber gives it another one last of all.
    begun = _read_json(directory / _CONVERSION).get("system_identifier", identifier)
    return "promoted" if begun == identifier else "converted"


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _server(
    port: int, database: str | None, tables: Sequence[tuple[str, TableRequest]]
) -> tuple[dict[str, Any] | None, str]:
    try:
        server: dict[str, Any] = _ask(port, "postgres", _SERVER_QUERY)
        server["wal"] = (
            _ask(port, "postgres", _WAL_RATE_QUERY)
            if server["version"] >= _FIRST_WITH_WAL_STATISTICS
            else None
        )
        server["tables"], server["filters"], server["without_identity"] = None, [], []
        if database and database in server["databases"]:
            places = {name: _quoted(entry.table) for name, entry in tables}
            server["tables"] = _ask(port, database, _TABLES_QUERY, tables=json.dumps(places))
            server["without_identity"] = _ask(port, database, _IDENTITY_QUERY)
            filters = [
                {"name": name, "place": places[name], "where": entry.where}
                for name, entry in tables
                if entry.where is not None
            ]
            if filters and not server["in_recovery"]:
                server["filters"] = _ask(
                    port, database, _FILTERS_QUERY, filters=json.dumps(filters)
                )
    except ServerSilentError as error:
        return None, str(error)
    return server, ""


def _quoted(table: TableName) -> str:
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in table if part is not None)


class ServerSilentError(Exception):
    """psql failed; the text is what it said."""


def _ask(port: int, database: str, query: str, **variables: str) -> Any:
    arguments = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    arguments += [f"--set={name}={value}" for name, value in variables.items()]
    arguments += [f"--port={port}", f"--dbname={database}", "--file=-"]
    process = subprocess.run(
        ["runuser", "-u", "postgres", "--", "psql", *arguments],
        input=query,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "15", "PGOPTIONS": ""},
    )
    if process.returncode != 0:
        raise ServerSilentError(process.stderr.strip() or "psql failed without a word")
    return json.loads(process.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manage a drop-in file of server settings."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: server_settings
short_description: Manage a drop-in file of a cluster's settings, never leaving a server that cannot load it
version_added: 0.1.0
description:
  - Writes a file into the folder C(conf.d) of a cluster that Debian's postgresql-common looks after, and has the
    server take it over by a reload, or by one restart where a setting demands it.
  - The server's own program reads the settings first, in a copy of the configuration. What it refuses is an error
    that quotes it, in check mode too, and nothing is changed.
  - Where the server does not start again with the new settings, the former file is put back and the server is started
    with that.
  - Works on a cluster that is down; it stays down.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - The name of the file is C(50-pg_replication-NAME.conf). Of two files that set the same, the later by
        alphabet wins.
    type: str
    required: true
  settings:
    description:
      - Names of settings and their values. A list is joined by commas, a boolean is V(on) or V(off). A setting that
        is V(null) is left to other files.
      - Where there are none, the file is removed.
    type: dict
    required: true
  restart:
    description:
      - Whether the server may be restarted where a setting takes effect only then. Where it may not, a warning
        names these settings.
    type: bool
    default: true
notes:
  - Has to run as root, since only root can restart a server that systemd runs.
seealso:
  - name: Setting Parameters
    description: PostgreSQL's chapter on configuration files.
    link: https://www.postgresql.org/docs/current/config-setting.html
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Ensure the settings of the shore
  hmm.pg_replication.server_settings:
    version: "15"
    name: primary
    settings:
      wal_level: logical
      max_wal_senders: 32
      listen_addresses: ['*']
      wal_compression: zstd
  become: true

- name: Write a setting that needs a restart, and leave the restart to the night
  hmm.pg_replication.server_settings:
    version: "15"
    name: memory
    settings:
      shared_buffers: 8GB
    restart: false
  become: true
"""

RETURN = r"""
file:
  description: The drop-in file.
  returned: success
  type: str
  sample: /etc/postgresql/15/main/conf.d/50-pg_replication-primary.conf
running:
  description: Whether the cluster's server runs.
  returned: success
  type: bool
  sample: true
reloaded:
  description: Whether the server read its files again, or in check mode would.
  returned: success
  type: bool
  sample: true
restarted:
  description: Whether the server was restarted, or in check mode would be.
  returned: success
  type: bool
  sample: false
restart_needed:
  description: The settings that take effect at a restart, before the restart that this task made.
  returned: success
  type: list
  elements: str
  sample: [wal_level]
overridden:
  description: The settings that another place sets, too, and wins; ALTER SYSTEM writes postgresql.auto.conf.
  returned: success
  type: dict
  sample: {work_mem: /var/lib/postgresql/15/main/postgresql.auto.conf}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hmm.pg_replication.plugins.module_utils._cluster import (
    Cluster,
    Running,
    find_cluster,
    read_file,
    replace_file,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import (
    require_psycopg2,
    sql,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._settings import (
    DROP_IN_PREFIX,
    drop_in,
    drop_in_name,
    names_in,
)

_MODE = 0o640

_STATE = """
SELECT name, setting, context, pending_restart, sourcefile FROM pg_settings
WHERE name = ANY ({}::text[])
"""

# What a restart settles is no error, and what other files have wrong is not this task's.
_ERRORS = """
SELECT name, error FROM pg_file_settings
WHERE sourcefile = {} AND error IS NOT NULL AND error <> 'setting could not be applied'
"""


class Server:
    """A running server that is to take over a changed file."""

    def __init__(self, cluster: Cluster, running: Running, file: Path, names: list[str]) -> None:
        if not running.ready:
            raise ReplicationError(
                f"The server of {cluster.title} is {running.status or 'starting'}: run the task"
                " again when it is up."
            )
        self.cluster = cluster
        self.file = file
        self.names = names
        self.session = cluster.session(running)

    def state(self) -> dict[str, dict[str, Any]]:
        statement = sql.SQL(_STATE).format(sql.Literal(self.names))
        return {row["name"]: row for row in self.session.read(statement)}

    def behind(self) -> bool:
        """Whether the file is newer than what the server has read."""
        try:
            written = self.file.stat().st_mtime
        except FileNotFoundError:
            return False
        return written > self.cluster.load_time(self.session)

    def foreseen(self, text: str | None) -> list[str]:
        """The settings that the text would change at a restart only."""
        before = self.state()
        late = [name for name, row in before.items() if row["context"] == "postmaster"]
        after = self.cluster.values_with({self.file: text}, late)
        return sorted(name for name in late if after[name] != before[name]["setting"])

    def reload(self) -> None:
        refused = self.session.read(sql.SQL(_ERRORS).format(sql.Literal(str(self.file))))
        fail_with_all(
            f"PostgreSQL refuses {row['name'] or 'the file'}: {row['error']}." for row in refused
        )
        self.cluster.reload(self.session)

    def pending(self) -> list[str]:
        return sorted(name for name, row in self.state().items() if row["pending_restart"])

    def overridden(self, wanted: str | None) -> dict[str, str]:
        # Until its restart, a setting comes from where it came from before.
        names = names_in(wanted or "")
        ours = self.file.with_name(DROP_IN_PREFIX)
        return {
            name: row["sourcefile"]
            for name, row in sorted(self.state().items())
            if name in names
            and not row["pending_restart"]
            and row["sourcefile"]
            and not row["sourcefile"].startswith(str(ours))
        }

    def close(self) -> None:
        self.session.close()


def ensure_settings(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Write the file and have the server take it over."""
    wanted = drop_in(params["settings"])
    cluster = find_cluster(params["version"], params["cluster"])
    folder = cluster.config_directory / "conf.d"
    file = folder / drop_in_name(params["name"])
    before = read_file(file)
    written = wanted != before
    if written:
        cluster.check_settings({file: wanted})
    result: dict[str, Any] = {
        "changed": written,
        "file": str(file),
        "running": False,
        "reloaded": False,
        "restarted": False,
        "restart_needed": [],
        "overridden": {},
        "diff": {
            "before_header": str(file),
            "after_header": str(file),
            "before": before or "",
            "after": wanted or "",
        },
    }
    running = cluster.running()
    if running is None:
        if written and not check_mode:
            _write(cluster, file, wanted)
        return result
    names = sorted({*names_in(before or ""), *names_in(wanted or "")})
    server = Server(cluster, running, file, names)
    try:
        return {**result, "running": True, **_take_over(server, before, wanted, params, check_mode)}
    finally:
        server.close()


def _take_over(
    server: Server,
    before: str | None,
    wanted: str | None,
    params: Mapping[str, Any],
    check_mode: bool,
) -> dict[str, Any]:
    written = wanted != before
    reload = written or server.behind()
    if check_mode:
        late = server.foreseen(wanted) if reload else server.pending()
        restart = bool(late) and params["restart"]
        return _told(reload, restart, late, {} if written else server.overridden(wanted))
    if written:
        _write(server.cluster, server.file, wanted)
    if reload:
        try:
            server.reload()
        except ReplicationError:
            if written:
                _write(server.cluster, server.file, before)
            raise
    late = server.pending()
    overridden = server.overridden(wanted)
    restart = bool(late) and params["restart"]
    if restart:
        server.close()
        _restart(server.cluster, server.file, before, written)
    return _told(reload, restart, late, overridden)


def _told(
    reloaded: bool, restarted: bool, late: list[str], overridden: dict[str, str]
) -> dict[str, Any]:
    return {
        "changed": reloaded or restarted,
        "reloaded": reloaded,
        "restarted": restarted,
        "restart_needed": late,
        "overridden": overridden,
    }


def _restart(cluster: Cluster, file: Path, before: str | None, written: bool) -> None:
    try:
        cluster.control("restart")
    except ReplicationError as exc:
        if not written or cluster.running() is not None:
            raise
        _write(cluster, file, before)
        exc.message += " The former settings were put back"
        try:
            cluster.control("start")
        except ReplicationError as second:
            exc.message += f", but the server does not start with them either: {second.message}"
        else:
            exc.message += ", and the server runs with them."
        raise


def _write(cluster: Cluster, file: Path, text: str | None) -> None:
    if not file.parent.is_dir():
        raise ReplicationError(
            f"There is no folder {file.parent}: make it, and add include_dir = 'conf.d' to"
            f" {cluster.config_directory / 'postgresql.conf'}."
        )
    replace_file(file, text, cluster.uid, cluster.gid, _MODE)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "name": {"type": "str", "required": True},
            "settings": {"type": "dict", "required": True},
            "restart": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        require_psycopg2()
        result = ensure_settings(module.params, module.check_mode)
    except ReplicationError as exc:
        module.fail_json(msg=exc.message, **exc.result)
    if result["restart_needed"] and not module.params["restart"]:
        module.warn(
            f"These settings take effect at the next restart: {', '.join(result['restart_needed'])}."
        )
    for name, place in result["overridden"].items():
        module.warn(f"{name} is set in {place} too, and that wins: remove it there.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()

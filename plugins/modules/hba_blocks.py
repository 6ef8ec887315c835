#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manage blocks of rules at the top of pg_hba.conf."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: hba_blocks
short_description: Manage blocks of rules at the top of a cluster's pg_hba.conf
version_added: 0.1.0
description:
  - Keeps named blocks of rules before all others in C(pg_hba.conf), many in one task. Lines outside the blocks stay as
    they are, in their order.
  - Before the server reads the file, its view C(pg_hba_file_rules) is asked. Where that finds an error, the former
    file is put back and the error is told.
  - Works on clusters that Debian's postgresql-common looks after, also on one that is down.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.cluster
attributes:
  check_mode:
    support: full
    details:
      - Errors that only the server can find, in lines that are not in blocks, are found when the file is written.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  blocks:
    description:
      - The blocks. Those that are not named here are left as they are.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name of the block, which its first and last line tell.
        type: str
        required: true
      state:
        description:
          - Whether the block is there.
        type: str
        choices: [present, absent]
        default: present
      rules:
        description:
          - The rules, in the order in which the server tries them.
        type: list
        elements: dict
        suboptions:
          type:
            description:
              - The kind of connection.
            type: str
            choices: [local, host, hostssl, hostnossl]
            default: hostssl
          databases:
            description:
              - Names of databases, V(all), V(replication).
            type: list
            elements: str
            required: true
          users:
            description:
              - Names of roles, or V(all).
            type: list
            elements: str
            required: true
          addresses:
            description:
              - Addresses, networks, names of hosts, V(all), V(samehost) or V(samenet); each becomes a line. A V(local)
                rule has none.
              - A name works where the address leads back to it in DNS, and is looked up at each connection.
            type: list
            elements: str
          method:
            description:
              - How the server makes sure who it is.
            type: str
            choices: [cert, ident, md5, peer, reject, scram-sha-256, trust]
            default: scram-sha-256
notes:
  - Has to run as root.
seealso:
  - module: community.postgresql.postgresql_pg_hba
  - name: The pg_hba.conf File
    description: PostgreSQL's chapter.
    link: https://www.postgresql.org/docs/current/auth-pg-hba-conf.html
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Admit a ship to replication from its address alone, and forget one that has left
  hmm.pg_replication.hba_blocks:
    version: "15"
    blocks:
      - name: ship_algeciras
        rules:
          - databases: [replication]
            users: [ship_algeciras]
            addresses: [198.51.100.21]
          - type: host
            databases: [all, replication]
            users: [ship_algeciras]
            addresses: [all]
            method: reject
      - name: ship_oslo
        state: absent
  become: true
"""

RETURN = r"""
file:
  description: The file.
  returned: success
  type: str
  sample: /etc/postgresql/15/main/pg_hba.conf
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
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hmm.pg_replication.plugins.module_utils._cluster import (
    Cluster,
    find_cluster,
    read_file,
    replace_file,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import (
    require_psycopg2,
    sql,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._hba import (
    METHODS,
    TYPES,
    block_at,
    wanted_blocks,
    with_blocks,
)

_ERRORS = "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL"
# No error to a reload; the rule is there and admits nobody.
_NO_TLS = "SSL is disabled"


def ensure_blocks(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Write the file and have the server read it."""
    wanted = wanted_blocks(params["blocks"])
    cluster = find_cluster(params["version"], params["cluster"])
    file = cluster.config_directory / "pg_hba.conf"
    running = cluster.running()
    session = cluster.session(running) if running else None
    try:
        if session is not None:
            file = Path(
                session.read(sql.SQL("SELECT current_setting('hba_file') AS file"))[0]["file"]
            )
        before = read_file(file)
        if before is None:
            raise ReplicationError(f"There is no file {file}.")
        after = with_blocks(before, wanted)
        written = after != before
        # An interrupted run may have written the file, and not got as far as the reload.
        behind = session is not None and file.stat().st_mtime > cluster.load_time(session)
        if written and not check_mode:
            _put(cluster, file, (before, after), session, [block.name for block in wanted])
        if behind and not written and not check_mode and session is not None:
            cluster.reload(session)
    finally:
        if session is not None:
            session.close()
    return {
        "changed": written or behind,
        "file": str(file),
        "running": session is not None,
        "reloaded": session is not None and (written or behind),
        "diff": {
            "before_header": str(file),
            "after_header": str(file),
            "before": before,
            "after": after,
        },
    }


def _put(
    cluster: Cluster, file: Path, texts: tuple[str, str], session: Session | None, names: list[str]
) -> None:
    before, after = texts
    status = file.stat()
    owner = (status.st_uid, status.st_gid, status.st_mode & 0o777)
    replace_file(file, after, *owner)
    if session is None:
        return
    try:
        fail_with_all(
            problem
            for row in session.read(sql.SQL(_ERRORS))
            if (problem := _problem(after, row["line_number"], row["error"], names)) is not None
        )
        cluster.reload(session)
    except ReplicationError as exc:
        replace_file(file, before, *owner)
        exc.message += " The former pg_hba.conf was put back."
        raise


def _problem(text: str, line_number: int, error: str, names: list[str]) -> str | None:
    block = block_at(text, line_number)
    if _NO_TLS in error:
        if block not in names:
            return None
        error += ": turn ssl on first (role tls)"
    place = f"block {block}" if block else "a line that is not this module's: correct it first"
    return f"pg_hba.conf, line {line_number} ({place}): {error}."


def main() -> None:
    rule = {
        "type": {"type": "str", "choices": list(TYPES), "default": "hostssl"},
        "databases": {"type": "list", "elements": "str", "required": True},
        "users": {"type": "list", "elements": "str", "required": True},
        "addresses": {"type": "list", "elements": "str"},
        "method": {"type": "str", "choices": list(METHODS), "default": "scram-sha-256"},
    }
    block = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "rules": {"type": "list", "elements": "dict", "options": rule},
    }
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "blocks": {"type": "list", "elements": "dict", "required": True, "options": block},
        },
        supports_check_mode=True,
    )
    try:
        require_psycopg2()
        result = ensure_blocks(module.params, module.check_mode)
    except ReplicationError as exc:
        module.fail_json(msg=exc.message, **exc.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find how far a ship's connection to its shore comes."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: connection_probe
short_description: Find how far a ship's connection to its shore comes
version_added: 0.1.0
description:
  - Goes the way of a standby's or a subscriber's own connection, with its own connection string and its own password,
    step by step. These are the name, TCP, TLS with the certificate, authentication, and a replication connection to the
    database. Tells which step failed, and what the other end said, with its SQLSTATE.
  - Where the cluster's server is down, its files are read; where they name no connection either, O(otherwise) is tried.
  - Takes no slot and changes nothing. The connection is one of a walsender for some milliseconds.
  - Has to run as root, to use the files of the server's user.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details:
      - Nothing is changed.
  idempotent:
    support: full
    details:
      - Nothing is changed.
options:
  subscription:
    description:
      - The subscription whose connection is probed. Where it is omitted, it is that of the standby
        (C(primary_conninfo)).
    type: str
  database:
    description:
      - The database of O(subscription).
    type: str
    default: postgres
  otherwise:
    description:
      - A connection to try where the cluster has none, a mapping of libpq's keywords or a connection string.
    type: dict
    default: {}
  slot:
    description:
      - The slot to look for where the cluster names none.
    type: str
  timeout:
    description:
      - Seconds to wait for each answer.
    type: float
    default: 10
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Find how far the standby's connection comes
  hmm.pg_replication.connection_probe:
    version: "17"
  become: true
  register: way
"""

RETURN = r"""
probe:
  description: How far it came.
  returned: success
  type: dict
  contains:
    source:
      description: Where the connection was found. V(primary_conninfo), V(subscription), V(files) or V(otherwise).
      type: str
      sample: primary_conninfo
    target:
      description: Where it leads, without secrets.
      type: dict
      sample: {"host": "203.0.113.10", "port": "5432", "user": "ship_algeciras", "sslmode": "verify-full"}
    slot:
      description: The slot that it would use.
      type: str
      sample: ship_algeciras
    logical:
      description: Whether it is that of a subscription.
      type: bool
    stage:
      description: The step that failed. V(settings), V(name), V(tcp), V(tls), V(authentication) or V(replication);
        null where none did.
      type: str
      sample: authentication
    reason:
      description: Why, in a word.
      type: str
      sample: refused
    text:
      description: What the system or the server said.
      type: str
      sample: password authentication failed for user "ship_algeciras"
    sqlstate:
      description: The SQLSTATE that the server refused with.
      type: str
      sample: "28P01"
    routine:
      description: The server's own function that refused, which is the same in every language.
      type: str
      sample: auth_failed
    addresses:
      description: What the name was resolved to.
      type: list
      elements: str
      sample: [203.0.113.10]
    address:
      description: The address that answered.
      type: str
      sample: 203.0.113.10
    local_address:
      description: The address of this host that the connection came from.
      type: str
      sample: 198.51.100.21
    tls:
      description: Whether the connection was encrypted. Null where it did not come so far.
      type: bool
    certificate:
      description: The server's certificate.
      type: dict
      sample: {"subject": "CN=busan", "issuer": "CN=fleet", "not_after": "Jan  1 00:00:00 2030 GMT",
        "names": ["DNS:busan"]}
    passfile:
      description: The password file, whether libpq would take it, and whether it has a line for this connection. Null
        where none was needed.
      type: dict
      sample: {"path": "/etc/pg_replication/main/pgpass", "usable": true, "why": "", "entry": true}
    seconds:
      description: How long each step took.
      type: dict
      sample: {"name": 0.0002, "tcp": 0.6011}
    system:
      description: What the server says it is.
      type: dict
      sample: {"system_identifier": "7543210987654321098", "timeline": 1, "position": "0/5000148"}
    remote_slot:
      description: The slot, where the server could be asked for it.
      type: dict
      sample: {"exists": true, "restart_lsn": "0/5000148", "active": null}
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hmm.pg_replication.plugins.module_utils._cluster import (
    Cluster,
    find_cluster,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    Conninfo,
    ConninfoType,
    hide,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import (
    require_psycopg2,
    sql,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._probe import (
    Way,
    home_of,
    probe,
)

_STANDBY = """
SELECT current_setting('primary_conninfo') AS conninfo, current_setting('primary_slot_name') AS slot
"""
_SUBSCRIPTION = """
SELECT subconninfo AS conninfo, subslotname AS slot FROM pg_subscription
 WHERE subname = {name} AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def find_way(cluster: Cluster, params: Mapping[str, Any]) -> Way:
    """The connection that the cluster's server would make."""
    text, slot, source = _own_connection(cluster, params)
    try:
        conninfo = Conninfo.parse(text) if text else params["otherwise"].require("otherwise")
    except ValueError as exc:
        raise ReplicationError(f"The connection string ({source}) cannot be read: {exc}.") from None
    return Way(
        conninfo=conninfo,
        source=source if text else "otherwise",
        database=(conninfo.get("dbname") or params["database"]) if params["subscription"] else None,
        slot=slot or params["slot"],
        home=home_of(cluster.uid),
        uid=cluster.uid,
        timeout=params["timeout"],
    )


def _own_connection(cluster: Cluster, params: Mapping[str, Any]) -> tuple[str, str, str]:
    """The string, the slot, and where they were found; "" where there are none."""
    running = cluster.running()
    if running is not None and running.ready:
        try:
            return _from_server(cluster, params)
        except ReplicationError:
            if params["subscription"]:
                return "", "", ""
    if params["subscription"]:
        return "", "", ""
    try:
        found = [cluster.setting(name) for name in ("primary_conninfo", "primary_slot_name")]
    except ReplicationError:
        return "", "", ""
    return found[0], found[1], "files"


def _from_server(cluster: Cluster, params: Mapping[str, Any]) -> tuple[str, str, str]:
    running = cluster.running()
    if running is None:
        raise ReplicationError(f"The server of {cluster.title} went down meanwhile.")
    name = params["subscription"]
    session = cluster.session(running, params["database"] if name else "postgres")
    try:
        if name:
            rows = session.read(sql.SQL(_SUBSCRIPTION).format(name=sql.Literal(name)))
            source = "subscription"
        else:
            rows = session.read(sql.SQL(_STANDBY))
            source = "primary_conninfo"
    finally:
        session.close()
    row = rows[0] if rows else {"conninfo": "", "slot": ""}
    return row["conninfo"] or "", row["slot"] or "", source


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "subscription": {"type": "str"},
            "database": {"type": "str", "default": "postgres"},
            "otherwise": {"type": ConninfoType("dict"), "default": {}},
            "slot": {"type": "str"},
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    try:
        require_psycopg2()
        cluster = find_cluster(module.params["version"], module.params["cluster"])
        way = find_way(cluster, module.params)
        found = probe(way).shown()
    except ReplicationError as exc:
        module.fail_json(msg=exc.message, **exc.result)
    module.exit_json(changed=False, probe=hide(found, way.conninfo.secrets()))


if __name__ == "__main__":
    main()

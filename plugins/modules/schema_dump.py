#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read how tables are made, as SQL for a subscriber."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: schema_dump
short_description: Read how published tables are made, as SQL for a subscriber
version_added: 0.1.0
description:
  - Reads with C(pg_dump) how tables are made, and gives back SQL that M(hmm.pg_replication.subscriber_tables) runs on a
    subscriber.
  - What the tables need comes along, which C(pg_dump --table) leaves out. That is their schemas, extensions, types,
    functions and sequences, and the partitions of a partitioned table. Where a subscriber has a type, a function or a
    sequence already, it is passed over.
  - Owners, privileges, comments, triggers and rules do not come along. A foreign key comes along where it leads to
    one of O(tables) or O(present).
  - A table's columns that are not published lose C(NOT NULL), where nothing else gives them a value.
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
attributes:
  check_mode:
    support: full
    details:
      - Nothing is changed in either mode.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  tables:
    description:
      - The tables, as O(hmm.pg_replication.publication#module:tables) takes them. A name without schema is one of the
        schema C(public).
    type: list
    elements: raw
    required: true
  present:
    description:
      - Further tables, which the subscriber has already. Foreign keys may lead to them.
    type: list
    elements: str
    default: []
  bin_directory:
    description:
      - The folder of C(pg_dump) and C(pg_restore). Where it is omitted, Debian's folder of the server's version is
        taken, or what is in C(PATH).
    type: path
  login_db:
    description:
      - The database of the tables.
    type: str
    required: true
seealso:
  - module: hmm.pg_replication.subscriber_tables
  - name: pg_dump
    description: What it is made with.
    link: https://www.postgresql.org/docs/current/app-pgdump.html
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Read how the ship's tables are made
  hmm.pg_replication.schema_dump:
    tables:
      - documents
      - name: document_chunks
        columns: [id, document_id, content]
    login_db: hmm_db
  become: true
  become_user: postgres
  register: ashore
"""

RETURN = r"""
schema:
  description: SQL that creates the tables and what they need. It is meant to be run in one transaction.
  returned: success
  type: str
  sample: "CREATE TABLE public.documents (\n    id bigint NOT NULL\n);\n"
extensions:
  description: The extensions that the tables need.
  returned: success
  type: list
  elements: str
  sample: [vector]
left_out:
  description: Foreign keys that lead to tables which the subscriber will not have.
  returned: success
  type: list
  elements: str
  sample: ["documents_owner_fkey of public.documents, which leads to public.staff"]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import login_conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    TableName,
    parse_table_name,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication import table_requests
from ansible_collections.hmm.pg_replication.plugins.module_utils._schema_dump import (
    Dumper,
    epilogue,
    prologue,
    read_needed,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscriber_tables import (
    DEFAULT_SCHEMA,
    qualified,
)


@dataclass(frozen=True)
class DumpRequest:
    """The module's options."""

    tables: Mapping[TableName, frozenset[str] | None]
    present: tuple[TableName, ...]
    conninfo: Conninfo
    bin_directory: Path | None


def dump_request(params: Mapping[str, Any]) -> DumpRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong.
    """
    if not params["tables"]:
        raise ReplicationError("tables: name the tables that are to be read.")
    present = [
        parse_table_name(f"present[{index}]", name) for index, name in enumerate(params["present"])
    ]
    return DumpRequest(
        tables=qualified(table_requests(params["tables"]) or ()),
        present=tuple(TableName(name.schema or DEFAULT_SCHEMA, name.name) for name in present),
        conninfo=login_conninfo(params),
        bin_directory=Path(params["bin_directory"]) if params["bin_directory"] else None,
    )


def dump_schema(context: Context, request: DumpRequest) -> Result:
    """Read how the tables are made."""
    session = context.session
    needed = read_needed(session, request.tables, request.present)
    dumper = Dumper(request.conninfo, request.bin_directory, session.major)
    script = [session.shown(prologue(needed)), dumper.dump(needed), session.shown(epilogue(needed))]
    context.warnings.extend(
        f"A foreign key is left out on the subscriber: {name}." for name in needed.left_out
    )
    return {
        "changed": False,
        "schema": "\n".join(part for part in script if part),
        "extensions": [name for name, _schema in needed.extensions],
        "left_out": list(needed.left_out),
    }


def main() -> None:
    run_module(
        {
            "tables": {"type": "list", "elements": "raw", "required": True},
            "present": {"type": "list", "elements": "str", "default": []},
            "bin_directory": {"type": "path"},
            "login_db": {"type": "str", "required": True},
        },
        dump_request,
        dump_schema,
    )


if __name__ == "__main__":
    main()

# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter replica_objects."""

from __future__ import annotations

DOCUMENTATION = r"""
name: replica_objects
short_description: What a shore keeps for its ships, one list per module
version_added: 0.1.0
description:
  - Turns C(primary_replicas) of the role primary into the lists that the modules take, so that a hundred ships are one
    task for each kind of object. It is meant for that role.
  - All problems of the list are told at once.
positional: _input, database, directory
options:
  _input:
    description:
      - The replicas, as the role primary takes them.
    type: list
    elements: dict
    required: true
  database:
    description:
      - The database of a replica that names none.
    type: str
    required: true
  directory:
    description:
      - The folder that ships may read by rsync.
    type: str
    required: true
seealso:
  - module: hmm.pg_replication.hba_blocks
  - module: hmm.pg_replication.replication_role
notes:
  - The result holds SCRAM verifiers, so it must not be shown.
author: HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Ensure the rules of the ships
  hmm.pg_replication.hba_blocks:
    version: "15"
    blocks: "{{ (ships | hmm.pg_replication.replica_objects('hmm_db', '/var/lib/pg_replication/main')).blocks }}"
  become: true
"""

RETURN = r"""
_value:
  description: Lists C(blocks), C(databases), C(publications), C(slots), C(slots_absent), C(keys), C(conversions) (roles
    that are over) and C(names), and the dictionary C(roles) with a list for each database.
  type: dict
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._replicas import ReplicaError
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._replicas import (
    replica_objects as derive,
)


def replica_objects(
    replicas: Iterable[Mapping[str, Any]], database: str, directory: str
) -> dict[str, Any]:
    """The lists; sentences where the replicas cannot be read."""
    try:
        return derive(replicas, database, directory)
    except ReplicaError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"replica_objects": replica_objects}

# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter diagnosis_fixes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: diagnosis_fixes
short_description: What can be done about a diagnosis without losing anything
version_added: 0.1.0
description:
  - Makes of the causes that P(hmm.pg_replication.diagnose#filter) named what C(playbooks/diagnose.yml) does with C(-e
    fix=true). What could lose data is left out.
positional: _input
options:
  _input:
    description: The diagnosis of each ship, by its name.
    type: dict
    required: true
  shore:
    description: The name of the shore.
    type: str
    required: true
  database:
    description: The database that is replicated.
    type: str
    required: true
author: HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Tell what would be done
  ansible.builtin.debug:
    msg: "{{ diagnosis | hmm.pg_replication.diagnosis_fixes(shore='busan', wanted=wanted)
      | map(attribute='what') }}"
"""

RETURN = r"""
_value:
  description:
    - What is to be done, each with C(host), that it is done on, C(what), in words, C(statements) of SQL, C(database)
      that they are for, empty where any will do, and C(blocks) of C(pg_hba.conf).
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_fix import fixes


def diagnosis_fixes(
    diagnosis: Mapping[str, Any], *, shore: str, wanted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What is to be done."""
    return fixes(diagnosis, shore, wanted)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"diagnosis_fixes": diagnosis_fixes}

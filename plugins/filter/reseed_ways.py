# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter reseed_ways."""

from __future__ import annotations

DOCUMENTATION = r"""
name: reseed_ways
short_description: Which ways there are to bring a ship back, with their bytes
version_added: 0.1.0
description:
  - Judges whether a ship has lost what it needs to go on, or has diverged, from what
    M(hmm.pg_replication.preflight_facts) found aboard and M(hmm.pg_replication.seed_sources) ashore.
  - Names every way with what it takes over the link, and chooses the one that takes least.
  - C(playbooks/ship_reseed.yml) uses it before it changes anything.
positional: _input
options:
  _input:
    description: The ship, with what is wanted of it. The keys are those the playbook gives.
    type: dict
    required: true
  sources:
    description: What M(hmm.pg_replication.seed_sources) told.
    type: dict
    required: true
  method:
    description: The way to take, instead of the one that takes least.
    type: str
    choices: [archive, aboard, incremental, rsync, pack, stream, rewind, copy]
author: HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Say which ways there are
  ansible.builtin.debug:
    msg: "{{ (ship | hmm.pg_replication.reseed_ways(sources=sources)).lines }}"
"""

RETURN = r"""
_value:
  description:
    - C(state) is V(sound), V(lost), V(diverged), or V(strange) where the data aboard are no copy of the shore's.
    - C(ways) are the ways, each with C(way), C(bytes), C(possible) and the C(reason) where it is not. C(bytes) is null
      for V(rewind), which is only taken when it is asked for.
    - C(chosen) is the way to take; null where nothing has to be done, or nothing can be.
    - C(lines) is all of this for people.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._reseed import (
    Facts,
    ReseedError,
    judge,
)


def reseed_ways(ship: Facts, sources: Facts, method: str | None = None) -> dict[str, Any]:
    """What is wrong with a ship, and the ways to mend it."""
    try:
        return judge(ship, sources, method)
    except ReseedError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"reseed_ways": reseed_ways}

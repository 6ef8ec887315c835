# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter conninfo."""

from __future__ import annotations

DOCUMENTATION = r"""
name: conninfo
short_description: A connection string by libpq's rules
version_added: 0.1.0
description:
  - Makes a connection string of keywords and values, each value in quotes. See the chapter on connection strings of
    libpq in PostgreSQL's documentation.
positional: _input
options:
  _input:
    description:
      - Keywords and values. A value that is null is left out.
    type: dict
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show a connection string
  ansible.builtin.debug:
    msg: "{{ {'host': 'shore.example.com', 'passfile': '/etc/a folder/pgpass'} | hmm.pg_replication.conninfo }}"
"""

RETURN = r"""
_value:
  description: The connection string.
  type: str
  sample: host='shore.example.com' passfile='/etc/a folder/pgpass'
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def conninfo(keywords: Mapping[str, Any]) -> str:
    """Keywords and values as libpq reads them."""
    parts = []
    for keyword, value in keywords.items():
        if value is None:
            continue
        if not str(keyword).isidentifier():
            raise AnsibleFilterError(
                f"{keyword!r} is no keyword of a connection, like host or port."
            )
        if isinstance(value, bool):
            value = int(value)  # noqa: PLW2901 - libpq knows 1 and 0
        quoted = str(value).replace("\\", "\\\\").replace("'", "\\'")
        parts.append(f"{keyword}='{quoted}'")
    return " ".join(parts)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"conninfo": conninfo}

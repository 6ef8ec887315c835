# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter scram_sha_256."""

from __future__ import annotations

DOCUMENTATION = r"""
name: scram_sha_256
short_description: The SCRAM verifier of a password, as PostgreSQL stores it
version_added: 0.1.0
description:
  - Computes on the controller what PostgreSQL keeps in place of a password, so that neither the server nor its log
    ever sees the password itself.
  - The same role and password give the same verifier, so a second run changes nothing. Of two roles with one password
    the verifiers differ.
positional: _input, role
options:
  _input:
    description:
      - The password.
    type: str
    required: true
  role:
    description:
      - The role that it is the password of. Its salt is made of this name, unless O(salt) gives another.
    type: str
    required: true
  salt:
    description:
      - Bytes of a salt of your own, in hexadecimal, for example from a vault.
    type: str
  iterations:
    description:
      - How often the password is hashed. More make guessing slower, and every login too.
    type: int
    default: 4096
seealso:
  - name: Password Authentication
    description: PostgreSQL's chapter, on scram-sha-256.
    link: https://www.postgresql.org/docs/current/auth-password.html
notes:
  - A verifier is a secret too, though a lesser one, since passwords can be tried against it. Set C(no_log).
author: HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Ensure the role of a ship, its password unknown to the server
  community.postgresql.postgresql_user:
    name: ship_algeciras
    password: "{{ ship_password | hmm.pg_replication.scram_sha_256('ship_algeciras') }}"
    role_attr_flags: LOGIN,REPLICATION
  become: true
  become_user: postgres
  no_log: true
"""

RETURN = r"""
_value:
  description: The verifier.
  type: str
  sample: SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$StoredKeyInBase64=:ServerKeyInBase64=
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._scram import (
    ITERATIONS,
    salt_of,
    verifier,
)


def scram_sha_256(
    password: Any, role: Any, salt: str | None = None, iterations: int = ITERATIONS
) -> str:
    """The verifier; sentences where it cannot be made, none of which tells the password."""
    if not isinstance(password, str) or not password:
        raise AnsibleFilterError("scram_sha_256: the password is empty or no text.")
    if not isinstance(role, str) or not role:
        raise AnsibleFilterError("scram_sha_256: role is the name of the password's role.")
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise AnsibleFilterError("scram_sha_256: iterations is a number, 1 at least.")
    try:
        octets = salt_of(role) if salt is None else bytes.fromhex(salt)
    except (TypeError, ValueError):
        raise AnsibleFilterError("scram_sha_256: salt is not hexadecimal.") from None
    if not octets:
        raise AnsibleFilterError("scram_sha_256: salt is empty.")
    return verifier(password, octets, iterations)


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"scram_sha_256": scram_sha_256}

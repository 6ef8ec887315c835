# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module says of itself, documented once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: In check mode nothing is changed, and the result, errors included, is that of the real run.
  diff_mode:
    description: Returns what the object was and what it becomes.
  idempotent:
    description: A second run with the same options changes nothing, unless something else changed the server
      meanwhile.
"""

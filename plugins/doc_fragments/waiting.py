# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of what waits for long work, documented once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  interval:
    description:
      - Seconds between two looks, and so between two lines.
    type: float
    default: 5
  timeout:
    description:
      - Seconds after which the task fails although the work goes on. V(0) waits for as long as it takes.
    type: float
    default: 0
  unreachable_timeout:
    description:
      - Seconds that the host may be out of reach in one piece.
    type: float
    default: 1800
"""

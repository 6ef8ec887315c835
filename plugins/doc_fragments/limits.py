# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a figure of replication becomes a problem, documented once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  lag_bytes_warning:
    description:
      - The lag of a standby, or of an inactive slot's consumer, that is a warning.
      - A number of bytes, or one with a unit, for example V(512MB); a unit is 1024 times the one below. V(0) is no
        limit.
      - The default is what a link of 4 Mbit/s carries in about nine minutes.
    type: str
    default: 256MB
  lag_bytes_critical:
    description:
      - The lag that is critical, written as O(lag_bytes_warning).
      - The default is what a link of 4 Mbit/s carries in about two and a half hours.
    type: str
    default: 4GB
  lag_seconds_warning:
    description:
      - The lag of a standby in seconds, or the absence of a slot's consumer, that is a warning. V(0) is no limit.
      - Before PostgreSQL 17 a server does not know since when a slot is inactive, and every inactive slot is a warning.
    type: int
    default: 3600
  lag_seconds_critical:
    description:
      - The lag of a standby in seconds that is critical. V(0) is no limit.
      - The absence of a slot's consumer is never more than a warning; what its slot retains, or the time until it is
        lost, may be.
    type: int
    default: 86400
  time_to_loss_warning:
    description:
      - How many seconds may be left, at the rate of the sample, until a slot is lost. Fewer are a warning; V(0) is no
        limit.
      - Take twice the absence that is still to be expected of a ship.
    type: int
    default: 86400
  time_to_loss_critical:
    description:
      - How many seconds may be left until a slot is lost; fewer are critical. V(0) is no limit.
      - Take more than C(checkpoint_timeout), and the time that somebody needs to act.
    type: int
    default: 3600
  retained_bytes_warning:
    description:
      - The WAL retained for a slot that is a warning, written as O(lag_bytes_warning). It lies on this server's disk.
    type: str
    default: 16GB
  retained_bytes_critical:
    description:
      - The WAL retained for a slot that is critical, written as O(lag_bytes_warning).
    type: str
    default: 64GB
"""

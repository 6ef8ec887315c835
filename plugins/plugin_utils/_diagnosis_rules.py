# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""All rules of the doctor. Of findings of equal weight, those of the rules further up are told first."""

from __future__ import annotations

from ansible_collections.hmm.pg_replication.plugins.plugin_utils import (
    _diagnosis_connection,
    _diagnosis_failover,
    _diagnosis_lag,
    _diagnosis_logical,
    _diagnosis_standby,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import Rule

RULES: tuple[Rule, ...] = (
    *_diagnosis_failover.RULES,
    *_diagnosis_connection.RULES,
    *_diagnosis_standby.RULES,
    *_diagnosis_logical.RULES,
    *_diagnosis_lag.RULES,
)

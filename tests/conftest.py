# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hypothesis the same everywhere: no clock, no database of examples, the same examples each run."""

from __future__ import annotations

import hypothesis
from hypothesis.configuration import set_hypothesis_home_dir

from tests.lab.paths import CACHE

set_hypothesis_home_dir(CACHE / "hypothesis")
hypothesis.settings.register_profile(
    "repeatable", database=None, deadline=None, derandomize=True, max_examples=200
)
hypothesis.settings.load_profile("repeatable")

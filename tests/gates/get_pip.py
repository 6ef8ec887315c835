# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for the get-pip.py that ansible-test would download: installs pip from its wheel.

Copied to ansible-test's cache, beside that wheel; called with pip's options and requirements.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

GET_PIP_OPTIONS = ("--no-setuptools", "--no-wheel")  # unknown to pip itself

(wheel,) = Path(__file__).parent.glob("pip-*.whl")
arguments = [argument for argument in sys.argv[1:] if argument not in GET_PIP_OPTIONS]
sys.path.insert(0, str(wheel))
sys.argv = ["pip", "install", *arguments]
runpy.run_module("pip", run_name="__main__", alter_sys=True)

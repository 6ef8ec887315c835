# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh

# Find or install a Python that can make virtual environments, then hand over to one of our modules.
#     sh tests/gates/python.sh MODULE [ARGUMENT ...]
set -eu
cd "$(dirname "$0")/../.."

suits() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if ! suits /usr/bin/python3 && ! suits python3; then
    sh tests/gates/apt.sh python3-venv
fi
python=/usr/bin/python3
suits "$python" || python=python3
suits "$python" || { echo 'Python 3.11 or later with venv and ensurepip is needed' >&2; exit 1; }
export PYTHONPYCACHEPREFIX="$PWD/.cache/pycache"
exec "$python" -m "$@"

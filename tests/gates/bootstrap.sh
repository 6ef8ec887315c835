# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh

# The way in to the gates.
#     sh tests/gates/bootstrap.sh COMMAND [ARGUMENT ...]     (see __main__.py)
exec sh "$(dirname "$0")/python.sh" tests.gates "$@"

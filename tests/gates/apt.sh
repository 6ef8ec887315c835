# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh

# Install Debian packages; the package lists are refreshed only if that is needed.
#     sh tests/gates/apt.sh PACKAGE ...
set -eu
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "please install: $* (this is done only on Debian, as root)" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
echo "installing $*"
# Another gate may be installing something of its own.
install="apt-get install --quiet=2 --yes --no-install-recommends -o DPkg::Lock::Timeout=300"
$install "$@" >/dev/null 2>&1 || { apt-get update --quiet=2 && $install "$@" >/dev/null; }

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh

# What the demo does to this machine is noted before it is done, so that it can be undone, and only that.
#     sh tests/demo/machine.sh up|note|clean     (note: what up has installed, when it ends)
set -eu
export LC_ALL=C # comm wants what sort made
cd "$(dirname "$0")/../.."

members="busan algeciras oslo" # of inventories/sandbox; each is a cluster
state=/var/lib/pg_replication_demo
etc=/etc/pg_replication
lib=/var/lib/pg_replication
programs=/usr/local/lib/pg_replication
# Users and groups that a role or a package makes, and leaves behind.
accounts="pg_replication: postgres:postgresql-common ssl-cert:ssl-cert _ssh:openssh-client"

main() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "The demo installs packages and makes clusters: run it on Debian, as root."
    fi
    case "${1-}" in
    up) up ;;
    note) note_packages ;;
    clean) clean ;;
    *) fail "usage: sh tests/demo/machine.sh up|note|clean" ;;
    esac
}

fail() {
    echo "$*" >&2
    exit 1
}

# One at a time, on the whole machine; up keeps the lock until its Python ends, which hands it to nobody.
lock() {
    mkdir -p "$state"
    chmod 0755 "$state"
    exec 9>"$state/lock"
    flock --nonblock 9 || fail "Another make demo or make demo-clean is at work on this machine."
}

up() {
    lock
    [ -e "$state/known" ] || remember
    [ -e "$state/packages.before" ] || write "$state/packages.before" installed
    exec sh tests/gates/python.sh tests.demo
}

remember() {
    foreign=$(ours)
    [ -z "$foreign" ] || fail "These have the names of the demo's clusters and are not the demo's, so it stops here:
$foreign"
    shared >"$state/shared.before"
    mkdir -p "$state/tmp"
    chmod 1777 "$state/tmp"
    for account in $accounts; do
        getent passwd "${account%:*}" || getent group "${account%:*}" || :
    done | cut -d: -f1 >"$state/accounts.before"
    # Removed once, but not with their configuration: that must outlive the demo too.
    packages config-files >"$state/packages.removed"
    : >"$state/packages.ours"
    : >"$state/known"
}

# After a demo that was killed, packages.before is still there: its packages are noted by the next one.
note_packages() {
    [ -e "$state/packages.before" ] || return 0
    installed | comm -13 "$state/packages.before" - | sort -u - "$state/packages.ours" >"$state/packages.new"
    mv "$state/packages.new" "$state/packages.ours"
    rm -f "$state/packages.before"
}

clean() {
    if [ ! -e "$state/known" ]; then
        rm -rf "$state"
        echo "There is nothing of a demo on this machine."
        return
    fi
    lock
    if [ -e "$state/packages.before" ]; then
        note_packages
        echo "the last demo was killed; its packages are taken to be:" "$(tr '\n' ' ' <"$state/packages.ours")"
    fi
    echo "stopping and removing the clusters $members"
    remove_members
    remove_shared
    remove_packages
    remove_accounts
    rm -rf "$state"
    echo "The demo is gone. The checkout's .cache stays for the next time; make clean removes it."
}

remove_members() {
    for member in $members; do
        if [ -d /run/systemd/system ]; then
            systemctl stop "pg_replication-*@$member.service" 2>/dev/null || :
        fi
        end_processes "$member"
        for folder in /etc/postgresql/*/"$member"; do
            [ -e "$folder" ] || continue
            version=$(basename "$(dirname "$folder")")
            # One that was cut off while it was made may be too little for it: what it leaves goes below.
            pg_dropcluster --stop "$version" "$member" >/dev/null 2>&1 || :
        done
        end_processes "$member"
    done
    ours | while read -r path; do
        rm -rf "$path"
    done
    rmdir "$etc" "$lib" 2>/dev/null || :
}

# What only this demo can have made; the log may outlive a cluster, all else is where one is.
ours() {
    for member in $members; do
        present "$etc/$member" "$lib/$member" /etc/postgresql/*/"$member" \
            /var/lib/postgresql/*/"$member" /var/lib/postgresql/*/"$member".* \
            /var/log/postgresql/postgresql-*-"$member".log* \
            /etc/systemd/system/*.wants/pg_replication-*@"$member".*
    done
}

# What serves all clusters of a machine. It stays if it was there before, or if a fleet's own need it by now.
shared() {
    present "$programs" /etc/postgresql-common/createcluster.d/pg_replication.conf \
        /etc/systemd/system/pg_replication-* /var/lib/postgresql/.ansible* /root/.ansible_async | sort
}

present() {
    for path in "$@"; do
        if [ -e "$path" ] || [ -L "$path" ]; then
            echo "$path"
        fi
    done
}

# A server that pg_dropcluster does not know, or a seed that goes on by itself.
end_processes() {
    for signal in QUIT KILL; do
        pids=$(processes "$1")
        [ -n "$pids" ] || return 0
        # shellcheck disable=SC2086
        kill -s "$signal" $pids 2>/dev/null || :
        for _try in 1 2 3 4 5 6 7 8 9 10; do
            [ -n "$(processes "$1")" ] || return 0
            sleep 0.5
        done
    done
}

processes() {
    for process in /proc/[0-9]*; do
        folder=$(readlink "$process/cwd" 2>/dev/null) || continue
        words=$({ tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null) || continue
        case "$folder" in
        /var/lib/postgresql/*/"$1" | /var/lib/postgresql/*/"$1".*) echo "${process#/proc/}" ;;
        *)
            case "$words" in
            *"$programs/"*"/pg_replication/$1/"*) echo "${process#/proc/}" ;;
            esac
            ;;
        esac
    done
}

remove_shared() {
    # A fleet's own, made in the meantime or there before.
    [ ! -e "$etc" ] || return 0
    shared | comm -23 - "$state/shared.before" | while read -r path; do
        rm -rf "$path"
    done
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
}

# dpkg takes these and no others away, and refuses what others need by now; apt would take the others too.
remove_packages() {
    cp "$state/packages.ours" "$state/packages.unwanted"
    # Purging a server's package drops every cluster of its version: never one of the user's.
    clusters=$(present /etc/postgresql/*/* /var/lib/postgresql/*/*)
    if [ -n "$clusters" ]; then
        grep -v '^postgresql-[0-9]*$' "$state/packages.ours" >"$state/packages.unwanted" || :
    fi
    count=$(installed | comm -12 - "$state/packages.unwanted" | wc -l)
    [ "$count" = 0 ] || echo "removing the $count packages that it installed"
    comm -23 "$state/packages.unwanted" "$state/packages.removed" >"$state/packages.purge"
    comm -12 "$state/packages.unwanted" "$state/packages.removed" >"$state/packages.remove"
    for action in purge remove purge; do
        names=$(known "$state/packages.$action")
        # shellcheck disable=SC2086
        [ -z "$names" ] || DEBIAN_FRONTEND=noninteractive \
            dpkg --abort-after=9999 "--$action" $names >"$state/dpkg.log" 2>&1 || :
    done
    kept=$(installed | comm -12 - "$state/packages.ours" | tr '\n' ' ')
    if [ -n "$kept" ]; then
        echo "these stay, since something that is not the demo's needs them by now: $kept"
        [ -z "$clusters" ] || echo "(so that nothing happens to $(echo "$clusters" | tr '\n' ' '))"
    fi
    # Python's packages leave empty folders if it goes with them.
    if [ ! -e /usr/bin/python3 ]; then
        find /usr/lib/python3 -depth -type d -empty -delete 2>/dev/null || :
    fi
    rmdir /var/lib/postgresql/* /etc/postgresql/* /etc/postgresql-common/createcluster.d 2>/dev/null || :
    rmdir /var/lib/postgresql /var/log/postgresql /etc/postgresql /etc/postgresql-common 2>/dev/null || :
}

remove_accounts() {
    for account in $accounts; do
        package=${account#*:}
        account=${account%:*}
        if [ -z "$package" ]; then
            [ ! -e "$etc" ] || continue
        elif installed | grep -q "^$package\$"; then
            continue
        fi
        grep -q "^$account\$" "$state/accounts.before" && continue
        userdel "$account" 2>/dev/null || :
        groupdel "$account" 2>/dev/null || :
        [ "$account" != pg_replication ] || rm -rf "$lib/.pull"
    done
    rmdir "$lib" 2>/dev/null || :
}

installed() {
    packages installed
}

packages() {
    dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' | sed -n "s/^$1 //p" | sort -u
}

# Those of a list that dpkg has something of; it would complain of the others.
known() {
    { installed; packages config-files; } | sort -u | comm -12 - "$1"
}

# In one piece, or not at all.
write() {
    target=$1
    shift
    "$@" >"$target.new"
    mv "$target.new" "$target"
}

main "$@"

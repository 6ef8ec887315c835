# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# What is defined here is used in list.yml.
# shellcheck disable=SC2034,SC2317

# What the scripts of list.yml are written in. They run as root, with these in their environment:
#     VERSION CLUSTER PGPORT PGDATABASE   the cluster of the host that a script runs on
#     ROLE                                the ship's role, slot, application and subscription
#     LAB                                 a folder on that host, gone with the container
set -eu
export LC_ALL=C.UTF-8 PGHOST=/var/run/postgresql
HBA="/etc/postgresql/$VERSION/$CLUSTER/pg_hba.conf"
DATA="/var/lib/postgresql/$VERSION/$CLUSTER"
LOG="/var/log/postgresql/postgresql-$VERSION-$CLUSTER.log"

postgres() { runuser -u postgres -- "$@"; }

sql() { postgres psql -XAtq -v ON_ERROR_STOP=1 -c "$1"; }

# Until the server says so; half a minute is more than anything here takes.
until_true() {
    local tried=0
    until [ "$(sql "$1" 2>/dev/null)" = t ]; do
        tried=$((tried + 1))
        [ "$tried" -lt 300 ] || { echo "It never came true: $1" >&2; exit 1; }
        sleep 0.1
    done
}

until_done() {
    local tried=0
    until "$@" 2>/dev/null; do
        tried=$((tried + 1))
        [ "$tried" -lt 300 ] || { echo "It never worked: $*" >&2; exit 1; }
        sleep 0.1
    done
}

# setting NAME VALUE; without a value: as it was
setting() {
    if [ $# = 2 ]; then
        sql "ALTER SYSTEM SET $1 = '$(printf %s "$2" | sed "s/'/''/g")'"
    else
        sql "ALTER SYSTEM RESET $1"
    fi
    sql 'SELECT pg_reload_conf()' >/dev/null
}

server() { pg_ctlcluster "$VERSION" "$CLUSTER" "$@"; }

# Connections that are there know nothing of what has changed.
disconnect() {
    sql "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_replication WHERE application_name = '$ROLE'" >/dev/null
}

receive_anew() {
    sql "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE backend_type = 'walreceiver'" >/dev/null
}

# The rules of pg_hba.conf, changed by sed, and back again.
rules() {
    cp --preserve "$HBA" "$LAB/pg_hba.conf"
    sed -i "$1" "$HBA"
    sql 'SELECT pg_reload_conf()' >/dev/null
    disconnect
}

rules_back() {
    cp --preserve "$LAB/pg_hba.conf" "$HBA"
    sql 'SELECT pg_reload_conf()' >/dev/null
}

# A program that stays: background NAME COMMAND…, and end NAME.
background() {
    name=$1
    shift
    # shellcheck disable=SC2016 # expanded by the shell that stays
    setsid --fork sh -c 'echo $$ >"$0"; exec "$@"' "$LAB/$name.pid" "$@" </dev/null >"$LAB/$name.log" 2>&1
}

end() {
    kill "$(cat "$LAB/$1.pid")" 2>/dev/null || :
    rm -f "$LAB/$1.pid"
}

# The server's certificate, of those that certificates.sh has made.
certificate() {
    if [ $# = 1 ]; then
        setting ssl_cert_file "$LAB/$1.crt"
        setting ssl_key_file "$LAB/server.key"
    else
        setting ssl_cert_file
        setting ssl_key_file
    fi
    disconnect
}

drop_slot() {
    disconnect
    sql "SELECT pg_drop_replication_slot('$ROLE')" >/dev/null
}

# Until a session that is to be seen in pg_stat_activity sleeps: sleeping NAME
sleeping() {
    until_true "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '$1' AND wait_event = 'PgSleep')"
}

# WAL that says nothing: megabytes N
megabytes() {
    sql "SELECT count(pg_logical_emit_message(false, 'lab', repeat(md5(n::text), 32768))) FROM generate_series(1, $1) n" \
        >/dev/null
}

# The same, again and again: writer MEGABYTES SECONDS, until "end writer"
writer() {
    printf '%s\n\\watch %s\n' "SELECT count(pg_logical_emit_message(false, 'lab', repeat(md5(n::text), 32768)))
        FROM generate_series(1, $1) n" "$2" >"$LAB/writer.sql"
    background writer runuser -u postgres -- psql -XAtqf "$LAB/writer.sql"
}

# A new segment; nobody but the ship named needs an older one.
segment() {
    sql 'SELECT pg_switch_wal()' >/dev/null
    # What slots need is counted anew only when a logical one lets go of a transaction.
    sql 'SELECT pg_current_xact_id()' >/dev/null
    megabytes 1
    lsn=$(sql 'SELECT pg_current_wal_lsn()')
    needed() {
        sql CHECKPOINT
        [ "$(sql "SELECT bool_and(restart_lsn >= '$lsn') FROM pg_replication_slots WHERE slot_name <> '$ROLE'")" = t ]
    }
    until_done needed
}

# Until the ship named has all that is written; its own side of it is well_aboard.
well_ashore() {
    lsn=$(sql 'SELECT pg_current_wal_lsn()')
    until_true "SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = '$ROLE' AND state = 'streaming'
        AND flush_lsn >= '$lsn'"
}

well_aboard() {
    until_true "SELECT CASE WHEN pg_is_in_recovery()
        THEN pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()
            AND EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')
        ELSE EXISTS (SELECT FROM pg_stat_subscription WHERE subname = '$ROLE' AND relid IS NULL AND pid IS NOT NULL)
            AND NOT EXISTS (SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r') END"
}

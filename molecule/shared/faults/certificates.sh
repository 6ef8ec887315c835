#!/bin/sh
# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Certificates that a ship must not trust, made where the fleet's authority is:
#     certificates.sh SECRETS DIRECTORY ADDRESS
# for a server at ADDRESS: one that has expired, one of another authority, one for another name.
set -eu
secrets=$1
directory=$2
address=$3
mkdir -p "$directory"
cd "$directory"
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
# shellcheck disable=SC2086 # words, not one
{
    openssl req -x509 $key -keyout other.key -out other.crt -days 1 -subj "/CN=another authority"
    openssl req $key -keyout server.key -out server.csr -subj "/CN=lab"
} 2>/dev/null

sign() { # NAME ALTERNATIVE-NAME CA CA-KEY DAYS
    echo "subjectAltName = $2" >name.conf
    openssl x509 -req -in server.csr -CA "$3" -CAkey "$4" -days "$5" -extfile name.conf -out "$1.crt" 2>/dev/null
}

sign expired "IP:$address" "$secrets/ca.crt" "$secrets/ca.key" -1
sign authority "IP:$address" other.crt other.key 1
sign name "DNS:another.example" "$secrets/ca.crt" "$secrets/ca.key" 1
rm other.key name.conf server.csr

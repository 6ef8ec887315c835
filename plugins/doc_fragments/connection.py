# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection options, documented once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - The server's name or address. Empty means the local socket.
      - A value with a slash in front is the directory of a socket.
    type: str
    default: ""
  login_port:
    description:
      - The server's port.
    type: int
    default: 5432
  login_user:
    description:
      - The role to connect as.
    type: str
    default: postgres
  login_password:
    description:
      - The password of O(login_user). A passfile (C(passfile) in O(connect_params), or C(~/.pgpass)) works instead.
    type: str
  login_unix_socket:
    description:
      - The directory of the local socket, where it is neither C(/var/run/postgresql) nor C(/tmp).
    type: path
  login_db:
    description:
      - The database to connect to. Where it is not required, V(postgres) is taken.
    type: str
  ssl_mode:
    description:
      - How far TLS is demanded of a connection by TCP. Anything weaker than the default lets someone in between
        read or take over the connection.
    type: str
    default: verify-full
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description:
      - The file with the certificate of the authority that signed the server's. Where it is omitted, libpq looks for
        C(~/.postgresql/root.crt).
    type: path
    aliases: [ssl_rootcert]
  ssl_cert:
    description:
      - The file with a client certificate.
    type: path
  ssl_key:
    description:
      - The file with the key of O(ssl_cert).
    type: path
  connect_params:
    description:
      - Further keywords of libpq, which win over the other options, for example C(passfile), C(connect_timeout), or
        C(options) with V(-c role=owner) to act as another role.
      - By default C(connect_timeout) is 20 seconds, and keepalives and C(tcp_user_timeout) end a connection whose
        other side is gone after about a minute.
    type: dict
    default: {}
requirements:
  - psycopg2 2.9 or newer on the host that runs the task (Debian C(python3-psycopg2), PyPI C(psycopg2-binary))
  - PostgreSQL 13 or newer
notes:
  - On the database server itself, run the task as the operating system's user C(postgres) (C(become_user)), whom the
    server's local socket admits. From elsewhere, or delegated to the controller, give O(login_host) and O(ca_cert).
  - "PostgreSQL's chapters: libpq, Database Connection Control Functions; Client Authentication."
"""

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a connection for replication comes, on servers of every version."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._probe import Probe, Way, probe
from tests.integration.conftest import Database
from tests.lab import Server, user
from tests.lab.tls import Authority

ROLE, PASSWORD, SLOT = "probe_ship", "probe: pass\\word 암호", "probe_slot"


@pytest.fixture(scope="module")
def shore(clusters: Any, major: int) -> Iterator[Server]:
    server: Server = clusters.get(major, "publisher")
    server.sql(f"CREATE ROLE {ROLE} LOGIN REPLICATION")
    server.sql(f"ALTER ROLE {ROLE} PASSWORD %s", params=(PASSWORD,))
    server.sql("SELECT pg_create_physical_replication_slot(%s, true)", params=(SLOT,))
    yield server
    server.start()
    server.sql("SELECT pg_drop_replication_slot(%s)", params=(SLOT,))
    server.sql(f"DROP ROLE {ROLE}")


@pytest.fixture
def role(shore: Server) -> Iterator[str]:
    """Its attributes as they were, afterwards."""
    yield ROLE
    shore.sql(f"ALTER ROLE {ROLE} LOGIN REPLICATION CONNECTION LIMIT -1 VALID UNTIL 'infinity'")


@pytest.fixture
def hba(shore: Server) -> Iterator[Path]:
    """pg_hba.conf, to be written; as it was, afterwards."""
    file = shore.data / "pg_hba.conf"
    before = file.read_text()
    yield file
    file.write_text(before)
    shore.sql("SELECT pg_reload_conf()")


def go(
    shore: Server, folder: Path, database: str | None = None, slot: str | None = SLOT, **more: str
) -> Probe:
    keywords = {
        "host": shore.host,
        "port": str(shore.port),
        "user": ROLE,
        "password": PASSWORD,
        "sslmode": "verify-full",
        "sslrootcert": shore.ca_cert,
        **more,
    }
    if database:
        keywords["dbname"] = database
    known = {keyword: value for keyword, value in keywords.items() if value}
    found = probe(Way(Conninfo(known), "files", database, slot, folder, os.getuid(), 5))
    assert PASSWORD not in str(found.shown())
    return found


def met(found: Probe) -> tuple[str | None, str | None, str | None]:
    return found.stage, found.reason, found.sqlstate


def admit(shore: Server, file: Path, *lines: str) -> None:
    """Let in by the socket, and else by these lines."""
    file.write_text("\n".join(["local all,replication all trust", *lines, ""]))
    shore.sql("SELECT pg_reload_conf()")


def test_a_standby_comes_through(shore: Server, tmp_path: Path, major: int) -> None:
    found = go(shore, tmp_path)
    assert met(found) == (None, None, None), found.text
    assert found.tls
    ((identifier,),) = shore.sql("SELECT system_identifier::text FROM pg_control_system()")
    assert found.system is not None
    assert (found.system["system_identifier"], found.system["timeline"]) == (identifier, 1)
    if major >= 15:  # READ_REPLICATION_SLOT
        assert found.remote_slot is not None
        assert found.remote_slot["exists"]
    assert found.certificate is not None
    assert "IP Address:127.0.0.1" in found.certificate["names"]
    assert found.certificate["issuer"] == "CN=pg_replication lab"
    assert list(found.seconds) == ["name", "tcp", "tls", "authentication", "replication"]


def test_a_subscriber_comes_through(shore: Server, database: Database, tmp_path: Path) -> None:
    found = go(shore, tmp_path, database.name, "nobody")
    assert met(found) == (None, None, None), found.text
    assert found.remote_slot == {"exists": False, "restart_lsn": None, "active": None}


def test_it_takes_no_slot_and_leaves_no_session(shore: Server, tmp_path: Path) -> None:
    before = shore.sql("SELECT slot_name, restart_lsn FROM pg_replication_slots ORDER BY 1")
    go(shore, tmp_path)
    assert shore.sql("SELECT slot_name, restart_lsn FROM pg_replication_slots ORDER BY 1") == before


def test_a_password_file(shore: Server, tmp_path: Path) -> None:
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file = tmp_path / ".pgpass"
    file.write_text(f"{shore.host}:{shore.port}:replication:{ROLE}:{escaped}\n")
    file.chmod(0o600)
    found = go(shore, tmp_path, password="")
    assert met(found) == (None, None, None), found.text
    assert found.passfile == {"path": str(file), "usable": True, "why": "", "entry": True}


def test_a_wrong_password(shore: Server, tmp_path: Path) -> None:
    assert met(go(shore, tmp_path, password="nope")) == ("authentication", "refused", "28P01")
    assert met(go(shore, tmp_path, user="nobody")) == ("authentication", "refused", "28P01")
    assert met(go(shore, tmp_path, password="")) == ("authentication", "no_password", None)


@pytest.mark.parametrize("method", ["md5", "password", "trust"])
def test_other_methods(shore: Server, hba: Path, tmp_path: Path, method: str) -> None:
    shore.sql(
        f"SET password_encryption = '{'md5' if method == 'md5' else 'scram-sha-256'}';"
        f" ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'"
    )
    admit(shore, hba, f"hostssl replication {ROLE} 127.0.0.1/32 {method}")
    found = go(shore, tmp_path)
    shore.sql(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")
    assert met(found) == (None, None, None), found.text


def test_no_line_in_pg_hba(shore: Server, hba: Path, tmp_path: Path) -> None:
    admit(shore, hba, f"hostssl hmm_db {ROLE} 127.0.0.1/32 scram-sha-256")
    found = go(shore, tmp_path)
    assert met(found) == ("authentication", "refused", "28000")
    assert "127.0.0.1" in found.text
    admit(shore, hba, f"host replication {ROLE} all reject")
    assert met(go(shore, tmp_path)) == ("authentication", "refused", "28000")


def test_a_role_without_replication(shore: Server, role: str, tmp_path: Path) -> None:
    shore.sql(f"ALTER ROLE {role} NOREPLICATION")
    assert met(go(shore, tmp_path)) == ("authentication", "refused", "42501")
    shore.sql(f"ALTER ROLE {role} REPLICATION NOLOGIN")
    found = go(shore, tmp_path)
    assert met(found) == ("authentication", "refused", "28000")
    assert found.routine == "InitializeSessionUserId"


def test_no_walsender_is_free(shore: Server, tmp_path: Path) -> None:
    shore.restart(max_wal_senders=1)
    try:
        taken = psycopg2.connect(
            shore.dsn(), connection_factory=psycopg2.extras.PhysicalReplicationConnection
        )
        assert met(go(shore, tmp_path)) == ("authentication", "refused", "53300")
        taken.close()
    finally:
        shore.restart(max_wal_senders=50)


def test_no_such_database(shore: Server, tmp_path: Path) -> None:
    assert met(go(shore, tmp_path, "nowhere")) == ("authentication", "refused", "3D000")


def test_a_certificate_of_another_name(shore: Server, tmp_path: Path) -> None:
    found = go(shore, tmp_path, host="busan.example", hostaddr="127.0.0.1")
    assert met(found) == ("tls", "name", None)
    assert found.certificate is not None
    assert "DNS:localhost" in found.certificate["names"]
    # libpq does not look at the name here.
    assert met(
        go(shore, tmp_path, host="busan.example", hostaddr="127.0.0.1", sslmode="verify-ca")
    ) == (None, None, None)


def test_a_certificate_of_another_authority(shore: Server, tmp_path: Path) -> None:
    other = Authority(tmp_path / "tls")
    found = go(shore, tmp_path, sslrootcert=str(other.cert))
    assert met(found) == ("tls", "authority", None)
    assert found.certificate is not None
    assert found.certificate["issuer"] == "CN=pg_replication lab"


def _outdated(authority: Authority, days: int) -> tuple[bytes, bytes]:
    """A certificate that ended, or begins, so many days from now; and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    begin = now + datetime.timedelta(days=days) - datetime.timedelta(days=0 if days > 0 else 10)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old")]))
        .issuer_name(authority._name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=10))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(authority._key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


@pytest.mark.parametrize(("days", "reason"), [(-1, "expired"), (1, "not_yet_valid")])
def test_a_certificate_out_of_its_time(
    shore: Server, tmp_path: Path, days: int, reason: str
) -> None:
    files = [shore.home / "server.crt", shore.home / "server.key"]
    for file in files:
        shutil.copy(file, tmp_path / file.name)
    try:
        for file, content in zip(files, _outdated(shore.authority, days)):
            file.write_bytes(content)
            user.own(file)
        shore.sql("SELECT pg_reload_conf()")
        assert met(go(shore, tmp_path)) == ("tls", reason, None)
    finally:
        for file in files:
            shutil.copy(tmp_path / file.name, file)
            user.own(file)
        shore.sql("SELECT pg_reload_conf()")


def test_a_server_without_tls(shore: Server, tmp_path: Path) -> None:
    shore.reload(ssl="off")
    try:
        assert met(go(shore, tmp_path)) == ("tls", "not_offered", None)
        assert met(go(shore, tmp_path, sslmode="prefer")) == (None, None, None)
        assert met(go(shore, tmp_path, sslmode="disable")) == (None, None, None)
    finally:
        shore.reload(ssl="on")


def test_a_server_that_is_down(shore: Server, tmp_path: Path) -> None:
    shore.stop()
    assert met(go(shore, tmp_path)) == ("tcp", "refused", None)
    shore.start()

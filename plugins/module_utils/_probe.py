# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""How far a connection for replication comes: name, TCP, TLS, authentication, replication.

It goes the way that the server's own receiver goes, with the same connection string, and takes no slot.
PostgreSQL: libpq, "Database Connection Control Functions", "The Password File", "SSL Support".
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._wire import (
    NoPasswordError,
    ProtocolError,
    Refusal,
    Wire,
)

STAGES = ("settings", "name", "tcp", "tls", "authentication", "replication")
VERIFIED = ("verify-ca", "verify-full")
_UNENCRYPTED = ("disable", "allow")
# X509_V_ERR_… of OpenSSL: what the certificate was refused for.
_VERIFY_REASONS = {
    9: "not_yet_valid",
    10: "expired",
    11: "not_yet_valid",
    12: "expired",
    62: "name",
    63: "name",
    64: "name",
}
_SHOWN = (
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "sslmode",
    "sslrootcert",
    "passfile",
    "application_name",
)


@dataclass(frozen=True)
class Way:
    """What is to be probed.

    :param conninfo: the connection string of the server's receiver.
    :param source: where it was found.
    :param database: of a logical connection; None: a physical one.
    :param slot: the slot that the receiver uses.
    :param home: the home of the server's user, where libpq looks for files.
    :param uid: the server's user, who has to be able to read the files.
    """

    conninfo: Conninfo
    source: str
    database: str | None
    slot: str | None
    home: Path
    uid: int
    timeout: float


@dataclass
class Probe:
    """How far it came. stage: the one that failed, None where none did."""

    source: str
    target: dict[str, str]
    slot: str | None
    logical: bool
    stage: str | None = None
    reason: str | None = None
    text: str = ""
    sqlstate: str | None = None
    routine: str | None = None
    addresses: list[str] = field(default_factory=list)
    address: str | None = None
    local_address: str | None = None
    tls: bool | None = None
    certificate: dict[str, Any] | None = None
    passfile: dict[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    system: dict[str, Any] | None = None
    remote_slot: dict[str, Any] | None = None

    def failed(self, stage: str, reason: str, text: str) -> Probe:
        self.stage, self.reason, self.text = stage, reason, text
        return self

    @property
    def came(self) -> int:
        return len(STAGES) if self.stage is None else STAGES.index(self.stage)

    def shown(self) -> dict[str, Any]:
        return asdict(self)


def probe(way: Way) -> Probe:
    """Try all hosts of the connection string, and tell of the one that came furthest."""
    return max((_probe_one(way, target) for target in _targets(way)), key=lambda found: found.came)


def _targets(way: Way) -> Iterator[dict[str, str]]:
    """A dictionary a host, as libpq reads lists of them."""
    conninfo = way.conninfo
    hosts = conninfo.get("host", "").split(",")
    addresses = conninfo.get("hostaddr", "").split(",")
    ports = conninfo.get("port", "").split(",")
    for number in range(max(len(hosts), len(addresses))):
        yield {
            **conninfo,
            "host": hosts[min(number, len(hosts) - 1)],
            "hostaddr": addresses[min(number, len(addresses) - 1)],
            "port": ports[min(number, len(ports) - 1)] or "5432",
            "sslmode": conninfo.get("sslmode", "prefer"),
            "dbname": way.database or "replication",
        }


def _probe_one(way: Way, target: dict[str, str]) -> Probe:
    shown = {name: target[name] for name in _SHOWN if target.get(name)}
    found = Probe(way.source, shown, way.slot, way.database is not None)
    host = target["hostaddr"] or target["host"]
    if not host:
        return found.failed("settings", "no_host", "the connection string names no host")
    if host.startswith("/"):
        return found.failed("settings", "local", f"it leads to a local socket, {host}")
    connected = _connect(way, host, int(target["port"]), found)
    if connected is None:
        return found
    try:
        _talk(way, target, connected, found)
    finally:
        connected.close()
    return found


def _timed(found: Probe, stage: str) -> Callable[[], None]:
    begin = time.monotonic()

    def stop() -> None:
        found.seconds[stage] = round(time.monotonic() - begin, 4)

    return stop


def _connect(way: Way, host: str, port: int, found: Probe) -> socket.socket | None:
    stop = _timed(found, "name")
    try:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        found.failed("name", "not_resolved", str(getattr(error, "strerror", None) or error))
        return None
    finally:
        stop()
    found.addresses = list(dict.fromkeys(str(entry[4][0]) for entry in known))
    stop = _timed(found, "tcp")
    for family, kind, protocol, _name, address in known:
        tried = socket.socket(family, kind, protocol)
        tried.settimeout(way.timeout)
        try:
            tried.connect(address)
        except OSError as error:
            tried.close()
            found.failed("tcp", _tcp_reason(error), str(error.strerror or error).lower())
        else:
            stop()
            found.stage = found.reason = None
            found.text, found.address = "", str(address[0])
            found.local_address = str(tried.getsockname()[0])
            return tried
    stop()
    return None


def _tcp_reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "timeout"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM):
        return "unreachable"
    return "failed"


def _talk(way: Way, target: Mapping[str, str], connected: socket.socket, found: Probe) -> None:
    wire = Wire(connected)
    stage = "tls"
    try:
        stop = _timed(found, stage)
        encrypted = _encrypt(way, target, wire, found)
        stop()
        if not encrypted:
            return
        stage = "authentication"
        stop = _timed(found, stage)
        wire.start(_parameters(way, target), _password(way, target, found))
        stop()
        stage = "replication"
        stop = _timed(found, stage)
        _identify(way, wire, found)
        stop()
    except Refusal as refusal:
        found.sqlstate, found.routine = refusal.sqlstate, refusal.routine
        text = " ".join(part for part in (refusal.message, refusal.detail) if part)
        found.failed(stage, "refused", text)
    except NoPasswordError:
        found.failed(stage, "no_password", "the server asks for a password, and none is given")
    except ProtocolError as error:
        found.failed(stage, "protocol", str(error))
    except (socket.timeout, TimeoutError):
        found.failed(stage, "timeout", f"no answer within {way.timeout:g} s")
    except OSError as error:
        found.failed(stage, "failed", str(error.strerror or error).lower())
    finally:
        wire.close()


# --- TLS -----------------------------------------------------------------------------------------


def _encrypt(way: Way, target: Mapping[str, str], wire: Wire, found: Probe) -> bool:
    """Whether it goes on, encrypted or, where the connection string allows that, not."""
    mode = target["sslmode"]
    found.tls = mode not in _UNENCRYPTED and wire.ask_for_tls()
    if not found.tls:
        if mode not in (*_UNENCRYPTED, "prefer"):
            found.failed("tls", "not_offered", "the server does not offer TLS")
        return found.stage is None
    context = _context(way, target, found)
    if context is None:
        return False
    try:
        wire.begin_tls(context, target["host"] or target["hostaddr"])
    except ssl.SSLCertVerificationError as error:
        found.failed(
            "tls", _VERIFY_REASONS.get(error.verify_code, "authority"), str(error.verify_message)
        )
        found.certificate = certificate_facts(_presented(way, found, int(target["port"])))
    except ssl.SSLError as error:
        found.failed("tls", "failed", str(error.reason or error).lower())
    else:
        found.certificate = certificate_facts(wire.certificate())
    return found.stage is None


def _context(way: Way, target: Mapping[str, str], found: Probe) -> ssl.SSLContext | None:
    """How the server's certificate is verified; None: what is needed for that is not there."""
    mode = target["sslmode"]
    root = _root_certificate(way, target)
    there = root is not None and root.exists()
    if mode in VERIFIED and root is not None and not there:
        found.failed("tls", "no_root_certificate", f"there is no root certificate file {root}")
        return None
    verified = mode in VERIFIED or (mode == "require" and there)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    try:
        if verified and root is not None:
            context.load_verify_locations(cafile=str(root))
        elif verified:
            context.load_default_certs()
        if target.get("sslcert") and target.get("sslkey"):
            context.load_cert_chain(target["sslcert"], target["sslkey"])
    except (OSError, ssl.SSLError) as error:
        found.failed("tls", "no_root_certificate", f"{root}: {error.strerror or error}")
        return None
    return context


def _root_certificate(way: Way, target: Mapping[str, str]) -> Path | None:
    """None: those of the operating system."""
    named = target.get("sslrootcert")
    if named == "system":
        return None
    return Path(named) if named else way.home / ".postgresql" / "root.crt"


def _presented(way: Way, found: Probe, port: int) -> bytes | None:
    """The certificate that was refused: another handshake, which accepts anything and sends nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((str(found.address), port), way.timeout) as connected:
            wire = Wire(connected)
            try:
                if not wire.ask_for_tls():
                    return None
                wire.begin_tls(context, None)
                return wire.certificate()
            finally:
                wire.close()
    except (OSError, ProtocolError):
        return None


_ASKED = ("-subject", "-issuer", "-dates", "-fingerprint", "-sha256")


def certificate_facts(der: bytes | None) -> dict[str, Any] | None:
    """Whose it is, of whom, for which names and how long, as openssl reads it."""
    if not der:
        return None
    told = _openssl(der, *_ASKED)
    lines = [line.partition("=") for line in told.splitlines()]
    facts: dict[str, Any] = {name.strip(): value.strip() for name, _equals, value in lines}
    names = _openssl(der, "-ext", "subjectAltName").splitlines()[1:]
    return {
        "subject": facts.get("subject"),
        "issuer": facts.get("issuer"),
        "not_before": facts.get("notBefore"),
        "not_after": facts.get("notAfter"),
        "names": [name.strip() for line in names for name in line.split(",") if name.strip()],
    }


def _openssl(der: bytes, *asked: str) -> str:
    command = ["openssl", "x509", "-inform", "DER", "-noout", "-nameopt", "RFC2253", *asked]
    try:
        done = subprocess.run(command, input=der, capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


# --- authentication ------------------------------------------------------------------------------


def _parameters(way: Way, target: Mapping[str, str]) -> dict[str, str]:
    parameters = {
        "user": target.get("user", "postgres"),
        "database": target["dbname"],
        "replication": "database" if way.database is not None else "true",
        "application_name": "hmm.pg_replication",
        "client_encoding": "UTF8",
    }
    if target.get("options"):
        parameters["options"] = target["options"]
    return parameters


def _password(way: Way, target: Mapping[str, str], found: Probe) -> str | None:
    if target.get("password"):
        return target["password"]
    file = Path(target.get("passfile") or way.home / ".pgpass")
    usable, why = _usable(file, way.uid)
    password = passfile_entry(file.read_text(errors="replace"), target) if usable else None
    found.passfile = {"path": str(file), "usable": usable, "why": why, "entry": bool(password)}
    return password


def _usable(file: Path, uid: int) -> tuple[bool, str]:
    """Whether libpq takes the file, in the server's hands."""
    try:
        status = file.stat()
        file.open("rb").close()
    except OSError as error:
        return False, str(error.strerror or error).lower()
    if not stat.S_ISREG(status.st_mode):
        return False, "it is no file"
    if status.st_mode & 0o077:
        return False, f"others may read it (mode {stat.S_IMODE(status.st_mode):04o})"
    if status.st_uid != uid:
        return False, "it belongs to another user than the server"
    return True, ""


def passfile_entry(text: str, target: Mapping[str, str]) -> str | None:
    """The password of the first line that fits."""
    host = target["host"] or target["hostaddr"]
    wanted = (host, target["port"], target["dbname"], target.get("user", "postgres"))
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        fields = _fields(line)
        if len(fields) == len(wanted) + 1 and all(
            field in ("*", value) for field, value in zip(fields, wanted)
        ):
            return fields[-1]
    return None


def _fields(line: str) -> list[str]:
    """Between colons; a backslash takes the next character as it is. The last field is the rest."""
    fields = [""]
    escaped = False
    for char in line:
        if char == "\\" and not escaped:
            escaped = True
        elif char == ":" and not escaped and len(fields) <= 4:  # noqa: PLR2004 - four, and the password
            fields.append("")
        else:
            fields[-1] += char
            escaped = False
    return fields


# --- replication ---------------------------------------------------------------------------------


def _identify(way: Way, wire: Wire, found: Probe) -> None:
    ((identifier, timeline, position, _database, *_more),) = wire.query("IDENTIFY_SYSTEM")
    found.system = {
        "system_identifier": identifier,
        "timeline": int(timeline or 0),
        "position": position,
    }
    if way.slot is None:
        return
    try:
        found.remote_slot = _remote_slot(way, wire)
    except Refusal:
        # An older server, or a slot of another kind: the shore's own facts tell more.
        found.remote_slot = None


def _remote_slot(way: Way, wire: Wire) -> dict[str, Any]:
    slot = str(way.slot)
    if way.database is None:
        ((kind, position, _timeline),) = wire.query(f'READ_REPLICATION_SLOT "{slot}"')
        return {"exists": kind is not None, "restart_lsn": position, "active": None}
    # All of them: there are few, and no value has to be quoted by hand.
    rows = wire.query("SELECT slot_name, restart_lsn, active FROM pg_catalog.pg_replication_slots")
    rows = [row for row in rows if row[0] == slot]
    _name, restart, active = rows[0] if rows else (None, None, None)
    return {"exists": bool(rows), "restart_lsn": restart, "active": active == "t" if rows else None}


def home_of(uid: int) -> Path:
    """The home of a user, as libpq finds it."""
    try:
        return Path(pwd.getpwuid(uid).pw_dir)
    except KeyError:
        return Path(os.sep)

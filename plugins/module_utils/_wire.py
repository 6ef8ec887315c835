# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The first messages of PostgreSQL's protocol, spoken by hand.

libpq tells of a connection that failed only a text, in the server's language. What has to be known is how far it came,
and with which SQLSTATE it was refused (PostgreSQL: Frontend/Backend Protocol).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PROTOCOL = 196608  # 3.0
_SSL_REQUEST = 80877103
_OK, _CLEARTEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_SCRAM = "SCRAM-SHA-256"
# Of an ErrorResponse; V is the severity that is not translated.
_FIELDS = {
    "V": "severity",
    "C": "sqlstate",
    "M": "message",
    "D": "detail",
    "H": "hint",
    "R": "routine",
}
_LONGEST_MESSAGE = 1 << 20


class ProtocolError(Exception):
    """What answers there does not speak as a PostgreSQL server does, or wants what cannot be given."""


class NoPasswordError(Exception):
    """The server asks for a password, and there is none."""


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - what a server says, not an error of this program
    """What the server refused the connection or a command with."""

    severity: str = ""
    sqlstate: str = ""
    message: str = ""
    detail: str = ""
    hint: str = ""
    routine: str = ""


class Wire:
    """A connection, from its socket on."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._rest = b""

    def close(self) -> None:
        self._socket.close()

    def ask_for_tls(self) -> bool:
        """Whether the server is willing to speak TLS."""
        self._socket.sendall(struct.pack("!ii", 8, _SSL_REQUEST))
        answer = self._socket.recv(1)
        if answer == b"S":
            return True
        if answer in (b"N", b"E"):
            return False
        if not answer:
            raise ProtocolError("the connection was closed without a word")
        raise ProtocolError("what answers there is no PostgreSQL server")

    def begin_tls(self, context: ssl.SSLContext, name: str | None) -> None:
        self._socket = context.wrap_socket(self._socket, server_hostname=name)

    def certificate(self) -> bytes | None:
        """The server's, in DER."""
        if isinstance(self._socket, ssl.SSLSocket):
            return self._socket.getpeercert(binary_form=True)
        return None

    def start(self, parameters: Mapping[str, str], password: str | None) -> None:
        """Introduce oneself and prove it, until the server is ready for commands.

        :raises Refusal: the server refuses.
        :raises NoPasswordError: there is no password to give.
        """
        body = struct.pack("!i", _PROTOCOL)
        for name, value in parameters.items():
            body += name.encode() + b"\0" + value.encode() + b"\0"
        body += b"\0"
        self._socket.sendall(struct.pack("!i", len(body) + 4) + body)
        scram: _Scram | None = None
        while True:
            kind, content = self._receive()
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            (wanted,) = struct.unpack("!i", content[:4])
            if wanted in (_OK, _SASL_FINAL):
                continue
            if password is None:
                raise NoPasswordError
            scram = scram or _Scram(password)
            self._send(b"p", _proof(wanted, content[4:], password, parameters["user"], scram))

    def query(self, command: str) -> list[list[str | None]]:
        """The rows of one command.

        :raises Refusal: the server answers with an error.
        """
        self._send(b"Q", command.encode() + b"\0")
        rows: list[list[str | None]] = []
        refusal: Refusal | None = None
        while True:
            try:
                kind, content = self._receive()
            except Refusal as error:
                if error.severity != "ERROR":
                    raise
                refusal = error
                continue
            if kind == b"D":
                rows.append(_row(content))
            elif kind == b"Z":
                break
        if refusal is not None:
            raise refusal
        return rows

    def _send(self, kind: bytes, content: bytes) -> None:
        self._socket.sendall(kind + struct.pack("!i", len(content) + 4) + content)

    def _receive(self) -> tuple[bytes, bytes]:
        kind, length = struct.unpack("!ci", self._read(5))
        if not 4 <= length <= _LONGEST_MESSAGE:  # noqa: PLR2004 - its own length
            raise ProtocolError("what answers there is no PostgreSQL server")
        content = self._read(length - 4)
        if kind == b"E":
            raise _refusal(content)
        return kind, content

    def _read(self, length: int) -> bytes:
        while len(self._rest) < length:
            more = self._socket.recv(65536)
            if not more:
                raise ProtocolError("the connection was closed without a word")
            self._rest += more
        found, self._rest = self._rest[:length], self._rest[length:]
        return found


def _proof(wanted: int, content: bytes, password: str, user: str, scram: _Scram) -> bytes:
    """What the server asks for."""
    if wanted == _CLEARTEXT:
        return password.encode() + b"\0"
    if wanted == _MD5:
        return _md5(password, user, content[:4]) + b"\0"
    if wanted == _SASL and _SCRAM.encode() in content.split(b"\0"):
        first = scram.first()
        return _SCRAM.encode() + b"\0" + struct.pack("!i", len(first)) + first
    if wanted == _SASL_CONTINUE:
        return scram.final(content)
    raise ProtocolError(f"the server asks for authentication of kind {wanted}")


def _refusal(content: bytes) -> Refusal:
    fields: dict[str, Any] = {}
    for part in content.split(b"\0"):
        name = _FIELDS.get(part[:1].decode(errors="replace"))
        if name:
            fields[name] = " ".join(part[1:].decode(errors="replace").split())
    return Refusal(**fields)


def _row(content: bytes) -> list[str | None]:
    (count,) = struct.unpack("!h", content[:2])
    values: list[str | None] = []
    position = 2
    for _column in range(count):
        (length,) = struct.unpack("!i", content[position : position + 4])
        position += 4
        if length < 0:
            values.append(None)
        else:
            values.append(content[position : position + length].decode(errors="replace"))
            position += length
    return values


def _md5(password: str, user: str, salt: bytes) -> bytes:
    inner = hashlib.md5((password + user).encode()).hexdigest()  # noqa: S324 - what the server asks for
    return b"md5" + hashlib.md5(inner.encode() + salt).hexdigest().encode()  # noqa: S324


class _Scram:
    """The client's part of SCRAM-SHA-256, without channel binding (RFC 5802, RFC 7677)."""

    def __init__(self, password: str) -> None:
        prepared = password if password.isascii() else unicodedata.normalize("NFKC", password)
        self._password = prepared.encode()
        self._nonce = secrets.token_urlsafe(18)
        self._bare = f"n=,r={self._nonce}"

    def first(self) -> bytes:
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        told = dict(part.split("=", 1) for part in challenge.decode().split(","))
        salted = hashlib.pbkdf2_hmac(
            "sha256", self._password, base64.b64decode(told["s"]), int(told["i"])
        )
        client_key = _keyed(salted, b"Client Key")
        stored_key = hashlib.sha256(client_key).digest()
        without_proof = f"c=biws,r={told['r']}"
        message = f"{self._bare},{challenge.decode()},{without_proof}".encode()
        signature = _keyed(stored_key, message)
        proof = bytes(one ^ other for one, other in zip(client_key, signature))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


def _keyed(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()

# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""SCRAM-SHA-256 verifiers, as PostgreSQL stores them in place of a password (RFC 5802, RFC 7677)."""

from __future__ import annotations

import hashlib
import hmac
import stringprep
import unicodedata
from base64 import b64encode

ITERATIONS = 4096  # what PostgreSQL itself takes
SALT_BYTES = 16

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """The text that goes into CREATE ROLE ... PASSWORD."""
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    stored = hashlib.sha256(_keyed(salted, b"Client Key")).digest()
    server = _keyed(salted, b"Server Key")
    return f"SCRAM-SHA-256${iterations}:{_base64(salt)}${_base64(stored)}:{_base64(server)}"


def salt_of(role: str) -> bytes:
    """The same salt for a role every time, so that a second run has nothing to change.

    It is made of the role alone, never of the password: a server shows the salt to whoever asks to
    log in, and a salt made of the password would let them try passwords against it.
    """
    return hashlib.sha256(f"hmm.pg_replication {role}".encode()).digest()[:SALT_BYTES]


def prepared(password: str) -> bytes:
    """SASLprep (RFC 4013); a password that it cannot take is taken as it is, as PostgreSQL does."""
    raw = password.encode()
    if password.isascii():
        return raw
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if not stringprep.in_table_b1(char)
    )
    text = unicodedata.normalize("NFKC", mapped)
    if not text or any(test(char) for char in text for test in _PROHIBITED):
        return raw
    if any(map(stringprep.in_table_d1, text)) and (
        any(map(stringprep.in_table_d2, text))
        or not stringprep.in_table_d1(text[0])
        or not stringprep.in_table_d1(text[-1])
    ):
        return raw
    return text.encode()


def _keyed(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode()

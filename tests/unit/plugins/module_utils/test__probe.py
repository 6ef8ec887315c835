# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a connection comes, without a server; test_connection_probe.py has servers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._probe import (
    Probe,
    Way,
    passfile_entry,
    probe,
)

TARGET = {"host": "shore", "hostaddr": "", "port": "5432", "dbname": "replication", "user": "u"}


def way(tmp_path: Path, **keywords: str) -> Way:
    return Way(Conninfo(keywords), "files", None, None, tmp_path, os.getuid(), 0.3)


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """A port where somebody answers so, or is silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                connection.recv(64)
                if answer is None:
                    done.wait(5)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(server.getsockname()[1])
        done.set()
        thread.join()


def met(found: Probe) -> tuple[str | None, str | None]:
    return found.stage, found.reason


def test_no_host(tmp_path: Path) -> None:
    assert met(probe(way(tmp_path, user="u"))) == ("settings", "no_host")
    assert met(probe(way(tmp_path, host="/run/postgresql"))) == ("settings", "local")


def test_a_name_that_is_none(tmp_path: Path) -> None:
    assert met(probe(way(tmp_path, host="nowhere.invalid"))) == ("name", "not_resolved")
    assert met(probe(way(tmp_path, host="a" * 70))) == ("name", "not_resolved")


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    found = probe(way(tmp_path, host="127.0.0.1", port=port))
    assert met(found) == ("tcp", "refused")
    assert found.addresses == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, ("tls", "timeout")),
        (b"", ("tls", "protocol")),
        (b"HTTP/1.1 400", ("tls", "protocol")),
        (b"N", ("tls", "not_offered")),
    ],
)
def test_somebody_else_answers(tmp_path: Path, answer: bytes | None, expected: tuple) -> None:
    with listening(answer) as port:
        found = probe(way(tmp_path, host="127.0.0.1", port=port, sslmode="require"))
    assert met(found) == expected


def test_the_host_that_came_furthest_is_told(tmp_path: Path) -> None:
    with listening(b"N") as port:
        hosts = {"host": "nowhere.invalid,127.0.0.1", "port": f"5432,{port}"}
        found = probe(way(tmp_path, **hosts, sslmode="require"))
    assert met(found) == ("tls", "not_offered")
    assert found.target["host"] == "127.0.0.1"


def test_no_authority_to_hold_the_certificate_against(tmp_path: Path) -> None:
    with listening(b"S") as port:
        found = probe(way(tmp_path, host="127.0.0.1", port=port, sslmode="verify-full"))
    assert met(found) == ("tls", "no_root_certificate")
    assert str(tmp_path / ".postgresql" / "root.crt") in found.text


def test_no_password_is_shown(tmp_path: Path) -> None:
    with listening(b"") as port:
        found = probe(way(tmp_path, host="127.0.0.1", port=port, password="geheim"))
    assert "geheim" not in str(found.shown())


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("shore:5432:*:u:secret", "secret"),
        ("shore:5432:replication:u:secret", "secret"),
        ("*:*:*:*:secret", "secret"),
        ("shore:5432:hmm_db:u:no\nshore:5432:*:u:yes", "yes"),
        ("# shore:5432:*:u:comment\nshore:5432:*:u:a", "a"),
        (r"shore:5432:*:u:a\:b\\c", "a:b\\c"),
        ("shore:5432:*:u:a:b", "a:b"),
        ("shore:5433:*:u:x", None),
        ("other:5432:*:u:x", None),
        ("shore:5432:*:u", None),
        ("", None),
    ],
)
def test_a_password_file_is_read_as_libpq_reads_it(text: str, password: str | None) -> None:
    assert passfile_entry(text, TARGET) == password


def test_an_ipv6_address_in_a_password_file() -> None:
    text = r"2001\:db8\:\:1:5432:*:u:x"
    assert passfile_entry(text, {**TARGET, "host": "2001:db8::1"}) == "x"


def serve_once(tmp_path: Path, mode: int) -> dict[str, Any]:
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:*:geheim")
    file.chmod(mode)
    # TLS is not wanted; the server asks for a password in clear.
    with listening(b"R\0\0\0\x08\0\0\0\x03") as port:
        found = probe(
            way(tmp_path, host="127.0.0.1", port=port, sslmode="disable", passfile=str(file))
        )
    assert "geheim" not in str(found.shown())
    assert found.passfile is not None
    return {**found.passfile, "met": met(found)}


def test_a_password_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    assert serve_once(tmp_path, 0o644)["why"] == "others may read it (mode 0644)"
    assert serve_once(tmp_path, 0o644)["met"] == ("authentication", "no_password")
    assert serve_once(tmp_path, 0o600)["entry"]
    assert serve_once(tmp_path, 0o600)["met"][1] in ("protocol", "failed")

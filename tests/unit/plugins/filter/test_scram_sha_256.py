# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verifiers are those that a server makes, the same each time, and told by nobody's error."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.filter.scram_sha_256 import (
    FilterModule,
    scram_sha_256,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._scram import prepared


# Made by PostgreSQL 15: CREATE ROLE ... PASSWORD, then read from pg_authid.
@pytest.mark.parametrize(
    ("password", "salt", "made"),
    [
        (
            "secret",
            "b40626481d0bee950a9e5070ee8fb799",
            (
                "SCRAM-SHA-256$4096:tAYmSB0L7pUKnlBw7o+3mQ==$owcL61/8svOaGU/oRscqyNlmrP969P3JyYlV"
                "5NE8+kA=:A+KVY3fUWVvtBVKI7Y8xHUeJGe97DV2WyQrsxqC5Wgw="
            ),
        ),
        (
            "p'a\\ss w\xf6rd",
            "2c3fef421e898a3a638993a6e5adf3a0",
            (
                "SCRAM-SHA-256$4096:LD/vQh6JijpjiZOm5a3zoA==$sPTDq/uurIPyqrJ7Vg7LHBHs5814v9I6yTWq"
                "mwvVEH4=:iuUefpE3VwVA1x5N1MEiEYIEmfhV72/S4Wf/KUFLbAo="
            ),
        ),
        (
            "\ube44\ubc00\ubc88\ud638",
            "2fe5cb23957866922c581473b586e7ac",
            (
                "SCRAM-SHA-256$4096:L+XLI5V4ZpIsWBRztYbnrA==$/36SHjE81yoHxyOOf3yxROOb+dYujF/Be+bO"
                "EptncMY=:VFcthFQje1jfbuC803+0BRztdvsAM4w9F0pMNbqbzuE="
            ),
        ),
        (
            "a\xa0b",
            "f31a635bcdef145ade51e47242026cea",
            (
                "SCRAM-SHA-256$4096:8xpjW83vFFreUeRyQgJs6g==$pcLY1hH/fl/3pz4tGLr6J7AoZVMzcwokmlYh"
                "RmDtFgc=:zVvlD0wsLbUP//7OBE4FvNMY/xb93slUuH0paWjP0nc="
            ),
        ),
        (
            "I\xadX",
            "5a4da828e9209c65a0622e975e3f02cf",
            (
                "SCRAM-SHA-256$4096:Wk2oKOkgnGWgYi6XXj8Czw==$Ey8z0TQnyknW13+HadLZ17ktF7r0Y7lr2vh6"
                "twC6MFo=:D0sWXrebBA8mkZ5YmjWVnCOsfNnBo0Sym9/0GrQ21i4="
            ),
        ),
    ],
)
def test_makes_what_a_server_makes(password: str, salt: str, made: str) -> None:
    assert scram_sha_256(password, "any", salt=salt) == made


def test_is_the_same_every_time() -> None:
    assert scram_sha_256("secret", "ship_oslo") == scram_sha_256("secret", "ship_oslo")


def test_differs_by_role_and_password() -> None:
    made = {
        scram_sha_256(password, role)
        for password in ("secret", "other")
        for role in ("ship_oslo", "ship_busan")
    }
    assert len(made) == 4


def test_has_a_salt_that_tells_nothing_of_the_password() -> None:
    one, other = (scram_sha_256(password, "ship_oslo") for password in ("secret", "other"))
    assert one.split("$")[1] == other.split("$")[1]


@pytest.mark.parametrize(
    ("password", "taken"),
    [
        ("plain", b"plain"),
        ("a\u00a0b", b"a b"),  # a blank that is not ASCII's
        ("I\u00adX", b"IX"),  # a soft hyphen
        ("\u00aa", b"a"),
        ("\u2168", b"IX"),
        ("\u0627\u0031", "\u0627\u0031".encode()),  # right to left, badly ended: as it is
        ("\u0007\u00e9", "\u0007\u00e9".encode()),  # a control character: as it is
    ],
)
def test_prepares_as_the_rfc_has_it(password: str, taken: bytes) -> None:
    assert prepared(password) == taken


@pytest.mark.parametrize(
    ("password", "options", "message"),
    [
        ("", {}, "scram_sha_256: the password is empty or no text."),
        (None, {}, "scram_sha_256: the password is empty or no text."),
        ("secret", {"role": ""}, "scram_sha_256: role is the name of the password's role."),
        ("secret", {"iterations": 0}, "scram_sha_256: iterations is a number, 1 at least."),
        ("secret", {"iterations": True}, "scram_sha_256: iterations is a number, 1 at least."),
        ("secret", {"salt": "xyz"}, "scram_sha_256: salt is not hexadecimal."),
        ("secret", {"salt": ""}, "scram_sha_256: salt is empty."),
    ],
)
def test_refuses_in_sentences(password: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        scram_sha_256(password, **{"role": "ship_oslo", **options})
    assert str(caught.value) == message


def test_is_offered_to_ansible() -> None:
    assert FilterModule().filters() == {"scram_sha_256": scram_sha_256}

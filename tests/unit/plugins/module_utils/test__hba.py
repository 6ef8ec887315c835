# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Blocks at the top, the operator's lines as they were."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._hba import (
    Block,
    block_at,
    wanted_blocks,
    with_blocks,
)

OWN = "# a comment\nlocal all all peer\n\nhost all all 127.0.0.1/32 scram-sha-256"
A = "# BEGIN hmm.pg_replication a\nhostssl replication a 1.2.3.4/32 scram-sha-256\n# END hmm.pg_replication a\n"
B = "# BEGIN hmm.pg_replication b\nlocal all b reject\n# END hmm.pg_replication b\n"
BLOCK_A = Block("a", ("hostssl replication a 1.2.3.4/32 scram-sha-256",))
BLOCK_B = Block("b", ("local all b reject",))


def rule(**given: Any) -> dict[str, Any]:
    base = {
        "type": "hostssl",
        "databases": ["replication"],
        "users": ["a"],
        "addresses": ["1.2.3.4"],
        "method": "scram-sha-256",
    }
    return {**base, **given}


@pytest.mark.parametrize(
    ("text", "blocks", "after"),
    [
        (OWN, [BLOCK_A], A + OWN),
        (A + OWN, [BLOCK_A], A + OWN),
        (A + OWN, [BLOCK_B], A + B + OWN),
        (A + B + OWN, [BLOCK_B, BLOCK_A], A + B + OWN),
        (A + B + OWN, [Block("a", ())], B + OWN),
        (OWN, [Block("a", ())], OWN),
        ("local all all peer\n" + A + OWN, [], A + "local all all peer\n" + OWN),
        (A.replace("1.2.3.4", "9.9.9.9") + OWN, [BLOCK_A], A + OWN),
    ],
)
def test_keeps_blocks_at_the_top(text: str, blocks: list[Block], after: str) -> None:
    assert with_blocks(text, blocks) == after
    assert with_blocks(after, blocks) == after


@pytest.mark.parametrize("text", [A.splitlines()[0] + "\n" + OWN, A.splitlines()[0] + "\n" + B])
def test_refuses_a_block_without_end(text: str) -> None:
    with pytest.raises(ReplicationError, match="has no end of its own"):
        with_blocks(text, [BLOCK_B])


def test_says_whose_a_line_is() -> None:
    assert [block_at(A + OWN, line) for line in (2, 5)] == ["a", None]


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (rule(), ["hostssl replication a 1.2.3.4/32 scram-sha-256"]),
        (rule(addresses=["10.0.0.0/8", "2001:db8::1"]), None),
        (rule(users=["my-ship"]), ['hostssl replication "my-ship" 1.2.3.4/32 scram-sha-256']),
        (rule(type="local", addresses=None), ["local replication a scram-sha-256"]),
        (
            rule(databases=["all", "replication"], addresses=["all"], method="reject"),
            ["hostssl all,replication a all reject"],
        ),
        (rule(addresses=["oslo.example"]), ["hostssl replication a oslo.example scram-sha-256"]),
    ],
)
def test_writes_rules(given: dict[str, Any], lines: list[str] | None) -> None:
    expected = lines or [
        "hostssl replication a 10.0.0.0/8 scram-sha-256",
        "hostssl replication a 2001:db8::1/128 scram-sha-256",
    ]
    blocks = wanted_blocks([{"name": "a", "state": "present", "rules": [given]}])
    assert blocks == [Block("a", tuple(expected))]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (rule(addresses=["1.2.3.400"]), "write an address"),
        (rule(addresses=["1.2.3.4/8"]), "has host bits set"),
        (rule(addresses=[]), "needs one"),
        (rule(type="local"), "a local rule has none"),
        (rule(users=["a\nhost all all all trust"]), "cannot stand in pg_hba.conf"),
        (rule(users=[]), "each need a name"),
    ],
)
def test_refuses_in_sentences(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplicationError, match=message):
        wanted_blocks([{"name": "a", "state": "present", "rules": [given]}])


def test_refuses_a_block_that_says_nothing() -> None:
    with pytest.raises(ReplicationError, match="a block without rules"):
        wanted_blocks([{"name": "a", "state": "present", "rules": []}])
    with pytest.raises(ReplicationError, match="is there twice"):
        wanted_blocks([{"name": "a", "state": "absent", "rules": None}] * 2)

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cut of the link is told from a conflict by what a server really logs."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._worker_log import worker_error
from tests.gates.paths import CHECKOUT

PROGRAM = CHECKOUT / "roles" / "logical_subscriber" / "files" / "keep_subscription.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("keep_subscription", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["keep_subscription"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


keep_subscription = _load()

STARTED = (
    "2026-11-22 20:38:39.302 UTC [77] LOG:  logical replication apply worker for subscription"
    ' "ship_oslo" has started\n'
)
DISABLED = (
    '2026-11-22 20:38:39.345 UTC [77] LOG:  subscription "ship_oslo" has been disabled because of'
    " an error\n"
)
CUT = (
    "2026-11-22 20:37:44.134 UTC [77] LOG:  data stream from publisher has ended\n"
    "2026-11-22 20:37:44.134 UTC [77] ERROR:  could not send end-of-streaming message to primary:"
    " SSL connection has been closed unexpectedly\n\tno COPY in progress\n"
)
CONFLICT = (
    "2026-11-22 20:38:39.345 UTC [77] ERROR:  duplicate key value violates unique constraint"
    ' "users_pkey"\n'
    "2026-11-22 20:38:39.345 UTC [99] ERROR:  of another process\n"
    "2026-11-22 20:38:39.345 UTC [77] DETAIL:  Key (id)=(7) already exists.\n"
    '2026-11-22 20:38:39.345 UTC [77] CONTEXT:  processing remote data for table "public.users"\n'
)


@pytest.mark.parametrize(
    "error",
    [
        CUT,
        (
            "2026-11-22 20:39:37.804 UTC [77] ERROR:  could not receive data from WAL stream: FATAL:"
            "  terminating connection due to administrator command\n"
        ),
        (
            "2026-11-22 20:39:37.804 UTC [77] ERROR:  terminating logical replication worker due to"
            " timeout\n"
        ),
        (
            "2026-11-22 20:39:37.804 UTC [77] ERROR:  could not start initial contents copy for table"
            ' "public.users": server closed the connection unexpectedly\n'
        ),
    ],
)
def test_a_cut_is_a_cut(error: str) -> None:
    verdict = keep_subscription.judge(STARTED + error + DISABLED, "ship_oslo")
    assert verdict is not None
    assert verdict.link


def test_a_conflict_is_none() -> None:
    verdict = keep_subscription.judge(STARTED + CONFLICT + DISABLED, "ship_oslo")
    assert verdict is not None
    assert not verdict.link
    assert "users_pkey" in verdict.reason


@pytest.mark.parametrize(
    "log",
    [
        "",
        STARTED,
        STARTED + CUT + DISABLED + STARTED,  # enabled again, then disabled by hand
        (STARTED + CUT + DISABLED).replace("ship_oslo", "another"),
    ],
)
def test_whoever_disabled_it_otherwise_is_left_alone(log: str) -> None:
    assert keep_subscription.judge(log, "ship_oslo") is None


def test_the_log_before_is_asked_where_this_one_is_new() -> None:
    texts = iter(["", STARTED + CUT + DISABLED])
    assert keep_subscription.last_verdict(texts, "ship_oslo").link


def test_the_error_is_told_with_what_explains_it() -> None:
    assert worker_error(STARTED + CONFLICT + DISABLED, "ship_oslo") == (
        'duplicate key value violates unique constraint "users_pkey". Key (id)=(7) already exists.'
        ' processing remote data for table "public.users".'
    )
    assert worker_error(STARTED + DISABLED, "ship_oslo") == ""
    assert worker_error(CONFLICT, "ship_oslo") == ""

# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of a scenario that failed."""

from __future__ import annotations

from tests.gates.containers import FAILURE_LENGTH, failed

BEFORE = """\
2026-12-01 17:40:57,100 p=7 u=root n=ansible INFO| TASK [Expected] *****
2026-12-01 17:40:57,200 p=7 u=root n=ansible INFO| fatal: [busan]: FAILED! =>
    msg: it is rescued
2026-12-01 17:40:57,300 p=7 u=root n=ansible INFO| PLAY RECAP *****
2026-12-01 17:40:57,400 p=7 u=root n=ansible INFO| busan : ok=1 rescued=1
"""
FAILED = """\
2026-12-01 17:41:00,100 p=8 u=root n=ansible INFO| TASK [Wait] *****
2026-12-01 17:41:01,200 p=8 u=root n=ansible INFO| FAILED - RETRYING: [busan]: Wait (1 left).
2026-12-01 17:41:02,300 p=8 u=root n=ansible INFO| fatal: [busan]: FAILED! =>
    msg: nobody takes writes
2026-12-01 17:41:02,400 p=8 u=root n=ansible INFO| PLAY RECAP *****
2026-12-01 17:41:02,500 p=8 u=root n=ansible INFO| busan : ok=1 failed=1
"""


def test_the_task_of_the_last_playbook_and_what_it_said() -> None:
    assert failed(BEFORE + FAILED).splitlines() == [
        "TASK [Wait]",
        "fatal: [busan]: FAILED! =>",
        "    msg: nobody takes writes",
    ]


def test_nothing_of_an_earlier_playbook() -> None:
    assert failed(BEFORE + FAILED.replace("fatal: [", "ok: [")) == ""
    assert failed("") == ""


def test_no_more_than_a_reader_wants() -> None:
    long = FAILED.replace("nobody", "nobody " * FAILURE_LENGTH)
    assert len(failed(long)) < FAILURE_LENGTH + 100

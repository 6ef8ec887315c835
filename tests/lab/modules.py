# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the collection's modules in this process: the real main(), a few milliseconds a call."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest import mock

from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args

MODULES = "ansible_collections.hmm.pg_replication.plugins.modules"


@dataclass(frozen=True)
class Outcome:
    """What a module gave back."""

    result: dict[str, Any]
    raw: str  # all that it wrote, to look for secrets in

    @property
    def changed(self) -> bool:
        return bool(self.result["changed"])

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed", False))

    @property
    def msg(self) -> str:
        return str(self.result.get("msg", ""))

    @property
    def diff(self) -> Any:
        return self.result.get("diff")

    @property
    def queries(self) -> list[str]:
        return list(self.result.get("queries", []))


def run_module(name: str, /, check_mode: bool = False, diff: bool = True, **params: Any) -> Outcome:
    """Run one module with these parameters."""
    main = importlib.import_module(f"{MODULES}.{name}").main
    arguments = {"_ansible_check_mode": check_mode, "_ansible_diff": diff, **params}
    written, complaints = io.StringIO(), io.StringIO()
    with (
        patch_module_args(arguments),
        _own_warnings(),
        redirect_stdout(written),
        redirect_stderr(complaints),
    ):
        try:
            main()
        except SystemExit:
            pass
        else:
            raise AssertionError(f"{name} ended without exit_json or fail_json")
    text = written.getvalue()
    try:
        result = json.loads(text)
    except ValueError as error:
        raise AssertionError(f"{name} did not write JSON: {text!r}") from error
    return Outcome(result, text + complaints.getvalue())


@contextmanager
def _own_warnings() -> Iterator[None]:
    """Ansible gathers warnings per process, which for a module is per call; not so here."""
    with (
        mock.patch.dict(warnings._global_warnings, clear=True),
        mock.patch.dict(warnings._global_deprecations, clear=True),
    ):
        yield


def four_calls(name: str, /, **params: Any) -> tuple[Outcome, Outcome, Outcome, Outcome]:
    """Check, real, check again, real again: a prediction that holds, then nothing to do."""
    calls = tuple(run_module(name, check_mode=check, **params) for check in (True, False) * 2)
    for call in calls:
        assert not call.failed, call.msg
    check, real, check_again, real_again = calls
    assert check.changed == real.changed
    assert check.diff == real.diff
    for again in (check_again, real_again):
        assert not again.changed, again.queries
        assert again.queries == []
    return check, real, check_again, real_again

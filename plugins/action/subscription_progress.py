# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at a subscription's first copy, or wait for its end through a link that comes and goes."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.hmm.pg_replication.plugins.action.follow_progress import (
    Follower,
    Looking,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._progress_file import (
    WAITING_OPTIONS,
    Rate,
    rated,
)

_WAITING = {
    "wait": {"type": "bool", "default": False},
    **WAITING_OPTIONS,
    "grace": {"type": "float", "default": 0},
}


class ActionModule(Looking):
    """The action plugin: subscription_progress on the controller."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        waiting = {key: value for key, value in self._task.args.items() if key in _WAITING}
        checked = ArgumentSpecValidator(_WAITING).validate(waiting)
        if checked.error_messages:
            raise AnsibleActionFail(" ".join(checked.error_messages))
        options = checked.validated_parameters
        if self._task.check_mode or not options["wait"]:
            result.update(self._execute_module(task_vars=task_vars))
            return result
        name = (task_vars or {}).get("inventory_hostname", "")
        rate = Rate()
        enabled = time.monotonic()

        def look() -> dict[str, Any]:
            nonlocal enabled
            found = self.look(task_vars)
            progress = found.get("progress")
            if found.get("enabled"):
                enabled = time.monotonic()
            elif progress and time.monotonic() - enabled < options["grace"]:
                # Not yet: a cut of the link may have disabled it, and something enables it again.
                found["progress"] = progress = {**progress, "state": "waiting"}
            if progress:
                now = rate.after(time.monotonic(), progress["done_bytes"])
                found["progress"] = rated(progress, now)
            return found

        # The server tells at every look: nothing can be stale.
        follower = Follower(str(name), {**options, "stale_timeout": 0}, self._display.display)
        result.update(follower.follow(look))
        return result

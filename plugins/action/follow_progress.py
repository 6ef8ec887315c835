# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Follow a long piece of work on a host, through a link that comes and goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.hmm.pg_replication.plugins.module_utils._progress_file import (
    WAITING_OPTIONS,
)
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._progress import (
    Progress,
    duration,
    progress_line,
)

_SPEC = {
    "path": {"type": "path", "required": True},
    "stale_timeout": {"type": "float", "default": 300},
    **WAITING_OPTIONS,
}


class Follower:
    """Looks again and again; everything that touches the world is handed in."""

    def __init__(
        self,
        name: str,
        options: dict[str, Any],
        show: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._options = options
        self._show = show
        self._clock = clock
        self._pause = pause
        self._shown: tuple[Any, ...] | None = None

    def follow(self, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Look until the work ends.

        :param look: one look; raises ConnectionError where the host cannot be reached.
        """
        begun = reached = self._clock()
        while True:
            try:
                result = look()
            except ConnectionError as error:
                if self._clock() - reached > self._options["unreachable_timeout"]:
                    return self._failed(
                        f"{self._name} has been out of reach for {duration(self._clock() - reached)}."
                        f" It goes on by itself: run the playbook again when it is back. ({error})"
                    )
                self._tell(("dark",), f"{self._name}: out of reach; it goes on by itself")
            else:
                reached = self._clock()
                if result.get("failed"):
                    return result
                end = self._judge(result, reached - begun)
                if end is not None:
                    return end
            waited = self._clock() - begun
            if 0 < self._options["timeout"] <= waited:
                return self._failed(
                    f"{self._name} is not done after {duration(waited)}. It goes on by itself: run"
                    " the playbook again, or raise the timeout."
                )
            self._pause(self._options["interval"])

    def _judge(self, result: dict[str, Any], waited: float) -> dict[str, Any] | None:
        """The task's result where there is nothing more to wait for."""
        content, age = result.get("progress"), result.get("age")
        if content is None:
            return self._stale(waited if age is None else age, "nothing is told of the work")
        progress = Progress.read(content)
        shape = (progress.step, progress.state, progress.done_bytes, progress.message)
        self._tell(shape, progress_line(self._name, progress))
        if progress.state == "failed":
            return {**self._failed(progress.message or "The work has failed."), **result}
        if progress.ended:
            return result
        return self._stale(age or 0.0, f"nothing more was told than: {progress.step}")

    def _stale(self, age: float, what: str) -> dict[str, Any] | None:
        if self._options["stale_timeout"] <= 0 or age < self._options["stale_timeout"]:
            return None
        return self._failed(
            f"For {duration(age)}, {what}. The work seems to have been killed: run the playbook"
            f" again, which goes on where it was. It tells its state in {self._options['path']}."
        )

    def _tell(self, shape: tuple[Any, ...], line: str) -> None:
        if shape != self._shown:
            self._shown = shape
            self._show(line)

    @staticmethod
    def _failed(message: str) -> dict[str, Any]:
        return {"failed": True, "changed": False, "msg": message}


class Looking(ActionBase):  # type: ignore[misc,unused-ignore]
    """An action that looks again and again at what goes on on the host."""

    _requires_connection = True
    _supports_check_mode = True
    _supports_async = False

    def look(self, task_vars: dict[str, Any] | None, **module: Any) -> dict[str, Any]:
        """One look, by this module or the task's own.

        :raises ConnectionError: the host was not reached, or the link was cut meanwhile.
        """
        try:
            result: dict[str, Any] = self._execute_module(task_vars=task_vars, **module)
        except AnsibleConnectionFailure as error:
            if self._connection.transport == "ssh":
                # A shared connection that died with the link would be taken again.
                with contextlib.suppress(AnsibleError):
                    self._connection.reset()
            raise ConnectionError(str(error)) from None
        except AnsibleError as error:
            # A folder that cannot be made on the host: what a link cut in between looks like.
            raise ConnectionError(str(error)) from None
        result.pop("invocation", None)
        if result.get("unreachable") or ("progress" not in result and "module_stdout" in result):
            raise ConnectionError(str(result.get("msg", "")))
        return result


class ActionModule(Looking):
    """The action plugin: follow_progress on the controller."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(argument_spec=_SPEC)  # type: ignore[no-untyped-call]

        def look() -> dict[str, Any]:
            module_args = {"path": options["path"]}
            module_name = "hmm.pg_replication.follow_progress"
            return self.look(task_vars, module_name=module_name, module_args=module_args)

        if self._task.check_mode:
            result.update(look())
            return result
        name = (task_vars or {}).get("inventory_hostname", "")
        follower = Follower(str(name), options, self._display.display)
        result.update(follower.follow(look))
        return result

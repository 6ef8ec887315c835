# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's output for somebody who looks on: a line for what was changed, and failures in full."""

from __future__ import annotations

DOCUMENTATION = r"""
name: steps
type: stdout
short_description: A line for each change
description:
  - Prints what was changed, what was said, and what failed. Everything else is silent.
extends_documentation_fragment:
  - default_callback
"""

from typing import Any

from ansible.plugins.callback.default import CallbackModule as Default


class CallbackModule(Default):
    """The default callback, of which failures and warnings are kept."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "steps"

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play = play

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        del task, is_conditional

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        del task

    def v2_playbook_on_cleanup_task_start(self, task: Any) -> None:
        del task

    def v2_playbook_on_include(self, included_file: Any) -> None:
        del included_file

    def v2_playbook_on_stats(self, stats: Any) -> None:
        del stats

    def v2_runner_on_skipped(self, result: Any) -> None:
        del result

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        del result

    def v2_runner_retry(self, result: Any) -> None:
        del result

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._tell_what_was_said(result)

    def v2_runner_on_ok(self, result: Any) -> None:
        if self._tell_what_was_said(result) or not result._result.get("changed"):
            return
        role, _colon, name = result._task.get_name().rpartition(" : ")
        name = name.rpartition(" | ")[2]
        role = role.rpartition(".")[2]
        self._tell(result, f"{role}: {name}" if role else name, "yellow")

    def _tell_what_was_said(self, result: Any) -> bool:
        """Print the message of a debug task."""
        if result._task.action != "ansible.builtin.debug":
            return False
        said = result._result.get("msg", "")
        if "results" not in result._result:
            for line in said if isinstance(said, list) else [said]:
                self._tell(result, line)
        return True

    def _tell(self, result: Any, line: str, colour: str | None = None) -> None:
        self._display.display(f"    {result._host.get_name():10} {line}", color=colour)
